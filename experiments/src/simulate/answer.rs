//! What a simulation answers, for a reader and for a program.

use super::fleet::Fleet;
use super::parameters::Parameters;
use super::tally::Tally;
use crate::record::FORMAT;
use crate::statistics::student;
use serde::Serialize;
use std::collections::BTreeMap;

mod text;

/// A simulated fleet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Simulated {
    /// [`FORMAT`].
    pub format: u32,
    /// The restart policy.
    pub policy: String,
    /// Processes.
    pub processes: u32,
    /// Simulated years of 365.25 days.
    pub years: f64,
    /// The seed: with the parameters it makes the same answer again.
    pub seed: u64,
    /// What it was simulated by.
    pub parameters: Parameters,
    /// Independent parts of the fleet, from which the errors are told.
    pub shards: u64,
    /// The share of the time that is useful work.
    pub useful: Estimate,
    /// The share of the time that processes were not down.
    pub available: Estimate,
    /// Where the time went: shares that add up to 1.
    pub shares: Shares,
    /// Crashes in all; each is an event.
    pub crashes: u64,
    /// Crashes a process and year.
    pub crashes_per_process_year: Estimate,
    /// Faults that left nothing.
    pub transient: u64,
    /// Faults that were poison.
    pub poison: u64,
    /// Faults that came back with the commit.
    pub propagated: u64,
    /// Crashes by poison or damage that had crashed the process before.
    pub repeated: u64,
    /// Successors that were started.
    pub restarts: u64,
    /// Transactions that were given up.
    pub gave_up: GaveUp,
    /// Decisions by action.
    pub decisions: BTreeMap<String, u64>,
    /// Of the time down, the share that was the policy's delays.
    pub delay_share_of_down: Option<f64>,
    /// Operations that were done and lost.
    pub lost_operations: u64,
    /// Of them, those that the last commits of transactions held that were given up, where these were not damaged: whoever
    /// looks after the fleet may have a use for these.
    pub given_up_operations: u64,
    /// Operations that were skipped.
    pub skipped_operations: u64,
    /// Crashed states that were kept.
    pub kept_states: u64,
}

/// A figure with the error that it has by chance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Half of its 95 % confidence interval, by Student's t over the shards; null of a single shard.
    pub error: Option<f64>,
}

/// Shares of all processes' time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Shares {
    /// Work that is committed and was not lost afterwards.
    pub useful: f64,
    /// Commits.
    pub commits: f64,
    /// Work that was lost.
    pub lost: f64,
    /// From crashes until work went on.
    pub down: f64,
    /// Work since the last commit, at the end.
    pub open: f64,
}

/// Transactions that were given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GaveUp {
    /// As the policy decided.
    pub by_policy: u64,
    /// As the program decided, which the policy let decide.
    pub by_program: u64,
    /// By the limit on restarts.
    pub by_limit: u64,
    /// Since they got nowhere for too long.
    pub by_patience: u64,
}

impl GaveUp {
    pub(super) fn add(&mut self, other: &Self) {
        self.by_policy += other.by_policy;
        self.by_program += other.by_program;
        self.by_limit += other.by_limit;
        self.by_patience += other.by_patience;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.by_policy + self.by_program + self.by_limit + self.by_patience
    }
}

impl Simulated {
    pub(super) fn of(parameters: &Parameters, policy: &str, fleet: Fleet, shards: &[Tally]) -> Self {
        let mut all = Tally::default();
        shards.iter().for_each(|shard| all.add(shard));
        let share = |part: u128| part as f64 / all.total_ns() as f64;
        let estimate = |figure: &dyn Fn(&Tally) -> f64| {
            let figures: Vec<f64> = shards.iter().map(figure).collect();
            Estimate { value: figure(&all), error: student(&figures).half }
        };
        let [transient, poison, propagated] = all.faults;
        Self {
            format: FORMAT,
            policy: policy.to_owned(),
            processes: fleet.processes,
            years: fleet.years,
            seed: fleet.seed,
            parameters: parameters.clone(),
            shards: shards.len() as u64,
            useful: estimate(&|tally| tally.useful_ns as f64 / tally.total_ns() as f64),
            available: estimate(&|tally| 1.0 - tally.down_ns as f64 / tally.total_ns() as f64),
            shares: Shares {
                useful: share(all.useful_ns),
                commits: share(all.commit_ns),
                lost: share(all.lost_ns),
                down: share(all.down_ns),
                open: share(all.open_ns),
            },
            crashes: all.events,
            crashes_per_process_year: estimate(&|tally| tally.events as f64 / (tally.processes as f64 * fleet.years)),
            transient,
            poison,
            propagated,
            repeated: all.repeated,
            restarts: all.restarts,
            gave_up: all.gave_up,
            decisions: all.decisions.iter().map(|(action, count)| (action.to_string(), *count)).collect(),
            delay_share_of_down: (all.down_ns > 0).then(|| all.delay_ns as f64 / all.down_ns as f64),
            lost_operations: all.lost_operations,
            given_up_operations: all.given_up_operations,
            skipped_operations: all.skipped_operations,
            kept_states: all.kept_states,
        }
    }
}
