//! What a summary must never do: lose a trial, mix floors, average what disagrees, or claim more than was seen.

use super::*;
use crate::record::{Level, Measurement, Outcome, Unit};
use crate::sample_trials::{run, trial};
use proptest::prelude::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn of(trials: &[Trial], floors: Vec<Floor>) -> Summary {
    let run = Run {
        suite: "test",
        trials,
        planned_trials: trials.len() as u64,
        floors,
        measurements: Vec::new(),
        skipped: Vec::new(),
    };
    summarize(run, |fault| fault == "bit-flip")
}

fn said(summary: &Summary, part: &str) -> bool {
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

/// Trials of one reference cell with this spare: hand-over and recovery of each in nanoseconds.
fn reference(spare: &str, region_bytes: u64, fault: &str, (hand_over_ns, recovery_ns): (u64, u64)) -> Vec<Trial> {
    let mut trials = run(&["checkpoint-resume"], &["copy-on-write"], &["kv"], &names(&[fault]), 600);
    for trial in &mut trials {
        trial.levels.spare = spare.to_owned();
        trial.levels.region_bytes = region_bytes;
        trial.started_by = Some(spare.to_owned());
        trial.notice = Some(if fault == "kill-outside" { "pidfd" } else { "handler" }.to_owned());
        trial.phases.hand_over_ns = Some(hand_over_ns);
        trial.phases.notice_ns = Some(hand_over_ns);
        trial.phases.recovery_ns = Some(recovery_ns);
    }
    trials
}

fn measured(measure: &str, row: &str, level: (&str, Level), p50: u64) -> Measurement {
    Measurement {
        measure: measure.to_owned(),
        row: row.to_owned(),
        levels: BTreeMap::from([(level.0.to_owned(), level.1)]),
        unit: Unit::Ns,
        distribution: Distribution::of(vec![p50; 30]).unwrap(),
        note: String::new(),
    }
}

#[test]
fn targets_hold_what_was_measured_against_what_it_is_to_be_held_against() {
    let mut trials = reference("hot", 64 << 20, "null-read", (20, 150));
    trials.extend(reference("cold", 1 << 20, "null-read", (90, 200)));
    trials.extend(reference("cold", 1 << 30, "null-read", (90, 250)));
    trials.extend(reference("hot", 1 << 30, "kill-outside", (130, 300)));
    let floor = Floor { spare: "hot".to_owned(), ..floor("signal", 10, 100) };
    let size = || Level::Number(1 << 30);
    let measurements = vec![
        measured("erlang", "restart", ("busy-wait", "on".into()), 61),
        measured("erlang", "restart", ("busy-wait", "off".into()), 300),
        measured("pool", "failover", ("records", 200_u64.into()), 500),
        measured("bare", "kill-to-pidfd-with-keeper", ("region-bytes", size()), 100),
        measured("bare", "kill-to-pidfd", ("region-bytes", Level::Number(1 << 20)), 1),
        measured("bare", "kill-to-pidfd", ("region-bytes", size()), 20_000),
        measured("steady", "over-plain", ("commit-every", "never".into()), 1_030_000),
        measured("steady", "over-plain", ("commit-every", 10_u64.into()), 9_000_000),
    ];
    let summarized = |trials: &[Trial]| {
        let run = Run {
            suite: "test",
            trials,
            planned_trials: trials.len() as u64,
            floors: vec![floor.clone()],
            measurements: measurements.clone(),
            skipped: Vec::new(),
        };
        summarize(run, |_| false)
    };
    let summary = summarized(&trials);
    let rows: Vec<(&str, f64, bool)> =
        summary.targets.iter().map(|row| (row.what.as_str(), row.ratio, row.reached)).collect();
    let third = 20.0 / 61.0;
    assert_eq!(
        rows,
        [
            ("hot, to the first instruction", 2.0, true),
            // The faster of Erlang's two.
            ("hot, to the first instruction", third, true),
            ("hot, to the first operation", 1.5, false),
            ("hot, to the first operation", 0.3, true),
            ("cold, to the first operation, 1 GiB", 1.25, false),
            ("SIGKILL from outside, 1 GiB, to its notice (hot)", 1.3, true),
            ("SIGKILL from outside, 1 GiB, to its notice (hot)", 0.0065, true),
            ("time per operation of `kv` without commits, ", 1.03, false),
        ]
    );
    assert!(said(&summary, "5 of 8 targets reached; missed: hot, to the first operation (1.5 × its floor"));

    for trial in &mut trials {
        trial.levels.spare = "cold".to_owned();
    }
    assert_eq!(summarized(&trials).targets, [], "a run without spares is about something else");
}
