//! What tests of the whole program share: the processes that it leaves.

use std::path::Path;
use std::time::{Duration, Instant};

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
