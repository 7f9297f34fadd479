//! Fork: a commit is a process. The transaction forks, the fork goes on, and the process that it was forked from is
//! frozen with the state, the stack and the locals of that moment.
//!
//! ```text
//! transaction A                     B                                daemon
//! commit: names a seat
//!   fork ──────────────────────▶    dies with the daemon
//!   freezes                         commit returns            ──▶    follows B; keeps A; ends the oldest kept but for
//!                                   works                            `depth` of them
//!                                   crash                     ──▶    decides; orders A, or one before it
//!   fork ───────────────────────────────────▶ C
//!   freezes                                   commit returns again, with the crash
//!                                             the last commit ──▶    logs and applies it, as under copy on write; ends
//!                                                                    all that are kept
//! ```
//!
//! The state is a private mapping of the daemon's last commit, as under copy on write, and all that is not a fork is done
//! as there: the commit of a state that was made, of what was decided about it, and the last one, with all pages that were
//! written since the transaction began. So is the commit of a process that cannot fork. A commit through the daemon is
//! newer than every frozen process, and ends them: at each moment the commits are the daemon's last one, and behind it the
//! frozen processes, oldest first.
//!
//! What it gives up: between two commits through the daemon the commits live in processes alone. A daemon that dies loses
//! what its transaction did, and so does an answer that ends the transaction's process for good, unless the newest frozen
//! process can *hand in* its state first: it makes a commit of it through the daemon, and ends. That is done where the
//! policy or the program gives up, where the transaction fails, where the daemon is to be restarted, and where the program's
//! own code decides: it may change the state, which the frozen stack borrows, so it is asked in a fresh process.

use super::copy_on_write::CopyOnWrite;
use super::{Mechanism, Remains, Slot, Taken, Until};
use crate::link::Refused;
use crate::mailbox::Mailbox;
use crate::region::Region;
use crate::state_head::StateHead;
use crate::sys::Errno;

/// What this adds to copy on write is in `frozen.rs` and, in the daemon, in `checkpoints.rs`.
pub(super) struct Fork;

impl Mechanism for Fork {
    unsafe fn enter(&self, region: &Region) -> Result<(), Errno> {
        // SAFETY: as the caller vouches.
        unsafe { CopyOnWrite.enter(region) }
    }

    fn restores_by_itself(&self) -> bool {
        CopyOnWrite.restores_by_itself()
    }

    fn forks(&self) -> bool {
        true
    }

    fn commit(&self, region: &Region, mailbox: &Mailbox, until: Until) -> Result<Option<u32>, Refused> {
        CopyOnWrite.commit(region, mailbox, until)
    }

    fn begin(&self, region: &Region) -> Result<(), Errno> {
        CopyOnWrite.begin(region)
    }

    fn take(&self, region: &Region, mailbox: &Mailbox) -> Result<Taken, Errno> {
        CopyOnWrite.take(region, mailbox)
    }

    fn committed<'a>(&self, region: &'a Region) -> &'a StateHead {
        CopyOnWrite.committed(region)
    }

    fn restore(&self, region: &Region, remains: &Remains, back: u8) -> Result<(), Errno> {
        CopyOnWrite.restore(region, remains, back)
    }

    fn works_in_place(&self) -> bool {
        CopyOnWrite.works_in_place()
    }

    fn end(&self, region: &Region) -> Result<(), Errno> {
        CopyOnWrite.end(region)
    }

    fn recover(&self, region: &Region) -> Result<(), Errno> {
        CopyOnWrite.recover(region)
    }

    fn heap_locked(&self, region: &Region) -> Option<bool> {
        CopyOnWrite.heap_locked(region)
    }

    fn set_aside(&self, region: &Region) -> Option<Slot> {
        CopyOnWrite.set_aside(region)
    }

    unsafe fn crashed_state<'a>(&self, region: &'a Region, slot: Slot) -> Result<&'a [u8], Errno> {
        // SAFETY: as the caller vouches.
        unsafe { CopyOnWrite.crashed_state(region, slot) }
    }

    fn put_back(&self, region: &Region) -> bool {
        CopyOnWrite.put_back(region)
    }
}
