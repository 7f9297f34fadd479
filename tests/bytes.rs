//! Random programs on plain bytes, under every mechanism: writes of odd sizes at odd places, allocations and releases,
//! commits that are waited for at once, later or never, crashes at random instants and in the middle of commits and
//! restores, several in a row, of daemons too. All is written as the undo log asks for it, which the others can do without.
//! Each incarnation compares what it finds with a model, byte for byte; in the end nothing may have leaked.
//!
//! Some seconds by default; `CRASHBED_BYTES_CASES=10000 cargo test --test bytes` plays that many programs under each
//! mechanism, and a third of them in each of its other modes. What fails names its case: play that alone by
//! `CRASHBED_TEST_SCENARIO=play CRASHBED_TEST_ARGUMENT='undo-log plain SEED CASE 1' target/debug/deps/bytes-…`.

mod support;

#[path = "bytes/case.rs"]
mod case;
#[path = "bytes/mode.rs"]
mod mode;
#[path = "bytes/program.rs"]
mod program;
#[path = "bytes/state.rs"]
mod state;
#[path = "bytes/strikes.rs"]
mod strikes;

use crashbed::MechanismKind;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;
use support::{fails, start};

/// Programs that one tree plays.
const BATCH: u64 = 250;
const SEED: u64 = 0x5eed;
/// In so many programs each thing has happened that can happen.
const ENOUGH: u64 = 80;

fn main() -> ExitCode {
    let tests: &[support::Test] = &[
        ("random_programs_equal_their_model", random_programs_equal_their_model),
        ("a_write_that_is_not_declared_is_found_out", a_write_that_is_not_declared_is_found_out),
        ("a_commit_that_is_lost_is_found_out", a_commit_that_is_lost_is_found_out),
    ];
    support::main(&[("play", program::play)], tests, &[])
}

fn random_programs_equal_their_model() {
    let cases = std::env::var("CRASHBED_BYTES_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(240);
    for mechanism in MechanismKind::ALL {
        let modes = match mechanism {
            MechanismKind::CopyOnWrite | MechanismKind::Fork => &["plain", "unscanned"][..],
            MechanismKind::FullCopy => &["plain"],
            MechanismKind::DirtyPages => &["plain", "untracked", "unscanned"],
            // Each commit is looked at for writes that were not declared.
            MechanismKind::UndoLog => &["plain", "checked", "checked+alone"],
            // Another mechanism is taken as often as can be; none as long as older commits are kept.
            MechanismKind::Auto => &["switching+alone", "switching+alone+untracked", "plain"],
        };
        for (i, mode) in modes.iter().enumerate() {
            random_programs(mechanism, mode, if i == 0 { cases } else { cases.div_ceil(3) });
        }
    }
}

/// Plays so many programs; where these are many, all that can happen must have happened.
fn random_programs(mechanism: MechanismKind, mode: &str, cases: u64) {
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    for first in (0..cases).step_by(usize::try_from(BATCH).expect("a small number")) {
        let count = BATCH.min(cases - first);
        let argument = format!("{mechanism} {mode} {SEED} {first} {count}");
        let ended = start("play", &argument).finish(Duration::from_secs(600), Duration::ZERO);
        assert!(ended.status.success(), "{argument}: {ended:#?}");
        for line in ended.out.lines() {
            let (what, times) = line.split_once(": ").expect("what, and how often");
            *counted.entry(what.to_owned()).or_default() += times.parse::<u64>().expect("how often");
        }
    }
    assert!(counted.len() > 1, "{mechanism} {mode} counted nothing");
    if cases >= ENOUGH {
        let never: Vec<_> = counted.iter().filter(|(_, times)| **times == 0).map(|(what, _)| what).collect();
        assert!(never.is_empty(), "{mechanism} {mode}: not once in {cases} programs: {never:?}");
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
