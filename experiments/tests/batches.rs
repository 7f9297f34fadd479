//! Batches from the command line to the folder that is left: one transaction, crashed again and again.

mod support;

use crashbed_experiments::record::{Outcome, Trial, Verdict};
use crashbed_experiments::results;
use crashbed_experiments::trace::Trace;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Write;
use support::crashbed;

const COMMIT_EVERY: u64 = 7;

const SUITE: &str = r#"
name = "batches"
question = "Does a transaction that is crashed again and again come back each time?"
seed = 11
[[factors]]
policy = ["zero-state", "checkpoint-resume", "process-decides"]
mechanism = ["copy-on-write", "full-copy"]
workload = "kv"
fault = ["null-read", "stack-overflow", "kill-outside"]
region = "4 MiB"
spare = ["cold", "hot"]
trials = 12
batch = 5
[[factors]]
policy = "checkpoint-resume"
mechanism = "copy-on-write"
workload = "kv"
fault = "kill"
region = "4 MiB"
load = ["none", "busy"]
trials = 6
batch = 6
touch = true
[workload.kv]
records = 100
operations = 80
commit_every = 7
[batch]
pause_us = 100
[heartbeat]
deadline_ms = 5000
[floor]
trials = 0
"#;

/// That a trial is a crash of its own, which was recovered from as its policy promises.
fn is_a_crash_that_was_recovered_from(trial: &Trial) {
    assert_eq!((trial.planned, trial.injected, trial.activated, trial.noticed), (1, 1, 1, 1), "{trial:?}");
    assert_eq!((trial.crashes, trial.outcome), (1, Outcome::Done), "{trial:?}");
    let zero = trial.levels.policy == "zero-state";
    assert_eq!(trial.verdict, if zero { Verdict::Zeroed } else { Verdict::Exact }, "{trial:?}");
    assert!(trial.started_by.is_some() && trial.phases.take_over_faults.is_some(), "{trial:?}");

    let parts: u64 = trial.phases.parts().iter().map(|(name, part)| part.expect(name)).sum();
    assert_eq!(trial.phases.recovery_ns, Some(parts), "{trial:?}");

    assert_eq!((trial.operations, trial.committed_operations % COMMIT_EVERY), (80, 0), "{trial:?}");
    let lost_at_most = if zero { 80 } else { COMMIT_EVERY };
    assert!(trial.lost_operations < lost_at_most, "{trial:?}");
    let signal = match trial.levels.fault.as_str() {
        "null-read" | "stack-overflow" => "SIGSEGV",
        _ => "SIGKILL",
    };
    assert_eq!(trial.signal.as_deref(), Some(signal), "{trial:?}");
}

#[test]
fn each_crash_of_a_batch_is_a_trial_and_can_be_made_again_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("batches.toml"), SUITE).unwrap();
    let output = crashbed(folder.path(), &["run", "batches.toml", "--out", "out"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = results::load(&folder.path().join("out")).unwrap();

    assert_eq!(results.trials.len(), 3 * 2 * 3 * 2 * 12 + 2 * 6);
    let mut in_cells: BTreeMap<_, Vec<&Trial>> = BTreeMap::new();
    for trial in &results.trials {
        is_a_crash_that_was_recovered_from(trial);
        in_cells.entry(&trial.levels).or_default().push(trial);
    }
    for (levels, trials) in &in_cells {
        let touched = levels.fault == "kill";
        assert_eq!(trials.len(), if touched { 6 } else { 12 }, "{levels:?}");
        assert!(trials.iter().all(|trial| trial.counts.contains_key("touched_bytes") == touched), "{levels:?}");
    }
    let seeds: HashSet<u64> = results.trials.iter().map(|trial| trial.seed).collect();
    assert_eq!(seeds.len(), results.trials.len());
    let summary = results.summary.unwrap();
    assert!(summary.complete);
    assert_eq!((summary.crashes, summary.cells.len()), (results.trials.len() as u64, in_cells.len()));

    // The crashes of a batch share a history, in which each has its number.
    let trace = Trace::load(&folder.path().join("out")).unwrap();
    assert_eq!(trace.crashes.len(), results.trials.len());
    for (crash, trial) in trace.crashes.iter().zip(&results.trials) {
        assert_eq!((crash.trial, &crash.levels), (trial.trial, &trial.levels));
        assert_eq!(crash.transaction + crash.recovered.number, crash.trial);
        assert_eq!(crash.recovered.crash.operation / COMMIT_EVERY * COMMIT_EVERY, trial.committed_operations);
    }
    let transactions: HashSet<u64> = trace.crashes.iter().map(|crash| crash.transaction).collect();
    assert_eq!(transactions.len(), 3 * 2 * 3 * 2 * 3 + 2);

    // Packed, the folder is read as before.
    for name in ["trials.jsonl", "crashes.jsonl"] {
        let plain = folder.path().join("out").join(name);
        let packed = File::create(plain.with_extension("jsonl.gz")).unwrap();
        let mut packer = GzEncoder::new(packed, Compression::best());
        packer.write_all(&std::fs::read(&plain).unwrap()).unwrap();
        packer.finish().unwrap();
        std::fs::remove_file(plain).unwrap();
    }
    assert_eq!(Trace::load(&folder.path().join("out")).unwrap(), trace);
    assert_eq!(Trace::load(&folder.path().join("out/crashes.jsonl.gz")).unwrap(), trace);
    for command in ["report", "plot"] {
        let output = crashbed(folder.path(), &[command, "out"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(results::load(&folder.path().join("out")).unwrap().summary.unwrap(), summary);

    let line = results.trials.iter().position(|trial| trial.levels.load == "busy").unwrap() + 1;
    let again = crashbed(folder.path(), &["trial", "--from", "out", "--line", &line.to_string()]).output().unwrap();
    let told = String::from_utf8(again.stdout).unwrap();
    assert!(told.contains(&format!("seed {}", results.trials[line - 1].seed)), "{told}");
    assert!(told.contains("1 planned, 1 injected, 1 activated") && told.contains("exact"), "{told}");
}
