//! Each workload that brings its own difficulty, under every policy and mechanism, from the command line to the folder
//! that is left.

use crashbed::MechanismKind;
use crashbed_experiments::record::{Outcome, Trial, Verdict};
use crashbed_experiments::results::{self, Results};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn crashbed(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crashbed"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

/// A run of a suite with all policies and mechanisms, which the other keys of its factors follow.
fn run(name: &str, factors: &str) -> Results {
    let policies: Vec<&str> = crashbed_policies::ALL.iter().map(|policy| policy.name).collect();
    let mechanisms: Vec<&str> = MechanismKind::ALL.iter().map(|mechanism| mechanism.name()).collect();
    let suite = format!(
        "name = \"{name}\"\nquestion = \"Does it come through?\"\nseed = 3\n[factors]\npolicy = {policies:?}\nmechanism = \
         {mechanisms:?}\n{factors}"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("suite.toml"), suite).unwrap();
    let output = crashbed(folder.path(), &["run", "suite.toml", "--out", "out"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    results::load(&folder.path().join("out")).unwrap()
}

/// What a policy may make of a crash that does not come back.
fn recovered(trial: &Trial) -> bool {
    let as_promised = match trial.levels.policy.as_str() {
        "zero-state" => trial.verdict == Verdict::Zeroed,
        "checkpoint-resume" | "process-decides" => trial.verdict == Verdict::Exact,
        _ => matches!(trial.verdict, Verdict::Exact | Verdict::OlderCommit | Verdict::Zeroed),
    };
    trial.outcome == Outcome::Done && as_promised
}

#[test]
fn a_plate_comes_through_crashes_with_every_step_done_once() {
    let results = run(
        "stencil",
        r#"
workload = "stencil"
fault = ["none", "null-read", "kill", "torn-update", "crash-during-commit", "bit-flip"]
region = "2 MiB"
trials = 2
[workload.stencil]
size = 64
steps = 40
commit_every = 8
threads = 3
[heartbeat]
deadline_ms = 5000
[floor]
trials = 4
"#,
    );
    for trial in &results.trials {
        match trial.levels.fault.as_str() {
            "none" => assert_eq!((trial.crashes, trial.verdict), (0, Verdict::Exact), "{trial:?}"),
            // Nothing stops the process: the residual finds the damage, unless it is below rounding or in the count.
            "bit-flip" => assert_eq!((trial.crashes, trial.activated), (0, 1), "{trial:?}"),
            _ => assert!(trial.crashes == 1 && recovered(trial), "{trial:?}"),
        }
        assert!(trial.operations == 40 || trial.levels.fault == "bit-flip", "{trial:?}");
    }
    let flipped = results.trials.iter().filter(|trial| trial.levels.fault == "bit-flip");
    let found = flipped.filter(|trial| trial.verdict == Verdict::CorruptDetected).count();
    assert!(found > 0, "the residual finds flipped bits");
    assert!(results.floors.iter().all(|floor| floor.recovery_ns.n > 0));
}
