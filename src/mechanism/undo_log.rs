//! Undo log: the transaction works in place, and logs the old bytes of what it declares before it writes.
//!
//! After Lowell and Chen, "Free Transactions with Rio Vista" (SOSP 1997). The log is the stage, which the transaction
//! writes and which outlives it; its bytes are drawn in `undo/log.rs`, who writes what when in `undo.rs`.
//!
//! ```text
//! transaction                                       daemon
//! log ← old bytes; then write, as often as it likes
//! release the blocks whose release was put off      (their old headers go to the log as well)
//! part of n + 1 ← head of the state, no records
//! epoch ← n + 1        the commit is true           sleeps
//! ```
//!
//! No system call, no word to the daemon: that is what the fifth law is given up for. A transaction can write over its
//! log, and then there is no way back. That is found, by seals and sums: the state is then lost, the daemon ends by an
//! abort that says so, and the root makes it again with a state made anew, unless its policy says otherwise.
//!
//! Restoring is the daemon's: it copies old bytes back, newest first, then the head, then empties the log. Whoever dies in
//! the middle of it is succeeded by one that begins again. To go back farther is to roll back one epoch after the other;
//! each older commit that is kept has a part of its own in the log. The ledger's `back_to` says how far, until that is done.
//!
//! A crashed state that the program wants to read is copied to the backing; where it is to be kept, the ledger's
//! `putting_back` says so until it is copied back and committed.
//!
//! Readers in other daemons are let in between two transactions only: the state part is the transaction's working memory,
//! and the daemon does not know of commits.

use super::page_log::copy;
use super::{Mechanism, Remains, Slot, Taken, Until, backing_to_read};
use crate::arena;
use crate::failure::Failure;
use crate::gate;
use crate::link::Refused;
use crate::mailbox::Mailbox;
use crate::panics;
use crate::point::{self, Point};
use crate::region::Region;
use crate::state_head::StateHead;
use crate::sys::Errno;
use crate::text::Text;
use crate::undo::{self, Damage, check};
use std::sync::atomic::Ordering;

pub(super) struct UndoLog;

/// Takes note of the commits that the transaction has made since this was looked at last.
fn look(region: &Region) {
    let (ledger, log) = (region.ledger(), undo::of(region));
    let epoch = log.epoch();
    if log.is_sealed(epoch) {
        ledger.oldest.fetch_max(log.oldest(epoch), Ordering::Relaxed);
        ledger.commit.store(epoch, Ordering::Release);
    }
}

/// Puts the last commit in place, or the one that is `back` before it, or the oldest that is kept.
fn roll_back(region: &Region, back: u8) {
    let (log, ledger) = (undo::of(region), region.ledger());
    let known = ledger.commit.load(Ordering::Relaxed);
    if let Err(damage) = log.check(log.epoch().max(known)) {
        return lose(region, damage);
    }
    look(region);
    let last = log.epoch();
    let to = ledger.before_last(back);
    if to < last {
        ledger.back_to.store(to, Ordering::Release);
    }
    roll_back_to(region, to);
}

/// Puts commit `to` in place. May die at any instruction and be called again.
fn roll_back_to(region: &Region, to: u64) {
    let (log, ledger) = (undo::of(region), region.ledger());
    let mut passed = false;
    let between = || {
        if !std::mem::replace(&mut passed, true) {
            point::pass(Point::DaemonRestore);
        }
    };
    // Never ahead of the log's own number.
    ledger.commit.store(to, Ordering::Release);
    if let Err(damage) = log.check(to).and_then(|()| log.roll_back(to, between)) {
        return lose(region, damage);
    }
    ledger.back_to.store(0, Ordering::Release);
}

/// Makes the present state a commit, in the daemon.
fn commit_present(region: &Region) {
    let log = undo::of(region);
    region.head().forget_the_end();
    let epoch = log.epoch();
    log.prepare(epoch);
    log.flip(epoch);
    look(region);
}

/// Puts the state that was set aside in place, and commits it. May die at any instruction and be called again.
fn put_back(region: &Region) {
    region.ledger().putting_back.store(1, Ordering::Release);
    copy(region.parts.backing, region.parts.state);
    point::pass(Point::DaemonRestore);
    // What was copied over is in no log: older commits are gone, and what was to be released with them is.
    let (log, ledger) = (undo::of(region), region.ledger());
    ledger.oldest.store(log.epoch() + 1, Ordering::Relaxed);
    log.forget_records();
    commit_present(region);
    ledger.putting_back.store(0, Ordering::Release);
}

/// There is no commit to go back to any more: forgets what there is, and ends this daemon with the reason. Where nothing
/// was committed yet, nothing is lost.
fn lose(region: &Region, damage: Damage) {
    let ledger = region.ledger();
    let had_commits = ledger.commit.swap(0, Ordering::Release) > 0;
    for word in [&ledger.oldest, &ledger.back_to, &ledger.putting_back] {
        word.store(0, Ordering::Relaxed);
    }
    undo::of(region).forget();
    if had_commits {
        panics::abort(Text::display(&format_args!("{damage}; the state is lost, and is made anew")));
    }
}

impl Mechanism for UndoLog {
    unsafe fn enter(&self, _: &Region) -> Result<(), Errno> {
        Ok(())
    }

    fn restores_by_itself(&self) -> bool {
        false
    }

    fn start(&self, region: &Region) {
        undo::start(region, undo::of(region));
        check::start(region);
    }

    fn before_made_anew(&self, region: &Region) {
        undo::before_made_anew(region);
    }

    fn examine(&self, region: &Region) -> Result<(), Failure> {
        check::examine(region)
    }

    fn commits_by_itself(&self) -> bool {
        true
    }

    fn commit(&self, region: &Region, _: &Mailbox, _: Until) -> Result<Option<u32>, Refused> {
        undo::commit(region)
    }

    fn begin(&self, region: &Region) -> Result<(), Errno> {
        gate::close(region)?;
        // What a policy did not want restored is gone back from all the same: it will be made anew, or it is a commit.
        roll_back(region, 0);
        Ok(())
    }

    fn take(&self, _: &Region, _: &Mailbox) -> Result<Taken, Errno> {
        // Nobody asks for that.
        Ok(Taken::Refused)
    }

    fn committed<'a>(&self, region: &'a Region) -> &'a StateHead {
        look(region);
        undo::of(region).committed()
    }

    fn works_in_place(&self) -> bool {
        true
    }

    fn restore(&self, region: &Region, _: &Remains, back: u8) -> Result<(), Errno> {
        roll_back(region, back);
        Ok(())
    }

    fn keep(&self, region: &Region) {
        undo::release_freed(region, false);
        commit_present(region);
    }

    fn commits_what_is_kept(&self) -> bool {
        true
    }

    fn end(&self, region: &Region) -> Result<(), Errno> {
        look(region);
        gate::open_where_committed(region)
    }

    fn recover(&self, region: &Region) -> Result<(), Errno> {
        if !arena::is_possible() {
            return Err(Errno::ENOTSUP);
        }
        gate::close(region)?;
        let ledger = region.ledger();
        match ledger.back_to.load(Ordering::Acquire) {
            0 if ledger.putting_back.load(Ordering::Acquire) == 1 => put_back(region),
            0 => roll_back(region, 0),
            to => roll_back_to(region, to),
        }
        self.end(region)
    }

    fn heap_locked(&self, region: &Region) -> Option<bool> {
        region.head().arena().map(arena::Arena::is_locked)
    }

    fn set_aside(&self, region: &Region) -> Option<Slot> {
        undo::release_freed(region, true);
        copy(region.parts.state, region.parts.backing);
        Some(0)
    }

    unsafe fn crashed_state<'a>(&self, region: &'a Region, _: Slot) -> Result<&'a [u8], Errno> {
        // SAFETY: the daemon does not write to it while the transaction decides.
        unsafe { backing_to_read(region, region.parts.backing) }
    }

    fn put_back(&self, region: &Region) -> bool {
        put_back(region);
        true
    }
}
