//! What a ledger holds of a lap: where each nanosecond and each step went, as plain data, and how that goes on.
//!
//! ```text
//! begin ── steps ── commit ── steps ── ✗ ── restart ── steps ── commit ✗ ── restart ── …  ── end
//!          kept     commits   lost         restarts    lost     lost        restarts
//! ```
//!
//! Each stretch of time is in one of the four, and together they are the lap. Steps are kept once a commit holds them;
//! what none holds at the end is lost. The first steps after a commit or a restart, which touch each page for the first
//! time, take longer than those after them: of kept steps, that is a cost of the commit, or, by how much it is more after a
//! restart, of that, and counts there.

/// Words of an entry.
pub(super) const WORDS: usize = 19;

/// What was entered so far. Times in nanoseconds, instants on `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// When the lap began; 0 before.
    pub(super) began_ns: u64,
    /// When it ended; 0 before.
    pub(super) ended_ns: u64,
    /// The end of all that was entered.
    pub(super) since_ns: u64,
    /// 1 while a commit is under way, else 0.
    committing: u64,
    /// The steps that the commit under way is to hold took so long.
    pending_ns: u64,
    /// By how much the first of the steps since `since_ns` took longer, and whether they came after a restart (1) or not.
    late_ns: i64,
    after_restart: u64,
    /// Steps that the plate's last commit holds, counted from the plate's beginning.
    pub(super) committed: u64,
    /// Steps that the lap has kept, and that were done and lost.
    pub(super) kept_steps: u64,
    pub(super) lost_steps: u64,
    /// Steps whose commit is true took so long, slower first ones included.
    kept_ns: u64,
    /// Commits, and their time.
    pub(super) commits: u64,
    pub(super) commits_ns: u64,
    /// Work that a crash, or the end, has thrown away, commits that did not become true included.
    lost_ns: u64,
    /// Crashes, and the time from each to its successor's first instruction.
    pub(super) crashes: u64,
    pub(super) restarts_ns: u64,
    /// By how much the first steps of kept stretches took longer, by what these came after; and how many came after a
    /// restart.
    after_commits_ns: i64,
    after_restarts_ns: i64,
    pub(super) kept_after_restart: u64,
}

impl Entry {
    pub(super) fn to_words(self) -> [u64; WORDS] {
        [
            self.began_ns,
            self.ended_ns,
            self.since_ns,
            self.committing,
            self.pending_ns,
            self.late_ns.cast_unsigned(),
            self.after_restart,
            self.committed,
            self.kept_steps,
            self.lost_steps,
            self.kept_ns,
            self.commits,
            self.commits_ns,
            self.lost_ns,
            self.crashes,
            self.restarts_ns,
            self.after_commits_ns.cast_unsigned(),
            self.after_restarts_ns.cast_unsigned(),
            self.kept_after_restart,
        ]
    }

    pub(super) fn from_words(words: [u64; WORDS]) -> Self {
        let [
            began_ns,
            ended_ns,
            since_ns,
            committing,
            pending_ns,
            late_ns,
            after_restart,
            committed,
            kept_steps,
            lost_steps,
            kept_ns,
            commits,
            commits_ns,
            lost_ns,
            crashes,
            restarts_ns,
            after_commits_ns,
            after_restarts_ns,
            kept_after_restart,
        ] = words;
        let [late_ns, after_commits_ns, after_restarts_ns] =
            [late_ns, after_commits_ns, after_restarts_ns].map(u64::cast_signed);
        Self {
            began_ns,
            ended_ns,
            since_ns,
            committing,
            pending_ns,
            late_ns,
            after_restart,
            committed,
            kept_steps,
            lost_steps,
            kept_ns,
            commits,
            commits_ns,
            lost_ns,
            crashes,
            restarts_ns,
            after_commits_ns,
            after_restarts_ns,
            kept_after_restart,
        }
    }

    /// The lap begins with a plate that holds, in its last commit, `steps`.
    pub(super) fn begin(now_ns: u64, steps: u64) -> Self {
        Self { began_ns: now_ns, since_ns: now_ns, committed: steps, ..Self::default() }
    }

    /// The first steps of a stretch were done at `now`; by themselves they take `usual_ns`.
    pub(super) fn first_steps(self, now_ns: u64, usual_ns: u64) -> Self {
        Self { late_ns: (now_ns - self.since_ns).checked_signed_diff(usual_ns).unwrap_or(0), ..self }
    }

    /// The steps before `now` are to be committed.
    pub(super) fn commit_begins(self, now_ns: u64) -> Self {
        Self { committing: 1, pending_ns: now_ns - self.since_ns, since_ns: now_ns, ..self }
    }

    /// A commit that holds `steps` is true; it ended at `now`.
    pub(super) fn commit_done(self, now_ns: u64, steps: u64) -> Self {
        let (after_commit, after_restart) = if self.after_restart == 1 { (0, self.late_ns) } else { (self.late_ns, 0) };
        Self {
            committing: 0,
            pending_ns: 0,
            late_ns: 0,
            after_restart: 0,
            since_ns: now_ns,
            committed: steps,
            kept_steps: self.kept_steps + steps - self.committed,
            kept_ns: self.kept_ns + self.pending_ns,
            after_commits_ns: self.after_commits_ns + after_commit,
            after_restarts_ns: self.after_restarts_ns + after_restart,
            kept_after_restart: self.kept_after_restart + self.after_restart,
            commits: self.commits + 1,
            commits_ns: self.commits_ns + (now_ns - self.since_ns),
            ..self
        }
    }

    /// A successor is there at `now`: its predecessor crashed at `fault`, had done `done` steps, and left a commit that
    /// holds `found` of them.
    pub(super) fn succeed(self, fault_ns: u64, now_ns: u64, done: u64, found: u64) -> Self {
        // A crash strikes some instructions after it was due.
        let fault_ns = fault_ns.max(self.since_ns);
        // A commit may have become true with nobody left to enter it.
        let was_true = self.committing == 1 && found > self.committed;
        let crashed = if was_true {
            self.commit_done(fault_ns, found)
        } else {
            Self { lost_ns: self.lost_ns + self.pending_ns + (fault_ns - self.since_ns), ..self }
        };
        Self {
            committing: 0,
            pending_ns: 0,
            late_ns: 0,
            after_restart: 1,
            since_ns: now_ns,
            lost_steps: self.lost_steps + done - found,
            crashes: self.crashes + 1,
            restarts_ns: self.restarts_ns + (now_ns - fault_ns),
            ..crashed
        }
    }

    /// The lap ends after `done` steps.
    pub(super) fn end(self, now_ns: u64, done: u64) -> Self {
        Self {
            ended_ns: now_ns,
            since_ns: now_ns,
            lost_ns: self.lost_ns + (now_ns - self.since_ns),
            lost_steps: self.lost_steps + done - self.committed,
            ..self
        }
    }

    /// How long the lap took.
    pub(super) fn lap_ns(&self) -> u64 {
        self.ended_ns - self.began_ns
    }

    /// By how much the first steps of a kept stretch were slower: as after a commit, of each stretch, and by how much more
    /// after a restart. No less than nothing, as on a machine that happens to be faster then.
    ///
    /// The formula has a commit for each kept stretch, also for one that a restart precedes. What that stretch pays as one
    /// that a commit precedes is a cost of its commit, or it would be counted twice.
    fn after_ns(&self) -> [u64; 2] {
        let [commits, restarts] =
            [self.after_commits_ns, self.after_restarts_ns].map(|late| u64::try_from(late).unwrap_or(0));
        let mean = commits.checked_div(self.commits - self.kept_after_restart).unwrap_or(0);
        let as_after_commits = restarts.min(mean * self.kept_after_restart);
        [commits + as_after_commits, restarts - as_after_commits]
    }

    /// Where the lap's time went: kept steps, commits, restarts, lost work.
    pub(super) fn spent_ns(&self) -> [u64; 4] {
        let [commits, restarts] = self.after_ns();
        let kept = self.kept_ns.saturating_sub(commits + restarts);
        [kept, self.commits_ns + commits, self.restarts_ns + restarts, self.lost_ns]
    }

    /// The mean time that a commit took, and what it cost with the slower steps after it; `None` without one.
    pub(super) fn commit_ns(&self) -> Option<(u64, u64)> {
        let wait_ns = self.commits_ns.checked_div(self.commits)?;
        // The lap begins as after a commit, too.
        Some((wait_ns, wait_ns + self.after_ns()[0] / self.commits))
    }

    /// The same of a restart, beyond what a commit costs anyway.
    pub(super) fn restart_ns(&self) -> Option<(u64, u64)> {
        let wait_ns = self.restarts_ns.checked_div(self.crashes)?;
        let after = self.after_ns()[1].checked_div(self.kept_after_restart);
        Some((wait_ns, wait_ns + after.unwrap_or(0)))
    }
}
