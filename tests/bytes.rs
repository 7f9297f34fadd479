//! Random programs on plain bytes, under every mechanism: writes of odd sizes at odd places, allocations and releases,
//! commits, crashes at random instants and in the middle of commits and restores, several in a row, of daemons too. All
//! is written as the undo log asks for it, which the others can do without. Each incarnation compares what it finds with a
//! model, byte for byte; in the end nothing may have leaked.
//!
//! Some seconds by default; `CRASHBED_BYTES_CASES=10000 cargo test --test bytes` plays that many programs under each
//! mechanism. What fails names its case: play that alone by
//! `CRASHBED_TEST_SCENARIO=play CRASHBED_TEST_ARGUMENT='undo-log plain SEED CASE 1' target/debug/deps/bytes-…`.

mod support;

#[path = "bytes/program.rs"]
mod program;
#[path = "bytes/state.rs"]
mod state;

use crashbed::MechanismKind;
use std::process::ExitCode;
use std::time::Duration;
use support::{fails, start};

/// Programs that one tree plays.
const BATCH: u64 = 250;
const SEED: u64 = 0x5eed;

fn main() -> ExitCode {
    let tests: &[support::Test] = &[
        ("random_programs_equal_their_model", random_programs_equal_their_model),
        ("a_write_that_is_not_declared_is_found_out", a_write_that_is_not_declared_is_found_out),
        ("a_commit_that_is_lost_is_found_out", a_commit_that_is_lost_is_found_out),
    ];
    support::main(&[("play", program::play)], tests, &[])
}

fn random_programs_equal_their_model() {
    let cases = std::env::var("CRASHBED_BYTES_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(300);
    for mechanism in MechanismKind::ALL {
        let modes = match mechanism {
            // Each commit is looked at for writes that were not declared.
            MechanismKind::UndoLog => &["plain", "checked"][..],
            // Another mechanism is taken as often as can be.
            MechanismKind::Auto => &["plain", "switching"],
            _ => &["plain"],
        };
        for mode in modes {
            for first in (0..cases).step_by(usize::try_from(BATCH).expect("a small number")) {
                let count = BATCH.min(cases - first);
                let argument = format!("{mechanism} {mode} {SEED} {first} {count}");
                let ended = start("play", &argument).finish(Duration::from_secs(600), Duration::ZERO);
                assert!(ended.status.success(), "{argument}: {ended:#?}");
            }
        }
    }
}

/// The check can fail: one kind of step forgets to declare what it writes.
fn a_write_that_is_not_declared_is_found_out() {
    fails("play", &format!("undo-log careless {SEED} 0 {BATCH}"), "no commit that was made");
}

/// The check can fail: the model believes in a commit that was never made.
fn a_commit_that_is_lost_is_found_out() {
    fails("play", &format!("full-copy lost {SEED} 0 {BATCH}"), "no commit that was made");
}
