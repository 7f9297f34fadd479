//! Any policy over recorded crashes: what it would have decided, and where that differs from what was decided.
//!
//! A policy is a pure function of a crash and its history, so nothing has to crash again. Each transaction's history is
//! made anew, crash by crash, with the policy's own decisions in it, and the policy is asked about each. Up to the first
//! decision that differs from the recorded one, this is what would have happened. From there on it is counterfactual:
//! the crashes that follow in the trace came under another decision, and might not have come under this one. Both are
//! counted apart.

use crate::record::{FORMAT, RecordedCrash, Victim};
use crate::trace::Trace;
use crate::units;
use crashbed::{Action, Decision, Environment, History, RestartPolicy, policy};
use serde::Serialize;
use std::collections::BTreeMap;

mod table;

/// What a policy would have decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replay {
    /// [`FORMAT`].
    pub format: u32,
    /// The policy that was asked.
    pub policy: String,
    /// Over all transactions.
    pub all: Tally,
    /// Over those that were recorded under each policy, by its name.
    pub by_recorded_policy: BTreeMap<String, Tally>,
    /// The first difference of each transaction that has one, in the trace's order.
    pub first_differences: Vec<Difference>,
    /// What was left out, each with its reason: `skipped, because …`.
    pub skipped: Vec<String>,
}

/// Sums over transactions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Transactions with a recorded crash.
    pub transactions: u64,
    /// Their recorded crashes.
    pub crashes: u64,
    /// Transactions in which some decision differs from the recorded one.
    pub differing: u64,
    /// What was decided, by action, up to the first difference, itself included: as it would have happened.
    pub decisions: BTreeMap<String, u64>,
    /// What was decided, by action, after the first difference: counterfactual.
    pub counterfactual_decisions: BTreeMap<String, u64>,
    /// All delays up to the first difference, itself included.
    pub delay_ns: u64,
    /// All delays after it.
    pub counterfactual_delay_ns: u64,
    /// Transactions that the policy gives up.
    pub gave_up: u64,
    /// Of those, the ones that were not given up at that crash when they were recorded.
    pub gave_up_otherwise: u64,
    /// Recorded crashes about which the policy is not asked, since it has given up before.
    pub not_asked: u64,
}

/// The first decision of a transaction that differs from the recorded one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The transaction, by its first trial.
    pub transaction: u64,
    /// The crash's trial.
    pub trial: u64,
    /// The crash's number in the transaction, from 0.
    pub number: u64,
    /// The operation that crashed.
    pub operation: u64,
    /// What was decided when it was recorded, in words.
    pub recorded: String,
    /// What the policy decides, in words.
    pub decided: String,
}

/// Asks `policy` about all crashes of `trace`.
pub fn replay(trace: &Trace, policy: &dyn RestartPolicy) -> Replay {
    let mut replay = Replay {
        format: FORMAT,
        policy: policy.name().to_owned(),
        all: Tally::default(),
        by_recorded_policy: BTreeMap::new(),
        first_differences: Vec::new(),
        skipped: trace.skipped.clone(),
    };
    let (mut transactions, mut of_daemons) = (BTreeMap::<u64, Vec<_>>::new(), 0);
    for crash in &trace.crashes {
        match (crash.recovered.of, crash.recovered.decision) {
            (Victim::Transaction, Some(recorded)) => {
                transactions.entry(crash.transaction).or_default().push((crash, recorded));
            }
            _ => of_daemons += 1,
        }
    }
    let (mut gaps, mut history) = (0, History::new());
    for (transaction, crashes) in &transactions {
        history.clear();
        let (tally, difference) = ask(policy, crashes, &mut history);
        let recorded_under = &crashes[0].0.levels.policy;
        replay.by_recorded_policy.entry(recorded_under.clone()).or_default().add(&tally);
        replay.all.add(&tally);
        replay.first_differences.extend(difference.map(|place| place.told(*transaction)));
        gaps += crashes.last().map_or(0, |(last, _)| (last.recovered.number + 1).saturating_sub(crashes.len() as u64));
    }
    if of_daemons > 0 {
        let crashes = units::count(of_daemons, "crash of a daemon", "crashes of daemons");
        replay.skipped.push(format!("{crashes}: skipped, because the daemon's own policy decides about them"));
    }
    if gaps > 0 {
        let crashes = units::count(gaps, "crash", "crashes");
        replay.skipped.push(format!("{crashes}: skipped, because the engine kept so many of one transaction only"));
    }
    replay
}

/// Where a decision differs.
struct Place<'a> {
    crash: &'a RecordedCrash,
    recorded: Decision,
    decided: Decision,
}

/// Asks about the crashes of one transaction, each with what was decided about it.
fn ask<'a>(
    policy: &dyn RestartPolicy,
    crashes: &[(&'a RecordedCrash, Decision)],
    history: &mut History,
) -> (Tally, Option<Place<'a>>) {
    let mut tally = Tally { transactions: 1, crashes: crashes.len() as u64, ..Tally::default() };
    let mut first = None;
    for (asked, &(crash, recorded)) in (1..).zip(crashes) {
        history.push(crash.recovered.crash);
        let decided = policy::decide(policy, &crash.recovered.crash, history);
        history.decided(decided);
        let delay_ns = u64::try_from(decided.delay.as_nanos()).unwrap_or(u64::MAX);
        let (decisions, delays) = match first {
            None => (&mut tally.decisions, &mut tally.delay_ns),
            Some(_) => (&mut tally.counterfactual_decisions, &mut tally.counterfactual_delay_ns),
        };
        *decisions.entry(decided.action.to_string()).or_default() += 1;
        *delays = delays.saturating_add(delay_ns);
        if first.is_none() && decided != recorded {
            tally.differing = 1;
            first = Some(Place { crash, recorded, decided });
        }
        // With its daemon a transaction's history ends.
        if decided.action == Action::RestartDaemon {
            history.clear();
        }
        if decided.action == Action::GiveUp {
            tally.gave_up = 1;
            tally.gave_up_otherwise = u64::from(recorded.action != Action::GiveUp);
            tally.not_asked = crashes.len() as u64 - asked;
            break;
        }
    }
    (tally, first)
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.transactions += other.transactions;
        self.crashes += other.crashes;
        self.differing += other.differing;
        for (action, count) in &other.decisions {
            *self.decisions.entry(action.clone()).or_default() += count;
        }
        for (action, count) in &other.counterfactual_decisions {
            *self.counterfactual_decisions.entry(action.clone()).or_default() += count;
        }
        self.delay_ns = self.delay_ns.saturating_add(other.delay_ns);
        self.counterfactual_delay_ns = self.counterfactual_delay_ns.saturating_add(other.counterfactual_delay_ns);
        self.gave_up += other.gave_up;
        self.gave_up_otherwise += other.gave_up_otherwise;
        self.not_asked += other.not_asked;
    }
}

impl Place<'_> {
    fn told(self, transaction: u64) -> Difference {
        let RecordedCrash { trial, recovered, .. } = self.crash;
        Difference {
            transaction,
            trial: *trial,
            number: recovered.number,
            operation: recovered.crash.operation,
            recorded: in_words(self.recorded),
            decided: in_words(self.decided),
        }
    }
}

/// A decision as `resume after 40 ms, with 64 B of padding`.
fn in_words(decision: Decision) -> String {
    let Decision { action, delay, environment: Environment { padding, zeroed, fewer_threads } } = decision;
    let mut words = action.to_string();
    if !delay.is_zero() {
        words += &format!(" after {}", units::duration(delay.as_nanos() as f64));
    }
    let mut changes = Vec::new();
    if padding > 0 {
        changes.push(format!("{padding} B of padding"));
    }
    if zeroed {
        changes.push("zeroed memory".to_owned());
    }
    if fewer_threads > 0 {
        changes.push(units::count(fewer_threads.into(), "thread fewer", "threads fewer"));
    }
    if !changes.is_empty() {
        words += &format!(", with {}", changes.join(" and "));
    }
    words
}

#[cfg(test)]
mod tests;
