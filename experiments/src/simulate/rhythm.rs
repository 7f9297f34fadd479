//! How far a process gets in a time, and how long it takes to get somewhere, without an event for each operation.
//!
//! ```text
//! transaction   │ o o o … o C │ o o o … o C │ … │ o o o … o C │     o  an operation
//!               └── cycle ────┘                                     C  a commit, which ends a cycle
//! ```
//!
//! A transaction is some cycles, of which the last one's commit ends it; the next one begins at once. All of it is whole
//! numbers of nanoseconds, so that no time gets lost.

use super::parameters::Parameters;

/// The longest transaction: a century, as the longest time that is simulated.
const LONGEST_NS: u64 = 100 * super::YEAR_NS;

/// The steps of a process's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rhythm {
    operation_ns: u64,
    commit_ns: u64,
    /// Operations in a cycle.
    commit_every: u64,
    /// Operations in a transaction; whole cycles.
    total: u64,
    cycle_ns: u64,
}

/// What was done in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Operations that were done and committed.
    pub(super) committed: u64,
    /// Commits that were made.
    pub(super) commits: u64,
    /// Whether the transaction ended, and another one is under way.
    pub(super) ended: bool,
    /// Operations that the last commit holds, in the transaction under way.
    pub(super) base: u64,
    /// Operations that were done since.
    pub(super) open: u64,
    /// Whether a commit is under way, else an operation.
    pub(super) committing: bool,
    /// The time since the last commit.
    pub(super) open_ns: u64,
}

impl Rhythm {
    /// The rhythm of these parameters; `None` where a transaction would take longer than is ever simulated.
    pub(super) fn new(parameters: &Parameters) -> Option<Self> {
        let Parameters { operation_ns, commit_ns, commit_every, commits_per_transaction, .. } = *parameters;
        let cycle_ns = commit_every.checked_mul(operation_ns)?.checked_add(commit_ns)?;
        let total = commit_every.checked_mul(commits_per_transaction)?;
        let whole_ns = cycle_ns.checked_mul(commits_per_transaction)?;
        (whole_ns <= LONGEST_NS).then_some(Self { operation_ns, commit_ns, commit_every, total, cycle_ns })
    }

    /// The time that so many operations take by themselves.
    pub(super) fn work_ns(&self, operations: u64) -> u64 {
        operations * self.operation_ns
    }

    /// The time that so many commits take.
    pub(super) fn commits_ns(&self, commits: u64) -> u64 {
        commits * self.commit_ns
    }

    /// Operations in a transaction.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// What is done within `time_ns` from a state that holds `base` operations, which are fewer than a transaction has.
    pub(super) fn advance(&self, base: u64, time_ns: u64) -> Progress {
        // Where a crashed state was kept, the first cycle is a part of one.
        let first = self.commit_every - base % self.commit_every;
        let first_ns = self.work_ns(first) + self.commit_ns;
        let (commits, committed, room, open_ns) = match time_ns.checked_sub(first_ns) {
            None => (0, 0, first, time_ns),
            Some(rest) => {
                let cycles = rest / self.cycle_ns;
                (1 + cycles, first + cycles * self.commit_every, self.commit_every, rest % self.cycle_ns)
            }
        };
        let reached = base + committed;
        Progress {
            committed,
            commits,
            ended: reached >= self.total,
            base: reached % self.total,
            open: (open_ns / self.operation_ns).min(room),
            committing: open_ns >= self.work_ns(room),
            open_ns,
        }
    }

    /// How long it takes from a state that holds `base` operations until operation `at` of the same transaction begins.
    pub(super) fn until(&self, base: u64, at: u64) -> u64 {
        let commits = at / self.commit_every - base / self.commit_every;
        self.work_ns(at - base) + self.commits_ns(commits)
    }

    /// How long it takes from there to the end of the transaction.
    pub(super) fn until_end(&self, base: u64) -> u64 {
        self.until(base, self.total)
    }

    /// How many commits a transaction with `base` operations can go back, its beginning included.
    pub(super) fn commits_before(&self, base: u64) -> u64 {
        base.div_ceil(self.commit_every)
    }

    /// Operations that the commit holds that is `back` before the one with `base` operations; there are so many.
    pub(super) fn back(&self, base: u64, back: u64) -> u64 {
        if back == 0 { base } else { (self.commits_before(base) - back) * self.commit_every }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::tests::parameters;
    use proptest::prelude::*;

    /// The same, step by step.
    fn walk(rhythm: &Rhythm, base: u64, time_ns: u64) -> Progress {
        let mut now = Progress { committed: 0, commits: 0, ended: false, base, open: 0, committing: false, open_ns: 0 };
        let mut left = time_ns;
        loop {
            let at = now.base + now.open;
            now.committing = now.open > 0 && at.is_multiple_of(rhythm.commit_every);
            let step = if now.committing { rhythm.commit_ns } else { rhythm.operation_ns };
            if left < step {
                now.open_ns += left;
                return now;
            }
            left -= step;
            now.open_ns += step;
            if now.committing {
                let ended = now.ended || at == rhythm.total;
                let (committed, commits) = (now.committed + now.open, now.commits + 1);
                now = Progress {
                    committed,
                    commits,
                    ended,
                    base: at % rhythm.total,
                    open: 0,
                    committing: false,
                    open_ns: 0,
                };
            } else {
                now.open += 1;
            }
        }
    }

    proptest! {
        #[test]
        fn a_leap_gets_as_far_as_steps_do(
            operation_ns in 1..5_u64, commit_ns in 0..7_u64, every in 1..6_u64, commits in 1..4_u64, base: u64, time_ns in 0..400_u64,
        ) {
            let changed = crate::simulate::Parameters {
                operation_ns, commit_ns, commit_every: every, commits_per_transaction: commits, ..parameters()
            };
            let rhythm = Rhythm::new(&changed).unwrap();
            let base = base % rhythm.total;
            let leap = rhythm.advance(base, time_ns);
            prop_assert_eq!(leap, walk(&rhythm, base, time_ns));
            // Nothing of the time gets lost.
            prop_assert_eq!(rhythm.work_ns(leap.committed) + rhythm.commits_ns(leap.commits) + leap.open_ns, time_ns);
        }

        #[test]
        fn an_operation_begins_when_it_is_said_to(every in 1..6_u64, commits in 1..4_u64, base: u64, at: u64) {
            let changed =
                crate::simulate::Parameters { commit_every: every, commits_per_transaction: commits, ..parameters() };
            let rhythm = Rhythm::new(&changed).unwrap();
            let base = base % rhythm.total;
            let at = base + at % (rhythm.total - base);
            let then = rhythm.advance(base, rhythm.until(base, at));
            prop_assert_eq!((then.base + then.open, then.ended, then.committing), (at, false, false));
            let end = rhythm.until_end(base);
            prop_assert!(rhythm.advance(base, end).ended && !rhythm.advance(base, end - 1).ended);
        }

        #[test]
        fn going_back_ends_at_the_beginning(every in 1..6_u64, commits in 1..9_u64, base: u64) {
            let changed =
                crate::simulate::Parameters { commit_every: every, commits_per_transaction: commits, ..parameters() };
            let rhythm = Rhythm::new(&changed).unwrap();
            let base = base % rhythm.total;
            let mut last = base;
            for back in 1..=rhythm.commits_before(base) {
                let older = rhythm.back(base, back);
                prop_assert!(older < last && older.is_multiple_of(every));
                last = older;
            }
            prop_assert_eq!((last, rhythm.back(base, 0)), (0, base));
        }
    }
}
