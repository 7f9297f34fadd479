//! The ledger of a lap, in memory that outlives the crashes.
//!
//! A crash comes between any two instructions. So an entry is written beside the one before, and becomes true by one
//! store.

use super::entry::{Entry, WORDS};
use crate::measures::process::Shared;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Commits and restarts of a lap whose times are kept one by one: the newest.
const COMMITS: usize = 1 << 14;
const RESTARTS: usize = 1 << 10;

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
        self.write(self.entry().first_steps(now_ns, count * self.step_ns()));
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
#[path = "ledger_tests.rs"]
mod tests;
