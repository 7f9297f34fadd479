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
//! the middle of it is succeeded by one that begins again. Where more than the log is needed to know how to go on, the
//! ledger's `under_way` says it:
//!
//! ```text
//! 0        roll back the epoch that the log is in
//! 1        the backing holds a whole state: copy it over the present one, and commit that
//! 2 + n    roll back until commit n
//! ```
//!
//! Readers in other daemons are let in between two transactions only: the state part is the transaction's working memory,
//! and the daemon does not know of commits.

use super::{Mechanism, Slot, Taken};
use crate::arena;
use crate::failure::Failure;
use crate::gate;
use crate::link::Refused;
use crate::mailbox::Mailbox;
use crate::panics;
use crate::point::{self, Point};
use crate::region::{Region, StateHead};
use crate::span::Span;
use crate::sys::Errno;
use crate::sys::memory::{self, Map};
use crate::text::Text;
use crate::undo::log::Damage;
use crate::undo::{self, check};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

pub(super) struct UndoLog;

/// [`Ledger::under_way`](crate::region::Ledger): the backing is put in place.
const PUTTING_BACK: u64 = 1;
/// [`Ledger::under_way`](crate::region::Ledger): this, and the number of a commit to roll back to.
const GOING_BACK: u64 = 2;

fn copy(from: Span, to: Span) {
    // SAFETY: state and backing are mapped in the daemon, writable, as long as each other and apart; no thread of a
    // transaction runs.
    unsafe { std::ptr::copy_nonoverlapping(from.start as *const u8, to.start as *mut u8, to.len) };
}

/// Counts the commits that the transaction has made since the daemon looked last.
fn count(region: &Region) {
    let (ledger, epoch) = (region.ledger(), undo::of(region).epoch());
    let new = epoch.saturating_sub(ledger.logged.load(Ordering::Relaxed));
    ledger.commit.fetch_add(new, Ordering::Relaxed);
    ledger.logged.store(epoch, Ordering::Relaxed);
}

/// Puts the commit `back` before the last one in place.
fn roll_back(region: &Region, back: u64) {
    let (log, ledger) = (undo::of(region), region.ledger());
    if let Err(damage) = log.check(ledger.logged.load(Ordering::Relaxed), back) {
        return lose(region, damage);
    }
    count(region);
    let first = log.epoch() - back;
    if back > 0 {
        ledger.under_way.store(GOING_BACK + first, Ordering::Release);
        // Before the log's own number, which must never be behind it.
        ledger.logged.store(first, Ordering::Release);
    }
    let mut passed = false;
    let between = || {
        if !std::mem::replace(&mut passed, true) {
            point::pass(Point::DaemonRestore);
        }
    };
    if let Err(damage) = log.roll_back(back, between) {
        return lose(region, damage);
    }
    ledger.under_way.store(0, Ordering::Release);
}

/// Makes the present state a commit, in the daemon. What the transaction said of its end is not true of it.
fn commit_present(region: &Region) {
    let (log, head) = (undo::of(region), region.head());
    head.done.store(0, Ordering::Relaxed);
    head.result.store(0, Ordering::Relaxed);
    let epoch = log.epoch();
    log.prepare(epoch);
    log.flip(epoch);
    count(region);
}

/// Puts the state that was set aside in place, and commits it. May die at any instruction and be called again.
fn put_back(region: &Region) {
    region.ledger().under_way.store(PUTTING_BACK, Ordering::Release);
    copy(region.parts.backing, region.parts.state);
    point::pass(Point::DaemonRestore);
    commit_present(region);
    region.ledger().under_way.store(0, Ordering::Release);
}

/// There is no commit to go back to any more: forgets what there is, and ends this daemon with the reason. Where nothing
/// was committed yet, nothing is lost.
fn lose(region: &Region, damage: Damage) {
    let ledger = region.ledger();
    let had_commits = ledger.commit.swap(0, Ordering::Release) > 0;
    ledger.logged.store(0, Ordering::Relaxed);
    ledger.under_way.store(0, Ordering::Relaxed);
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

    fn commit(&self, region: &Region, _: &Mailbox, _: bool) -> Result<(), Refused> {
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
        undo::of(region).committed()
    }

    fn works_in_place(&self) -> bool {
        true
    }

    fn restore(&self, region: &Region, back: u8) {
        roll_back(region, u64::from(back).min(undo::of(region).kept()));
    }

    fn keep(&self, region: &Region) {
        undo::release_freed(region);
        commit_present(region);
    }

    fn end(&self, region: &Region) -> Result<(), Errno> {
        count(region);
        if region.ledger().commit.load(Ordering::Acquire) > 0 { gate::open(region) } else { Ok(()) }
    }

    fn recover(&self, region: &Region) -> Result<(), Errno> {
        if !arena::is_possible() {
            return Err(Errno::ENOTSUP);
        }
        gate::close(region)?;
        let under_way = region.ledger().under_way.load(Ordering::Acquire);
        match under_way.checked_sub(GOING_BACK) {
            Some(commit) => roll_back(region, undo::of(region).epoch().saturating_sub(commit)),
            None if under_way == PUTTING_BACK => put_back(region),
            None => roll_back(region, 0),
        }
        self.end(region)
    }

    fn heap_locked(&self, region: &Region) -> Option<bool> {
        region.head().arena().map(arena::Arena::is_locked)
    }

    fn set_aside(&self, region: &Region) -> Option<Slot> {
        undo::release_freed(region);
        copy(region.parts.state, region.parts.backing);
        Some(0)
    }

    unsafe fn crashed_state<'a>(&self, region: &'a Region, _: Slot) -> Result<&'a [u8], Errno> {
        // The backing's place is free in a transaction.
        let backing = region.parts.backing;
        memory::map_new(region.backing_fd.as_fd(), backing, Map::ReadOnly)?;
        // SAFETY: mapped above, to be read; the daemon does not write to it while the transaction decides.
        Ok(unsafe { std::slice::from_raw_parts(backing.start as *const u8, backing.len) })
    }

    fn put_back(&self, region: &Region) -> bool {
        put_back(region);
        true
    }
}
