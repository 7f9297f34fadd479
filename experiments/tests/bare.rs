//! The hidden subcommand `bare`: what it prints, path by path.

use crashbed::floor::Path;
use serde_json::Value;
use snapbox::cmd::{Command, OutputAssert, cargo_bin};

fn bare(arguments: &[&str]) -> OutputAssert {
    Command::new(cargo_bin("crashbed")).arg("bare").args(arguments).assert()
}

/// The lines that it prints where it succeeds.
#[track_caller]
fn lines(arguments: &[&str]) -> Vec<Value> {
    let output = bare(arguments).success();
    let printed = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_path_is_walked_as_often_as_was_asked_for() {
    let lines = lines(&["--laps", "3", "--region", "2 MiB", "--threads", "2"]);
    let names: Vec<_> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
    assert_eq!(names, Path::ALL.map(Path::name));
    for (line, path) in lines.iter().zip(Path::ALL) {
        let ns = line["ns"].as_array().unwrap();
        assert!(ns.len() == 3 && ns.iter().all(|ns| ns.as_u64().is_some_and(|ns| ns > 0)), "{line}");
        assert_eq!(line["region_bytes"], if path.takes_region() { 2 << 20 } else { 0 }, "{line}");
        assert_eq!(line["threads"], if path.takes_threads() { 2 } else { 0 }, "{line}");
        assert!(line.get("skipped").is_none(), "{line}");
    }
}

#[test]
fn only_the_paths_that_were_named_are_walked() {
    let lines = lines(&["--laps", "1", "--path", "stop-threads", "--path", "fault-to-handler"]);
    let names: Vec<_> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
    assert_eq!(names, ["stop-threads", "fault-to-handler"]);
}

#[test]
fn a_path_that_cannot_be_walked_says_why() {
    // More than any machine has.
    let lines = lines(&["--laps", "1", "--region", "64 TiB", "--path", "kill-to-pidfd"]);
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let why = line["skipped"].as_str().unwrap();
    assert!(why.starts_with("because ") && why.contains("the region of a floor: 67108864 MiB"), "{line}");
    assert_eq!(line["ns"], Value::Array(Vec::new()));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (arguments, words) in [
        (["--path", "fault-to-nobody"], "unknown path `fault-to-nobody`"),
        (["--laps", "0"], "0 is not in 1..=1000000"),
        (["--threads", "0"], "0 is not in 1..=256"),
        (["--region", "1 B"], "a size must be a multiple of 4096 bytes"),
    ] {
        let output = bare(&arguments).code(2);
        let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(said.contains(words), "{arguments:?} does not say {words:?}: {said}");
    }
}
