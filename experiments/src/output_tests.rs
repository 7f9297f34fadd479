//! What a run's folder holds after each thing that can go wrong.
use super::*;
use crate::record::{FORMAT, Levels, Outcome, Phases, Recovered, Verdict};
use crashbed::{Cause, Crash};
use std::process::Command;

fn trial(number: u64) -> Trial {
    Trial {
        trial: number,
        levels: Levels {
            policy: "checkpoint-resume".into(),
            mechanism: "copy-on-write".into(),
            workload: "kv".into(),
            fault: "kill".into(),
            spare: "cold".into(),
            region_bytes: 64 << 20,
            load: "none".into(),
        },
        seed: number * 7,
        planned: 1,
        injected: 1,
        activated: 1,
        noticed: 1,
        signal: Some("SIGKILL".into()),
        notice: Some("pidfd".into()),
        crash: None,
        started_by: None,
        mechanism_in_use: None,
        spare_processor_ns: None,
        spare_memory_bytes: None,
        daemon_private_bytes: None,
        crashes: 1,
        outcome: Outcome::Done,
        verdict: Verdict::Exact,
        remark: None,
        lost_operations: 3,
        in_flight: None,
        operations: 200,
        committed_operations: 190,
        phases: Phases::default(),
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

/// A crash of that trial.
fn crash(number: u64) -> RecordedCrash {
    let crash = Crash {
        cause: Cause::Exited { status: 3 },
        notice: crashbed::Notice::Pidfd,
        phase: crashbed::Phase::Running,
        incarnation: 1,
        operation: 7,
        committed_operations: 5,
        commit: 1,
        thread: 0,
        place: None,
        heap_locked: None,
        changing: false,
        happened_ns: 1,
        noticed_ns: 2,
        note: crashbed::Text::EMPTY,
    };
    let Trial { trial, levels, .. } = trial(number);
    RecordedCrash { trial, transaction: trial, levels, recovered: Recovered::of_daemon(crash) }
}

fn summary() -> Summary {
    Summary {
        format: FORMAT,
        suite: "quick".into(),
        complete: true,
        trials: 0,
        crashes: 0,
        answer: Vec::new(),
        targets: Vec::new(),
        standings: Vec::new(),
        predictions: Vec::new(),
        skipped: Vec::new(),
        measurements: Vec::new(),
        floors: Vec::new(),
        cells: Vec::new(),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn lines_are_on_disk_as_they_are_added_and_read_back() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("a/b");
    let mut output = Output::create(&folder).unwrap();
    for number in 0..3 {
        output.append(&trial(number), &[]).unwrap();
        assert_eq!(read_trial(&folder, number + 1).unwrap(), trial(number));
    }
    assert!(matches!(read_trial(&folder, 0), Err(OutputError::NoSuchLine { lines: 3, .. })));
    assert!(matches!(read_trial(&folder, 4), Err(OutputError::NoSuchLine { lines: 3, .. })));
    assert_eq!(names(&folder), [TRIALS]);
    write_summary(output.folder(), &summary()).unwrap();
    assert_eq!(names(&folder), [SUMMARY, TRIALS]);
}

#[test]
fn crashes_are_on_record_before_their_trial_and_go_with_the_folder() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("run");
    let mut output = Output::create(&folder).unwrap();
    output.record_crashes().unwrap();
    output.append(&trial(0), &[]).unwrap();
    output.append(&trial(1), &[crash(1), crash(1)]).unwrap();
    // A trial that cannot be written any more leaves its crashes, not the other way about.
    output.trials.file = File::open(folder.join(TRIALS)).unwrap();
    assert!(output.append(&trial(2), &[crash(2)]).is_err());
    let text = fs::read(folder.join(CRASHES)).unwrap();
    let (crashes, torn) = crate::jsonl::read::<RecordedCrash>(&folder, &text, "a crash").unwrap();
    assert_eq!((crashes, torn), (vec![crash(1), crash(1), crash(2)], None));
    assert!(matches!(read_trial(&folder, 3), Err(OutputError::NoSuchLine { lines: 2, .. })));
    output.discard();
    assert!(!folder.exists());
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("thesis.tex"), "precious").unwrap();
    assert!(matches!(Output::create(place.path()), Err(OutputError::NotEmpty { .. })));
    assert_eq!(names(place.path()), ["thesis.tex"]);
}

#[test]
fn what_is_no_folder_is_not_writable() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    // Root too cannot write here.
    for folder in [file.clone(), file.join("under"), PathBuf::from("/proc/nothing-here")] {
        assert!(matches!(Output::create(&folder), Err(OutputError::NotWritable { .. })), "{folder:?}");
    }
}

#[test]
fn fresh_folders_never_meet() {
    let place = tempfile::tempdir().unwrap();
    let folders: std::collections::HashSet<_> =
        (0..5).map(|_| Output::fresh(place.path(), "quick").unwrap().folder().to_owned()).collect();
    assert_eq!(folders.len(), 5);
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("quick-2") && name.contains("Z"), "{name}");
    }
}

/// Where [`a_full_disk_leaves_whole_lines_only`] writes, in its child.
const FOLDER: &str = "CRASHBED_TEST_FULL_DISK";

/// The child's part: its files cannot grow past the limit that its parent set, which is how a full disk looks to `write`.
#[test]
fn fill_the_disk() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let mut output = Output::create(Path::new(&folder)).unwrap();
    let error = (0..1_000).find_map(|number| output.append(&trial(number), &[]).err()).unwrap();
    assert!(error.to_string().contains(TRIALS), "{error}");
    let long = Summary { answer: vec!["x".repeat(100_000)], ..summary() };
    assert!(matches!(write_summary(output.folder(), &long), Err(OutputError::Write { .. })));
}

#[test]
fn a_full_disk_leaves_whole_lines_only() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("run");
    // Without the signal, a write past the limit fails with EFBIG (setrlimit(2)), after having written what fits.
    let limited = "trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact output::tests::fill_the_disk";
    let child = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, &folder)
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(names(&folder), [TRIALS], "no summary, and no piece of one");
    let text = fs::read_to_string(folder.join(TRIALS)).unwrap();
    assert!(text.ends_with('\n'));
    let lines = text.lines().count() as u64;
    assert!(lines >= 2, "{lines}");
    for line in 1..=lines {
        assert_eq!(read_trial(&folder, line).unwrap(), trial(line - 1));
    }
}
