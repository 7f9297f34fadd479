//! Full copy: the transaction works in place; a commit copies the whole state to one of two slots, then flips.
//!
//! ```text
//! backing:  slot 0 (a state) | slot 1 (a state) | … one for each older commit that is kept: k slots in all
//!           commit n is in slot n % k
//!
//! transaction          daemon
//! ask            →     slot (n + 1) % k ← state
//!                      ledger.commit ← n + 1           the commit is true
//! go on          ←     answer
//! ```
//!
//! What is copied, then and back, is the state without the pages that hold nothing (`arena/free.rs`).
//!
//! Slots are out of the transaction's reach: they are not mapped in it. A daemon that dies while it copies leaves
//! commit n in its slot. Restoring copies the last commit's slot back over the state, as does a fresh daemon.
//!
//! The free slot takes the crashed state when the program is to decide about it. Readers in other daemons are let in
//! between two commits only, since the state part is the transaction's working memory.

use super::page_log::differs;
use super::{Mechanism, Remains, Slot, Taken, Until, backing_to_read};
use crate::copy::{self, Way};
use crate::gate;
use crate::link::{self, Refused};
use crate::mailbox::{Mailbox, Request};
use crate::point::{self, Point};
use crate::region::Region;
use crate::span::Span;
use crate::state_head::StateHead;
use crate::sys::Errno;
use crate::sys::memory::PAGE;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) struct FullCopy;

/// The number of the slot that commit `number` lives in. There are two more than older commits are kept: for the last
/// one, and for the next.
fn place(region: &Region, number: u64) -> usize {
    // Below the number of slots.
    #[allow(clippy::cast_possible_truncation)]
    let place = (number % (region.declaration.kept_commits as u64 + 2)) as usize;
    place
}

/// The slot that commit `number` lives in.
fn slot(region: &Region, number: u64) -> Span {
    let len = region.parts.state.len;
    region.parts.backing.part(place(region, number) * len, len)
}

/// The number of the commit in whose slot the crashed state was set aside. The daemon's own.
static CRASHED: AtomicU64 = AtomicU64::new(0);

/// The most free blocks of a heap that are left out of a copy.
const MOST_BLOCKS: usize = 512;

/// Copies a state, but for its free pages, in two halves, and passes `between` in the middle, so that a fault can strike
/// there.
pub(super) fn copy_state(region: &Region, from: Span, to: Span, between: Point) {
    // SAFETY: state and slots are mapped in the daemon, and no thread of a transaction runs.
    let free = unsafe { region.free_pages(from, MOST_BLOCKS) };
    let way = Way::of(free.others(0..from.len).map(|run| run.len()).sum());
    // Runs begin and end at pages.
    let half = (from.len / 2).next_multiple_of(PAGE);
    for part in [0..half, half..from.len] {
        if part.start != 0 {
            point::pass(between);
        }
        for run in free.others(part) {
            let (from, to) = (from.part(run.start, run.len()), to.part(run.start, run.len()));
            // SAFETY: state and slots are mapped in the daemon, writable, and apart; no thread of a transaction runs.
            unsafe { copy::pages(from, to, way) };
        }
    }
}

/// Copies all pages in the same way: those of a crashed state, which its heap may be wrong about.
fn copy_all(from: Span, to: Span, between: Point) {
    let half = from.len / 2;
    for (offset, len) in [(0, half), (half, from.len - half)] {
        if offset != 0 {
            point::pass(between);
        }
        let (from, to) = (from.part(offset, len), to.part(offset, len));
        // SAFETY: state and slots are mapped in the daemon, writable, and apart; no thread of a transaction runs.
        unsafe { std::ptr::copy_nonoverlapping(from.start as *const u8, to.start as *mut u8, len) };
    }
}

fn last_commit(region: &Region) -> u64 {
    region.ledger().commit.load(Ordering::Acquire)
}

impl Mechanism for FullCopy {
    unsafe fn enter(&self, _: &Region) -> Result<(), Errno> {
        Ok(())
    }

    fn restores_by_itself(&self) -> bool {
        false
    }

    /// Waits in any case: the daemon copies what the transaction would go on writing.
    fn commit(&self, _: &Region, mailbox: &Mailbox, _: Until) -> Result<Option<u32>, Refused> {
        point::pass(Point::Stage);
        point::pass(Point::Staged);
        link::ask_and_wait(mailbox, Request::Commit, true).map(|()| None)
    }

    fn begin(&self, region: &Region) -> Result<(), Errno> {
        gate::close(region)
    }

    fn take(&self, region: &Region, _: &Mailbox) -> Result<Taken, Errno> {
        let next = last_commit(region) + 1;
        // What the slot held before is given up first.
        region.ledger().give_up_before(next, region.declaration.kept_commits);
        copy_state(region, region.parts.state, slot(region, next), Point::Apply);
        region.ledger().commit.store(next, Ordering::Release);
        gate::let_waiting_in(region)?;
        Ok(Taken::Whole)
    }

    fn written(&self, region: &Region, may_look: bool) -> Option<usize> {
        may_look.then(|| {
            let last = last_commit(region);
            let (new, old) = (slot(region, last), slot(region, last.saturating_sub(1)));
            // SAFETY: the slots are mapped in the daemon, which writes to them at the next commit only.
            let free = unsafe { region.free_pages(new, MOST_BLOCKS) };
            let pages = free.others(0..new.len).flat_map(|run| run.step_by(PAGE));
            pages.filter(|at| differs(new.part(*at, PAGE), old.part(*at, PAGE))).count()
        })
    }

    fn take_over(&self, region: &Region) {
        copy_state(region, region.parts.state, slot(region, last_commit(region)), Point::Switch);
    }

    fn committed<'a>(&self, region: &'a Region) -> &'a StateHead {
        // SAFETY: the slots are mapped in the daemon as long as the region.
        unsafe { StateHead::of(slot(region, last_commit(region))) }
    }

    fn works_in_place(&self) -> bool {
        true
    }

    fn restore(&self, region: &Region, _: &Remains, back: u8) -> Result<(), Errno> {
        let ledger = region.ledger();
        let to = ledger.before_last(back);
        if to < last_commit(region) {
            // From here on it is the last one: a daemon that dies in the copying below has a successor that restores it.
            ledger.commit.store(to, Ordering::Release);
        }
        if to > 0 {
            copy_state(region, slot(region, to), region.parts.state, Point::DaemonRestore);
        }
        Ok(())
    }

    fn give_up(&self, _: &Region, _: &Remains) -> Result<(), Errno> {
        Ok(())
    }

    fn end(&self, region: &Region) -> Result<(), Errno> {
        gate::open_where_committed(region)
    }

    fn recover(&self, region: &Region) -> Result<(), Errno> {
        gate::close(region)?;
        self.restore(region, &Remains::default(), 0)?;
        self.end(region)
    }

    fn heap_locked(&self, region: &Region) -> Option<bool> {
        region.head().arena().map(crate::arena::Arena::is_locked)
    }

    fn set_aside(&self, region: &Region) -> Option<Slot> {
        let free = last_commit(region) + 1;
        copy_all(region.parts.state, slot(region, free), Point::DaemonRestore);
        CRASHED.store(free, Ordering::Relaxed);
        Some(free)
    }

    unsafe fn crashed_state<'a>(&self, region: &'a Region, aside: Slot) -> Result<&'a [u8], Errno> {
        // SAFETY: the daemon has named a slot that is not the last commit's, and does not write it while the transaction
        // decides.
        unsafe { backing_to_read(region, slot(region, aside)) }
    }

    fn put_back(&self, region: &Region) -> bool {
        copy_all(slot(region, CRASHED.load(Ordering::Relaxed)), region.parts.state, Point::DaemonRestore);
        true
    }
}
