//! Parameters from made-up runs, of which is known what they must give.
use super::*;
use crate::catalog;
use crate::manifest::manifest;
use crate::record::{Distribution, Level, Levels, Measurement, Measurements, Recovered, Then, Unit, Victim};
use crate::sample_trials;
use crate::simulate::Quantiles;
use crashbed::{Action, Decision};
use std::collections::BTreeMap;
use std::time::Duration;

const WEEK_NS: u64 = 7 * 24 * HOUR_NS;

fn levels(policy: &str) -> Levels {
    Levels {
        policy: policy.into(),
        mechanism: "copy-on-write".into(),
        workload: "kv".into(),
        fault: "kill".into(),
        spare: "cold".into(),
        region_bytes: 64 << 20,
        load: "none".into(),
    }
}

/// What a successor finds cold, beyond its first operation.
const COLD_NS: u64 = 150_000;

/// A trial in which operations take 1,000 ns, commits (every 40 operations, as in suite `quick`) 9,000 ns, and the
/// recovery 60,000.
fn trial(number: u64, policy: &str, lost: u64) -> Trial {
    let mut trial = sample_trials::trial(number, levels(policy));
    trial.verdict = Verdict::Exact;
    trial.operations = 2_000;
    trial.lost_operations = lost;
    trial.phases.recovery_ns = Some(61_000 + number);
    let commits = if policy == "zero-state" { lost / 40 } else { 0 };
    trial.phases.redo_ns = Some(COLD_NS + (lost - 1) * 1_000 + commits * 9_000);
    trial
}

/// A trial without a crash, of 2,000 operations that take so long, commits included.
fn crash_free(number: u64, took_ns: u64) -> Trial {
    let mut trial = sample_trials::trial(number, Levels { fault: "none".into(), ..levels("checkpoint-resume") });
    (trial.operations, trial.script_operations, trial.took_ns) = (2_000, Some(2_000), Some(took_ns));
    trial
}

fn results(trials: Vec<Trial>) -> Results {
    let suite = catalog::load("quick").unwrap();
    Results {
        manifest: manifest(&suite, 1),
        trials,
        floors: Vec::new(),
        measurements: Measurements::default(),
        summary: None,
        torn: None,
    }
}

fn run() -> Results {
    let resumed = (0..60).map(|number| trial(number, "checkpoint-resume", 2 + number % 30));
    let zeroed = (60..100).map(|number| trial(number, "zero-state", 1 + 40 * (number - 59)));
    results(resumed.chain(zeroed).collect())
}

fn fitted(results: &Results, crashes: &[RecordedCrash]) -> Parameters {
    fit(results, crashes, &Wanted::default(), WEEK_NS).unwrap().parameters
}

#[test]
fn trials_alone_give_all_that_is_needed() {
    let Fitted { parameters, notes } = fit(&run(), &[], &Wanted::default(), WEEK_NS).unwrap();
    assert_eq!((parameters.mtbf_ns, parameters.commit_every, parameters.commits_per_transaction), (WEEK_NS, 40, 50));
    // A successor that finds its pages cold makes no operation slow.
    assert_eq!((parameters.operation_ns, parameters.commit_ns), (1_000, 9_000));
    assert_eq!((parameters.poison, parameters.propagated), (0.0, 0.0));
    let names: Vec<&str> = parameters.recovery_ns.keys().map(String::as_str).collect();
    assert_eq!(names, ["resume", "zero"]);
    let resume = &parameters.recovery_ns["resume"];
    assert_eq!((resume.value(0.0), resume.value(1.0)), (60_000, 60_059));
    assert!(notes.iter().any(|note| note.contains("resume (60), zero (40)")), "{notes:?}");
    // What was fitted can be written down and read back.
    assert_eq!(Parameters::parse(&parameters.to_toml().unwrap()).unwrap(), parameters);
}

#[test]
fn trials_without_a_crash_go_before_what_was_done_again() {
    let mut run = run();
    // 1,300 ns an operation with its share of a commit, where those that were done again from zero take 1,225.
    run.trials.extend((100..111).map(|number| crash_free(number, 2_600_000 + 100 * number)));
    let Fitted { parameters, notes } = fit(&run, &[], &Wanted::default(), WEEK_NS).unwrap();
    assert_eq!((parameters.operation_ns, parameters.commit_ns), (1_000, 40 * 305));
    assert!(notes.iter().any(|note| note.starts_with("commit_ns 12200: from `took_ns`")), "{notes:?}");
}

/// Where operations that were done again seem to take as long by themselves as others with their commits, nothing is taken
/// off, nor counted twice.
#[test]
fn commits_that_do_not_stand_out_stay_in_the_operations() {
    let mut run = run();
    run.trials.extend((100..111).map(|number| crash_free(number, 1_960_000)));
    let Fitted { parameters, notes } = fit(&run, &[], &Wanted::default(), WEEK_NS).unwrap();
    assert_eq!((parameters.operation_ns, parameters.commit_ns), (980, 0));
    assert!(notes.iter().any(|note| note.contains("do not set a commit apart from the operations")), "{notes:?}");
    // So is it where there are too few of them to tell.
    run.trials.retain(|trial| trial.levels.policy == "zero-state" || trial.levels.fault == "none");
    assert_eq!(fitted(&run, &[]).operation_ns, 980);
}

#[test]
fn what_came_back_is_poison_and_what_was_wrong_is_propagated() {
    let mut run = run();
    for trial in &mut run.trials[..10] {
        trial.crashes = 3;
    }
    run.trials[10].verdict = Verdict::GaveUp;
    for trial in &mut run.trials[11..25] {
        trial.verdict = Verdict::CorruptSilent;
        trial.crashes = 2;
    }
    let parameters = fitted(&run, &[]);
    assert_eq!((parameters.poison, parameters.propagated), (0.11, 0.14));
}

#[test]
fn a_steady_measurement_goes_before_trials() {
    let row = |every: Level, rate: f64| Measurement {
        measure: "steady".into(),
        row: "throughput".into(),
        levels: BTreeMap::from([
            ("mechanism".to_owned(), Level::from("copy-on-write")),
            ("commit-every".to_owned(), every),
        ]),
        unit: Unit::OperationsPerSecond,
        distribution: Distribution { p50: rate, ..Distribution::of(vec![1]).unwrap() },
        note: String::new(),
    };
    let mut run = run();
    // An operation in 500 ns; with a commit of 20 µs after every 10, in 2,500; after every 100, in 700.
    run.measurements.measurements =
        vec![row("never".into(), 2e6), row(10.into(), 4e5), row(100.into(), 1e9 / 700.0), row(1_000.into(), 1.9e6)];
    let parameters = fitted(&run, &[]);
    assert_eq!((parameters.operation_ns, parameters.commit_ns), (500, 20_000));
    // Without commits it would be slower than with them: they cost nothing that was seen.
    run.measurements.measurements[2].distribution.p50 = 4e6;
    run.measurements.measurements.remove(1);
    let Fitted { parameters, notes } = fit(&run, &[], &Wanted::default(), WEEK_NS).unwrap();
    assert_eq!((parameters.operation_ns, parameters.commit_ns), (500, 0));
    assert!(notes.iter().any(|note| note.contains("no slower with commits")), "{notes:?}");
    // Another mechanism's says nothing.
    run.measurements
        .measurements
        .iter_mut()
        .for_each(|row| drop(row.levels.insert("mechanism".into(), "full-copy".into())));
    assert_eq!(fitted(&run, &[]).operation_ns, 1_000);
}

#[test]
fn recorded_crashes_go_before_trials() {
    let line = |number: u64, decision: Decision, then_ns: Option<u64>| {
        let crash = crate::simulate::tests::crash(7);
        let then = Then {
            gone_at_ns: None,
            decided_at_ns: None,
            restored_at_ns: None,
            started_at_ns: None,
            first_operation_at_ns: then_ns.map(|ns| crash.happened_ns + ns),
            redone_at_ns: None,
            started_by: None,
            answered: None,
            kept: false,
            resumed_operations: None,
        };
        let recovered =
            Recovered { of: Victim::Transaction, number, crash, decision: Some(decision), then: Some(then) };
        RecordedCrash { trial: number, transaction: number, levels: levels("checkpoint-resume"), recovered }
    };
    let delayed = Decision::after(Duration::from_nanos(400), Action::Skip);
    let crashes = [
        line(0, Decision::now(Action::Older(2)), Some(8_000)),
        line(1, delayed, Some(3_400)),
        line(2, Decision::now(Action::GiveUp), None),
        line(3, Decision::now(Action::Resume), None),
    ];
    let Fitted { parameters, notes } = fit(&run(), &crashes, &Wanted::default(), WEEK_NS).unwrap();
    let recovery = |action: &str| parameters.recovery_ns.get(action).map(Quantiles::median);
    // An operation, 1,000 ns, and the delay are not part of it.
    assert_eq!((recovery("older"), recovery("skip"), recovery("zero")), (Some(7_000), Some(2_000), None));
    // No recovery by `resume` was completed: all of them stand for it.
    assert_eq!(recovery("resume"), Some(4_500));
    assert!(notes.iter().any(|note| note.contains("no recovery by `resume`")), "{notes:?}");
    // Those of other levels do not count.
    let elsewhere = crashes.map(|mut crash| {
        crash.levels.spare = "hot".into();
        crash
    });
    assert!(fitted(&run(), &elsewhere).recovery_ns.contains_key("zero"));
}

#[test]
fn what_is_missing_or_must_be_chosen_is_named() {
    let fails = |results: &Results, wanted: &Wanted| fit(results, &[], wanted, WEEK_NS).unwrap_err();
    let says = |results: &Results, words: &str| {
        let error = fails(results, &Wanted::default());
        assert!(error.to_string().contains(words) && error.status() == 1, "{error}");
    };
    says(&results(Vec::new()), "the run has no trials");
    let all = run().trials;
    let of = |policy: &str| all.iter().filter(|trial| trial.levels.policy == policy).cloned().collect::<Vec<_>>();
    says(&results(of("checkpoint-resume")), "`operation_ns` cannot be fitted");
    // The more there was to be done again, the shorter it took: that is chance.
    let mut shrinking = of("zero-state");
    shrinking.iter_mut().for_each(|trial| trial.phases.redo_ns = Some(9_000_000 - trial.lost_operations));
    says(&results(shrinking), "grows with the operations beyond chance");
    let unrecovered = |mut trial: Trial| {
        trial.phases.recovery_ns = None;
        trial
    };
    says(&results(all.iter().cloned().map(unrecovered).collect()), "`recovery_ns` cannot be fitted");

    let mut several = run();
    several.trials[3].levels.mechanism = "full-copy".into();
    let error = fails(&several, &Wanted::default());
    assert!(error.to_string().contains("(copy-on-write, full-copy); choose one by --mechanism"), "{error}");
    let wanted = |mechanism: &str| Wanted { mechanism: Some(mechanism.into()), ..Wanted::default() };
    assert!(fit(&several, &[], &wanted("copy-on-write"), WEEK_NS).is_ok());
    let error = fails(&several, &wanted("full-cpy"));
    assert!(error.to_string().contains("the nearest that it has is `full-copy`") && error.status() == 2, "{error}");
}
