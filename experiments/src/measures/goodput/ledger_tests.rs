//! A ledger, whatever happens between its entries.

use super::*;
use proptest::prelude::*;

/// What may happen next, each after a time.
#[derive(Clone, Copy, Debug)]
enum Next {
    Step,
    /// The same, the first after a commit or restart.
    FirstStep,
    Commit,
    /// A commit that becomes true, with a crash before it is entered.
    CommitThenCrash,
    /// A commit that a crash ends before it is true.
    CrashInCommit,
    Crash,
}

fn next() -> impl Strategy<Value = (Next, u64)> {
    let kinds = [Next::Step, Next::FirstStep, Next::Commit, Next::CommitThenCrash, Next::CrashInCommit, Next::Crash];
    (prop::sample::select(kinds.to_vec()), 1..1_000_u64)
}

proptest! {
    /// Whatever happens, each nanosecond and each step is entered once, as a plain count of both says.
    #[test]
    fn every_nanosecond_and_every_step_is_entered_once(events in prop::collection::vec(next(), 0..60), first in 0..9_u64) {
        let ledger = Ledger::new().unwrap();
        let (mut now, mut steps, mut committed) = (1_000, first, first);
        ledger.note_step(300);
        ledger.begin(now, first);
        let (mut kept, mut lost, mut commits, mut crashes, mut restarts) = (0, 0, 0, 0, 0);
        for (event, ns) in &events {
            now += ns;
            if !matches!(event, Next::Step | Next::FirstStep | Next::Crash) {
                ledger.commit_begins(now);
                now += ns;
            }
            match event {
                Next::Step => {
                    steps += 1;
                    ledger.did(steps);
                    continue;
                }
                Next::FirstStep => {
                    steps += 1;
                    ledger.did(steps);
                    ledger.first_steps(now, 1);
                    continue;
                }
                Next::Commit => ledger.commit_done(now, steps),
                _ => {}
            }
            let came_true = matches!(event, Next::Commit) || matches!(event, Next::CommitThenCrash) && steps > committed;
            if came_true {
                kept += steps - committed;
                committed = steps;
                commits += 1;
            }
            if !matches!(event, Next::Commit) {
                lost += steps - committed;
                steps = committed;
                crashes += 1;
                restarts += ns;
                ledger.succeed(now, now + ns, committed);
                now += ns;
            }
        }
        ledger.end(now + 7);
        let entry = ledger.entry();
        prop_assert_eq!(entry.lap_ns(), now + 7 - 1_000);
        prop_assert_eq!(entry.spent_ns().iter().sum::<u64>(), entry.lap_ns());
        prop_assert!(entry.kept_after_restart <= crashes);
        prop_assert_eq!((entry.kept_steps, entry.lost_steps), (kept, lost + steps - committed));
        prop_assert_eq!((entry.commits, entry.crashes, entry.restarts_ns), (commits, crashes, restarts));
        prop_assert_eq!(ledger.commits_ns().len() as u64, commits);
        prop_assert_eq!(ledger.restarts_ns().iter().sum::<u64>(), restarts);
    }
}

#[test]
fn a_crash_that_came_late_takes_nothing_from_what_was_entered() {
    let ledger = Ledger::new().unwrap();
    ledger.begin(100, 0);
    ledger.did(2);
    ledger.commit_begins(200);
    ledger.commit_done(230, 2);
    // It was due at 220.
    ledger.succeed(220, 300, 2);
    ledger.end(301);
    let entry = ledger.entry();
    assert_eq!(entry.spent_ns(), [100, 30, 70, 1]);
}

#[test]
fn steps_that_are_slower_at_first_are_a_cost_of_what_they_come_after() {
    let ledger = Ledger::new().unwrap();
    ledger.note_step(100);
    ledger.begin(1_000, 0);
    // Two steps that take 50 longer, and a third; then a commit of 30.
    ledger.first_steps(1_250, 2);
    ledger.did(3);
    ledger.commit_begins(1_350);
    ledger.commit_done(1_380, 3);
    // A crash 20 into the next step, a restart of 500, and a step that takes 80 longer: 30 more than it would after a
    // commit.
    ledger.succeed(1_400, 1_900, 3);
    ledger.first_steps(2_080, 1);
    ledger.did(4);
    ledger.commit_begins(2_080);
    ledger.commit_done(2_090, 4);
    ledger.end(2_090);
    let entry = ledger.entry();
    assert_eq!((entry.kept_steps, entry.spent_ns()), (4, [400, 40 + 50 + 50, 500 + 30, 20]));
    assert_eq!((entry.commit_ns(), entry.restart_ns()), (Some((20, 20 + 50)), Some((500, 500 + 30))));
}

#[test]
fn first_steps_that_happen_to_be_faster_make_nothing_cheaper() {
    let ledger = Ledger::new().unwrap();
    ledger.note_step(100);
    ledger.begin(1_000, 0);
    ledger.did(2);
    ledger.first_steps(1_020, 2);
    ledger.commit_begins(1_020);
    ledger.commit_done(1_030, 2);
    ledger.end(1_030);
    let entry = ledger.entry();
    assert_eq!((entry.spent_ns(), entry.commit_ns(), entry.restart_ns()), ([20, 10, 0, 0], Some((10, 10)), None));
}
