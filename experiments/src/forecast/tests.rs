//! Forecasts from made-up traces of a small store.

use super::*;
use crate::catalog;
use crate::manifest::manifest;
use crate::record::{Course, GaveUpBy, Measurements, Outcome, Phases, Predictor, Recovered, Then, Verdict, Victim};
use crate::sample_trials::trial;
use crashbed::{Action, Cause, Crash, Decision, Notice, Phase, Text};

const SUITE: &str = r#"
name = "mine"
question = "Does it?"
seed = 3
[factors]
policy = ["checkpoint-resume", "zero-state", "quarantine"]
mechanism = "full-copy"
workload = "kv"
fault = ["none", "mix:m"]
region = "8 MiB"
trials = 8
[mix.m]
poison = 1
[workload.kv]
operations = 100
commit_every = 10
[intensity]
restarts = 4
within_ms = 60000
"#;

fn levels(policy: &str) -> Levels {
    Levels {
        policy: policy.to_owned(),
        mechanism: "full-copy".to_owned(),
        workload: "kv".to_owned(),
        fault: "mix:m".to_owned(),
        spare: "cold".to_owned(),
        region_bytes: 8 << 20,
        load: "none".to_owned(),
    }
}

/// A crash in operation 55 of trial `number`, recovered from in 200 µs; or given up on.
fn crash(number: u64, policy: &str, nth: u64, decision: Decision, gave_up: bool) -> RecordedCrash {
    let happened_ns = 1_000_000 * (nth + 1);
    let crash = Crash {
        cause: Cause::Exited { status: 3 },
        notice: Notice::Pidfd,
        phase: Phase::Running,
        incarnation: nth + 1,
        operation: 55,
        committed_operations: 50,
        commit: 1,
        thread: 0,
        place: None,
        heap_locked: None,
        changing: false,
        happened_ns,
        noticed_ns: happened_ns + 5,
        note: Text::EMPTY,
    };
    let then = Then {
        gone_at_ns: None,
        decided_at_ns: None,
        restored_at_ns: None,
        started_at_ns: None,
        first_operation_at_ns: (!gave_up).then_some(happened_ns + 201_000),
        redone_at_ns: None,
        started_by: None,
        answered: None,
        kept: false,
        resumed_operations: None,
    };
    let recovered =
        Recovered { of: Victim::Transaction, number: nth, crash, decision: Some(decision), then: Some(then) };
    RecordedCrash { trial: number, transaction: number, levels: levels(policy), recovered }
}

/// A run in which the base policy crashes five times in operation 55 of each trial and is given up by the limit, beside
/// trials under quarantine and trials without a crash, from which times are fitted: an operation takes 1 µs, a commit 10.
fn results() -> (Results, Vec<RecordedCrash>, Suite) {
    let suite = catalog::parse("mine.toml", SUITE).unwrap();
    let (mut trials, mut crashes) = (Vec::new(), Vec::new());
    for number in 0..8 {
        for (place, policy) in ["checkpoint-resume", "zero-state", "quarantine"].into_iter().enumerate() {
            let id = 3 * number + place as u64;
            let stuck = policy == "checkpoint-resume";
            let mut made = trial(id, levels(policy));
            // The same faults for each policy.
            made.seed = number;
            made.script_operations = Some(100);
            (made.crashes, made.lost_operations) = match policy {
                "checkpoint-resume" => (5, 20),
                "zero-state" => (1, 50),
                _ => (1, 2 + number),
            };
            made.operations = if stuck { 50 } else { 100 };
            made.outcome = if stuck { Outcome::GaveUp } else { Outcome::Done };
            made.verdict = if stuck { Verdict::GaveUp } else { Verdict::Exact };
            made.course = Some(Course { gave_up_by: stuck.then_some(GaveUpBy::Limit), ..Course::default() });
            let redo_ns = match policy {
                "zero-state" => Some(49_000 + 5 * 10_000),
                // And some 0.1 ms for pages that are cold.
                "quarantine" => Some(100_000 + (1 + number) * 1_000),
                _ => None,
            };
            made.phases = Phases { redo_ns, ..made.phases };
            trials.push(made);
            let action = if policy == "zero-state" { Action::Zero } else { Action::Resume };
            let times = if stuck { 5 } else { 1 };
            crashes.extend((0..times).map(|nth| crash(id, policy, nth, Decision::now(action), nth == 4)));
        }
        let mut whole = trial(24 + number, Levels { fault: "none".to_owned(), ..levels("checkpoint-resume") });
        (whole.operations, whole.script_operations, whole.took_ns) = (100, Some(100), Some(100_000 + 10 * 10_000));
        trials.push(whole);
    }
    let results = Results {
        manifest: manifest(&suite, 3),
        trials,
        floors: Vec::new(),
        measurements: Measurements::default(),
        summary: None,
        torn: None,
    };
    (results, crashes, suite)
}

fn of<'a>(made: &'a [Forecast], policy: &str, by: Predictor) -> &'a Forecast {
    made.iter().find(|forecast| forecast.levels.policy == policy && forecast.by == by).unwrap()
}

#[test]
fn a_replay_counts_what_each_decision_costs() {
    let (results, crashes, suite) = results();
    let (made, skipped) = forecasts(&results, &crashes, &suite);
    assert!(skipped.is_empty(), "{skipped:?}");
    assert_eq!(made.len(), 9);
    let near = |value: f64, wanted: f64| {
        assert!((value - wanted).abs() <= wanted.abs() / 100.0 + 1e-9, "{value}, not {wanted}")
    };

    // The base policy over its own crashes comes to what was recorded: four successors, and half of the work missing.
    for by in [Predictor::ReplayToDifference, Predictor::ReplayOfAll] {
        let own = of(&made, "checkpoint-resume", by);
        near(own.restarts, 4.0);
        near(own.work_lost, 0.5);
    }
    // Zero decides otherwise at once: one recovery and 55 operations; or five of them, the last of which is given up on.
    let zero = of(&made, "zero-state", Predictor::ReplayToDifference);
    near(zero.restarts, 1.0);
    near(zero.work_lost, 0.0);
    near(zero.time_lost_ns, 55_000.0 + 200_000.0);
    near(of(&made, "zero-state", Predictor::ReplayOfAll).restarts, 4.0);
    // Quarantine skips at the second crash; then, by the trace, it is given up as it crashes though it was skipped.
    let quarantine = of(&made, "quarantine", Predictor::ReplayToDifference);
    near(quarantine.restarts, 2.0);
    near(quarantine.work_lost, 0.01);
    near(of(&made, "quarantine", Predictor::ReplayOfAll).work_lost, 0.5);
}

#[test]
fn a_simulation_knows_that_the_fault_comes_again() {
    let (results, crashes, suite) = results();
    let (made, _) = forecasts(&results, &crashes, &suite);
    // All of the base policy's trials were given up, so all faults are poison.
    let base = of(&made, "checkpoint-resume", Predictor::Simulation);
    assert!((3.8..=4.1).contains(&base.restarts), "{base:?}");
    // A fault falls anywhere in the script, so half of it is missing in the mean.
    assert!((0.45..0.60).contains(&base.work_lost), "{base:?}");
    let quarantine = of(&made, "quarantine", Predictor::Simulation);
    assert!((1.9..2.1).contains(&quarantine.restarts) && quarantine.work_lost < 0.01, "{quarantine:?}");
    assert!(quarantine.time_lost_ns < base.time_lost_ns, "{quarantine:?} {base:?}");
}

/// A policy with fewer trials than the base policy is foretold what it met: here the base policy crashed under half of the
/// seeds only, and quarantine has either half.
#[test]
fn what_a_policy_did_not_meet_is_not_foretold_it() {
    let (mut results, mut crashes, suite) = results();
    for trial in results.trials.iter_mut().filter(|trial| trial.levels.policy == BASE && trial.seed >= 4) {
        (trial.crashes, trial.outcome, trial.verdict, trial.operations) = (0, Outcome::Done, Verdict::Exact, 100);
        crashes.retain(|crash| crash.trial != trial.trial);
    }
    let under = |kept: std::ops::Range<u64>| {
        let is_kept = |trial: &&Trial| trial.levels.policy != "quarantine" || kept.contains(&trial.seed);
        let trials = results.trials.iter().filter(is_kept).cloned().collect();
        forecasts(&Results { trials, ..results.clone() }, &crashes, &suite)
    };
    let (made, skipped) = under(0..4);
    assert!(skipped.is_empty(), "{skipped:?}");
    for by in [Predictor::ReplayToDifference, Predictor::Simulation] {
        let restarts = |policy| of(&made, policy, by).restarts;
        assert!((1.9..2.1).contains(&restarts("quarantine")), "{by:?}: {}", restarts("quarantine"));
        assert!((1.9..2.1).contains(&restarts(BASE)), "{by:?}: {}", restarts(BASE));
    }
    let (made, skipped) = under(4..8);
    assert!(skipped[0].contains("simulation of quarantine under mix:m") && skipped.len() == 1, "{skipped:?}");
    assert!(skipped[0].contains("no trial with a crash"), "{skipped:?}");
    assert_eq!(made.len(), 6);
}

#[test]
fn what_cannot_be_predicted_says_why() {
    let (results, crashes, suite) = results();
    let (made, skipped) = forecasts(&results, &[], &suite);
    assert!(made.is_empty() && skipped[0].contains("mix:m") && skipped[0].contains("no crash of it was recorded"));
    let without_base = Results {
        trials: results.trials.iter().filter(|trial| trial.levels.policy != BASE).cloned().collect(),
        ..results
    };
    let (made, skipped) = forecasts(&without_base, &crashes, &suite);
    assert!(made.is_empty() && skipped[0].contains("no trial of it under checkpoint-resume"), "{skipped:?}");
}

/// A transaction that is given up with a damaged state leaves nothing that is of use, and all its time was for nothing.
#[test]
fn what_was_damaged_is_not_there_at_the_end() {
    let (mut results, crashes, suite) = results();
    let whole = forecasts(&results, &crashes, &suite).0;
    for trial in results.trials.iter_mut().filter(|trial| trial.levels.policy == BASE) {
        trial.verdict = Verdict::CorruptDetected;
    }
    let damaged = forecasts(&results, &crashes, &suite).0;
    for by in [Predictor::ReplayOfAll, Predictor::Simulation] {
        let [whole, damaged] = [&whole, &damaged].map(|made| of(made, BASE, by));
        assert!((damaged.work_lost - 1.0).abs() < 0.05, "{damaged:?}");
        assert!(damaged.time_lost_ns > whole.time_lost_ns + 30_000.0, "{whole:?} {damaged:?}");
        assert!((damaged.restarts - whole.restarts).abs() < 0.1, "{whole:?} {damaged:?}");
    }
}
