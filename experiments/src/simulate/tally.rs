//! What a shard adds up: where its time went, and what happened in it.

use super::answer::GaveUp;
use crashbed::Action;

/// Sums over the processes of a shard, or of all shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Processes.
    pub(super) processes: u64,
    /// Time that went into work which is committed and was not lost afterwards.
    pub(super) useful_ns: u128,
    /// Time that went into commits, of work that was lost afterwards too.
    pub(super) commit_ns: u128,
    /// Time that went into work which was lost.
    pub(super) lost_ns: u128,
    /// Time from a crash until work went on.
    pub(super) down_ns: u128,
    /// Time since the last commit, at the end.
    pub(super) open_ns: u128,
    /// Of the time down, the delays that policies asked for.
    pub(super) delay_ns: u128,
    /// Events handled: crashes.
    pub(super) events: u64,
    /// Faults by the clock: those that left nothing, poison, damaged states.
    pub(super) faults: [u64; 3],
    /// Crashes by a trouble that was there already.
    pub(super) repeated: u64,
    /// Successors that were started.
    pub(super) restarts: u64,
    /// Transactions that were given up, by whom.
    pub(super) gave_up: GaveUp,
    /// Operations that the last commits of transactions held that were given up, where these were not damaged.
    pub(super) given_up_operations: u64,
    /// Operations that were skipped.
    pub(super) skipped_operations: u64,
    /// Crashed states that were kept.
    pub(super) kept_states: u64,
    /// Operations that had been done and were lost.
    pub(super) lost_operations: u64,
    /// Decisions by action; there are few different ones.
    pub(super) decisions: Vec<(Action, u64)>,
}

impl Tally {
    /// Counts a decision.
    pub(super) fn decided(&mut self, action: Action, times: u64) {
        match self.decisions.iter_mut().find(|(known, _)| *known == action) {
            Some((_, count)) => *count += times,
            None => self.decisions.push((action, times)),
        }
    }

    /// That so much committed work is lost after all.
    pub(super) fn take_back(&mut self, work_ns: u64) {
        self.useful_ns -= u128::from(work_ns);
        self.lost_ns += u128::from(work_ns);
    }

    /// That so much uncommitted work is kept after all.
    pub(super) fn save(&mut self, work_ns: u64) {
        self.lost_ns -= u128::from(work_ns);
        self.useful_ns += u128::from(work_ns);
    }

    /// All time.
    pub(super) fn total_ns(&self) -> u128 {
        self.useful_ns + self.commit_ns + self.lost_ns + self.down_ns + self.open_ns
    }

    /// Adds another shard.
    pub(super) fn add(&mut self, other: &Self) {
        self.processes += other.processes;
        self.useful_ns += other.useful_ns;
        self.commit_ns += other.commit_ns;
        self.lost_ns += other.lost_ns;
        self.down_ns += other.down_ns;
        self.open_ns += other.open_ns;
        self.delay_ns += other.delay_ns;
        self.events += other.events;
        for (mine, theirs) in self.faults.iter_mut().zip(other.faults) {
            *mine += theirs;
        }
        self.repeated += other.repeated;
        self.restarts += other.restarts;
        self.gave_up.add(&other.gave_up);
        self.given_up_operations += other.given_up_operations;
        self.skipped_operations += other.skipped_operations;
        self.kept_states += other.kept_states;
        self.lost_operations += other.lost_operations;
        for (action, count) in &other.decisions {
            self.decided(*action, *count);
        }
    }
}
