//! Dirty pages: the transaction works in place; a commit copies the pages that it has written since the one before.
//!
//! ```text
//! backing:  shadow (the last commit) | log, and what it overwrites (`page_log.rs`; its target is the shadow)
//!
//! transaction                              daemon
//! `protects` ← 1 (mailbox)
//! find and protect the pages that it has
//!   touched and that are not (page table)
//! stage ← their numbers
//! ask                                 →    those that differ from the shadow: log ← state
//!                                          the commit is decided; shadow ← log; the commit is true
//! go on                               ←    `protects` ← 0; answer
//! ```
//!
//! **Who knows what was written.** The kernel does, in the page table of the process that wrote
//! (`sys/userfaultfd.rs`, `sys/pagemap.rs`). A fresh incarnation's table is empty, so nothing is protected ahead: what it
//! touches is found, and what it has only read is sorted out by the comparison. A commit finds and protects in one step,
//! since a walk through the page table is half of a small commit's time. From then on until its commit is true, what is
//! protected may have been written all the same; so whoever looks meanwhile, for a restore or after a refusal, looks at
//! all that the process has touched. A word in its mailbox says so. A wild write can take it back; but until a commit is
//! asked for runs nothing but its own code, and a request is finished first. What is not seen is one that wipes out word
//! and request of a commit that nobody waits for.
//!
//! A kernel that cannot track (before Linux 6.7, or a filter refuses) protects nothing: then each commit finds all that
//! the incarnation ever touched. The comparison makes that right, and the code is the same.
//!
//! **Restoring** copies the pages that the dead incarnation had written back from the shadow. The daemon reads them from
//! its page table as long as that is there: a process that told of its crash lingers until it has been read, a keeper
//! holds the table of one that was killed. An empty table says nothing; so the first page of the state, which every
//! incarnation touches, must still be there when all has been read (tables are torn down in ascending order). Else
//! everything is compared. A process that fails in order tells what it wrote before it exits.
//!
//! Of many pages that it has touched, those that hold nothing by then (`arena/free.rs`) are not listed; so the shadow's
//! may differ from the state's, which nobody reads.
//!
//! Without waiting, a transaction stages the pages too (`stage.rs`), asks, and goes on. Where a reader in another daemon
//! waits, it waits all the same, so that the reader gets in.

use super::full_copy::copy_state;
use super::page_log::{self, PageLog, copy, differs};
use super::stage::{self, Asked, Piece};
use super::{Mechanism, Remains, Slot, Taken, Until, backing_to_read};
use crate::arena::Arena;
use crate::copy::fetch;
use crate::gate;
use crate::link::{self, Refused};
use crate::mailbox::{Mailbox, Request};
use crate::point::{self, Point};
use crate::region::Region;
use crate::span::Span;
use crate::state_head::StateHead;
use crate::sys::memory::PAGE;
use crate::sys::pagemap::{Pagemap, Pages};
use crate::sys::{Errno, userfaultfd};
use std::mem::ManuallyDrop;
use std::os::fd::IntoRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

pub(super) struct DirtyPages;

/// Whether the next commit has to compare everything: the state holds what no living process wrote. The daemon's own.
static UNKNOWN: AtomicBool = AtomicBool::new(false);

/// The last commit.
fn shadow(region: &Region) -> Span {
    region.parts.backing.part(0, region.parts.state.len)
}

fn log(region: &Region) -> PageLog<'_> {
    let shadow = shadow(region);
    PageLog::new(region.ledger(), shadow, region.parts.backing.behind(shadow.len), region.declaration.kept_commits)
}

impl Mechanism for DirtyPages {
    unsafe fn enter(&self, region: &Region) -> Result<(), Errno> {
        if let Ok(tracker) = userfaultfd::track(region.parts.state) {
            // Open as long as the process lives.
            let _ = tracker.into_raw_fd();
        }
        Ok(())
    }

    fn ready(&self, region: &Region) {
        // Where it fails they are compared.
        let protect = |table: ManuallyDrop<Pagemap>| table.find_and_protect(Pages::Touched, region.parts.state, |_| {});
        let _ = Pagemap::own().and_then(protect);
    }

    fn restores_by_itself(&self) -> bool {
        false
    }

    fn lingers(&self) -> bool {
        true
    }

    fn commit(&self, region: &Region, mailbox: &Mailbox, until: Until) -> Result<Option<u32>, Refused> {
        point::pass(Point::Stage);
        let (pages, protects) = (to_be_found(mailbox), until != Until::LastOfAll);
        if protects {
            mailbox.protects.store(1, Ordering::Release);
        }
        // Readers get in where this process waits, which writes to the state part else.
        if until == Until::Asked && !region.may_be_swapped && !gate::is_awaited(region) {
            let mut piece = Piece::new(region, mailbox);
            stage::each_written(region, pages, protects, |_| {}, |page| piece.add(page))?;
            point::pass(Point::Staged);
            return Ok(Some(piece.ask()));
        }
        let mut list = List::new(region, mailbox);
        let add = |at| list.add(Span { start: at, len: PAGE });
        stage::each_written(region, pages, protects, |_| {}, add)?;
        point::pass(Point::Staged);
        list.send(true).map(|()| None)
    }

    fn leave(&self, region: &Region, mailbox: &Mailbox) {
        let mut list = List::new(region, mailbox);
        let listed = Pagemap::own().and_then(|table| {
            let mut fits = true;
            table.find(to_be_found(mailbox), region.parts.state, |run| {
                fits = fits && list.fits(run) && list.add(run).is_ok()
            })?;
            if fits { Ok(()) } else { Err(Errno::ENOSPC) }
        });
        if listed.is_ok() {
            mailbox.written.store(list.count + 1, Ordering::Release);
        }
    }

    fn begin(&self, region: &Region) -> Result<(), Errno> {
        log(region).clear();
        gate::close(region)
    }

    fn take(&self, region: &Region, mailbox: &Mailbox) -> Result<Taken, Errno> {
        let log = log(region);
        if mailbox.first.load(Ordering::Relaxed) != 0 {
            log.clear();
        }
        let in_place = mailbox.request.load(Ordering::Relaxed) == Request::CommitInPlace as u32;
        let count = mailbox.pages.load(Ordering::Relaxed);
        let taken = if in_place {
            append_listed(region, &log, count)
        } else {
            Asked::of(region.parts.stage, mailbox).is_some_and(|asked| log.append(&asked))
        };
        if !taken {
            log.clear();
            // It may have been protected already.
            UNKNOWN.store(true, Ordering::Relaxed);
            return Ok(Taken::Refused);
        }
        if mailbox.last.load(Ordering::Relaxed) == 0 {
            return Ok(Taken::Part);
        }
        if in_place && (UNKNOWN.load(Ordering::Relaxed) || region.may_be_swapped) {
            log.clear();
            (0..region.parts.state.len / PAGE).all(|number| log.append_changed(number, region.parts.state));
            UNKNOWN.store(false, Ordering::Relaxed);
        }
        log.decide();
        log.apply();
        mailbox.protects.store(0, Ordering::Release);
        if in_place {
            gate::let_waiting_in(region)?;
        }
        Ok(Taken::Whole)
    }

    fn written(&self, _: &Region, _: bool) -> Option<usize> {
        Some(page_log::decided())
    }

    fn take_over(&self, region: &Region) {
        copy_state(region, region.parts.state, shadow(region), Point::Switch);
        UNKNOWN.store(false, Ordering::Relaxed);
    }

    fn committed<'a>(&self, region: &'a Region) -> &'a StateHead {
        // SAFETY: the shadow is mapped in the daemon as long as the region.
        unsafe { StateHead::of(shadow(region)) }
    }

    fn restore(&self, region: &Region, remains: &Remains, back: u8) -> Result<(), Errno> {
        let log = log(region);
        log.clear();
        let known = put_back_written(region, remains);
        point::pass(Point::DaemonRestore);
        // An older commit may need pages that were free in a newer one, and that nobody counts as written since.
        let went_back = log.go_back(back);
        if !known || went_back || UNKNOWN.swap(false, Ordering::Relaxed) || region.may_be_swapped {
            put_back(region, region.parts.state);
        }
        Ok(())
    }

    fn works_in_place(&self) -> bool {
        true
    }

    fn keep(&self, _: &Region) {
        UNKNOWN.store(true, Ordering::Relaxed);
    }

    fn end(&self, region: &Region) -> Result<(), Errno> {
        gate::open_where_committed(region)
    }

    fn recover(&self, region: &Region) -> Result<(), Errno> {
        gate::close(region)?;
        let log = log(region);
        log.finish_going_back();
        if log.is_decided() {
            log.apply();
        }
        put_back(region, region.parts.state);
        self.end(region)
    }

    fn heap_locked(&self, region: &Region) -> Option<bool> {
        region.head().arena().map(Arena::is_locked)
    }

    fn set_aside(&self, region: &Region) -> Option<Slot> {
        copy(region.parts.state, log(region).bodies());
        Some(0)
    }

    unsafe fn crashed_state<'a>(&self, region: &'a Region, _: Slot) -> Result<&'a [u8], Errno> {
        let len = region.parts.state.len;
        let bodies = page_log::bodies(region.parts.backing.behind(len), len);
        // SAFETY: the daemon does not write the log while the transaction decides.
        unsafe { backing_to_read(region, bodies) }
    }

    fn put_back(&self, region: &Region) -> bool {
        copy(log(region).bodies(), region.parts.state);
        UNKNOWN.store(true, Ordering::Relaxed);
        true
    }
}

/// Which pages of a process may differ from the last commit, apart from those that no process has written: those that it
/// has touched and that are not protected; while it is making a commit, or was refused one, all that it has touched.
fn to_be_found(mailbox: &Mailbox) -> Pages {
    if mailbox.protects.load(Ordering::Acquire) == 0 { Pages::Touched } else { Pages::Present }
}

/// Adds those of the pages that a transaction has listed to the log that differ from the shadow. The list is in memory
/// that it can write: each number is read once, then checked.
fn append_listed(region: &Region, log: &PageLog<'_>, count: u32) -> bool {
    listed(region, count).all(|number| log.append_changed(number, region.parts.state))
}

/// The numbers that the stage lists, as many as fit into it.
fn listed(region: &Region, count: u32) -> impl Iterator<Item = usize> {
    let stage = region.parts.stage;
    (0..(count as usize).min(stage.len / size_of::<u32>())).map(move |i| {
        let at = (stage.start + i * size_of::<u32>()) as *const AtomicU32;
        // SAFETY: the stage is mapped, aligned, and as long; whatever it holds is a number.
        unsafe { &*at }.load(Ordering::Relaxed) as usize
    })
}

/// Copies those pages of a run of the state that differ from the shadow back from it.
fn put_back(region: &Region, run: Span) {
    let (state, shadow) = (region.parts.state, shadow(region));
    for at in (run.start..run.end()).step_by(PAGE) {
        let page = Span { start: at, len: PAGE };
        let committed = shadow.part(at - state.start, PAGE);
        if differs(page, committed) {
            copy(committed, page);
        }
    }
}

/// Puts back what the dead transaction has written. False where not all of that is known.
fn put_back_written(region: &Region, remains: &Remains) -> bool {
    if let Some(count) = remains.listed {
        let state = region.parts.state;
        let pages = listed(region, count).filter(|number| *number < state.len / PAGE);
        pages.for_each(|number| put_back(region, state.part(number * PAGE, PAGE)));
        return true;
    }
    let pages = to_be_found(region.seat(remains.seat));
    let put_back = |table: &Pagemap| put_back_found(region, table, pages).unwrap_or(false);
    remains.table.as_ref().is_some_and(put_back)
        || [remains.process, remains.keeper]
            .into_iter()
            .flatten()
            .any(|pid| Pagemap::of(pid).is_ok_and(|table| put_back(&table)))
}

/// The same by a page table. False where that is gone, or went meanwhile.
fn put_back_found(region: &Region, table: &Pagemap, pages: Pages) -> Result<bool, Errno> {
    let state = region.parts.state;
    // One run behind, so that a run's first lines come while the one before is copied.
    let mut before = None;
    let put_back_before = |run: Span| {
        fetch(run);
        fetch(shadow(region).part(run.start - state.start, run.len));
        before.replace(run).into_iter().for_each(|run| put_back(region, run));
    };
    table.find(pages, state, put_back_before)?;
    before.into_iter().for_each(|run| put_back(region, run));
    let mut is_there = false;
    table.find(Pages::Present, state.part(0, PAGE), |_| is_there = true)?;
    Ok(is_there)
}

/// The numbers of the pages of a commit, listed in the stage; in the transaction.
struct List<'a> {
    region: &'a Region,
    mailbox: &'a Mailbox,
    count: u32,
    is_first: bool,
}

impl<'a> List<'a> {
    fn new(region: &'a Region, mailbox: &'a Mailbox) -> Self {
        Self { region, mailbox, count: 0, is_first: true }
    }

    /// Whether there is room for the pages of `run`.
    fn fits(&self, run: Span) -> bool {
        self.count as usize + run.len / PAGE <= self.region.parts.stage.len / size_of::<u32>()
    }

    /// Lists the pages of `run`; has the daemon take the list first where it is full.
    fn add(&mut self, run: Span) -> Result<(), Refused> {
        for at in (run.start..run.end()).step_by(PAGE) {
            if !self.fits(Span { start: at, len: PAGE }) {
                self.send(false)?;
                (self.count, self.is_first) = (0, false);
            }
            // A state has less than 2^32 pages: it is declared smaller.
            #[allow(clippy::cast_possible_truncation)]
            let number = ((at - self.region.parts.state.start) / PAGE) as u32;
            let place = (self.region.parts.stage.start + self.count as usize * size_of::<u32>()) as *const AtomicU32;
            // SAFETY: there is room for it, as asked above; the stage is mapped, writable and aligned.
            unsafe { &*place }.store(number, Ordering::Relaxed);
            self.count += 1;
        }
        Ok(())
    }

    /// Has the daemon take what is listed.
    fn send(&self, last: bool) -> Result<(), Refused> {
        self.mailbox.pages.store(self.count, Ordering::Relaxed);
        self.mailbox.first.store(self.is_first.into(), Ordering::Relaxed);
        link::ask_and_wait(self.mailbox, Request::CommitInPlace, last)
    }
}
