//! Where the time of a lap goes: a ledger in memory that outlives the crashes.
//!
//! ```text
//! begin ── steps ── commit ── steps ── ✗ ── restart ── steps ── commit ✗ ── restart ── …  ── end
//!          kept     commits   lost         restarts    lost     lost        restarts
//! ```
//!
//! Each stretch of time is in one of the four, and together they are the lap. Steps are kept once a commit holds them;
//! what none holds at the end is lost. The first steps after a commit or a restart, which touch each page for the first
//! time, take longer than those after them: of kept steps, that is a cost of the commit or restart, and counts there. A crash comes between any two instructions, so an entry is written beside the one
//! before and becomes true by one store ([`Ledger::write`]).

use crate::measures::process::Shared;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Words of an entry.
const WORDS: usize = 19;
/// Commits and restarts of a lap whose times are kept one by one: the newest.
const COMMITS: usize = 1 << 14;
const RESTARTS: usize = 1 << 10;

/// What was entered so far. Times in nanoseconds, instants on `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// When the lap began; 0 before.
    pub(super) began_ns: u64,
    /// When it ended; 0 before.
    pub(super) ended_ns: u64,
    /// The end of all that was entered.
    since_ns: u64,
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
    /// Steps whose commit is true took so long, but for what counts as a cost of commits and restarts.
    pub(super) kept_ns: u64,
    /// Commits, and their time.
    pub(super) commits: u64,
    pub(super) commits_ns: u64,
    /// Work that a crash, or the end, has thrown away, commits that did not become true included.
    pub(super) lost_ns: u64,
    /// Crashes, and the time from each to its successor's first instruction.
    pub(super) crashes: u64,
    pub(super) restarts_ns: u64,
    /// By how much the first steps of kept stretches took longer, by what these came after; and how many came after a
    /// restart.
    pub(super) after_commits_ns: i64,
    pub(super) after_restarts_ns: i64,
    pub(super) kept_after_restart: u64,
}

impl Entry {
    fn to_words(self) -> [u64; WORDS] {
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

    fn from_words(words: [u64; WORDS]) -> Self {
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
    fn begin(now_ns: u64, steps: u64) -> Self {
        Self { began_ns: now_ns, since_ns: now_ns, committed: steps, ..Self::default() }
    }

    /// The steps before `now` are to be committed.
    fn commit_begins(self, now_ns: u64) -> Self {
        Self { committing: 1, pending_ns: now_ns - self.since_ns, since_ns: now_ns, ..self }
    }

    /// A commit that holds `steps` is true; it ended at `now`.
    fn commit_done(self, now_ns: u64, steps: u64) -> Self {
        let (after_commit, after_restart) = if self.after_restart == 1 { (0, self.late_ns) } else { (self.late_ns, 0) };
        Self {
            committing: 0,
            pending_ns: 0,
            late_ns: 0,
            after_restart: 0,
            since_ns: now_ns,
            committed: steps,
            kept_steps: self.kept_steps + steps - self.committed,
            kept_ns: (self.kept_ns + self.pending_ns).saturating_sub_signed(self.late_ns),
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
    fn succeed(self, fault_ns: u64, now_ns: u64, done: u64, found: u64) -> Self {
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
    fn end(self, now_ns: u64, done: u64) -> Self {
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

    /// What a commit has cost in the mean, the slower steps after it included; `None` without one.
    pub(super) fn commit_cost_ns(&self) -> Option<u64> {
        // The lap's beginning is a commit's end, too.
        let after = mean(self.after_commits_ns, self.commits - self.kept_after_restart).unwrap_or(0);
        Some(self.commits_ns.checked_div(self.commits)?.saturating_add_signed(after))
    }

    /// The same of a restart.
    pub(super) fn restart_cost_ns(&self) -> Option<u64> {
        let after = mean(self.after_restarts_ns, self.kept_after_restart).unwrap_or(0);
        Some(self.restarts_ns.checked_div(self.crashes)?.saturating_add_signed(after))
    }
}

fn mean(sum: i64, count: u64) -> Option<i64> {
    sum.checked_div(i64::try_from(count).ok()?)
}

/// The ledger: written by the one transaction that there is at a time, read by whoever shares it.
#[derive(Debug)]
pub(super) struct Ledger {
    /// [`VALID`], [`DONE`], [`STEP`].
    head: Shared<[AtomicU64; 3]>,
    entries: Shared<[[AtomicU64; WORDS]; 2]>,
    commits_ns: Shared<[AtomicU64; COMMITS]>,
    restarts_ns: Shared<[AtomicU64; RESTARTS]>,
}

/// Which of the two entries is true.
const VALID: usize = 0;
/// Steps that the plate has done, whether they are committed or not.
const DONE: usize = 1;
/// What a step takes without a commit and without a crash.
const STEP: usize = 2;

impl Ledger {
    /// An empty one. Make it before the processes that are to share it.
    pub(super) fn new() -> io::Result<Self> {
        let (head, entries) = (Shared::new()?, Shared::new()?);
        Ok(Self { head, entries, commits_ns: Shared::new()?, restarts_ns: Shared::new()? })
    }

    /// The newest entry.
    pub(super) fn entry(&self) -> Entry {
        let valid = usize::from(self.head[VALID].load(Acquire) == 1);
        Entry::from_words(std::array::from_fn(|word| self.entries[valid][word].load(Relaxed)))
    }

    /// Writes an entry in the place of the newest.
    fn write(&self, entry: Entry) {
        let next = 1 - usize::from(self.head[VALID].load(Relaxed) == 1);
        for (word, value) in self.entries[next].iter().zip(entry.to_words()) {
            word.store(value, Relaxed);
        }
        self.head[VALID].store(next as u64, Release);
    }

    /// Forgets the lap before.
    pub(super) fn clear(&self) {
        self.write(Entry::default());
    }

    /// Writes down what a step takes by itself.
    pub(super) fn note_step(&self, step_ns: u64) {
        self.head[STEP].store(step_ns, Relaxed);
    }

    /// What a step takes by itself.
    pub(super) fn step_ns(&self) -> u64 {
        self.head[STEP].load(Relaxed)
    }

    /// The lap begins at `now` with a plate of which `steps` are done and committed.
    pub(super) fn begin(&self, now_ns: u64, steps: u64) {
        self.head[DONE].store(steps, Relaxed);
        self.write(Entry::begin(now_ns, steps));
    }

    /// The plate has done `steps`.
    pub(super) fn did(&self, steps: u64) {
        self.head[DONE].store(steps, Relaxed);
    }

    /// The first `count` steps after a commit or a restart were done at `now`.
    pub(super) fn first_steps(&self, now_ns: u64, count: u64) {
        let entry = self.entry();
        let took_ns = now_ns - entry.since_ns;
        let late_ns = took_ns.checked_signed_diff(count * self.step_ns()).unwrap_or(0);
        self.write(Entry { late_ns, ..entry });
    }

    /// A commit begins.
    pub(super) fn commit_begins(&self, now_ns: u64) {
        self.write(self.entry().commit_begins(now_ns));
    }

    /// A commit that holds `steps` is true.
    pub(super) fn commit_done(&self, now_ns: u64, steps: u64) {
        let entry = self.entry();
        keep(&self.commits_ns, entry.commits, now_ns - entry.since_ns);
        self.write(entry.commit_done(now_ns, steps));
    }

    /// A successor is there, after a crash at `fault`, and finds a commit that holds `found` steps.
    pub(super) fn succeed(&self, fault_ns: u64, now_ns: u64, found: u64) {
        let entry = self.entry();
        let next = entry.succeed(fault_ns, now_ns, self.head[DONE].load(Relaxed), found);
        keep(&self.restarts_ns, entry.crashes, next.restarts_ns - entry.restarts_ns);
        keep(&self.commits_ns, entry.commits, next.commits_ns - entry.commits_ns);
        self.head[DONE].store(found, Relaxed);
        self.write(next);
    }

    /// The lap ends.
    pub(super) fn end(&self, now_ns: u64) {
        self.write(self.entry().end(now_ns, self.head[DONE].load(Relaxed)));
    }

    /// The times of the lap's commits, the newest where there were too many.
    pub(super) fn commits_ns(&self) -> Vec<u64> {
        kept(&self.commits_ns, self.entry().commits)
    }

    /// The times of its restarts.
    pub(super) fn restarts_ns(&self) -> Vec<u64> {
        kept(&self.restarts_ns, self.entry().crashes)
    }
}

/// Keeps figure number `number`.
fn keep<const N: usize>(figures: &[AtomicU64; N], number: u64, figure: u64) {
    // The remainder is below a length in memory.
    #[allow(clippy::cast_possible_truncation)]
    figures[(number % N as u64) as usize].store(figure, Relaxed);
}

/// The figures of `count` that were kept.
fn kept<const N: usize>(figures: &[AtomicU64; N], count: u64) -> Vec<u64> {
    let kept = usize::try_from(count).unwrap_or(N).min(N);
    figures[..kept].iter().map(|figure| figure.load(Relaxed)).collect()
}

#[cfg(test)]
mod tests {
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
        let kinds =
            [Next::Step, Next::FirstStep, Next::Commit, Next::CommitThenCrash, Next::CrashInCommit, Next::Crash];
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
            let after = entry.after_commits_ns + entry.after_restarts_ns;
            let all = entry.kept_ns + entry.commits_ns + entry.lost_ns + entry.restarts_ns;
            prop_assert_eq!(all.saturating_add_signed(after), entry.lap_ns());
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
        assert_eq!((entry.kept_ns, entry.commits_ns, entry.lost_ns, entry.restarts_ns), (100, 30, 1, 70));
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
        // A crash 20 into the next step, a restart of 500, and a step that takes 9 longer.
        ledger.succeed(1_400, 1_900, 3);
        ledger.first_steps(2_009, 1);
        ledger.did(4);
        ledger.commit_begins(2_009);
        ledger.commit_done(2_019, 4);
        ledger.end(2_019);
        let entry = ledger.entry();
        assert_eq!((entry.kept_steps, entry.kept_ns, entry.lost_ns), (4, 400, 20));
        assert_eq!((entry.commit_cost_ns(), entry.restart_cost_ns()), (Some(20 + 50), Some(500 + 9)));
    }
}
