//! How commit and restore are done: one trait, one file a mechanism.
//!
//! A mechanism works on both sides of the border. In the transaction it puts the state in place and stages commits;
//! in the daemon it makes them true, restores, and finishes what a dead daemon left half done. The transaction cannot
//! write what it will be restored from.

pub(crate) mod auto;
pub(crate) mod choice;
mod copy_on_write;
mod dirty_pages;
pub(crate) mod fork;
mod full_copy;
pub(crate) mod measured;
pub(crate) mod page_log;
mod prices;
pub(crate) mod stage;
mod undo_log;

use crate::failure::Failure;
use crate::link::Refused;
use crate::mailbox::Mailbox;
use crate::mechanism_kind::MechanismKind;
use crate::region::Region;
use crate::span::Span;
use crate::state_head::StateHead;
use crate::sys::Errno;
use crate::sys::memory::{self, Map};
use crate::sys::pagemap::Pagemap;
use std::os::fd::AsFd;

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

/// Until when a transaction waits that commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The daemon was asked.
    Asked,
    /// The daemon has answered: the commit is true.
    Answered,
    /// The same, and the state will not be used again.
    LastOfAll,
}

/// What is left of a transaction that has ended: its mailbox, and the processes that may still hold its address space, its
/// own and its keeper.
#[derive(Default)]
pub(crate) struct Remains {
    /// Where its mailbox is.
    pub(crate) seat: usize,
    /// Its page table, where it was opened in time.
    pub(crate) table: Option<Pagemap>,
    pub(crate) process: Option<i32>,
    pub(crate) keeper: Option<i32>,
    /// How many pages the process has listed in the stage before it ended in order, if it has.
    pub(crate) listed: Option<u32>,
}

/// The number of the slot that holds a crashed state.
pub(crate) type Slot = u64;

/// One way to commit and to restore.
pub(crate) trait Mechanism: Sync {
    /// In a fresh transaction: puts the state in place.
    ///
    /// # Safety
    /// Nothing borrows from the state.
    unsafe fn enter(&self, region: &Region) -> Result<(), Errno>;

    /// Whether a successor finds the last commit in place without the daemon's help, so that a crash handler may
    /// release it.
    fn restores_by_itself(&self) -> bool;

    /// In the transaction: the state is in place, and its work is about to begin. Once more where another state was put in
    /// its place.
    fn start(&self, _: &Region) {}

    /// In the transaction: the state is about to be made anew.
    fn before_made_anew(&self, _: &Region) {}

    /// In the transaction, before a commit: whether the state may become one; else why not.
    fn examine(&self, _: &Region) -> Result<(), Failure> {
        Ok(())
    }

    /// Whether the transaction makes its commits true by itself, at the speed of memory.
    fn commits_by_itself(&self) -> bool {
        false
    }

    /// In a spare, which has touched the state by reading: makes what it touched count as not written.
    fn ready(&self, _: &Region) {}

    /// Whether the daemon reads the page table of a process that has crashed: where that has told of its crash, it is to
    /// linger until then.
    fn lingers(&self) -> bool {
        false
    }

    /// In the transaction: makes the present state a commit. Answers the number of the request that is still to be
    /// answered, where it does not wait for that.
    fn commit(&self, region: &Region, mailbox: &Mailbox, until: Until) -> Result<Option<u32>, Refused>;

    /// In the transaction: the commit that it did not wait for has been answered, and the next one begins.
    fn settle(&self, _: &Region, _: &Mailbox) {}

    /// In the transaction, which fails: tells what it has written, before it exits.
    fn leave(&self, _: &Region, _: &Mailbox) {}

    /// In the daemon: a transaction is about to be forked. Afterwards [`end`](Self::end) is called.
    fn begin(&self, region: &Region) -> Result<(), Errno>;

    /// In the daemon: takes what the transaction staged, and makes the commit true when it is all there.
    fn take(&self, region: &Region, mailbox: &Mailbox) -> Result<Taken, Errno>;

    /// In the daemon: how many pages the commit that it has just made true has changed; `None` where it would have to
    /// look, and `may_look` is false.
    fn written(&self, _: &Region, _may_look: bool) -> Option<usize> {
        None
    }

    /// In the daemon: lays the last commit, which another mechanism has made and the state part holds, where this one
    /// looks for it. What the other one needs of the backing to restore it stays as it is.
    fn take_over(&self, _: &Region) {}

    /// In the daemon: the head of the last commit.
    fn committed<'a>(&self, region: &'a Region) -> &'a StateHead;

    /// In the daemon: puts the commit `back` before the last one in place, or the oldest that is kept, and forgets the
    /// newer ones. No thread of the transaction writes any more.
    fn restore(&self, region: &Region, remains: &Remains, back: u8) -> Result<(), Errno>;

    /// In the daemon, instead of [`restore`](Self::restore): the state will be made anew.
    fn give_up(&self, region: &Region, remains: &Remains) -> Result<(), Errno> {
        self.restore(region, remains, 0)
    }

    /// Whether the crashed state is what lies in the state part, until [`restore`](Self::restore).
    fn works_in_place(&self) -> bool;

    /// In the daemon, instead of [`restore`](Self::restore): the crashed state stays in place, and a commit follows.
    fn keep(&self, _: &Region) {}

    /// Whether that commit, and the one after [`put_back`](Self::put_back), is made there and then by the daemon; else the
    /// transaction makes it.
    fn commits_what_is_kept(&self) -> bool {
        false
    }

    /// In the daemon: no transaction runs and the state part holds the last commit; readers may come.
    fn end(&self, region: &Region) -> Result<(), Errno>;

    /// In a fresh daemon: finishes or forgets what its predecessor had under way.
    fn recover(&self, region: &Region) -> Result<(), Errno>;

    /// In the daemon, after a crash: whether the heap's lock was held; `None` where the crashed state is gone.
    fn heap_locked(&self, region: &Region) -> Option<bool>;

    /// In the daemon, after a crash: keeps the crashed state for the program to read, and answers where; `None` where
    /// the mechanism cannot. [`restore`](Self::restore) follows.
    fn set_aside(&self, region: &Region) -> Option<Slot>;

    /// In a transaction: the crashed state that was set aside, mapped to be read only.
    ///
    /// # Safety
    /// The daemon has set a crashed state aside in `slot` for this transaction.
    unsafe fn crashed_state<'a>(&self, region: &'a Region, slot: Slot) -> Result<&'a [u8], Errno>;

    /// In the daemon: puts the crashed state that was set aside in place of the last commit, and answers whether it could. The
    /// transaction waits, and a commit follows.
    fn put_back(&self, region: &Region) -> bool;
}

/// In a transaction, in which the backing is not mapped and its place is free: a part of the backing, mapped to be read.
///
/// # Safety
/// The daemon does not write that part as long as the result is used.
unsafe fn backing_to_read(region: &Region, part: Span) -> Result<&[u8], Errno> {
    memory::map_new(region.backing_fd.as_fd(), region.parts.backing, Map::ReadOnly)?;
    // SAFETY: mapped just now, as long as the process lives; the caller vouches for the daemon.
    Ok(unsafe { std::slice::from_raw_parts(part.start as *const u8, part.len) })
}

/// The mechanism that a region is under. Not to be asked in a transaction, which knows it by its
/// [`Begin`](crate::life::Begin).
pub(crate) fn in_use(region: &Region) -> &'static dyn Mechanism {
    of(auto::in_use(region))
}

/// The mechanism of this kind.
pub(crate) fn of(kind: MechanismKind) -> &'static dyn Mechanism {
    match kind {
        // Under fork all but the program's own commits is as under copy on write.
        MechanismKind::CopyOnWrite | MechanismKind::Fork => &copy_on_write::CopyOnWrite,
        MechanismKind::FullCopy => &full_copy::FullCopy,
        MechanismKind::DirtyPages => &dirty_pages::DirtyPages,
        MechanismKind::UndoLog => &undo_log::UndoLog,
        // What it begins with, where there is no region to ask.
        MechanismKind::Auto => &copy_on_write::CopyOnWrite,
    }
}
