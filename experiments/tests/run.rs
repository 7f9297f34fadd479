//! Whole runs of the program, from the command line to the folder that is left.

mod support;

use crashbed::History;
use crashbed::crash::signal_name;
use crashbed_experiments::record::{Outcome, RecordedCrash, Recovered, Verdict};
use crashbed_experiments::replay::replay;
use crashbed_experiments::results::{self, Results};
use crashbed_experiments::trace::Trace;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::{at_work_in, nothing_is_left};

const SUITE: &str = r#"
name = "small"
question = "Does a run do what it says?"
seed = 7
[factors]
policy = ["zero-state", "checkpoint-resume", "process-decides"]
mechanism = ["copy-on-write", "full-copy"]
workload = "kv"
fault = ["none", "null-read", "kill", "crash-during-commit", "poison", "error"]
region = "8 MiB"
trials = 2
[workload.kv]
records = 200
operations = 60
commit_every = 10
[heartbeat]
deadline_ms = 2000
[floor]
trials = 4
"#;

fn crashbed(folder: &Path, arguments: &[&str]) -> Command {
    std::fs::write(folder.join("small.toml"), SUITE).unwrap();
    support::crashbed(folder, arguments)
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    crashbed(folder, arguments).output().unwrap()
}

fn finished(output: &Output, folder: &Path) -> Results {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    results::load(folder).unwrap()
}

#[test]
fn a_run_judges_each_trial_by_what_its_policy_promises() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["run", "small.toml", "--out", "out"]);
    let results = finished(&output, &folder.path().join("out"));
    assert_eq!(results.trials.len(), 3 * 2 * 6 * 2);
    for trial in &results.trials {
        let zero = trial.levels.policy == "zero-state";
        let expected = match trial.levels.fault.as_str() {
            "poison" => (Outcome::GaveUp, Verdict::GaveUp),
            "error" => (Outcome::Failed, Verdict::Exact),
            "none" => (Outcome::Done, Verdict::Exact),
            _ if zero => (Outcome::Done, Verdict::Zeroed),
            _ => (Outcome::Done, Verdict::Exact),
        };
        assert_eq!((trial.outcome, trial.verdict), expected, "{trial:?}");
        assert_eq!(trial.crashes == 0, matches!(trial.levels.fault.as_str(), "none" | "error"), "{trial:?}");
        let stopped = matches!(trial.levels.fault.as_str(), "null-read" | "kill");
        let recovered = trial.outcome == Outcome::Done && trial.crashes > 0;
        assert!(!recovered || trial.phases.recovery_ns.is_some(), "{trial:?}");
        if stopped && zero {
            assert!(trial.lost_operations >= trial.committed_operations, "{trial:?}");
        }
    }
    assert!(results.floors.len() >= 4 && results.summary.unwrap().complete);
}

#[test]
fn every_crash_of_a_run_is_recorded_with_what_was_decided_and_what_followed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let arguments = ["run", "small.toml", "--fault", "none,null-read,poison", "--trials", "1", "--out", "out"];
    let trials = finished(&run(folder.path(), &arguments), &out).trials;
    let trace = Trace::load(&out).unwrap();
    assert!(trace.skipped.is_empty());
    for trial in &trials {
        let own: Vec<_> = trace.crashes.iter().filter(|crash| crash.trial == trial.trial).collect();
        assert_eq!(own.len() as u64, trial.crashes, "{trial:?}");
        for (number, crash) in (0..).zip(&own) {
            assert_eq!((&crash.levels, crash.transaction), (&trial.levels, trial.trial));
            let RecordedCrash { recovered: Recovered { number: recorded, crash, decision, then, .. }, .. } = crash;
            assert_eq!(*recorded, number);
            let policy = crashbed_policies::by_name(&trial.levels.policy).unwrap();
            let mut history = History::new();
            history.push(*crash);
            assert_eq!(*decision, Some(policy.decide(crash, &history)));
            assert_eq!(crash.cause.signal().map(signal_name), trial.signal);
            let then = then.as_ref().unwrap();
            let gave_up = number + 1 == trial.crashes && trial.outcome == Outcome::GaveUp;
            assert!(gave_up || then.started_by.as_deref() == Some("cold"), "{then:?}");
            assert!(crash.noticed_ns <= then.decided_at_ns.unwrap() && crash.happened_ns <= crash.noticed_ns);
        }
        let first = own.first().map(|crash| &crash.recovered);
        assert_eq!(first.map(|first| first.crash.committed_operations), first.map(|_| trial.committed_operations));
    }

    // Each policy, asked again, answers as it did.
    for policy in crashbed_policies::ALL.iter().filter(|policy| SUITE.contains(policy.name)) {
        let tally = &replay(&trace, &policy.policy()).by_recorded_policy[policy.name];
        assert_eq!((tally.differing, tally.not_asked), (0, 0), "{}", policy.name);
        assert!(tally.crashes > tally.transactions && tally.transactions > 0);
    }

    // Enough to simulate a fleet by, once the mechanism is chosen.
    let arguments = ["simulate", "--from", "out", "--policy", "zero-state", "--processes", "50", "--json"];
    let refused = run(folder.path(), &arguments);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("choose one by --mechanism"), "{said}");
    let simulated = run(folder.path(), &[&arguments[..], &["--mechanism", "full-copy"]].concat());
    assert!(simulated.status.success(), "{}", String::from_utf8_lossy(&simulated.stderr));
    let simulated: serde_json::Value = serde_json::from_slice(&simulated.stdout).unwrap();
    let parameters = &simulated["simulated"]["parameters"];
    assert_eq!((&parameters["commit_every"], &parameters["commits_per_transaction"]), (&10.into(), &6.into()));
    assert!(parameters["poison"].as_f64().unwrap() > 0.0 && simulated["simulated"]["crashes"].as_u64().unwrap() > 50);
    assert!(parameters["recovery_ns"]["zero"].as_array().unwrap().len() > 100);

    // Not asked for: no file, and the reader says how to ask.
    let quiet = SUITE.replace("[floor]", "[output]\ncrashes = false\n[floor]");
    std::fs::write(folder.path().join("quiet.toml"), quiet).unwrap();
    let arguments = ["run", "quiet.toml", "--fault", "null-read", "--trials", "1", "--out", "quiet"];
    finished(&run(folder.path(), &arguments), &folder.path().join("quiet"));
    let error = Trace::load(&folder.path().join("quiet")).unwrap_err().to_string();
    assert!(error.contains("quiet/crashes.jsonl is not there") && error.contains("crashes = true"), "{error}");
}

#[test]
fn a_seed_makes_the_same_trials_again() {
    let folder = tempfile::tempdir().unwrap();
    let made = |out: &str| {
        let arguments = ["run", "small.toml", "--fault", "null-read,kill", "--trials", "1", "--out", out];
        let output = run(folder.path(), &arguments);
        let trials = finished(&output, &folder.path().join(out)).trials;
        let told = trials.iter().map(|t| (t.levels.clone(), t.seed, t.verdict, t.lost_operations, t.digest.clone()));
        told.collect::<Vec<_>>()
    };
    assert_eq!(made("one"), made("two"));
}

#[test]
fn a_line_of_a_run_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["run", "small.toml", "--fault", "null-read", "--trials", "1", "--out", "out"];
    let trials = finished(&run(folder.path(), &arguments), &folder.path().join("out")).trials;
    let again = run(folder.path(), &["trial", "--from", "out", "--line", "3"]);
    let told = String::from_utf8(again.stdout).unwrap();
    assert!(told.contains(&format!("seed {}", trials[2].seed)), "{told}");
    assert!(told.contains(&format!("{} operations, done again", trials[2].lost_operations)), "{told}");
}

#[test]
fn documents_that_crash_the_parser_are_quarantined_and_leave_no_trace_in_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = folder.path().join("corpus");
    std::fs::create_dir_all(corpus.join("sub")).unwrap();
    std::fs::write(corpus.join("a.json"), r#"{"a": {"b": ["hello world", {"c": "x y"}]}}"#).unwrap();
    std::fs::write(corpus.join("sub/b.json"), r#"{"k": "hello again"}"#).unwrap();
    std::fs::write(corpus.join("c.json"), "not json").unwrap();
    std::fs::write(corpus.join("d.json"), b"\"\xff\xfe\"").unwrap();
    let pass = |out: &str| {
        let arguments = ["run", "documents", "--corpus", "corpus", "--policy", "process-decides", "--trials", "1"];
        let output = run(folder.path(), &[&arguments[..], &["--out", out]].concat());
        finished(&output, &folder.path().join(out)).summary.unwrap().cells
    };
    let clean = pass("clean");
    std::fs::write(corpus.join("deep.json"), "[".repeat(100_000)).unwrap();
    let hostile = pass("hostile");
    for (clean, hostile) in clean.iter().zip(&hostile) {
        assert_eq!((clean.crashes, clean.counts["quarantined"]), (0, 0));
        assert!(hostile.crashes >= 2);
        assert_eq!(hostile.quarantined_files, ["deep.json"]);
        assert_eq!((hostile.counts["indexed"], hostile.counts["failed"], hostile.counts["quarantined"]), (2, 2, 1));
        assert!(clean.digest.is_some());
        assert_eq!(clean.digest, hostile.digest);
    }
}

/// Starts a long run and waits until trials come.
fn under_way(folder: &Path) -> Child {
    let arguments = ["run", "small.toml", "--trials", "200", "--out", "out"];
    let child = crashbed(folder, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while std::fs::read_to_string(folder.join("out/trials.jsonl")).map_or(0, |lines| lines.lines().count()) < 5 {
        assert!(Instant::now() < until, "no trial in a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn an_interrupted_run_ends_in_order_and_keeps_what_it_measured() {
    for (signal, status) in [(libc::SIGINT, 130), (libc::SIGTERM, 143)] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = under_way(folder.path());
        assert!(at_work_in(folder.path()).len() > 2, "the program and its tree");
        // SAFETY: no pointer is passed; the child has not been waited for, so its id is its own.
        unsafe { libc::kill(child.id().cast_signed(), signal) };
        assert_eq!(child.wait().unwrap().code(), Some(status));
        let results = results::load(&folder.path().join("out")).unwrap();
        let summary = results.summary.expect("what was measured is summed up");
        assert!(!summary.complete && summary.trials >= 5);
        assert!(folder.path().join("out/report.html").exists());
        nothing_is_left(folder.path());
    }
}

#[test]
fn a_killed_program_leaves_nothing_running() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = under_way(folder.path());
    child.kill().unwrap();
    child.wait().unwrap();
    nothing_is_left(folder.path());
    assert!(!folder.path().join("out/summary.json").exists(), "nothing half-done looks whole");
}

/// Many daemons make their states by commits while the first trials could begin, whose fault strikes at a commit: it
/// strikes no other daemon, and each trial's crash is its own.
#[test]
fn no_trial_begins_before_all_daemons_are_ready() {
    let regions: Vec<_> = (4..20).map(|mib| format!("{mib} MiB")).collect();
    for seed in 1..3 {
        let folder = tempfile::tempdir().unwrap();
        let suite = format!(
            r#"
name = "start"
question = "Does a fault wait for its trial?"
seed = {seed}
[factors]
policy = "checkpoint-resume"
mechanism = ["copy-on-write", "full-copy", "dirty-pages"]
workload = "kv"
fault = "crash-during-commit"
region = {regions:?}
trials = 1
[workload.kv]
records = 10
operations = 40
commit_every = 1
[floor]
trials = 0
"#
        );
        std::fs::write(folder.path().join("start.toml"), suite).unwrap();
        let output = run(folder.path(), &["run", "start.toml", "--out", "out"]);
        for trial in finished(&output, &folder.path().join("out")).trials {
            assert_eq!((trial.crashes, trial.outcome, trial.verdict), (1, Outcome::Done, Verdict::Exact), "{trial:?}");
        }
    }
}
