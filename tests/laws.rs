//! The laws of the design, one function a law, each with real processes and real crashes. Each also shows that it can
//! fail: the same check on the same scenario with the protection taken away, or on a violation made on purpose.
//!
//! `cargo test --test laws`, one law by `cargo test --test laws -- law_5`.

mod support;

#[path = "laws/commits.rs"]
mod commits;
#[path = "laws/memory.rs"]
mod memory;
#[path = "laws/outcomes.rs"]
mod outcomes;
#[path = "laws/readers.rs"]
mod readers;
#[path = "laws/regions.rs"]
mod regions;
#[path = "laws/root.rs"]
mod root;

use crashbed::MechanismKind;
use std::process::ExitCode;
use support::{Scenario, Test, dies, each, fails, passes};

const SCENARIOS: &[Scenario] = &[
    ("every-crash", root::every_crash),
    ("crash-without-a-tree", root::crash_without_a_tree),
    ("a-second-thread", root::a_second_thread),
    ("part-of-a-tree", root::part_of_a_tree),
    ("a-heap-by-itself", root::a_heap_by_itself),
    ("declares-too-much", memory::declares_too_much),
    ("declares-what-fits", memory::declares_what_fits),
    ("no-mapping", memory::no_mapping),
    ("mapping-outside-of-a-tree", memory::mapping_outside_of_a_tree),
    ("c-heap", memory::c_heap),
    ("foreign-writes", regions::foreign_writes),
    ("own-write", regions::own_write),
    ("scribbles", regions::scribbles),
    ("commits-are-out-of-reach", regions::commits_are_out_of_reach),
    ("commits-what-it-scribbled", regions::commits_what_it_scribbled),
    ("errors-and-panics", outcomes::errors_and_panics),
    ("exit-before-done", outcomes::exit_before_done),
    ("crashes-everywhere", commits::crashes_everywhere),
    ("commits-half-an-operation", commits::commits_half_an_operation),
    ("readers", readers::readers),
    ("reads-past-the-gate", readers::reads_past_the_gate),
    ("reads-half-commits", readers::reads_half_commits),
    ("reads-between-commits-later", readers::reads_between_commits_later),
];

const TESTS: &[Test] = &[
    ("law_1_the_root_never_crashes", law_1_the_root_never_crashes),
    ("law_2_state_is_owned_by_an_ancestor", law_2_state_is_owned_by_an_ancestor),
    ("law_3_no_mapping_after_the_fork", law_3_no_mapping_after_the_fork),
    ("law_4_a_process_writes_its_own_region_only", law_4_a_process_writes_its_own_region_only),
    ("law_5_a_transaction_cannot_write_its_commit", law_5_a_transaction_cannot_write_its_commit),
    ("law_6_errors_and_panics_are_not_crashes", law_6_errors_and_panics_are_not_crashes),
    ("law_7_recovered_state_is_a_commit", law_7_recovered_state_is_a_commit),
    ("law_8_nothing_leaves_before_its_commit", law_8_nothing_leaves_before_its_commit),
];

fn main() -> ExitCode {
    support::main(SCENARIOS, TESTS, &[])
}

fn law_1_the_root_never_crashes() {
    for mechanism in support::mechanisms() {
        let ended = passes("every-crash", mechanism.name());
        assert!(ended.out.contains("the root lives"), "{ended:#?}");
    }
    passes("a-second-thread", "");
    passes("part-of-a-tree", "");
    passes("a-heap-by-itself", "");
    // The same fault ends a process that no tree protects, and that is seen.
    dies("crash-without-a-tree", "", libc::SIGSEGV);
}

fn law_2_state_is_owned_by_an_ancestor() {
    let refused = passes("declares-too-much", "");
    assert!(!refused.out.contains("forked"), "{refused:#?}");
    let fits = passes("declares-what-fits", "");
    assert!(fits.out.contains("forked"), "{fits:#?}");
}

fn law_3_no_mapping_after_the_fork() {
    passes("mapping-outside-of-a-tree", "");
    passes("no-mapping", "");
    passes("c-heap", "");
}

fn law_4_a_process_writes_its_own_region_only() {
    passes("foreign-writes", "");
    passes("own-write", "");
}

fn law_5_a_transaction_cannot_write_its_commit() {
    for mechanism in support::mechanisms() {
        passes("scribbles", mechanism.name());
        passes("commits-are-out-of-reach", mechanism.name());
        fails("commits-what-it-scribbled", mechanism.name(), "not the last commit");
    }
}

fn law_6_errors_and_panics_are_not_crashes() {
    each("errors-and-panics");
    each("exit-before-done");
}

fn law_7_recovered_state_is_a_commit() {
    each("crashes-everywhere");
    for mechanism in support::mechanisms() {
        fails("commits-half-an-operation", mechanism.name(), "no commit that was made");
    }
}

fn law_8_nothing_leaves_before_its_commit() {
    each("readers");
    support::each_anew("reads-between-commits-later");
    // No reader sees a commit that is a process.
    for mechanism in support::mechanisms_that_begin_anew() {
        fails("reads-half-commits", mechanism.name(), "a torn pair");
    }
    fails("reads-past-the-gate", MechanismKind::FullCopy.name(), "a torn pair");
}
