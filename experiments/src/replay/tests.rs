//! Replays of made-up traces.
use super::*;
use crate::record::{Levels, Recovered};
use crashbed::{Cause, Crash, Notice, Phase, Text};
use proptest::prelude::*;
use std::time::Duration;

fn recorded(transaction: u64, trial: u64, number: u64, operation: u64, decision: Option<Decision>) -> RecordedCrash {
    let crash = Crash {
        cause: Cause::Exited { status: 3 },
        notice: Notice::Pidfd,
        phase: Phase::Running,
        incarnation: number + 1,
        operation,
        committed_operations: operation / 10 * 10,
        commit: 1,
        thread: 0,
        place: None,
        heap_locked: None,
        changing: false,
        happened_ns: 1_000 * (number + 1),
        noticed_ns: 1_000 * (number + 1) + 5,
        note: Text::EMPTY,
    };
    let levels = Levels {
        policy: "recorded".into(),
        mechanism: "copy-on-write".into(),
        workload: "kv".into(),
        fault: "kill".into(),
        spare: "cold".into(),
        region_bytes: 1 << 20,
        load: "none".into(),
    };
    let of = if decision.is_some() { Victim::Transaction } else { Victim::Daemon };
    RecordedCrash { trial, transaction, levels, recovered: Recovered { of, number, crash, decision, then: None } }
}

/// Resumes twice with a delay that grows by the history, skips at the third crash of an operation, gives up at the sixth
/// of the transaction.
struct Patient;

impl RestartPolicy for Patient {
    fn name(&self) -> &str {
        "patient"
    }
    fn decide(&self, crash: &Crash, history: &History) -> Decision {
        if history.total() == 6 {
            return Decision::now(Action::GiveUp);
        }
        if history.crashes_in_operation(crash.operation) == 3 {
            return Decision::now(Action::Skip);
        }
        // What was decided before is in the history.
        let before = history.entries().iter().filter(|entry| entry.decision.is_some()).count() as u64;
        Decision::after(Duration::from_nanos(100 * before), Action::Resume)
    }
}

const RESUME: Option<Decision> = Some(Decision::now(Action::Resume));

#[test]
fn a_policy_over_its_own_decisions_differs_nowhere() {
    let after = |ns| Some(Decision::after(Duration::from_nanos(ns), Action::Resume));
    let skip = Some(Decision::now(Action::Skip));
    let decisions = [RESUME, after(100), skip, after(300), after(400)];
    let crashes =
        (0..).zip(decisions).map(|(n, decision)| recorded(4, 4, n, if n < 3 { 17 } else { 30 + n }, decision));
    let made = replay(&Trace { crashes: crashes.collect(), skipped: Vec::new() }, &Patient);
    assert_eq!((made.all.differing, made.all.delay_ns, made.all.gave_up), (0, 800, 0));
    assert_eq!(made.all.decisions, BTreeMap::from([("resume".to_owned(), 4), ("skip".to_owned(), 1)]));
    assert!(made.first_differences.is_empty() && made.all.counterfactual_decisions.is_empty());
    assert!(made.to_string().contains("It decides as was decided then"));
}

#[test]
fn the_first_difference_is_named_and_what_follows_is_counterfactual() {
    // All of one batch: trials 8 to 10 in one transaction, eight crashes in one operation.
    let crashes: Vec<_> = (0..8).map(|n| recorded(8, 8 + n / 3, n, 17, RESUME)).collect();
    let made = replay(&Trace { crashes, skipped: Vec::new() }, &Patient);
    let Tally { decisions, counterfactual_decisions, .. } = &made.all;
    // The second one comes after 100 ns, which the first one's record does not.
    assert_eq!(*decisions, BTreeMap::from([("resume".to_owned(), 2)]));
    let rest = [("give-up", 1), ("resume", 2), ("skip", 1)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(*counterfactual_decisions, BTreeMap::from(rest));
    assert_eq!((made.all.gave_up, made.all.gave_up_otherwise, made.all.not_asked), (1, 1, 2));
    assert_eq!((made.all.delay_ns, made.all.counterfactual_delay_ns), (100, 300 + 400));
    let difference = &made.first_differences[0];
    assert_eq!((difference.transaction, difference.trial, difference.number, difference.operation), (8, 8, 1, 17));
    assert_eq!((difference.recorded.as_str(), difference.decided.as_str()), ("resume", "resume after 100 ns"));
    let text = made.to_string();
    assert!(text.contains("resume → resume after 100 ns: 1 transaction, first in trial 8 at crash 1"), "{text}");
}

/// After a restart of the daemon the policy is asked about a history that begins anew, as the engine hands it out.
#[test]
fn a_history_ends_with_its_daemon() {
    let crashes: Vec<_> = (0..8).map(|n| recorded(4, 4, n, 17, RESUME)).collect();
    let made = replay(&Trace { crashes, skipped: Vec::new() }, &crashbed_policies::Escalation::default());
    assert_eq!((made.all.gave_up, made.all.not_asked), (0, 0));
    assert_eq!(made.all.counterfactual_decisions["restart-daemon"], 1);
    // Two of the first ladder and two of the second, of which those of the second came after a difference.
    assert_eq!((made.all.decisions["resume"], made.all.counterfactual_decisions["resume"]), (2, 2));
}

#[test]
fn what_cannot_be_asked_about_is_said() {
    let crashes = vec![recorded(1, 1, 0, 5, None), recorded(1, 1, 0, 5, RESUME), recorded(1, 1, 7, 5, RESUME)];
    let made = replay(&Trace { crashes, skipped: Vec::new() }, &Patient);
    assert_eq!((made.all.transactions, made.all.crashes), (1, 2));
    assert!(made.skipped[0].starts_with("1 crash of a daemon: skipped, because"), "{:?}", made.skipped);
    assert!(made.skipped[1].starts_with("6 crashes: skipped, because"), "{:?}", made.skipped);
}

#[test]
fn a_decision_is_told_with_all_that_it_changes() {
    let environment = Environment { padding: 64, zeroed: true, fewer_threads: 1 };
    let decision = Decision::after(Duration::from_millis(40), Action::Older(2)).within(environment);
    assert_eq!(in_words(decision), "older-2 after 40 ms, with 64 B of padding and zeroed memory and 1 thread fewer");
}

proptest! {
    /// Every crash is asked about once or not at all, and every policy of the table answers a trace of its own without a
    /// difference.
    #[test]
    fn a_trace_of_a_policys_own_decisions_has_no_difference(
        operations in prop::collection::vec(prop::collection::vec(0..4_u64, 1..80), 1..6),
    ) {
        for row in crashbed_policies::ALL {
            let policy = row.policy();
            let mut crashes = Vec::new();
            for (transaction, operations) in (0..).zip(&operations) {
                let mut history = History::new();
                for (number, operation) in (0..).zip(operations) {
                    let mut line = recorded(transaction, transaction, number, *operation, RESUME);
                    history.push(line.recovered.crash);
                    let decision = policy.decide(&line.recovered.crash, &history);
                    history.decided(decision);
                    if decision.action == Action::RestartDaemon {
                        history.clear();
                    }
                    line.recovered.decision = Some(decision);
                    crashes.push(line);
                }
            }
            let total = crashes.len() as u64;
            let made = replay(&Trace { crashes, skipped: Vec::new() }, &policy);
            prop_assert_eq!(made.all.differing, 0);
            prop_assert_eq!(made.all.decisions.values().sum::<u64>() + made.all.not_asked, total);
            prop_assert_eq!(&made.by_recorded_policy["recorded"], &made.all);
        }
    }
}
