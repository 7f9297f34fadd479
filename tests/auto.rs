//! The mechanism `auto`: what it chooses on which grounds, and that a switch may be struck at any instruction.
//!
//! `cargo test --test auto`. That it restores every commit under random programs, with a switch wherever there can be one,
//! is in `tests/bytes.rs` and `tests/model.rs`.

mod support;

#[path = "auto/chosen.rs"]
mod chosen;
#[path = "auto/killed.rs"]
mod killed;

use std::process::ExitCode;
use support::{Scenario, Test, passes};

const SCENARIOS: &[Scenario] = &[
    ("follows", chosen::follows_the_writes),
    ("untracked", chosen::follows_without_tracking),
    ("kept", chosen::keeps_older_commits),
    ("resident", chosen::switches_at_a_crash),
    ("read", chosen::is_read_after_a_switch),
    ("points", killed::at_each_step),
    ("stepped", killed::at_each_instruction),
];

const TESTS: &[Test] = &[
    ("it_follows_what_is_written_and_says_why", || println!("{}", passes("follows", "").out.trim_end())),
    ("it_does_without_dirty_pages_where_the_kernel_does_not_track", || drop(passes("untracked", ""))),
    ("it_keeps_older_commits_rather_than_switch", || drop(passes("kept", ""))),
    ("a_long_transaction_goes_on_under_another_at_a_crash", || drop(passes("resident", ""))),
    ("others_read_after_a_switch_in_a_transaction", || drop(passes("read", ""))),
    ("a_daemon_that_dies_in_a_switch_leaves_the_commit", killed::a_daemon_that_dies_in_a_switch_leaves_the_commit),
    ("so_it_does_at_any_instruction", || println!("{}", passes("stepped", "").out.trim_end())),
];

fn main() -> ExitCode {
    support::main(SCENARIOS, TESTS, &[])
}
