//! Each workload that brings its own difficulty, under every policy and mechanism, from the command line to the folder
//! that is left.

mod support;

use crashbed::MechanismKind;
use crashbed_experiments::record::{Outcome, Trial, Verdict};
use crashbed_experiments::results::{self, Results};
use support::crashbed;

/// Policies that wait before they try again: where each attempt crashes, they take minutes until they give up.
const WAITING: [&str; 2] = ["exponential-backoff", "circuit-breaker"];

/// All policies but those in `without`.
fn policies(without: &[&str]) -> Vec<&'static str> {
    crashbed_policies::ALL.iter().map(|policy| policy.name).filter(|name| !without.contains(name)).collect()
}

/// A run of a suite with these policies and all mechanisms, which the other keys of its factors follow.
fn run(name: &str, policies: &[&str], factors: &str) -> Results {
    let mechanisms: Vec<&str> = MechanismKind::ALL
        .into_iter()
        .filter(|mechanism| !mechanism.needs_declared_writes())
        .map(MechanismKind::name)
        .collect();
    let suite = format!(
        "name = \"{name}\"\nquestion = \"Does it come through?\"\nseed = 3\n[factors]\npolicy = {policies:?}\nmechanism = \
         {mechanisms:?}\n{factors}"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("suite.toml"), suite).unwrap();
    let output = crashbed(folder.path(), &["run", "suite.toml", "--out", "out"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = results::load(&folder.path().join("out")).unwrap();
    for trial in &results.trials {
        // Under `auto` it is one of those that it chooses from.
        let (level, used) = (trial.levels.mechanism.as_str(), trial.mechanism_in_use.as_deref());
        let chosen = ["copy-on-write", "full-copy", "dirty-pages"];
        let expected = if level == "auto" { &chosen[..] } else { &[level] };
        assert!(used.is_none_or(|used| expected.contains(&used)), "{trial:?}");
        assert!(used.is_some() || trial.crashes > 0, "{trial:?}");
    }
    results
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

/// Whether the policy had the daemon end at last: the trial's record tells of the daemon's crash then.
fn ended_the_daemon(trial: &Trial) -> bool {
    let told = trial.crash.as_deref().is_some_and(|crash| crash.starts_with("exit 75 "));
    trial.levels.policy == "escalation" && told && (trial.signal.is_none(), trial.outcome) == (true, Outcome::GaveUp)
}

#[test]
fn a_plate_comes_through_crashes_with_every_step_done_once() {
    let results = run(
        "stencil",
        &policies(&[]),
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

/// What is not a program's own decision runs into a poisoned input again and again, until it is given up.
#[test]
fn a_c_parser_crashes_by_itself_and_what_it_crashed_on_leaves_no_trace() {
    let results = run(
        "native",
        &policies(&WAITING),
        r#"
workload = "native"
fault = ["none"]
region = "2 MiB"
trials = 2
[workload.native]
inputs = 30
poison_every = 6
commit_every = 4
[heartbeat]
deadline_ms = 5000
[intensity]
restarts = 14
within_ms = 60000
[floor]
trials = 4
"#,
    );
    for trial in &results.trials {
        assert_eq!((trial.planned, trial.injected), (0, 0), "{trial:?}");
        assert!(trial.crashes >= 2 && (trial.signal.is_some() || ended_the_daemon(trial)), "{trial:?}");
        match trial.levels.policy.as_str() {
            "process-decides" => {
                assert_eq!(
                    (trial.outcome, trial.verdict, trial.crashes),
                    (Outcome::Done, Verdict::Exact, 10),
                    "{trial:?}"
                );
                let poisoned = ["input-0005", "input-0011", "input-0017", "input-0023", "input-0029"];
                assert_eq!(trial.quarantined_files, poisoned);
                let counts = ["parsed", "failed", "quarantined"].map(|name| trial.counts[name]);
                assert_eq!(counts, [21, 4, 5], "{trial:?}");
            }
            "zero-state" | "checkpoint-resume" => {
                assert_eq!((trial.outcome, trial.verdict), (Outcome::GaveUp, Verdict::GaveUp), "{trial:?}");
            }
            _ => assert!(!matches!(trial.verdict, Verdict::CorruptSilent | Verdict::CorruptDetected), "{trial:?}"),
        }
    }
    let summary = results.summary.unwrap();
    let passed = summary.cells.iter().filter(|cell| cell.levels.policy == "process-decides");
    assert!(passed.clone().count() > 0 && passed.clone().all(|cell| cell.counts["quarantined"] == 5));
}

#[test]
fn each_bug_of_the_c_parser_crashes_as_it_is_said_to() {
    for (bug, signals) in [
        ("out-of-bounds-write", &["SIGABRT", "SIGSEGV"][..]),
        ("use-after-free", &["SIGSEGV"]),
        ("double-free", &["SIGABRT"]),
        ("recursion", &["SIGSEGV"]),
    ] {
        let results = run(
            "bug",
            &policies(&WAITING),
            &format!(
                "workload = \"native\"\nfault = \"none\"\nregion = \"2 MiB\"\ntrials = 1\n[workload.native]\ninputs = \
                 16\npoison_every = 8\nbugs = \"{bug}\"\n[heartbeat]\ndeadline_ms = 5000\n[intensity]\nrestarts = \
                 6\nwithin_ms = 60000\n[floor]\ntrials = 0\n"
            ),
        );
        for trial in results.trials.iter().filter(|trial| !ended_the_daemon(trial)) {
            assert!(signals.contains(&trial.signal.as_deref().unwrap()), "{bug}: {trial:?}");
            assert_eq!(trial.notice.as_deref(), Some("handler"), "{bug}: {trial:?}");
        }
        let past = results.trials.iter().filter(|trial| trial.outcome == Outcome::Done);
        assert!(past.clone().count() > 0 && past.clone().all(|trial| trial.crashes == 4), "{bug}");
    }
}

/// With nothing poisoned, the parser is a workload like any other.
#[test]
fn a_c_parser_comes_through_crashes_that_are_not_its_own() {
    let results = run(
        "faults",
        &policies(&[]),
        r#"
workload = "native"
fault = ["null-write", "kill", "torn-update", "stack-overflow", "bit-flip"]
region = "2 MiB"
trials = 1
[workload.native]
inputs = 40
poison_every = 0
[heartbeat]
deadline_ms = 5000
[floor]
trials = 0
"#,
    );
    for trial in &results.trials {
        match trial.levels.fault.as_str() {
            "bit-flip" => assert_eq!((trial.crashes, trial.injected), (0, 1), "{trial:?}"),
            _ => assert!(trial.crashes == 1 && recovered(trial), "{trial:?}"),
        }
    }
}
