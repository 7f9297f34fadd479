//! How commit and restore are done: one trait, one file a mechanism.
//!
//! A mechanism works on both sides of the border. In the transaction it puts the state in place and stages commits;
//! in the daemon it makes them true, restores, and finishes what a dead daemon left half done. The transaction cannot
//! write what it will be restored from.

mod copy_on_write;
mod full_copy;

use crate::link::Refused;
use crate::region::{Region, StateHead};
use crate::sys::Errno;
use std::fmt;
use std::str::FromStr;

/// The mechanisms, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MechanismKind {
    /// The transaction works on a private mapping of the last commit; a commit stages the pages that it wrote, the
    /// daemon logs and applies them.
    CopyOnWrite,
    /// The transaction works in place; a commit copies the whole region to one of two slots, then flips.
    FullCopy,
}

/// What a daemon answers to a request for a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Part of a commit was taken; more is to come.
    Part,
    /// The commit is true.
    Whole,
    /// What was staged is not a commit.
    Refused,
}

/// One way to commit and to restore.
pub(crate) trait Mechanism: Sync {
    /// In a fresh transaction: puts the state in place.
    ///
    /// # Safety
    /// Nothing borrows from the state.
    unsafe fn enter(&self, region: &Region) -> Result<(), Errno>;

    /// In the transaction: makes the present state a commit. `last_of_all`: the state will not be used again.
    fn commit(&self, region: &Region, last_of_all: bool) -> Result<(), Refused>;

    /// In the daemon: a transaction is about to be forked. Afterwards [`end`](Self::end) is called.
    fn begin(&self, region: &Region) -> Result<(), Errno>;

    /// In the daemon: takes what the transaction staged, and makes the commit true when it is all there.
    fn take(&self, region: &Region) -> Result<Taken, Errno>;

    /// In the daemon: the head of the last commit.
    fn committed<'a>(&self, region: &'a Region) -> &'a StateHead;

    /// In the daemon: puts the last commit in place. The transaction has ended.
    fn restore(&self, region: &Region);

    /// In the daemon: no transaction runs and the state part holds the last commit; readers may come.
    fn end(&self, region: &Region) -> Result<(), Errno>;

    /// In a fresh daemon: finishes or forgets what its predecessor had under way.
    fn recover(&self, region: &Region) -> Result<(), Errno>;

    /// In the daemon, after a crash: whether the heap's lock was held; `None` where the crashed state is gone.
    fn heap_locked(&self, region: &Region) -> Option<bool>;

    /// In the daemon, after a crash: keeps the crashed state for the program to read, if the mechanism can, and
    /// answers whether it did. [`restore`](Self::restore) follows.
    fn set_aside(&self, region: &Region) -> bool;

    /// In a transaction: the crashed state that was set aside, mapped to be read only.
    ///
    /// # Safety
    /// The daemon has set a crashed state aside for this transaction.
    unsafe fn crashed_state<'a>(&self, region: &'a Region) -> Result<&'a [u8], Errno>;

    /// In the daemon: puts the crashed state that was set aside in place of the last commit. The transaction waits.
    fn put_back(&self, region: &Region) -> bool;
}

impl MechanismKind {
    /// All mechanisms.
    pub const ALL: [Self; 2] = [Self::CopyOnWrite, Self::FullCopy];

    /// The name, as on the command line and in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CopyOnWrite => "copy-on-write",
            Self::FullCopy => "full-copy",
        }
    }

    /// What it does, in a line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::CopyOnWrite => "private mapping; a commit stages the written pages, the daemon logs and applies them",
            Self::FullCopy => "works in place; a commit copies the whole region to one of two slots, then flips",
        }
    }

    pub(crate) fn get(self) -> &'static dyn Mechanism {
        match self {
            Self::CopyOnWrite => &copy_on_write::CopyOnWrite,
            Self::FullCopy => &full_copy::FullCopy,
        }
    }

    /// Bytes of the backing part for a state of `bytes`: the log, or the slots.
    pub(crate) fn backing_len(self, bytes: usize) -> usize {
        match self {
            Self::CopyOnWrite => copy_on_write::log_len(bytes),
            Self::FullCopy => 2 * bytes,
        }
    }

    /// Bytes of the stage part.
    pub(crate) fn stage_len(self) -> usize {
        match self {
            Self::CopyOnWrite => copy_on_write::STAGE_LEN,
            Self::FullCopy => 0,
        }
    }

    /// The most bytes of private copies that a transaction comes to hold.
    pub(crate) fn private_copies(self, bytes: usize) -> usize {
        match self {
            Self::CopyOnWrite => bytes,
            Self::FullCopy => 0,
        }
    }
}

impl fmt::Display for MechanismKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A mechanism's name that is none.
#[derive(Debug, thiserror::Error)]
#[error("unknown mechanism `{0}`: `copy-on-write` and `full-copy` are known")]
pub struct UnknownMechanism(String);

impl FromStr for MechanismKind {
    type Err = UnknownMechanism;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownMechanism(name.to_owned()))
    }
}
