//! The floor answers what is plausible, and leaves no trace: the state stays as committed, and nothing stays running.
//!
//! `cargo test --test floor`; how long something took is never looked at, other than that it took some time.

mod support;

#[path = "floor/paths.rs"]
mod paths;
#[path = "floor/recoveries.rs"]
mod recoveries;
#[path = "floor/refused.rs"]
mod refused;

use std::process::ExitCode;
use support::{Scenario, Test, passes};

const SCENARIOS: &[Scenario] = &[
    ("laps", recoveries::laps),
    ("no-page-is-copied-back", recoveries::no_page_is_copied_back_that_need_not_be),
    ("first-operation-fails", recoveries::first_operation_fails),
    ("daemon-dies", recoveries::daemon_dies),
    ("paths", paths::all_paths),
    ("several-threads", paths::several_threads),
    ("laps-refused", refused::laps),
    ("paths-refused", refused::paths),
    ("memory-refused", refused::memory),
];

const TESTS: &[Test] = &[
    ("a_lap_leaves_the_state_alone", || each("laps")),
    ("a_lap_copies_no_page_back_that_it_need_not", || each("no-page-is-copied-back")),
    ("a_first_operation_that_fails_is_an_error", || each("first-operation-fails")),
    ("a_daemon_that_dies_takes_its_lap_along", recoveries::a_daemon_that_dies_takes_its_lap_along),
    ("each_path_is_walked", || drop(passes("paths", ""))),
    ("a_process_with_threads_is_refused", || drop(passes("several-threads", ""))),
    ("laps_do_without_what_they_can", || each("laps-refused")),
    ("paths_do_without_what_they_can", || drop(passes("paths-refused", ""))),
    ("memory_that_cannot_be_had_is_an_error", || drop(passes("memory-refused", ""))),
];

fn main() -> ExitCode {
    support::main(SCENARIOS, TESTS, &[])
}

/// Plays a scenario that must succeed under each mechanism.
fn each(scenario: &str) {
    for mechanism in support::mechanisms() {
        passes(scenario, mechanism.name());
    }
}

/// Whether this process has children, running or not yet waited for.
fn has_children() -> bool {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT).is_ok()
}
