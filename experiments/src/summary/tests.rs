//! What a summary must never do: lose a trial, mix floors, average what disagrees, or claim more than was seen.

use super::*;
use crate::record::Outcome;
use crate::sample_trials::{run, trial};
use proptest::prelude::*;

pub(super) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) fn of(trials: &[Trial], floors: Vec<Floor>) -> Summary {
    let run = Run {
        suite: "test",
        trials,
        planned_trials: trials.len() as u64,
        missing_rounds: 0,
        floors,
        measurements: Vec::new(),
        skipped: Vec::new(),
    };
    summarize(run, |fault| fault == "bit-flip")
}

pub(super) fn said(summary: &Summary, part: &str) -> bool {
    summary.answer.iter().any(|sentence| sentence.contains(part))
}

fn floor(notice: &str, hand_over_ns: u64, recovery_ns: u64) -> Floor {
    let always = |ns| Distribution::of(vec![ns; 20]).unwrap();
    Floor {
        path: "waitpid + fork".to_owned(),
        notice: notice.to_owned(),
        spare: "cold".to_owned(),
        load: "none".to_owned(),
        mechanism: "copy-on-write".to_owned(),
        workload: "kv".to_owned(),
        region_bytes: 64 << 20,
        hand_over_ns: always(hand_over_ns),
        recovery_ns: always(recovery_ns),
        take_over_faults: None,
    }
}

#[test]
fn a_latency_is_held_against_the_floor_of_its_own_notice() {
    let mut trials = run(&["checkpoint-resume"], &["copy-on-write", "full-copy"], &["kv"], &names(&["abort"]), 20);
    for trial in &mut trials {
        trial.notice = Some("pidfd".to_owned());
        trial.phases.recovery_ns = Some(300);
        trial.phases.hand_over_ns = Some(150);
    }
    let summary = of(&trials, vec![floor("signal", 10, 20), floor("kill", 100, 200), floor("heartbeat", 1, 2)]);
    let [copy_on_write, full_copy] = &summary.cells[..] else { panic!("two cells") };
    assert_eq!(copy_on_write.floor_p50_ns, Some(200.0));
    assert_eq!(copy_on_write.recovery_over_floor_p50, Some(1.5));
    assert_eq!(copy_on_write.hand_over_over_floor_p50, Some(1.5));
    assert_eq!((full_copy.floor_p50_ns, full_copy.recovery_over_floor_p50), (None, None));
    assert!(said(&summary, "1.5 times the bare waitpid + fork"), "{:?}", summary.answer);

    let few: Vec<Trial> = trials.iter().filter(|trial| trial.trial % 2 == 0).cloned().collect();
    let summary = of(&few, vec![floor("kill", 100, 200)]);
    assert!(!said(&summary, "times the bare"), "a sentence on few samples: {:?}", summary.answer);

    trials[0].notice = Some("handler".to_owned());
    let mixed = of(&trials, vec![floor("signal", 10, 20), floor("kill", 100, 200)]);
    assert_eq!(mixed.cells[0].floor_p50_ns, None, "trials of two notices have no floor in common");
}

#[test]
fn figures_of_a_pass_are_given_only_where_all_trials_agree() {
    let mut trials = run(&["process-decides"], &["full-copy"], &["documents"], &names(&["none"]), 3);
    for trial in &mut trials {
        trial.counts = BTreeMap::from([("indexed".to_owned(), 118), ("failed".to_owned(), 4)]);
        trial.quarantined_files = names(&["deep.json"]);
        trial.digest = Some("d1".to_owned());
    }
    let summary = of(&trials, Vec::new());
    assert_eq!(summary.cells[0].counts["indexed"], 118);
    assert_eq!(summary.cells[0].quarantined_files, ["deep.json"]);
    assert_eq!(summary.cells[0].digest.as_deref(), Some("d1"));
    assert!(said(&summary, "failed 4, indexed 118 (deep.json)"), "{:?}", summary.answer);

    trials[1].counts.insert("indexed".to_owned(), 117);
    trials[1].digest = None;
    let summary = of(&trials, Vec::new());
    assert_eq!(summary.cells[0].counts, BTreeMap::from([("failed".to_owned(), 4)]));
    assert_eq!(summary.cells[0].digest, None);
    assert!(summary.skipped[0].contains("`indexed`") && summary.skipped[0].contains("disagree"));
}

#[test]
fn memory_faults_are_counted_apart_from_stop_faults() {
    let mut trials = run(&["checkpoint-resume"], &["full-copy"], &["kv"], &names(&["abort", "bit-flip"]), 5);
    for trial in &mut trials {
        let flipped = trial.levels.fault == "bit-flip";
        trial.verdict = if flipped { Verdict::CorruptSilent } else { Verdict::Exact };
    }
    let summary = of(&trials, Vec::new());
    assert!(said(&summary, "with stop faults: 0 of 5 trials"), "{:?}", summary.answer);
    assert!(said(&summary, "with memory faults (bit-flip), which may corrupt: 5 of 5"), "{:?}", summary.answer);
    trials[0].verdict = Verdict::CorruptSilent;
    trials[1].verdict = Verdict::Unknown;
    let summary = of(&trials, Vec::new());
    assert!(said(&summary, "with stop faults: 1 of 5 trials"), "{:?}", summary.answer);
    assert!(said(&summary, "1 the oracle could not tell"), "{:?}", summary.answer);
}

#[test]
fn crashes_of_the_workload_itself_are_no_stop_faults() {
    let mut trials = of_native_itself();
    let nothing = "of its silent corruption nothing is known; without a fault, crashed by native itself: 5 of 5.";
    assert!(said(&of(&trials, Vec::new()), nothing), "{:?}", of(&trials, Vec::new()).answer);
    trials.extend(of_aborts());
    let words = "with stop faults: 0 of 4 trials (95 % interval up to 49 %); without a fault, crashed by native itself: 5 of 5.";
    assert!(said(&of(&trials, Vec::new()), words), "{:?}", of(&trials, Vec::new()).answer);
    assert!(!said(&of(&of_aborts(), Vec::new()), "itself"));
}

#[test]
fn crashes_of_the_workload_itself_are_counted_apart_from_those_of_faults() {
    let mut trials = of_native_itself();
    let alone = of(&trials, Vec::new());
    let words = "15 real crashes in 5 trials: all in trials without a fault, by native itself.";
    assert!(said(&alone, words), "{:?}", alone.answer);
    trials.extend(of_aborts());
    let mixed = of(&trials, Vec::new());
    let words =
        "19 real crashes in 9 trials: 4 in trials with a fault, of 1 kind; 15 in trials without one, by native itself.";
    assert!(said(&mixed, words), "{:?}", mixed.answer);
    let faults = of(&of_aborts(), Vec::new());
    assert!(said(&faults, "4 real crashes in 4 trials: all in trials with a fault, of 1 kind."), "{:?}", faults.answer);
}

/// Five trials without a fault that the workload crashes, three times each, and spoils.
fn of_native_itself() -> Vec<Trial> {
    let trials = run(&["checkpoint-resume"], &["full-copy"], &["native"], &names(&["none"]), 5);
    trials.into_iter().map(|trial| Trial { crashes: 3, verdict: Verdict::CorruptSilent, ..trial }).collect()
}

/// Four trials with a fault that crashes each once and spoils none.
fn of_aborts() -> Vec<Trial> {
    let trials = run(&["checkpoint-resume"], &["full-copy"], &["kv"], &names(&["abort"]), 4);
    trials.into_iter().map(|trial| Trial { verdict: Verdict::Exact, ..trial }).collect()
}

#[test]
fn a_fault_that_never_struck_makes_its_cell_inconclusive_and_counts_for_nothing() {
    let mut trials = run(&["checkpoint-resume"], &["full-copy"], &["kv"], &names(&["abort", "none"]), 4);
    for trial in trials.iter_mut().filter(|trial| trial.levels.fault == "abort") {
        (trial.injected, trial.activated, trial.noticed, trial.crashes) = (0, 0, 0, 0);
        trial.verdict = Verdict::Inconclusive;
    }
    let summary = of(&trials, Vec::new());
    let conclusive: Vec<bool> = summary.cells.iter().map(|cell| cell.conclusive).collect();
    assert_eq!(conclusive, [false, true], "a cell without a planned fault says what it says");
    assert!(said(&summary, "Inconclusive"), "{:?}", summary.answer);
    assert!(said(&summary, "nothing is known"), "{:?}", summary.answer);
    assert!(said(&summary, "Nothing crashed"), "{:?}", summary.answer);
}

#[test]
fn an_interrupted_run_says_so_first() {
    let trials = run(&["zero-state"], &["full-copy"], &["kv"], &names(&["abort"]), 2);
    let run = Run {
        suite: "test",
        trials: &trials,
        planned_trials: 9,
        missing_rounds: 0,
        floors: Vec::new(),
        measurements: Vec::new(),
        skipped: Vec::new(),
    };
    let summary = summarize(run, |_| false);
    assert!(!summary.complete && summary.answer[0].contains("2 of 9 planned trials"), "{:?}", summary.answer);
}

proptest! {
    #[test]
    fn every_trial_is_in_one_cell_and_every_count_adds_up(
        draws in prop::collection::vec((0..3_u8, 0..2_u8, any::<bool>()), 0..60)
    ) {
        let trials: Vec<Trial> = draws
            .iter()
            .zip(0..)
            .map(|((policy, mechanism, crashed), number)| {
                trial(number, Levels {
                    policy: format!("policy-{policy}"),
                    mechanism: format!("mechanism-{mechanism}"),
                    workload: "kv".to_owned(),
                    fault: if *crashed { "abort" } else { "none" }.to_owned(),
                    spare: "cold".to_owned(),
                    region_bytes: 1 << 20,
                    load: "none".to_owned(),
                })
            })
            .collect();
        let summary = of(&trials, Vec::new());
        prop_assert!(summary.cells.is_sorted_by(|a, b| a.levels < b.levels));
        prop_assert_eq!(summary.cells.iter().map(|cell| cell.trials).sum::<u64>(), trials.len() as u64);
        prop_assert_eq!(summary.crashes, draws.iter().filter(|draw| draw.2).count() as u64);
        for cell in &summary.cells {
            let own: Vec<&Trial> = trials.iter().filter(|trial| trial.levels == cell.levels).collect();
            prop_assert_eq!(cell.outcomes.values().sum::<u64>(), own.len() as u64);
            prop_assert_eq!(cell.outcomes.get(&Outcome::Done), Some(&(own.len() as u64)));
            prop_assert_eq!(cell.verdicts.values().sum::<u64>(), own.len() as u64);
            let recovered = own.iter().filter(|trial| trial.phases.recovery_ns.is_some()).count() as u64;
            prop_assert_eq!(cell.recovery_ns.as_ref().map_or(0, |recovery| recovery.n), recovered);
            prop_assert_eq!(cell.phases.contains_key("first_operation_ns"), recovered > 0);
        }
        let read: Summary = serde_json::from_str(&serde_json::to_string(&summary).unwrap()).unwrap();
        for (cell, read) in summary.cells.iter().zip(&read.cells) {
            prop_assert_eq!((&cell.levels, &cell.counts, cell.trials), (&read.levels, &read.counts, read.trials));
        }
    }
}

#[test]
fn private_memory_that_makes_forks_slow_is_warned_of() {
    let mut trials = run(&["checkpoint-resume"], &["copy-on-write"], &["kv"], &names(&["abort"]), 3);
    trials[0].daemon_private_bytes = Some(16 << 20);
    let summary = of(&trials, Vec::new());
    assert_eq!(summary.cells[0].daemon_private_bytes, Some(16 << 20));
    assert!(!said(&summary, "Warning"), "{:?}", summary.answer);
    trials[2].daemon_private_bytes = Some(17 << 20);
    assert!(said(&of(&trials, Vec::new()), "Warning: a daemon had 17 MiB of private memory"));
}
