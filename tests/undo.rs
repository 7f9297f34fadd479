//! The undo log: what a crash leaves of it, at every instruction; what it refuses, and says; what is lost with it.
//!
//! `cargo test --test undo`, one story by `cargo test --test undo -- a_log_that_is_full`. That it restores every commit
//! under random programs is in `tests/bytes.rs`.

mod support;

#[path = "undo/aligned.rs"]
mod aligned;
#[path = "undo/kept.rs"]
mod kept;
#[path = "undo/limits.rs"]
mod limits;
#[path = "undo/lost.rs"]
mod lost;
#[path = "undo/put_back.rs"]
mod put_back;
#[path = "undo/stepped.rs"]
mod stepped;

use std::process::ExitCode;
use support::{Scenario, Test, fails, passes};

const SCENARIOS: &[Scenario] = &[
    ("stepped", stepped::killed_at_each_instruction),
    ("writes-first", stepped::writes_before_it_declares),
    ("full-log", limits::full_log),
    ("full-heap", limits::full_heap),
    ("undeclared", limits::undeclared),
    ("refused", limits::refused),
    ("readers", limits::readers),
    ("threads", limits::threads),
    ("keeps", kept::keeps_by_its_own_code),
    ("keeps-while-daemons-die", kept::keeps_while_daemons_die),
    ("keeps-if-intact", kept::keeps_if_intact),
    ("keeps-first", put_back::keeps_before_its_first_commit),
    ("dies-after-its-answer", put_back::dies_after_its_answer),
    ("repairs", limits::repairs),
    ("aligned", aligned::released_again),
    ("scribbles", lost::scribbles_over_its_log),
    ("made-anew", lost::crashes_while_it_is_made_anew),
];

const TESTS: &[Test] = &[
    ("a_kill_at_any_instruction_leaves_a_commit", stepped::a_kill_at_any_instruction_leaves_a_commit),
    ("a_write_before_its_declaration_is_found_out", || {
        drop(fails("writes-first", "", "no commit that was made"));
    }),
    ("a_log_that_is_full_is_a_failure", || drop(passes("full-log", ""))),
    ("memory_that_was_released_is_there_after_the_commit", || drop(passes("full-heap", ""))),
    ("what_was_not_declared_is_refused", || drop(passes("undeclared", ""))),
    ("what_makes_no_sense_is_refused", || drop(passes("refused", ""))),
    ("readers_get_in_between_two_transactions", || drop(passes("readers", ""))),
    ("threads_allocate_and_write_what_was_declared", || drop(passes("threads", ""))),
    ("a_crashed_state_can_be_read_and_kept", || drop(passes("keeps", ""))),
    ("a_state_is_kept_whole_or_not_at_all", || drop(passes("keeps-while-daemons-die", ""))),
    ("a_crashed_state_is_kept_where_it_is_intact", || drop(passes("keeps-if-intact", ""))),
    ("a_state_is_kept_before_anything_was_committed", || {
        for kept in 0..3 {
            for checked in [false, true] {
                passes("keeps-first", &format!("{kept} {checked}"));
            }
        }
    }),
    ("a_kill_after_the_answer_leaves_a_commit", || drop(passes("dies-after-its-answer", ""))),
    ("a_block_of_a_wide_alignment_is_released_again", || drop(passes("aligned", ""))),
    ("a_repair_is_refused", || drop(passes("repairs", ""))),
    ("a_log_that_is_written_over_costs_the_state_and_no_more", || drop(passes("scribbles", ""))),
    ("a_state_that_is_made_anew_can_be_gone_back_from", || drop(passes("made-anew", ""))),
];

fn main() -> ExitCode {
    support::main(SCENARIOS, TESTS, &[])
}

/// A region with an undo log.
fn declaration() -> crashbed::Declaration {
    let declaration = crashbed::Declaration::new("d", crashbed::MIB).intensity(crashbed::Intensity::UNLIMITED);
    // SAFETY: the scenarios declare what they write, but for numbers that are written to be found out: they own
    // nothing.
    unsafe { declaration.undo_log(crashbed::MIB) }
}
