//! Crashes that once were, or could be, bugs: one function a story, each with real processes.
//!
//! `cargo test --test crashes`, one story by `cargo test --test crashes -- a_handler_that_fails`.

mod support;

#[path = "crashes/answers.rs"]
mod answers;
#[path = "crashes/caches.rs"]
mod caches;
#[path = "crashes/daemons.rs"]
mod daemons;
#[path = "crashes/decisions.rs"]
mod decisions;
#[path = "crashes/environments.rs"]
mod environments;
#[path = "crashes/foreign.rs"]
mod foreign;
#[path = "crashes/forks.rs"]
mod forks;
#[path = "crashes/keepers.rs"]
mod keepers;
#[path = "crashes/kept.rs"]
mod kept;
#[path = "crashes/memory.rs"]
mod memory;
#[path = "crashes/notices.rs"]
mod notices;
#[path = "crashes/programs.rs"]
mod programs;
#[path = "crashes/refused.rs"]
mod refused;
#[path = "crashes/resident.rs"]
mod resident;
#[path = "crashes/restarts.rs"]
mod restarts;
#[path = "crashes/shutdown.rs"]
mod shutdown;
#[path = "crashes/tickets.rs"]
mod tickets;

use std::process::ExitCode;
use support::{Scenario, Test, each, each_anew};

const SCENARIOS: &[Scenario] = &[
    ("stack-overflow", notices::stack_overflow),
    ("stack-overflow-in-a-thread", notices::stack_overflow_in_a_thread),
    ("two-threads-at-once", notices::two_threads_at_once),
    ("handler-without-a-stack", notices::handler_without_a_stack),
    ("handler-that-faults", notices::handler_that_faults),
    ("killed-through-a-pidfd", notices::killed_through_a_pidfd),
    ("silent", notices::silent),
    ("panic-while-panicking", notices::panic_while_panicking),
    ("daemon-policies", daemons::daemon_policies),
    ("daemon-given-up", daemons::daemon_given_up),
    ("points", daemons::points),
    ("foreign-chained", foreign::chained),
    ("foreign-on-a-stack-of-its-own", foreign::on_a_stack_of_its_own),
    ("foreign-not-chained", foreign::not_chained),
    ("foreign-exiting", foreign::exiting),
    ("foreign-mending", foreign::mending),
    ("foreign-none", foreign::none),
    ("resident", resident::resident),
    ("waits-for-input", resident::waits_for_input),
    ("keeper", keepers::keeper),
    ("keeper-unknown", keepers::keeper_unknown),
    ("keeper-of-a-dead-daemon", keepers::keeper_of_a_dead_daemon),
    ("out-of-descriptors", daemons::out_of_descriptors),
    ("children-are-ignored", daemons::children_are_ignored),
    ("intensity", restarts::intensity),
    ("delay", restarts::delay),
    ("incarnations", restarts::incarnations),
    ("older-with-holes", decisions::older_with_holes),
    ("piece-refused", refused::piece_refused),
    ("scan-refused", refused::scan_refused),
    ("which-commit", tickets::which_commit),
    ("stays-refused", tickets::stays_refused),
    ("answers", answers::answers),
    ("keep", answers::keep),
    ("keep-a-locked-heap", answers::keep_a_locked_heap),
    ("too-many-skips", answers::too_many_skips),
    ("skip", decisions::skip),
    ("older", decisions::older),
    ("restart-daemon", decisions::restart_daemon),
    ("escalation", decisions::escalation),
    ("before-the-state", decisions::before_the_state),
    ("told-in-full", decisions::told_in_full),
    ("kept-outside-of-a-change", kept::outside_of_a_change),
    ("kept-refused", kept::refused),
    ("kept-in-the-allocator", kept::in_the_allocator),
    ("kept-in-threads", kept::in_threads),
    ("kept-exactly-once", kept::exactly_once),
    ("padding", environments::padding),
    ("zeroed", environments::zeroed),
    ("threads", environments::threads),
    ("policy-that-panics", programs::policy_that_panics),
    ("daemon-that-exits", programs::daemon_that_exits),
    ("statics", programs::statics),
    ("read-in-a-transaction", programs::read_in_a_transaction),
    ("results", memory::results),
    ("exhausted", memory::exhausted),
    ("scratch", memory::scratch),
    ("free-pages", memory::free_pages),
    ("holes", memory::holes),
    ("caches", caches::caches),
    ("caches-program", caches::caches_program),
    ("fork-goes-on", forks::goes_on_in_the_middle),
    ("fork-by-levels", forks::goes_back_by_levels),
    ("fork-loses-a-level", forks::a_level_may_be_lost),
    ("fork-hands-in", forks::hands_its_state_in),
    ("fork-killed", forks::killed_in_a_fork),
    ("fork-caches", forks::caches_of_levels),
    ("fork-many", forks::many_levels),
    ("fork-after-threads", forks::commits_after_threads),
    ("endless", shutdown::endless),
    ("deaf", shutdown::deaf),
];

const TESTS: &[Test] = &[
    ("a_policy_that_panics_has_given_up", || each("policy-that-panics")),
    ("a_daemon_that_exits_has_crashed", || each("daemon-that-exits")),
    ("statics_outlive_scratch_and_a_state_made_anew", || each("statics")),
    ("a_transaction_reads_another_daemon", || each("read-in-a-transaction")),
    ("a_stack_overflow_is_told_as_one", || each("stack-overflow")),
    ("a_stack_overflow_in_a_pooled_thread_is_told_as_one", || each("stack-overflow-in-a-thread")),
    ("two_threads_that_crash_at_once_give_one_notice", || each("two-threads-at-once")),
    ("a_handler_without_a_stack_still_ends_in_a_notice", || each("handler-without-a-stack")),
    ("a_handler_that_faults_still_ends_in_a_notice", || each("handler-that-faults")),
    ("a_kill_by_another_process_is_noticed", || each("killed-through-a-pidfd")),
    ("what_gives_no_sign_of_life_is_ended", || each("silent")),
    ("a_panic_while_panicking_is_a_crash_with_a_note", || each("panic-while-panicking")),
    ("a_daemon_is_made_again_by_its_policy", || each("daemon-policies")),
    ("a_daemon_that_crashes_too_often_is_given_up", || each("daemon-given-up")),
    ("a_kill_at_any_point_leaves_a_whole_commit", || each_anew("points")),
    ("a_handler_that_calls_the_engines_changes_nothing", || each_anew("foreign-chained")),
    ("a_signal_stack_of_the_programs_own_will_do", || each_anew("foreign-on-a-stack-of-its-own")),
    ("where_a_handler_lets_the_process_die_the_pidfd_tells", || each_anew("foreign-not-chained")),
    ("a_handler_that_exits_is_a_crash", || each_anew("foreign-exiting")),
    ("a_handler_that_mends_is_no_crash", || each("foreign-mending")),
    ("a_handler_that_is_not_there_is_not_told_of", || each_anew("foreign-none")),
    ("a_resident_transaction_replies_after_the_commit", || each("resident")),
    ("a_transaction_that_waits_for_input_is_not_silent", || each("waits-for-input")),
    ("a_keeper_changes_nothing_but_the_time", || each_anew("keeper")),
    ("a_keeper_of_which_nobody_knows_goes_all_the_same", || each("keeper-unknown")),
    ("keepers_of_dead_daemons_leave_nothing", || each("keeper-of-a-dead-daemon")),
    ("a_root_out_of_descriptors_leaves_nothing_running", || each("out-of-descriptors")),
    ("a_root_whose_starter_ignored_children_works", || each("children-are-ignored")),
    ("too_many_restarts_are_given_up", || each("intensity")),
    ("a_policy_may_wait", || each("delay")),
    ("an_incarnation_has_a_number_of_its_own", || each("incarnations")),
    ("an_older_commit_holds_what_was_free_in_a_newer_one", || each_anew("older-with-holes")),
    ("a_piece_that_is_refused_makes_no_commit", || each_anew("piece-refused")),
    ("a_crash_tells_which_commit_was_found", || {
        each("which-commit");
        support::passes("which-commit", "undo-log");
    }),
    ("a_commit_that_was_refused_stays_so_for_its_ticket", || each_anew("stays-refused")),
    ("a_commit_that_was_begun_in_vain_leaves_nothing_behind", || each_anew("scan-refused")),
    ("each_answer_is_followed", || each("answers")),
    ("a_crashed_state_is_kept_where_it_can_be", || each("keep")),
    ("a_crashed_state_with_a_locked_heap_is_not_kept", || each("keep-a-locked-heap")),
    ("more_skips_than_fit_give_up", || each("too-many-skips")),
    ("an_operation_that_crashes_twice_is_skipped", || each("skip")),
    ("an_older_commit_leaves_a_latent_fault_behind", || each("older")),
    ("a_policy_has_the_daemon_made_again", || each("restart-daemon")),
    ("an_escalation_ends_in_the_daemons_own", || each("escalation")),
    ("a_crash_before_the_state_blames_no_operation", || each("before-the-state")),
    ("a_decision_is_told_in_full", || each_anew("told-in-full")),
    ("an_intact_state_is_kept", || each("kept-outside-of-a-change")),
    ("a_state_that_is_not_intact_is_not_kept", || each("kept-refused")),
    ("a_state_caught_in_the_allocator_is_not_kept", || each("kept-in-the-allocator")),
    ("what_threads_have_half_changed_is_not_kept", || each("kept-in-threads")),
    ("a_kept_operation_is_done_once", || each("kept-exactly-once")),
    ("padding_takes_an_overflow", || each("padding")),
    ("zeroed_blocks_hold_no_rubbish", || each("zeroed")),
    ("fewer_threads_meet_fewer_races", || each("threads")),
    ("results_do_not_leak", || each("results")),
    ("what_does_not_fit_is_a_failure", || each("exhausted")),
    ("free_pages_are_not_saved", || each_anew("free-pages")),
    ("blocks_come_back_beside_holes", || each("holes")),
    ("scratch_leaves_nothing_in_the_region", || each_anew("scratch")),
    ("caches_come_back_empty_or_as_they_were", || each_anew("caches")),
    ("random_programs_with_caches_equal_their_model", caches::random_programs_find_what_the_model_says),
    ("a_killed_root_leaves_nothing_running", shutdown::a_killed_root_leaves_nothing_running),
    ("sigterm_ends_the_tree_in_order", shutdown::sigterm_ends_the_tree_in_order),
    ("sigint_ends_a_deaf_daemon_too", shutdown::sigint_ends_a_deaf_daemon_too),
    ("a_crash_goes_back_into_the_middle_of_a_function", || forks("fork-goes-on")),
    ("a_crash_goes_back_by_levels", || forks("fork-by-levels")),
    ("a_level_that_is_lost_costs_its_commit_alone", || forks("fork-loses-a-level")),
    ("what_cannot_go_on_hands_its_state_in", || forks("fork-hands-in")),
    ("a_kill_in_a_fork_leaves_nobody_behind", || forks("fork-killed")),
    ("a_cache_of_a_level_comes_back_empty", || forks("fork-caches")),
    ("many_levels_leave_no_trace", || forks("fork-many")),
    ("a_commit_right_after_threads_is_a_level", || forks("fork-after-threads")),
];

fn main() -> ExitCode {
    support::main(SCENARIOS, TESTS, &[])
}

/// Under the mechanism whose commits are processes, with each kind of spare.
fn forks(scenario: &str) {
    for spare in support::SPARES {
        support::passes(scenario, &format!("fork {spare}"));
    }
}
