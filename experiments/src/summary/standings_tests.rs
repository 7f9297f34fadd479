//! Standings under mixes, and what is said of them, of made-up trials.

use super::tests::{names, of, said};
use super::*;
use crate::record::{Course, Outcome, Standing, Summary};
use crate::sample_trials::run;

/// Crash-free trials of 1 ms, and of each policy trials under a mix that lose so much work and time.
fn trials(policies: &[(&str, f64, u64)]) -> Vec<Trial> {
    let mut trials = run(&["a"], &["full-copy"], &["kv"], &names(&["none"]), 9);
    for trial in &mut trials {
        (trial.took_ns, trial.script_operations) = (Some(1_000_000), Some(100));
    }
    for (policy, work, time_ns) in policies {
        for mut trial in run(&[policy], &["full-copy"], &["kv"], &names(&["mix:m"]), 30) {
            // Work that is lost is lost in every second trial; times differ a little, the same way for each policy.
            let missing = if trial.seed.is_multiple_of(2) { work * 200.0 } else { 0.0 };
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let there = 100 - missing as u64;
            trial.operations = there;
            trial.script_operations = Some(100);
            trial.took_ns = Some(10_000 * there + time_ns + trial.seed);
            trial.drawn_fault = Some("kill".to_owned());
            trial.outcome = if there < 100 { Outcome::GaveUp } else { Outcome::Done };
            trial.verdict = if there < 100 { Verdict::GaveUp } else { Verdict::Exact };
            trial.course = Some(Course { restarts: 2, ..Course::default() });
            trials.push(trial);
        }
    }
    trials
}

fn standing<'a>(summary: &'a Summary, policy: &str) -> &'a Standing {
    summary.standings.iter().find(|standing| standing.policy == policy).unwrap()
}

#[test]
fn the_front_is_what_no_other_beats_in_both() {
    let summary = of(
        &trials(&[("quick", 0.4, 1_000), ("sure", 0.0, 90_000), ("worse", 0.4, 50_000), ("late", 0.0, 95_000)]),
        vec![],
    );
    let front = ["quick", "sure", "worse", "late"].map(|policy| standing(&summary, policy).on_front);
    assert_eq!(front, [true, true, false, false]);
    let sure = standing(&summary, "sure");
    assert_eq!((sure.trials, sure.complete, sure.gave_up, sure.crash_free_trials), (30, 30, 0, 9));
    assert!((sure.time_lost_ns.mean - 90_014.5).abs() < 20.0 && sure.work_lost.mean == 0.0, "{sure:?}");
    let quick = standing(&summary, "quick");
    assert!(
        (quick.work_lost.mean - 0.4).abs() < 1e-9 && quick.complete == 15 && quick.restarts.mean == 2.0,
        "{quick:?}"
    );
    // Trial by trial, with the same faults, a difference of 5 % in each is beyond chance.
    assert_eq!(
        (&standing(&summary, "worse").beaten_by[..], &standing(&summary, "late").beaten_by[..]),
        (&["quick".to_owned()][..], &["sure".to_owned()][..])
    );
    assert!(
        said(&summary, "Mix m, beaten trial by trial, beyond chance: late by sure; worse by quick"),
        "{:?}",
        summary.answer
    );
    assert!(summary.answer[0].starts_with("Mix m: on the front"), "{:?}", summary.answer);
    assert!(said(&summary, "Nothing but what is said above ranks"));
}

#[test]
fn the_front_is_of_the_faults_that_all_policies_have_met() {
    let mut trials = trials(&[("slow", 0.0, 50_000), ("quick", 0.0, 40_000), ("few", 0.0, 45_000)]);
    let own = |trial: &Trial, policy: &str| trial.drawn_fault.is_some() && trial.levels.policy == policy;
    // Trial number n of each policy meets the same fault. One of three faults costs much, whatever the policy, and `few` has
    // the first ten alone, none of which does.
    for policy in ["slow", "quick", "few"] {
        for (number, trial) in (0..).zip(trials.iter_mut().filter(|trial| own(trial, policy))) {
            trial.seed = number;
            trial.took_ns = trial.took_ns.map(|ns| if number < 20 { ns } else { ns + 900_000 });
        }
    }
    trials.retain(|trial| !own(trial, "few") || trial.seed < 10);
    let summary = of(&trials, vec![]);
    let front = ["slow", "quick", "few"].map(|policy| standing(&summary, policy).on_front);
    assert_eq!(front, [false, true, false], "{:?}", summary.standings);
    let quick = standing(&summary, "quick");
    assert_eq!((quick.trials, quick.met_by_all.faults), (30, 10));
    // Over all of its trials it loses more than `few` does.
    assert!(quick.time_lost_ns.mean > standing(&summary, "few").time_lost_ns.mean, "{:?}", summary.standings);
    assert!(said(&summary, "over the 10 faults that all have met, quick (work lost 0 %"), "{:?}", summary.answer);
}

#[test]
fn policies_that_met_no_fault_in_common_are_not_held_against_each_other() {
    let mut trials = trials(&[("one", 0.0, 50_000), ("other", 0.0, 40_000)]);
    for trial in trials.iter_mut().filter(|trial| trial.levels.policy == "other") {
        trial.seed += 1_000;
    }
    let summary = of(&trials, vec![]);
    assert!(summary.standings.iter().all(|standing| !standing.on_front && standing.trials == 30));
    assert!(said(&summary, "Mix m: no fault was met by all policies"), "{:?}", summary.answer);
    assert!(!said(&summary, "on the front"), "{:?}", summary.answer);
}

#[test]
fn what_the_trials_do_not_carry_is_not_claimed() {
    let mut trials = trials(&[("one", 0.0, 50_000), ("other", 0.0, 50_000)]);
    // By turns the one and the other is the faster, and one trial makes the mean.
    for trial in trials.iter_mut().filter(|trial| trial.levels.policy == "other") {
        let slower = if trial.seed % 60 < 30 { trial.seed % 2 } else { 0 } * 2_000;
        trial.took_ns = trial.took_ns.map(|ns| ns - 1_000 + slower);
    }
    trials.last_mut().unwrap().took_ns = Some(9_000_000);
    let summary = of(&trials, vec![]);
    let other = standing(&summary, "other");
    assert!(!other.on_front && other.beaten_by.is_empty(), "{other:?}");
    assert!(said(&summary, "which the trials do not carry: other"), "{:?}", summary.answer);
    assert!(!said(&summary, "beaten trial by trial"), "{:?}", summary.answer);
}

#[test]
fn a_state_that_is_wrong_has_no_work_in_it_and_what_nobody_can_do_is_no_loss() {
    let mut trials = trials(&[("a", 0.0, 0)]);
    let under_mix = trials.iter_mut().filter(|trial| trial.drawn_fault.is_some()).collect::<Vec<_>>();
    for (number, trial) in under_mix.into_iter().enumerate() {
        match number % 3 {
            0 => trial.verdict = Verdict::CorruptDetected,
            1 => trial.quarantined_files = names(&["operation-0007"]),
            _ => {
                trial.quarantined_files = names(&["operation-0007"]);
                trial.poison = Some(crate::record::Poison { met: 1, past: 1, ..Default::default() });
            }
        }
    }
    let a = &of(&trials, vec![]).standings[0];
    assert_eq!((a.wrong, a.complete), (10, 10));
    assert!((a.work_lost.mean - (10.0 + 0.1) / 30.0).abs() < 1e-9, "{a:?}");
}

#[test]
fn without_a_crash_free_trial_or_a_mix_there_is_no_standing() {
    let mut trials = trials(&[("a", 0.0, 0)]);
    trials.retain(|trial| trial.drawn_fault.is_some());
    assert!(of(&trials, vec![]).standings.is_empty());
    assert!(of(&run(&["a"], &["full-copy"], &["kv"], &names(&["none", "kill"]), 4), vec![]).standings.is_empty());
}

#[test]
fn an_error_is_told_in_the_median_and_at_the_worst() {
    let trials = trials(&[("a", 0.0, 10_000), ("b", 0.4, 10_000)]);
    let forecast = |policy: &str, restarts| {
        let levels =
            trials.iter().find(|trial| trial.levels.fault == "mix:m" && trial.levels.policy == policy).unwrap();
        Forecast {
            levels: levels.levels.clone(),
            by: Predictor::Simulation,
            restarts,
            time_lost_ns: 20_029.0,
            work_lost: 0.4,
        }
    };
    let run = Run {
        suite: "test",
        trials: &trials,
        planned_trials: trials.len() as u64,
        missing_rounds: 0,
        floors: Vec::new(),
        measurements: Vec::new(),
        skipped: Vec::new(),
    };
    let summary = summarize_beside(run, &[forecast("a", 2.0), forecast("b", 5.0)], |_| false);
    assert_eq!(summary.predictions.len(), 6);
    let errors: Vec<Option<f64>> = summary.predictions.iter().map(|prediction| prediction.error).collect();
    assert_eq!((errors[0], errors[2], errors[3]), (Some(0.0), None, Some(1.5)));
    assert!(
        said(
            &summary,
            "restarts 75 % in the median and 150 % at the worst (b under m), within the measured interval 1 of 2"
        ),
        "{:?}",
        summary.answer
    );
    assert!(said(&summary, "1 with 0 measured left out"), "{:?}", summary.answer);
}
