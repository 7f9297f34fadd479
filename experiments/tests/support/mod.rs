//! What tests of the whole program share: to start it, and the processes that it leaves.

// Each test target uses its own part of this.
#![allow(dead_code)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The program, with these arguments, to be run in `folder`.
pub(crate) fn crashbed(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crashbed"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}

/// The processes that work in `folder`, by their working directory.
pub(crate) fn at_work_in(folder: &Path) -> Vec<i32> {
    let processes = procfs::process::all_processes().unwrap().filter_map(Result::ok);
    let here = processes.filter(|process| process.cwd().is_ok_and(|cwd| cwd == folder));
    here.map(|process| process.pid).collect()
}

/// That nothing works in `folder` any more, or very soon.
pub(crate) fn nothing_is_left(folder: &Path) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let left = at_work_in(folder);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "still running: {left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
