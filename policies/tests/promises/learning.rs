//! `learning` is a bandit: it plays the decision with the highest index, and comes to play the one that helps.

use crate::strategies::{crash_in, crashes, play, sequences};
use crashbed::{Action, Cause, Crash, Decision, History, Phase, Place, RestartPolicy};
use crashbed_policies::Learning;
use proptest::prelude::*;

/// What a decision has earned: how often it was taken, and its rewards in all.
#[derive(Clone, Copy, Default)]
struct Account {
    taken: u32,
    earned: f64,
}

fn is_of_one_kind(a: &Crash, b: &Crash) -> bool {
    let at = |crash: &Crash| crash.place.map(|place| place.image_offset.unwrap_or(place.instruction));
    a.cause.signal() == b.cause.signal() && at(a) == at(b)
}

/// The accounts before crash number `now`, summed up from the whole past, decision by decision.
#[allow(clippy::cast_precision_loss)] // A few operations.
fn accounts(policy: &Learning, played: &[(Crash, Decision)], now: usize) -> Vec<Account> {
    let mut accounts = vec![Account::default(); policy.decisions.len()];
    for i in (0..now).filter(|&i| is_of_one_kind(&played[i].0, &played[now].0)) {
        let (crash, decision) = &played[i];
        let furthest = played[..=i].iter().map(|(crash, _)| crash.operation).max().expect("this one");
        let gained = played[i + 1].0.operation.saturating_sub(furthest) as f64;
        let again = (crash.operation - crash.committed_operations) as f64;
        let lost = match decision.action {
            Action::Zero => crash.operation as f64,
            Action::Skip => again + 1.0,
            Action::KeepIfIntact if crash.heap_locked == Some(false) && !crash.changing => 0.0,
            _ => again,
        };
        let which = policy.decisions.iter().position(|known| known == decision).expect("one of its own");
        accounts[which].taken += 1;
        accounts[which].earned += if gained > 0.0 { gained / (gained + lost) } else { 0.0 };
    }
    accounts
}

proptest! {
    /// Nothing that it may choose has a higher index than what it chooses, and nothing before that an equal one.
    #[test]
    fn it_takes_the_highest_index(crashes in sequences(), exploration in 0.0..2.0, expected in 0.0..1.0) {
        let policy = Learning { exploration, expected, ..Learning::default() };
        let played = play(&policy, &crashes);
        for (now, (crash, decision)) in played.iter().enumerate() {
            let accounts = accounts(&policy, &played, now);
            let may_take = |at: usize| crash.phase == Phase::Running || policy.decisions[at].action != Action::Skip;
            let may: Vec<usize> = (0..accounts.len()).filter(|&at| may_take(at)).collect();
            let all: u32 = may.iter().map(|&at| accounts[at].taken + 1).sum();
            let index = |at: usize| {
                let Account { taken, earned } = accounts[at];
                let plays = f64::from(taken + 1);
                (expected + earned) / plays + (exploration * f64::from(all).ln() / plays).sqrt()
            };
            let chosen = policy.decisions.iter().position(|known| known == decision).expect("one of its own");
            prop_assert!(may.contains(&chosen));
            for &other in &may {
                prop_assert!(index(other) <= index(chosen) + 1e-9, "{} before {}", other, chosen);
                prop_assert!(other >= chosen || index(other) < index(chosen) - 1e-12, "{} ties {}", other, chosen);
            }
        }
    }

    /// What was decided about crashes of another kind, by whomever, teaches it nothing about this kind.
    #[test]
    fn another_kind_teaches_nothing(known in crashes(), others in prop::collection::vec(sequences(), 1..3)) {
        let policy = Learning::default();
        let mut history = History::new();
        for crash in others.into_iter().flatten() {
            history.push(crash);
            history.decided(policy.decide(&crash, &history));
        }
        let fresh = Crash { cause: Cause::Exited { status: 77 }, ..known };
        history.push(fresh);
        prop_assert_eq!(policy.decide(&fresh, &history), policy.decisions[0]);
    }
}

/// A program with a bug that each seventh operation meets, whatever is tried, and with accidents elsewhere that any
/// retry gets past. What is answered to each, after each crash of a long life.
fn live(policy: &Learning) -> Vec<(bool, Decision)> {
    let mut history = History::new();
    let mut answers = Vec::new();
    let (mut operation, mut accident) = (7, false);
    while history.total() < 60 {
        let image_offset = Some(if accident { 200 } else { 100 });
        let place = Some(Place { instruction: 0, stack: 0, image_offset });
        let crash = Crash { place, committed_operations: operation - 2, ..crash_in(operation) };
        history.push(crash);
        let decision = policy.decide(&crash, &history);
        history.decided(decision);
        answers.push((accident, decision));
        if accident {
            // To the next seventh.
            (operation, accident) = (operation + 4, false);
        } else if decision.action == Action::Skip {
            (operation, accident) = (operation + 3, true);
        }
    }
    answers
}

/// It finds out that the bug has to be skipped and that accidents need not be, and mostly does so from then on.
#[test]
fn it_learns_what_helps_against_which_kind() {
    let answers = live(&Learning::default());
    let late = |accident: bool| answers[20..].iter().filter(move |(kind, _)| *kind == accident).map(|(_, d)| d.action);
    let share = |accident: bool, helps: &dyn Fn(Action) -> bool| {
        let helped = late(accident).filter(|action| helps(*action)).count();
        (helped, late(accident).count())
    };
    let (skipped, bugs) = share(false, &|action| action == Action::Skip);
    assert!(4 * skipped >= 3 * bugs && bugs > 5, "{skipped} of {bugs} bugs were skipped");
    let (kept, accidents) = share(true, &|action| !matches!(action, Action::Skip | Action::Zero));
    assert!(4 * kept >= 3 * accidents && accidents > 5, "{kept} of {accidents} accidents lost nothing");
}

/// Without decisions to choose from it resumes.
#[test]
fn nothing_to_choose_from_is_a_resume() {
    let policy = Learning { decisions: &[], ..Learning::default() };
    assert_eq!(play(&policy, &[crash_in(1)])[0].1, Decision::now(Action::Resume));
}
