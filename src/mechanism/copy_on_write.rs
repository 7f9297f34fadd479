//! Copy on write: the transaction works on a private mapping of the last commit.
//!
//! Restoring is nothing: a crash drops the private pages. A commit travels in pieces (`stage.rs`):
//!
//! ```text
//! transaction                          daemon
//! find written pages (page table)
//! stage ← page numbers, pages
//! ask (pages, checksum, last?)   →     log ← stage; check number, order, checksum there
//! (next piece)                   ←     answer, unless it was the last
//!                                      the commit is decided (`page_log.rs`)
//!                                      close the gate; state ← log; the commit is true; open the gate
//! drop the private copies        ←     answer
//! ```
//!
//! Of many written pages, those that hold nothing by then (`arena/free.rs`) are not staged; their private copies are
//! dropped with the others, and what is behind them then is as much nobody's as what was in them.
//!
//! The daemon copies from the stage to its log *before* it checks, so that what it checked is what it applies. A
//! transaction that dies has no part in it. One that does not wait for the last answer keeps its private copies, and
//! drops those that it has not written again before its next commit.

use super::page_log::{self, PageLog, differs};
use super::stage::{self, Asked, Piece};
use super::{Mechanism, Remains, Slot, Taken, Until};
use crate::gate;
use crate::link::Refused;
use crate::mailbox::Mailbox;
use crate::point::{self, Point};
use crate::region::Region;
use crate::span::Span;
use crate::state_head::StateHead;
use crate::sys::Errno;
use crate::sys::memory::{self, Map};
use crate::sys::pagemap::Pages;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

/// Beyond so many runs of pages, dropping the private copies of the whole state at once is cheaper than run by run.
const MOST_RUNS: usize = 64;

pub(super) struct CopyOnWrite;

impl Mechanism for CopyOnWrite {
    unsafe fn enter(&self, region: &Region) -> Result<(), Errno> {
        // SAFETY: the state is the engine's, and nothing borrows from it, as the caller vouches.
        unsafe { memory::map_over(region.state_fd.as_fd(), region.parts.state, Map::CopyOnWrite) }
    }

    fn restores_by_itself(&self) -> bool {
        true
    }

    fn commit(&self, region: &Region, mailbox: &Mailbox, until: Until) -> Result<Option<u32>, Refused> {
        point::pass(Point::Stage);
        let mut piece = Piece::new(region, mailbox);
        let mut runs = Runs::default();
        stage::each_written(region, Pages::Private, false, |run| runs.add(run), |page| piece.add(page))?;
        point::pass(Point::Staged);
        if until == Until::Asked {
            return Ok(Some(piece.ask()));
        }
        piece.send(true)?;
        if until == Until::Answered {
            runs.drop_private_copies(region.parts.state);
        }
        Ok(None)
    }

    fn settle(&self, region: &Region, mailbox: &Mailbox) {
        let mut runs = Runs::default();
        stage::staged(region, mailbox, |page, staged| {
            if !differs(page, staged) {
                runs.add(page);
            }
        });
        runs.drop_some_private_copies();
    }

    fn begin(&self, region: &Region) -> Result<(), Errno> {
        // A predecessor may have died in the middle of a commit of several pieces.
        log(region).clear();
        Ok(())
    }

    fn take(&self, region: &Region, mailbox: &Mailbox) -> Result<Taken, Errno> {
        let log = log(region);
        if mailbox.first.load(Ordering::Relaxed) != 0 {
            log.clear();
        }
        if !Asked::of(region.parts.stage, mailbox).is_some_and(|asked| log.append(&asked)) {
            log.clear();
            return Ok(Taken::Refused);
        }
        if mailbox.last.load(Ordering::Relaxed) == 0 {
            return Ok(Taken::Part);
        }
        log.decide();
        apply(region, &log)?;
        Ok(Taken::Whole)
    }

    fn written(&self, _: &Region, _: bool) -> Option<usize> {
        Some(page_log::decided())
    }

    fn committed<'a>(&self, region: &'a Region) -> &'a StateHead {
        region.head()
    }

    fn restore(&self, region: &Region, _: &Remains, back: u8) -> Result<(), Errno> {
        if back == 0 {
            return Ok(());
        }
        gate::close(region)?;
        log(region).go_back(back);
        gate::open(region)
    }

    fn works_in_place(&self) -> bool {
        false
    }

    fn end(&self, _: &Region) -> Result<(), Errno> {
        Ok(())
    }

    fn recover(&self, region: &Region) -> Result<(), Errno> {
        let log = log(region);
        gate::close(region)?;
        log.finish_going_back();
        if log.is_decided() { apply(region, &log) } else { gate::open_where_committed(region) }
    }

    fn heap_locked(&self, _: &Region) -> Option<bool> {
        None
    }

    fn set_aside(&self, _: &Region) -> Option<Slot> {
        None
    }

    unsafe fn crashed_state<'a>(&self, _: &'a Region, _: Slot) -> Result<&'a [u8], Errno> {
        Err(Errno::ENOTSUP)
    }

    fn put_back(&self, _: &Region) -> bool {
        false
    }
}

/// The daemon's log: its target is the state part, which no transaction writes.
fn log(region: &Region) -> PageLog<'_> {
    PageLog::new(region.ledger(), region.parts.state, region.parts.backing, region.declaration.kept_commits)
}

/// Makes the commit that was decided true, with readers kept out.
fn apply(region: &Region, log: &PageLog<'_>) -> Result<(), Errno> {
    gate::close(region)?;
    log.apply();
    gate::open(region)
}

/// The runs of pages that a commit held, as far as they fit.
struct Runs {
    runs: [Span; MOST_RUNS],
    count: usize,
}

impl Default for Runs {
    fn default() -> Self {
        Self { runs: [Span { start: 0, len: 0 }; MOST_RUNS], count: 0 }
    }
}

impl Runs {
    fn add(&mut self, run: Span) {
        match self.runs.get_mut(..self.count).and_then(<[Span]>::last_mut) {
            Some(last) if last.end() == run.start => last.len += run.len,
            _ => {
                if let Some(free) = self.runs.get_mut(self.count) {
                    *free = run;
                }
                self.count += 1;
            }
        }
    }

    /// Drops the private copies of the runs, which equal the commit.
    fn drop_private_copies(&self, state: Span) {
        match self.runs.get(..self.count) {
            Some(_) => self.drop_some_private_copies(),
            None => drop_run(state),
        }
    }

    /// The same, of as many runs as fit.
    fn drop_some_private_copies(&self) {
        self.runs.iter().take(self.count).for_each(|run| drop_run(*run));
    }
}

fn drop_run(run: Span) {
    // A failure keeps the copies, which equal the commit: they are found and committed again, nothing worse.
    // SAFETY: the daemon has made the commit true, so what is behind the mapping equals the private copies.
    let _ = unsafe { memory::drop_private_copies(run) };
}
