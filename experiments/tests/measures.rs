//! Measures, from a round in a process of its own to the table in a run's report.

mod support;

use crashbed_experiments::record::{Level, Measurement, Unit};
use crashbed_experiments::results;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::{at_work_in, crashbed, nothing_is_left};

fn measure(folder: &Path, name: &str, laps: u64, settings: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crashbed"));
    command.args(["measure", name, "--seed", "7", "--laps", &laps.to_string(), "--settings", settings]);
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Makes a round in a folder of its own, in which nothing is left running.
fn round(name: &str, laps: u64, settings: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let said = lines(&measure(folder.path(), name, laps, settings).output().unwrap());
    nothing_is_left(folder.path());
    said
}

fn rows(said: &[Value]) -> BTreeSet<&str> {
    said.iter().map(|row| row["row"].as_str().unwrap_or_else(|| panic!("{row}"))).collect()
}

fn samples(row: &Value) -> Vec<u64> {
    row["samples"].as_array().unwrap().iter().map(|sample| sample.as_u64().unwrap()).collect()
}

#[test]
fn every_bare_path_is_walked_at_each_extent_that_it_takes() {
    // No machine has the last of the regions.
    let settings = r#"{"regions": ["1 MiB", "2 MiB", "64 TiB"], "threads": [1, 3], "kills": 2}"#;
    let said = round("bare", 4, settings);
    let (skipped, walked): (Vec<_>, Vec<_>) = said.iter().partition(|said| said["skipped"].is_string());
    let why: Vec<&str> = skipped.iter().filter_map(|said| said["skipped"].as_str()).collect();
    assert_eq!(why.len(), 2, "{said:?}");
    assert!(why.iter().all(|why| why.starts_with("skipped, because kill-to-pidfd") && why.contains("67108864 MiB")));
    for path in crashbed::floor::Path::ALL {
        let rows: Vec<_> = walked.iter().filter(|row| row["row"] == path.name()).collect();
        assert_eq!(rows.len(), if path.takes_region() || path.takes_threads() { 2 } else { 1 }, "{path}");
        for row in rows {
            let samples = samples(row);
            assert_eq!(samples.len(), if path.takes_region() { 2 } else { 4 }, "{row}");
            assert!(samples.iter().all(|ns| *ns > 0), "{row}");
            assert_eq!(row["levels"]["region-bytes"].is_u64(), path.takes_region(), "{row}");
            assert_eq!(row["levels"]["threads"].is_u64(), path.takes_threads(), "{row}");
        }
    }
}

#[test]
fn a_pool_fails_over() {
    let said = round("pool", 21, r#"{"records": 50}"#);
    assert_eq!(rows(&said), BTreeSet::from(["call", "failover", "hand-over", "new-worker"]));
    for row in &said {
        assert_eq!((samples(row).len(), &row["unit"], &row["levels"]["records"]), (21, &"ns".into(), &50.into()));
    }
    // The idle worker is at the request before it has answered it, in each lap.
    let of = |name: &str| samples(said.iter().find(|row| row["row"] == name).unwrap());
    assert!(of("hand-over").iter().zip(of("failover")).all(|(begun, answered)| 0 < *begun && *begun < answered));
}

#[test]
fn a_tree_of_live_transactions_recovers() {
    let said =
        round("live", 4, r#"{"transactions": [1, 3, 1099511627776], "spares": ["cold", "warm"], "records": 20}"#);
    let (skipped, measured): (Vec<_>, Vec<_>) = said.iter().partition(|said| said["skipped"].is_string());
    // No kernel has as many descriptors.
    assert!(skipped.len() == 2 && skipped[0]["skipped"].as_str().unwrap().contains("open files"), "{said:?}");
    assert_eq!(measured.len(), 2 * 2 * 4);
    for rows in measured.chunks(4) {
        let [start, hand_over, recovery, otherwise] = rows else { panic!("{rows:?}") };
        assert_eq!(samples(otherwise).len(), 1);
        assert_eq!((&start["row"], samples(start).len(), samples(recovery).len()), (&"start".into(), 1, 4));
        assert_eq!(hand_over["levels"], recovery["levels"]);
        let laps = samples(hand_over).into_iter().zip(samples(recovery));
        assert!(laps.into_iter().all(|(started, done)| 0 < started && started < done), "{rows:?}");
    }
}

#[test]
fn a_storm_loses_nothing_and_leaves_nobody() {
    let said = round("storm", 2, r#"{"spares": ["cold", "hot"], "per_second": 200}"#);
    assert_eq!(said.len(), 2 * 6);
    for rows in said.chunks(6) {
        let [crashes, pace, lost, grown, otherwise, left] = rows else { panic!("{rows:?}") };
        // On a busy machine some come after their second.
        assert!(samples(crashes).len() == 2 && (1..=400).contains(&samples(crashes).iter().sum::<u64>()), "{crashes}");
        assert!(samples(pace)[0] >= 1_000_000, "no crash comes before its turn: {pace}");
        assert_eq!((samples(lost), samples(left)), (vec![0], vec![0]));
        assert!(samples(otherwise)[0] <= 64 && (otherwise["levels"]["spare"] != "cold" || samples(otherwise) == [0]));
        assert_eq!((&grown["unit"], samples(grown).len()), (&"bytes".into(), 1));
    }
    let said = round("storm", 601, "{}");
    assert!(said.len() == 1 && said[0]["skipped"].as_str().unwrap().contains("600 are the most"), "{said:?}");
}

#[test]
fn plain_processes_and_transactions_do_the_same_operations() {
    let settings = r#"{"mix": "d", "records": 50, "operations": 200, "mechanism": ["copy-on-write", "full-copy"],
                       "commit_every": [7, 100], "region": "1 MiB"}"#;
    let said = round("steady", 3, settings);
    let of = |row: &str| said.iter().filter(|said| said["row"] == row).collect::<Vec<_>>();
    let (throughput, over_plain, allocation) = (of("throughput"), of("over-plain"), of("allocation"));
    // Two plain processes; each mechanism without a commit and with each interval.
    assert_eq!((throughput.len(), over_plain.len(), allocation.len()), (2 + 2 * 3, 1 + 2 * 3, 2));
    assert!(said.iter().all(|row| samples(row).len() == 3 && samples(row).iter().all(|sample| *sample > 0)));
    let commits: BTreeSet<_> = throughput.iter().map(|row| row["levels"]["commit-every"].to_string()).collect();
    assert_eq!(commits, ["\"never\"", "100", "7", "null"].map(str::to_owned).into());
    // The ratio says what the throughputs of the same pass say.
    let plain = samples(throughput.iter().find(|row| row["levels"]["allocator"] == "engine").unwrap());
    for ratio in over_plain {
        let own = samples(throughput.iter().find(|row| row["levels"] == ratio["levels"]).unwrap());
        for ((plain, own), ratio) in plain.iter().zip(own).zip(samples(ratio)) {
            let expected = *plain as f64 / own as f64;
            assert!((ratio as f64 / 1e6 / expected - 1.0).abs() < 0.01, "{ratio} of {plain} over {own}");
        }
    }
}

#[test]
fn a_plate_is_computed_while_its_process_is_killed() {
    let settings = r#"{"mechanism": ["full-copy", "copy-on-write", "dirty-pages"], "mtbf_ms": [15, 150],
                       "commit_every": [2, 16], "size": 254, "crashes": 1, "least_ms": 150}"#;
    let said = round("goodput", 1, settings);
    let laps: Vec<_> = said.iter().filter(|said| said["row"] == "goodput").collect();
    assert_eq!(laps.len(), 3 * 2 * 2);
    for lap in laps {
        let levels = &lap["levels"];
        let row = |name: &str| said.iter().find(|said| said["row"] == name && &said["levels"] == levels);
        let figure = |name: &str| samples(row(name).unwrap_or_else(|| panic!("{name} of {levels}")))[0];
        assert_eq!(levels["state-bytes"], 2 * 256 * 256 * 8);
        // Each nanosecond of a lap is in one of the four, each cut to a whole millionth.
        let all: u64 = ["kept", "commits", "restarts", "lost"].map(figure).iter().sum();
        assert!((999_990..=1_000_000).contains(&all), "{all} of {levels}");
        // On a busy machine a crash may come before each commit, where there is time for few.
        assert_eq!(figure("goodput") > 0, row("commit-cost").is_some(), "{levels}");
        let has_time = levels["mtbf-ms"] == 150 && levels["commit-every"] == 2;
        assert!(figure("step") > 0 && (figure("goodput") > 0 || !has_time), "{levels}");
        let crashes = figure("crashes");
        assert!(crashes > 0 || levels["mtbf-ms"] == 150, "ten mean times without a crash: {levels}");
        assert_eq!(row("restart").map_or(0, |restarts| samples(restarts).len() as u64), crashes, "{levels}");
        assert!(crashes == 0 || figure("between-crashes") * crashes >= 149_000_000, "{levels}");
    }
}

#[test]
fn a_plate_that_gets_too_cold_to_be_proved_is_refused_with_what_would_help() {
    let folder = tempfile::tempdir().unwrap();
    let settings = r#"{"mechanism": "full-copy", "mtbf_ms": 400, "commit_every": 500, "size": 16, "crashes": 1}"#;
    let output = measure(folder.path(), "goodput", 1, settings).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("16 cells a side cannot be proved"), "{said}");
    assert!(said.contains("give a larger `size`"), "{said}");
    nothing_is_left(folder.path());
}

#[test]
fn a_run_of_goodput_answers_with_the_best_interval_and_daly() {
    let folder = tempfile::tempdir().unwrap();
    let suite = "name = \"small\"\nquestion = \"How often?\"\nseed = 3\n[[measure]]\nname = \"goodput\"\nrounds = 6\n\
                 laps = 1\nmechanism = \"dirty-pages\"\nmtbf_ms = 20\ncommit_every = [1, 8]\nsize = 254\nleast_ms = 50\n";
    std::fs::write(folder.path().join("small.toml"), suite).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_crashbed"));
    let output = command.args(["run", "small.toml", "--out", "out"]).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    nothing_is_left(folder.path());
    let out = folder.path().join("out");
    let summary = results::load(&out).unwrap().summary.unwrap();
    let [answer, ..] = &summary.answer[..] else { panic!("no answer") };
    assert!(
        answer.starts_with("Under dirty-pages with a crash every ") && answer.contains("Daly's optimum"),
        "{answer}"
    );
    let [target] = &summary.targets[..] else { panic!("{:?}", summary.targets) };
    assert!(target.ratio.is_some_and(|ratio| ratio >= 1.0), "{target:?}");
    assert_eq!(target.reached == Some(false), target.remark.is_some(), "what differs is explained: {target:?}");
    assert!(out.join("plots/goodput.png").exists() && out.join("plots/goodput.svg").exists());
}

/// Whatever the machine does, how many steps are done again follows from where the crash strikes and from what is kept.
#[test]
fn nested_calls_lose_what_their_way_does_not_keep() {
    let said = round("nested", 3, r#"{"depth": 4, "steps": 10, "kept": [0, 3], "hidden": 2}"#);
    let figures = |row: &Value| samples(row);
    let at = |row: &str, way: &str, level: &str, place: u64, kept: u64| {
        let fits = |said: &&Value| {
            let levels = &said["levels"];
            said["row"] == row && levels["way"] == way && levels[level] == place && levels["kept"] == kept
        };
        let found: Vec<_> = said.iter().filter(fits).map(figures).collect();
        assert!(!found.is_empty(), "{row} of {way} at {level} {place}, {kept} kept");
        found
    };
    for level in [0, 2, 3] {
        // Six of its own ten, the crash's own included, and all of the levels before where nothing of them is kept.
        for (way, again) in [("fork", 6), ("by-hand", 6), ("start-over", 10 * level + 6)] {
            assert!(at("again", way, "crash-at", level, 0).iter().all(|laps| laps == &[again; 3]), "{way} at {level}");
        }
    }
    // Two levels above its crash: resumed once, gone back by one, then by two, each time to do the last levels again.
    assert_eq!(at("crashes", "fork", "hidden", 2, 3), [[3; 3]]);
    assert_eq!(at("again", "fork", "hidden", 2, 3), [[10 + 20 + 30; 3]]);
    let wrong = said.iter().filter(|said| said["row"] == "wrong");
    assert!(wrong.flat_map(figures).all(|wrong| wrong == 0));
}

#[test]
fn a_heartbeat_is_missed_by_those_that_hang() {
    let settings = r#"{"deadlines_ms": [20, 200], "operation_us": [50, 200], "hangs": 2}"#;
    let said = round("heartbeat", 30, settings);
    assert_eq!(said.len(), 2 * 2 * 3);
    for rows in said.chunks(3) {
        let [alarms, detection, lost] = rows else { panic!("{rows:?}") };
        assert_eq!((&alarms["row"], samples(alarms).len()), (&"false-alarms".into(), 1));
        assert_eq!((samples(detection).len(), &detection["levels"]), (2, &lost["levels"]));
        // Operations of 125 µs on average, which fit into the time that it took, and some to do again.
        let hangs = samples(detection).into_iter().zip(samples(lost));
        assert!(hangs.into_iter().all(|(ns, lost)| ns > 0 && (ns / 125_000..=ns / 125_000 + 10).contains(&lost)));
    }
}

#[test]
fn a_killed_round_leaves_nothing_running() {
    for name in ["pool", "erlang", "live", "storm", "steady", "heartbeat", "goodput", "nested"] {
        // A storm has a limit.
        let laps = if name == "storm" { 600 } else { 100_000 };
        let folder = tempfile::tempdir().unwrap();
        let mut child = measure(folder.path(), name, laps, "{}").stdout(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while at_work_in(folder.path()).len() < 2 && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "`{name}` starts nothing");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        nothing_is_left(folder.path());
    }
}

fn erlang_is_installed() -> bool {
    let found = |program: &str| Command::new(program).arg("-version").stdin(Stdio::null()).output().is_ok();
    found("erl") && found("erlc")
}

#[test]
fn a_supervisor_restarts_where_otp_is_installed() {
    let said = round("erlang", 12, r#"{"records": 50}"#);
    if !erlang_is_installed() {
        assert!(said[0]["skipped"].as_str().unwrap().starts_with("skipped, because `erl"), "{said:?}");
        return;
    }
    assert_eq!(rows(&said), BTreeSet::from(["call", "first-call", "restart"]));
    // A call for each busy wait; the others for each way to wait, too.
    assert_eq!(said.len(), 2 * (1 + 2 * 2));
    for row in &said {
        assert!(samples(row).len() == 12 && samples(row).iter().all(|ns| *ns > 0), "{row}");
    }
    // A process is up before it has answered, in each lap.
    for restart in said.iter().filter(|row| row["row"] == "restart") {
        let call = said.iter().find(|row| row["row"] == "first-call" && row["levels"] == restart["levels"]).unwrap();
        assert!(samples(restart).iter().zip(samples(call)).all(|(up, answered)| *up < answered));
    }
}

#[test]
fn a_missing_program_is_skipped_with_words() {
    let folder = tempfile::tempdir().unwrap();
    let said = lines(&measure(folder.path(), "erlang", 3, "{}").env("PATH", folder.path()).output().unwrap());
    assert_eq!(said, [serde_json::json!({ "skipped": "skipped, because `erlc` is not installed" })]);
}

const SUITE: &str = r#"
name = "small"
question = "Is it measured?"
seed = 7
[factors]
policy = "checkpoint-resume"
mechanism = "copy-on-write"
workload = "kv"
fault = "null-read"
region = "8 MiB"
trials = 4
[workload.kv]
records = 50
operations = 20
[floor]
trials = 0
[[measure]]
name = "pool"
rounds = 2
laps = 7
records = 50
[[measure]]
name = "erlang"
rounds = 2
laps = 1
"#;

#[test]
fn a_measure_that_has_no_room_is_left_out_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let steady =
        "[[measure]]\nname = \"steady\"\nrounds = 1\nlaps = 9\nmix = \"d\"\noperations = 9000\nregion = \"1 MiB\"\n";
    std::fs::write(folder.path().join("small.toml"), SUITE.split("[[measure]]").next().unwrap().to_owned() + steady)
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_crashbed"));
    let output = command.args(["run", "small.toml", "--out", "out"]).current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("more than a region of 1 MiB: give a larger"), "{said}");
    let summary = results::load(&folder.path().join("out")).unwrap().summary.unwrap();
    assert!(summary.complete && summary.measurements.is_empty());
    let why = "measure `steady`: skipped, because its process ended with exit status: 1; see above";
    assert!(summary.skipped.contains(&why.to_owned()), "{:?}", summary.skipped);
}

#[test]
fn an_interrupted_run_ends_its_measure() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("small.toml"), SUITE.replace("laps = 7", "laps = 1000000")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_crashbed"));
    command.args(["run", "small.toml", "--out", "out"]).current_dir(folder.path());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let measures = |pid: &i32| {
        let process = procfs::process::Process::new(*pid);
        process.and_then(|process| process.cmdline()).is_ok_and(|line| line.contains(&"measure".to_owned()))
    };
    while !at_work_in(folder.path()).iter().any(measures) {
        assert!(Instant::now() < until, "no round in a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
    // SAFETY: no pointer is passed; the child has not been waited for, so its id is its own.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) };
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let results = results::load(&folder.path().join("out")).unwrap();
    assert!(results.measurements.measurements.is_empty() && results.measurements.skipped.is_empty());
    nothing_is_left(folder.path());
}

#[test]
fn a_run_gathers_the_rounds_of_its_measures() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("small.toml"), SUITE).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_crashbed"));
    command.args(["run", "small.toml", "--out", "out"]).current_dir(folder.path()).env("PATH", folder.path());
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let out = folder.path().join("out");
    let summary = results::load(&out).unwrap().summary.unwrap();
    let failover = |row: &&Measurement| row.row == "failover";
    let failover = summary.measurements.iter().find(failover).unwrap();
    assert_eq!((failover.measure.as_str(), failover.unit, failover.distribution.n), ("pool", Unit::Ns, 14));
    assert_eq!(failover.levels["records"], Level::Number(50));
    // There is no Erlang in an empty path: said once, however many rounds.
    let erlang: Vec<_> = summary.skipped.iter().filter(|why| why.contains("erlang")).collect();
    assert_eq!(erlang, ["measure `erlang`: skipped, because `erlc` is not installed"]);
    let told = String::from_utf8(output.stdout).unwrap();
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(told.contains("pool failover: ") && report.contains("failover"), "{told}");

    // `report` makes all of it again from what the run left.
    std::fs::remove_file(out.join("summary.json")).unwrap();
    let again = Command::new(env!("CARGO_BIN_EXE_crashbed")).arg("report").arg(&out).output().unwrap();
    assert!(again.status.success());
    assert_eq!(results::load(&out).unwrap().summary.unwrap(), summary);
}

/// [`SUITE`] without its trials.
fn measures_alone() -> String {
    let (head, rest) = SUITE.split_once("[factors]").unwrap();
    head.to_owned() + &rest[rest.find("[[measure]]").unwrap()..]
}

#[test]
fn a_suite_of_measures_alone_makes_its_rounds_and_tells_of_no_trials() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("small.toml"), measures_alone()).unwrap();
    let mut command = crashbed(folder.path(), &["run", "small.toml", "--out", "out"]);
    let output = command.env("PATH", folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let progress = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(progress.contains("4/4 rounds"), "{progress}");
    let out = folder.path().join("out");
    let summary = results::load(&out).unwrap().summary.unwrap();
    assert!(summary.complete && summary.cells.is_empty() && summary.floors.is_empty());
    let failover = summary.measurements.iter().find(|row| row.row == "failover").unwrap();
    assert_eq!(failover.distribution.n, 14);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(!told.contains("trial") && !told.contains("crashed"), "{told}");
    for missing in ["crashes.jsonl", "floors.json", "plots/phases.svg"] {
        assert!(!out.join(missing).exists(), "{missing}");
    }

    // A run that was killed before its first round's end, and one without its summary, are told again for what they are.
    std::fs::remove_file(out.join("summary.json")).unwrap();
    let again = crashbed(folder.path(), &["report", "out"]).output().unwrap();
    assert_eq!(String::from_utf8(again.stdout).unwrap(), told);
    std::fs::remove_file(out.join("measurements.json")).unwrap();
    let again = crashbed(folder.path(), &["report", "out"]).output().unwrap();
    let said = String::from_utf8(again.stdout).unwrap();
    assert!(said.contains("did not finish: 4 rounds of measures are missing"), "{said}");
    nothing_is_left(folder.path());
}

#[test]
fn a_suite_of_measures_alone_keeps_what_it_measured_before_it_was_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let suite = measures_alone().replacen("rounds = 2\nlaps = 7", "rounds = 100000\nlaps = 7", 1);
    std::fs::write(folder.path().join("small.toml"), suite).unwrap();
    let mut command = crashbed(folder.path(), &["run", "small.toml", "--out", "out"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !folder.path().join("out/measurements.json").exists() {
        assert!(Instant::now() < until, "no round in a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
    // SAFETY: no pointer is passed; the child has not been waited for, so its id is its own.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) };
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let summary = results::load(&folder.path().join("out")).unwrap().summary.unwrap();
    assert!(!summary.complete && !summary.measurements.is_empty());
    assert!(summary.answer[0].contains("rounds of measures are missing"), "{:?}", summary.answer);
    nothing_is_left(folder.path());
}

#[test]
fn mechanisms_take_turns_and_each_comes_back_from_its_crashes() {
    let said = round("mechanisms", 3, r#"{"region": ["1 MiB", "2 MiB"], "written_bytes": [64, 16384, 16777216]}"#);
    let (skipped, measured): (Vec<_>, Vec<_>) = said.iter().partition(|said| said["skipped"].is_string());
    // Where the kernel tracks no writes there is no bare path; everything else must be there.
    assert!(skipped.iter().all(|why| why["skipped"].as_str().unwrap().contains("the bare path")), "{skipped:?}");
    let rows = |mechanism: &str| -> BTreeSet<&str> {
        measured
            .iter()
            .filter(|row| row["levels"]["mechanism"] == mechanism)
            .filter_map(|row| row["row"].as_str())
            .collect()
    };
    for mechanism in crashbed::MechanismKind::ALL {
        let all = ["write", "commit", "write-and-commit", "commit-later", "restore", "recovery", "beside-state"];
        let forks: &[&str] = if mechanism.returns_from_commits() { &["paired-commit"] } else { &[] };
        assert_eq!(rows(mechanism.name()), all.iter().chain(forks).copied().collect(), "{mechanism}");
    }
    assert_eq!(rows("none"), BTreeSet::from(["write"]));
    assert_eq!(measured.iter().filter(|row| row["row"] == "bare-fork").count(), 2 * 2);
    for row in &measured {
        // 16 MiB fit into neither region.
        assert!(matches!(row["levels"]["written-bytes"].as_u64(), Some(64 | 16_384)), "{row}");
        let samples = samples(row);
        match row["row"].as_str() {
            Some("beside-state") => {
                assert_eq!((samples.len(), &row["unit"]), (1, &"bytes".into()), "{row}");
                assert!(samples[0] >= row["levels"]["region-bytes"].as_u64().unwrap(), "{row}");
            }
            _ => assert_eq!((samples.len(), &row["unit"]), (3, &"ns".into()), "{row}"),
        }
    }
    // Copy on write alone has copies of its own of what it wrote: one page, or four.
    let private = |written: u64| {
        let held = measured.iter().find(|row| {
            row["row"] == "beside-state"
                && row["levels"]["mechanism"] == "copy-on-write"
                && row["levels"]["written-bytes"] == written
        });
        samples(held.unwrap())[0]
    };
    assert_eq!(private(16_384) - private(64), 3 * 4096);
}

#[test]
fn the_suite_of_mechanisms_opens_with_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let suite = "name = \"small\"\nquestion = \"What do they cost?\"\nseed = 1\n[[measure]]\nname = \"mechanisms\"\nrounds = 2\n\
                 laps = 10\nregion = [\"1 MiB\", \"64 MiB\"]\nwritten_bytes = [64, 4096, 65536, 524288]\n";
    std::fs::write(folder.path().join("small.toml"), suite).unwrap();
    let output = crashbed(folder.path(), &["run", "small.toml", "--out", "out"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let out = folder.path().join("out");
    let summary = results::load(&out).unwrap().summary.unwrap();
    assert!(summary.complete, "{:?}", summary.skipped);
    assert!(summary.answer[0].starts_with("Cheapest for writing and committing"), "{:?}", summary.answer);
    // Twenty samples each: enough to be held against each other.
    let dirty: Vec<_> =
        summary.targets.iter().filter(|target| target.measured.starts_with("dirty-pages, 16 pages")).collect();
    assert!(dirty.len() >= 2 && dirty.iter().any(|target| target.reached.is_some()), "{:?}", summary.targets);
    for plot in ["commit-cost", "change-cost", "restore-cost", "recovery-cost"] {
        assert!(out.join(format!("plots/{plot}.png")).exists(), "{plot}");
    }
    assert!(!out.join("plots/outcomes.png").exists());
    nothing_is_left(folder.path());
}
