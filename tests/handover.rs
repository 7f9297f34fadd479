//! The hand-over to a successor is safe, whatever else happens at that moment: other threads that write, crash, sleep or
//! cannot be stopped; spares and daemons that die in the middle of it; storms of crashes.
//!
//! `cargo test --test handover`; ten times as many crashes, and storms of a minute, by
//! `cargo test --test handover -- --ignored`.

mod support;

#[path = "handover/daemons.rs"]
mod daemons;
#[path = "handover/processors.rs"]
mod processors;
#[path = "handover/released.rs"]
mod released;
#[path = "handover/rounds.rs"]
mod rounds;
#[path = "handover/spares.rs"]
mod spares;
#[path = "handover/stops.rs"]
mod stops;
#[path = "handover/storm.rs"]
mod storm;
#[path = "handover/together.rs"]
mod together;
#[path = "handover/wild.rs"]
mod wild;
#[path = "handover/writers.rs"]
mod writers;

use std::process::ExitCode;
use support::{Scenario, Test, each_anew};

const SCENARIOS: &[Scenario] = &[
    ("sixteen-write", writers::sixteen_write),
    ("one-writes-on", writers::one_writes_on),
    ("two-at-once", together::two_at_once),
    ("one-after-the-other", together::one_after_the_other),
    ("blocks-signals", stops::blocks_signals),
    ("asleep", stops::asleep),
    ("come-and-go", stops::come_and_go),
    ("the-signal-is-in-use", stops::the_signal_is_in_use),
    ("dies-deciding", spares::dies_deciding),
    ("dies-taking-over", spares::dies_taking_over),
    ("dies-at-any-moment", spares::dies_at_any_moment),
    ("dies-waiting", spares::dies_waiting),
    ("is-looked-at-early", spares::is_looked_at_early),
    ("storm", storm::storm),
    ("wild-writes", wild::writes_into_the_mailboxes),
    ("daemons-die", daemons::die_in_a_hand_over),
    ("processors", processors::are_given_back),
    ("processors-after-commits", processors::are_given_back_after_commits),
    ("stops-released", released::stops_there),
];

const TESTS: &[Test] = &[
    ("sixteen_threads_write_while_one_crashes", writers::sixteen_threads_write_while_one_crashes),
    ("what_writes_on_is_seen", writers::what_writes_on_is_seen),
    ("two_threads_that_crash_at_once_leave_one_record", || each_anew("two-at-once")),
    ("threads_may_crash_while_a_crash_is_handled", || each_anew("one-after-the-other")),
    ("a_thread_that_blocks_signals_is_waited_for", || each_anew("blocks-signals")),
    ("a_thread_asleep_in_a_system_call_does_not_come_back", || each_anew("asleep")),
    ("threads_may_begin_and_end_while_one_crashes", || each_anew("come-and-go")),
    ("the_stop_signal_may_be_in_use", || each_anew("the-signal-is-in-use")),
    ("a_spare_may_die_while_it_decides", || each_anew("dies-deciding")),
    ("a_successor_may_die_as_it_takes_over", || each_anew("dies-taking-over")),
    ("a_spare_may_die_at_any_moment", || each_anew("dies-at-any-moment")),
    ("a_spare_may_die_while_it_waits", || each_anew("dies-waiting")),
    ("a_daemon_may_look_at_a_crash_at_any_moment", || each_anew("is-looked-at-early")),
    ("a_wild_write_into_the_mailboxes_costs_no_state", wild::under_copy_on_write),
    ("a_daemon_may_die_in_a_hand_over", || each_anew("daemons-die")),
    ("a_storm_of_crashes_leaves_no_trace", || storm::of_seconds(2)),
    ("who_was_drawn_gets_its_processors_back", || each_anew("processors")),
    ("who_was_lent_a_processor_gets_its_own_back", || {
        each_anew("processors-after-commits");
        drop(support::passes("processors-after-commits", "fork warm"));
    }),
    ("a_handler_that_stops_once_it_has_released_a_spare_holds_nobody_up", || {
        drop(support::passes("stops-released", "copy-on-write warm"))
    }),
];

const IGNORED: &[Test] = &[
    (
        "sixteen_threads_write_while_one_crashes_ten_thousand_times",
        writers::sixteen_threads_write_while_one_crashes_ten_thousand_times,
    ),
    ("a_storm_of_a_minute_leaves_no_trace", || storm::of_seconds(60)),
];

fn main() -> ExitCode {
    support::main(SCENARIOS, TESTS, IGNORED)
}
