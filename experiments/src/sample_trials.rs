//! Made-up runs for tests: trials that are plausible in shape, with all figures from the trial's number; and runs of
//! measures alone.

use crate::record::{Levels, Measurement, Outcome, Phases, Summary, Trial, Verdict};
use crate::summary::{Run, summarize};

const VERDICTS: [Verdict; 5] =
    [Verdict::Exact, Verdict::Exact, Verdict::CorruptSilent, Verdict::GaveUp, Verdict::OlderCommit];

/// A trial of `levels`; it crashed unless its fault is `none`.
pub(crate) fn trial(number: u64, levels: Levels) -> Trial {
    let crashed = levels.fault != "none";
    let ns = |base: u64| crashed.then_some(base * (1 + number % 7));
    Trial {
        trial: number,
        levels,
        seed: number,
        planned: u64::from(crashed),
        injected: u64::from(crashed),
        activated: u64::from(crashed),
        noticed: u64::from(crashed),
        signal: crashed.then(|| "SIGSEGV".to_owned()),
        notice: crashed.then(|| if number.is_multiple_of(9) { "heartbeat" } else { "handler" }.to_owned()),
        crash: None,
        started_by: crashed.then(|| "cold".to_owned()),
        mechanism_in_use: None,
        spare_processor_ns: None,
        spare_memory_bytes: None,
        daemon_private_bytes: None,
        crashes: u64::from(crashed),
        outcome: Outcome::Done,
        verdict: if crashed { VERDICTS[usize::try_from(number).unwrap() % VERDICTS.len()] } else { Verdict::Exact },
        remark: None,
        lost_operations: number % 40,
        in_flight: None,
        operations: 100,
        committed_operations: 50,
        phases: Phases {
            recovery_ns: ns(60_000),
            notice_ns: ns(10_000),
            stop_ns: ns(1_000),
            decide_ns: ns(500),
            restore_ns: ns(20_000),
            start_ns: ns(20_000),
            first_operation_ns: ns(8_500),
            hand_over_ns: ns(51_500),
            redo_ns: None,
            teardown_ns: ns(700),
            undetected_operations: None,
            take_over_faults: crashed.then_some(number % 11),
        },
        drawn_fault: None,
        script_operations: None,
        took_ns: None,
        course: None,
        poison: None,
        counts: Default::default(),
        quarantined_files: Vec::new(),
        digest: None,
    }
}

/// `repeats` trials of every combination.
pub(crate) fn run(
    policies: &[&str],
    mechanisms: &[&str],
    workloads: &[&str],
    faults: &[String],
    repeats: u64,
) -> Vec<Trial> {
    let mut trials = Vec::new();
    for policy in policies {
        for mechanism in mechanisms {
            for workload in workloads {
                for fault in faults {
                    for _ in 0..repeats {
                        let levels = Levels {
                            policy: (*policy).to_owned(),
                            mechanism: (*mechanism).to_owned(),
                            workload: (*workload).to_owned(),
                            fault: fault.clone(),
                            spare: "cold".to_owned(),
                            region_bytes: 64 << 20,
                            load: "none".to_owned(),
                        };
                        trials.push(trial(trials.len() as u64, levels));
                    }
                }
            }
        }
    }
    trials
}

/// The summary of a run that has measured this and made no trials.
pub(crate) fn of_measures(measurements: Vec<Measurement>) -> Summary {
    let run = Run {
        suite: "test",
        trials: &[],
        planned_trials: 0,
        missing_rounds: 0,
        floors: Vec::new(),
        measurements,
        skipped: Vec::new(),
    };
    summarize(run, |_| false)
}
