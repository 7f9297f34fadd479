//! The program as a user meets it: what it says of bad usage, with which exit status, and what it leaves on the disk.

use snapbox::cmd::{Command, OutputAssert, cargo_bin};
use std::fs;
use std::path::Path;

/// The program, run in `folder`.
fn crashbed(folder: &Path, arguments: &[&str]) -> OutputAssert {
    Command::new(cargo_bin("crashbed")).current_dir(folder).args(arguments).assert()
}

/// That the program refuses, with this status and these words, and leaves the folder as it is.
#[track_caller]
fn refuses(folder: &Path, arguments: &[&str], status: i32, words: &[&str]) {
    let before = names(folder);
    let output = crashbed(folder, arguments).code(status);
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    for word in words {
        assert!(said.contains(word), "{arguments:?} does not say {word:?}: {said}");
    }
    assert!(output.get_output().stdout.is_empty());
    assert_eq!(names(folder), before, "{arguments:?} left something behind");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = folder.read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn place() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn unknown_names_get_the_nearest_one() {
    let place = place();
    let cases: [(&[&str], &str); 10] = [
        (&["run", "quik"], "the nearest suite is `quick`"),
        (&["run", "quick", "--policy", "zero-stat"], "the nearest is `zero-state`"),
        (&["run", "quick", "--policy", "zero-state,resume"], "the nearest is `checkpoint-resume`"),
        (&["run", "quick", "--mechanism", "fullcopy"], "the nearest is `full-copy`"),
        (&["run", "quick", "--workload", "document"], "the nearest is `documents`"),
        (&["run", "quick", "--fault", "null"], "the nearest is `null-read`"),
        (&["run", "quick", "--spare", "colt"], "the nearest is `cold`"),
        (&["trial", "--load", "bussy"], "the nearest is `busy`"),
        (&["trial", "--fault", "stackoverflow"], "the nearest is `stack-overflow`"),
        (&["runs", "quick"], "'run'"),
    ];
    for (arguments, words) in cases {
        refuses(place.path(), arguments, 2, &[words]);
    }
}

#[test]
fn a_level_that_is_not_in_the_suite_is_refused_with_those_that_are() {
    let place = place();
    refuses(place.path(), &["run", "documents", "--fault", "kill"], 2, &["has no fault `kill`", "it has: none"]);
    refuses(place.path(), &["run", "documents", "--workload", "kv"], 2, &["`documents`", "has no workload `kv`"]);
    refuses(place.path(), &["run", "quick", "--spare", "hot"], 2, &["has no spare `hot`", "it has: cold"]);
}

#[test]
fn numbers_out_of_range_are_refused() {
    let place = place();
    refuses(place.path(), &["run", "quick", "--trials", "0"], 2, &["--trials", "0"]);
    refuses(place.path(), &["run", "quick", "--trials", "99999999999"], 2, &["too many", "1000000"]);
    refuses(place.path(), &["run", "quick", "--seed", "-1"], 2, &["--seed"]);
    refuses(place.path(), &["run", "quick", "--seed", "many"], 2, &["--seed", "many"]);
}

#[test]
fn a_bad_suite_is_named_with_file_line_key_and_nearest_name() {
    let place = place();
    let quick = include_str!("../suites/quick.toml");
    let cases = [
        ("policy = [\"zero-state\"", "policy = [\"zero\"", "factors.policy", "the nearest is `zero-state`"),
        ("mechanism = [", "mechansim = [", "factors", "the nearest is `mechanism`"),
        ("trials = 2", "trials = 0", "factors.trials", "at least 1"),
        ("kind = \"at-operation\"", "kind = \"probability\"\np = 1.5", "trigger.p", "1.5 is not a probability"),
        ("region = \"64 MiB\"", "region = \"64 KiB\"", "factors.region", "smaller than the workload"),
    ];
    for (was, by, key, words) in cases {
        let text = quick.replace(was, by);
        let changed = text.lines().zip(quick.lines()).position(|(new, old)| new != old).unwrap();
        let line = changed + by.lines().count();
        fs::write(place.path().join("mine.toml"), text).unwrap();
        refuses(place.path(), &["run", "mine.toml"], 2, &[&format!("mine.toml:{line}: "), key, words]);
    }
    refuses(place.path(), &["run", "missing.toml"], 2, &["missing.toml", "No such file"]);
    refuses(place.path(), &["run", "."], 2, &["cannot read the suite `.`"]);
}

#[test]
fn a_corpus_that_is_missing_or_empty_is_refused() {
    let place = place();
    fs::create_dir(place.path().join("empty")).unwrap();
    refuses(place.path(), &["run", "documents", "--corpus", "nowhere"], 2, &["the corpus `nowhere`", "No such file"]);
    refuses(place.path(), &["run", "documents", "--corpus", "empty"], 2, &["`empty` is empty"]);
    refuses(place.path(), &["run", "state-integrity", "--corpus", "empty"], 2, &["workload `documents`"]);
}

#[test]
fn an_output_folder_that_is_not_empty_or_not_writable_is_left_alone() {
    let place = place();
    let full = place.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("thesis.tex"), "precious").unwrap();
    refuses(place.path(), &["run", "quick", "--out", "full"], 1, &["output folder `full` is not empty"]);
    assert_eq!(names(&full), ["thesis.tex"]);
    refuses(place.path(), &["run", "quick", "--out", "full/thesis.tex"], 1, &["is not writable"]);
    // Root too cannot write here.
    refuses(place.path(), &["run", "quick", "--out", "/proc/nothing-here"], 1, &["/proc/nothing-here", "not writable"]);
}

#[test]
fn what_is_no_run_is_refused() {
    let place = place();
    let no_run = ["nowhere/manifest.json is not there: nowhere is not the folder of a run"];
    refuses(place.path(), &["report", "nowhere"], 1, &no_run);
    refuses(place.path(), &["plot", "nowhere"], 1, &no_run);
    refuses(place.path(), &["replay", "nowhere", "--policy", "zero-state"], 1, &no_run);
    refuses(place.path(), &["simulate", "--from", "nowhere", "--policy", "zero-state"], 1, &no_run);
    refuses(place.path(), &["trial", "--from", "nowhere", "--line", "1"], 1, &no_run);
    refuses(place.path(), &["trial", "--from", "nowhere"], 2, &["--line"]);
    refuses(place.path(), &["trial", "--line", "3"], 2, &["--from"]);
    refuses(place.path(), &["trial", "--from", "x", "--line", "1", "--fault", "kill"], 2, &["--from", "--fault"]);
}

/// Which lines there are is said, and which suite makes trials.
#[test]
fn what_a_run_does_not_have_is_named() {
    let place = place();
    let goodput = concat!(env!("CARGO_MANIFEST_DIR"), "/../results/goodput");
    let quick = concat!(env!("CARGO_MANIFEST_DIR"), "/../results/quick");
    let trial = |folder, line| ["trial", "--from", folder, "--line", line];
    refuses(place.path(), &trial(quick, "999999"), 2, &["has no line 999999; it has those from 1 to "]);
    refuses(place.path(), &trial(goodput, "1"), 2, &["has no line 1; it has none"]);
    let simulate = ["simulate", "--from", goodput, "--policy", "zero-state"];
    refuses(place.path(), &simulate, 1, &["the run has no trials; run a suite that has that, as `policies` has"]);
}

/// Two crashes of one transaction, in one operation, both resumed.
const TRACE: &str = r#"{"trial":3,"transaction":3,"policy":"checkpoint-resume","mechanism":"copy-on-write","workload":"kv","fault":"poison","spare":"cold","region_bytes":67108864,"load":"none","recovered":{"of":"transaction","number":0,"crash":{"cause":{"signal":{"signal":"SIGSEGV","code":1,"address":"0x0"}},"notice":"handler","phase":"running","incarnation":3,"operation":17,"committed_operations":10,"thread":77,"place":null,"heap_locked":null,"changing":false,"happened_at_ns":1000,"noticed_at_ns":2000},"decision":{"action":"resume","delay_ns":0},"then":null}}
{"trial":3,"transaction":3,"policy":"checkpoint-resume","mechanism":"copy-on-write","workload":"kv","fault":"poison","spare":"cold","region_bytes":67108864,"load":"none","recovered":{"of":"transaction","number":1,"crash":{"cause":{"exited":{"status":3}},"notice":"pidfd","phase":"running","incarnation":4,"operation":17,"committed_operations":10,"thread":0,"place":null,"heap_locked":null,"changing":false,"happened_at_ns":5000,"noticed_at_ns":6000},"decision":{"action":"resume","delay_ns":0},"then":null}}
"#;

#[test]
fn a_policy_is_asked_about_recorded_crashes() {
    let place = place();
    fs::write(place.path().join("crashes.jsonl"), TRACE).unwrap();
    let said = |arguments: &[&str]| {
        let output = crashbed(place.path(), arguments).success();
        String::from_utf8_lossy(&output.get_output().stdout).into_owned()
    };
    let text = said(&["replay", "crashes.jsonl", "--policy", "zero-state"]);
    assert!(text.contains("zero-state over 2 recorded crashes of 1 transaction"), "{text}");
    assert!(text.contains("resume → zero: 1 transaction, first in trial 3 at crash 0 in operation 17"), "{text}");
    let json = said(&["replay", "crashes.jsonl", "--policy", "checkpoint-resume", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["format"], &json["all"]["differing"]), (&1.into(), &0.into()));
    assert_eq!(json["all"]["decisions"]["resume"], 2);
    assert_eq!(names(place.path()), ["crashes.jsonl"]);
}

#[test]
fn a_trace_that_is_missing_or_bad_is_refused() {
    let place = place();
    let replay = |trace, policy| ["replay", trace, "--policy", policy];
    refuses(place.path(), &replay("nowhere", "zero-stat"), 2, &["the nearest is `zero-state`"]);
    refuses(place.path(), &["replay", "nowhere"], 2, &["--policy"]);
    fs::write(place.path().join("mine.jsonl"), TRACE.replace("\"status\":3", "\"status\":\"no\"")).unwrap();
    let words = ["mine.jsonl, line 2: not a crash: `recovered.crash.cause.exited.status`", "expected i32"];
    refuses(place.path(), &replay("mine.jsonl", "zero-state"), 1, &words);
}

const PARAMETERS: &str = "\
mtbf_ns = 3600000000000
operation_ns = 1000000
commit_every = 10
commit_ns = 2000000
poison = 0.01

[recovery_ns]
resume = [5000000, 6000000, 9000000]
";

#[test]
fn a_fleet_is_simulated_the_same_each_time() {
    let place = place();
    fs::write(place.path().join("mine.toml"), PARAMETERS).unwrap();
    let said = |more: &[&str]| {
        let arguments =
            [&["simulate", "--parameters", "mine.toml", "--processes", "200", "--years", "0.05"], more].concat();
        let output = crashbed(place.path(), &arguments).success();
        String::from_utf8_lossy(&output.get_output().stdout).into_owned()
    };
    let json = |threads: &str| -> serde_json::Value {
        let said = said(&["--policy", "process-decides", "--json", "--threads", threads]);
        let mut json: serde_json::Value = serde_json::from_str(&said).unwrap();
        json["simulated"].take()
    };
    let made = json("1");
    assert_eq!(made, json("3"));
    assert_eq!(made["parameters"]["repair_ns"], 600_000_000_000_u64);
    // 200 processes, some 438 h each, less repairs.
    let faults = made["transient"].as_u64().unwrap() + made["poison"].as_u64().unwrap();
    assert!((85_000..88_500).contains(&faults), "{faults}");
    let text = said(&["--policy", "zero-state", "--mtbf-hours", "10"]);
    assert!(text.starts_with("zero-state: 200 processes over 0.05 years, seed 1\n"), "{text}");
    assert!(text.contains("useful work    0.8") && text.contains("by the limit on restarts"), "{text}");

    // What is printed as a file is read as one.
    let whole = said(&["--fit-only"]);
    fs::write(place.path().join("mine.toml"), &whole).unwrap();
    assert_eq!(said(&["--fit-only"]), whole);
    assert_eq!(json("2"), made);
    assert_eq!(names(place.path()), ["mine.toml"]);
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    let place = place();
    let simulate = |more: &[&'static str]| [&["simulate", "--policy", "zero-state"], more].concat();
    refuses(place.path(), &simulate(&[]), 2, &["--from", "--parameters"]);
    refuses(place.path(), &["simulate", "--from", "x"], 2, &["--policy"]);
    refuses(place.path(), &simulate(&["--from", "x", "--parameters", "y"]), 2, &["--from", "--parameters"]);
    refuses(place.path(), &simulate(&["--parameters", "y", "--spare", "hot"]), 2, &["--spare", "--parameters"]);
    refuses(place.path(), &simulate(&["--from", "x", "--years", "0"]), 2, &["--years", "above 0 and up to 100"]);
    refuses(place.path(), &simulate(&["--from", "x", "--processes", "0"]), 2, &["--processes"]);
    refuses(place.path(), &simulate(&["--parameters", "missing.toml"]), 2, &["missing.toml", "No such file"]);
    fs::write(place.path().join("bad.toml"), PARAMETERS.replace("0.01", "2.0")).unwrap();
    refuses(
        place.path(),
        &simulate(&["--parameters", "bad.toml"]),
        2,
        &["bad.toml, line 5: ", "2 is not a share", "poison"],
    );
}

#[test]
fn list_and_doctor_answer_and_leave_nothing() {
    let place = place();
    for (command, words) in [("list", ["state-integrity", "null-read"]), ("doctor", ["PAGEMAP_SCAN", "RLIMIT_NPROC"])] {
        let output = crashbed(place.path(), &[command]).success();
        let said = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert!(names(place.path()).is_empty());
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let program = cargo_bin("crashbed");
    // The pipe's status is that of its last command; the shell prints the first one's.
    let script = "{ \"$0\" list; echo $? >&2; } | true";
    Command::new("sh").args(["-c", script]).arg(program).assert().success().stderr_eq("0\n");
}
