//! Copy on write: the transaction works on a private mapping of the last commit.
//!
//! Restoring is nothing: a crash drops the private pages. A commit travels in pieces of at most [`STAGE_PAGES`]:
//!
//! ```text
//! transaction                          daemon
//! find written pages (page table)
//! stage ← page numbers, pages
//! ask (pages, checksum, last?)   →     check number, order, checksum
//!                                      log ← page numbers, pages
//! (next piece)                   ←     answer, unless it was the last
//!                                      ledger.logged ← n + 1      the commit is decided: it will become true
//!                                      close the gate; state ← log; open the gate
//!                                      ledger.commit ← n + 1      the commit is true
//! drop the private copies        ←     answer
//! ```
//!
//! The daemon copies from the stage to its log *before* it checks, so that what it checked is what it applies. A
//! daemon that dies before `logged` leaves commit n; after it, its successor applies the log (once more: applying is
//! idempotent) before anybody sees the state. A transaction that dies has no part in it.
//!
//! ```text
//! log:    u32 page numbers, one for each page of the state, rounded up to a page | the pages, in the same order
//! stage:  u32 page numbers × STAGE_PAGES                                         | the pages, in the same order
//! ```

use super::{Mechanism, Slot, Taken};
use crate::gate;
use crate::link::{self, Refused};
use crate::mailbox::{Mailbox, Request};
use crate::mechanism_kind::{STAGE_PAGES, STAGE_TABLE, log_table};
use crate::point::{self, Point};
use crate::region::{Region, StateHead};
use crate::span::Span;
use crate::sys::Errno;
use crate::sys::memory::{self, Map, PAGE};
use crate::sys::pagemap::Pagemap;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering, compiler_fence};

/// Beyond so many runs of pages, dropping the private copies of the whole state at once is cheaper than run by run.
const MOST_RUNS: usize = 64;

/// How many pages of the commit under way the log holds. The daemon's own; a successor starts with an empty log.
static LOG_FILLED: AtomicUsize = AtomicUsize::new(0);

pub(super) struct CopyOnWrite;

impl Mechanism for CopyOnWrite {
    unsafe fn enter(&self, region: &Region) -> Result<(), Errno> {
        // SAFETY: the state is the engine's, and nothing borrows from it, as the caller vouches.
        unsafe { memory::map_over(region.state_fd.as_fd(), region.parts.state, Map::CopyOnWrite) }
    }

    fn restores_by_itself(&self) -> bool {
        true
    }

    fn commit(&self, region: &Region, mailbox: &Mailbox, last_of_all: bool) -> Result<(), Refused> {
        point::pass(Point::Stage);
        let state = region.parts.state;
        let mut piece = Piece::new(region, mailbox);
        let mut runs = Runs::default();
        let mut refused = false;
        let listed = Pagemap::open().and_then(|table| {
            table.written(state, |run| {
                runs.add(run);
                for at in (run.start..run.end()).step_by(PAGE) {
                    refused |= !refused && piece.add(at).is_err();
                }
            })
        });
        if refused || listed.is_err() {
            return Err(Refused);
        }
        point::pass(Point::Staged);
        piece.ask(true)?;
        if !last_of_all {
            runs.drop_private_copies(state);
        }
        Ok(())
    }

    fn begin(&self, _: &Region) -> Result<(), Errno> {
        // A predecessor may have died in the middle of a commit of several pieces. Seldom: to write each time would copy
        // the page that the fork has left, on the recovery path.
        if LOG_FILLED.load(Ordering::Relaxed) != 0 {
            LOG_FILLED.store(0, Ordering::Relaxed);
        }
        Ok(())
    }

    fn take(&self, region: &Region, mailbox: &Mailbox) -> Result<Taken, Errno> {
        let filled = LOG_FILLED.load(Ordering::Relaxed);
        let pages = mailbox.pages.load(Ordering::Relaxed) as usize;
        let (state, log, stage) = (region.parts.state, region.parts.backing, region.parts.stage);
        let most = state.len / PAGE;
        if pages > STAGE_PAGES || pages > most - filled {
            return Ok(Taken::Refused);
        }
        let table = log_table(state.len);
        let numbers = log.part(filled * size_of::<u32>(), pages * size_of::<u32>());
        let bodies = log.part(table + filled * PAGE, pages * PAGE);
        copy(stage.part(0, numbers.len), numbers);
        copy(stage.part(STAGE_TABLE, bodies.len), bodies);
        let previous = match filled {
            0 => None,
            _ => Some(log_numbers(log, filled)[filled - 1]),
        };
        let sum = checksum(bytes(numbers), bytes(bodies));
        let ascending = log_numbers(log, filled + pages)[filled..]
            .iter()
            .try_fold(previous, |previous, &number| {
                let follows = previous.is_none_or(|previous| number > previous) && (number as usize) < most;
                follows.then_some(Some(number))
            })
            .is_some();
        if !ascending || sum != mailbox.checksum.load(Ordering::Relaxed) {
            LOG_FILLED.store(0, Ordering::Relaxed);
            return Ok(Taken::Refused);
        }
        LOG_FILLED.store(filled + pages, Ordering::Relaxed);
        if mailbox.last.load(Ordering::Relaxed) == 0 {
            return Ok(Taken::Part);
        }
        let ledger = region.ledger();
        // The number of pages travels with the log: a page number behind the last one ends it.
        end_log(log, filled + pages, most);
        ledger.logged.store(ledger.commit.load(Ordering::Relaxed) + 1, Ordering::Release);
        self.apply_log(region)?;
        LOG_FILLED.store(0, Ordering::Relaxed);
        Ok(Taken::Whole)
    }

    fn committed<'a>(&self, region: &'a Region) -> &'a StateHead {
        region.head()
    }

    fn restore(&self, _: &Region, _: u8) {}

    fn works_in_place(&self) -> bool {
        false
    }

    fn end(&self, _: &Region) -> Result<(), Errno> {
        Ok(())
    }

    fn recover(&self, region: &Region) -> Result<(), Errno> {
        let ledger = region.ledger();
        let commit = ledger.commit.load(Ordering::Acquire);
        if ledger.logged.load(Ordering::Acquire) == commit + 1 {
            self.apply_log(region)?;
        } else if commit > 0 {
            gate::open(region)?;
        }
        Ok(())
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

impl CopyOnWrite {
    /// Makes the commit that the log holds true.
    fn apply_log(&self, region: &Region) -> Result<(), Errno> {
        let (state, log) = (region.parts.state, region.parts.backing);
        let ledger = region.ledger();
        // The decision (`logged`) comes first, for the compiler too; a process that dies loses no store that it made.
        compiler_fence(Ordering::SeqCst);
        gate::close(region)?;
        let most = state.len / PAGE;
        let table = log_table(state.len);
        for (i, &number) in log_numbers(log, most).iter().enumerate().take_while(|(_, number)| **number != LOG_END) {
            if i == 1 {
                point::pass(Point::Apply);
            }
            copy(log.part(table + i * PAGE, PAGE), state.part(number as usize * PAGE, PAGE));
        }
        ledger.commit.store(ledger.logged.load(Ordering::Relaxed), Ordering::Release);
        gate::open(region)
    }
}

/// No page has this number.
const LOG_END: u32 = u32::MAX;

fn end_log(log: Span, pages: usize, most: usize) {
    if pages < most {
        let at = (log.start + pages * size_of::<u32>()) as *mut u32;
        // SAFETY: the table has room for `most` numbers; it is the daemon's own memory.
        unsafe { at.write(LOG_END) };
    }
}

/// The first `pages` page numbers of the log.
fn log_numbers<'a>(log: Span, pages: usize) -> &'a [u32] {
    // SAFETY: the log begins with a table of that many numbers or more; it is the daemon's own memory, which changes
    // only between two calls.
    unsafe { std::slice::from_raw_parts(log.start as *const u32, pages) }
}

fn bytes<'a>(span: Span) -> &'a [u8] {
    // SAFETY: the callers pass parts of the log or of the stage, mapped, and written by nobody else meanwhile.
    unsafe { std::slice::from_raw_parts(span.start as *const u8, span.len) }
}

fn copy(from: Span, to: Span) {
    debug_assert_eq!(from.len, to.len);
    // SAFETY: both are mapped parts of the region, `to` is writable in this process, and parts do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(from.start as *const u8, to.start as *mut u8, to.len) };
}

/// CRC-32 of a piece: its page numbers, then its pages.
fn checksum(numbers: &[u8], pages: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(numbers);
    sum.update(pages);
    sum.finalize()
}

/// The piece of a commit that is being staged, in the transaction.
struct Piece<'a> {
    region: &'a Region,
    mailbox: &'a Mailbox,
    pages: usize,
}

impl<'a> Piece<'a> {
    fn new(region: &'a Region, mailbox: &'a Mailbox) -> Self {
        Self { region, mailbox, pages: 0 }
    }

    /// Stages the page at `address`; sends the piece off first where it is full.
    fn add(&mut self, address: usize) -> Result<(), Refused> {
        if self.pages == STAGE_PAGES {
            self.ask(false)?;
            self.pages = 0;
        }
        let stage = self.region.parts.stage;
        // A state has less than 2^32 pages: it is declared smaller.
        #[allow(clippy::cast_possible_truncation)]
        let number = ((address - self.region.parts.state.start) / PAGE) as u32;
        let at = (stage.start + self.pages * size_of::<u32>()) as *mut u32;
        // SAFETY: the stage's table has room for STAGE_PAGES numbers, and this transaction alone writes it.
        unsafe { at.write(number) };
        copy(Span { start: address, len: PAGE }, stage.part(STAGE_TABLE + self.pages * PAGE, PAGE));
        self.pages += 1;
        Ok(())
    }

    fn ask(&self, last: bool) -> Result<(), Refused> {
        let (mailbox, stage) = (self.mailbox, self.region.parts.stage);
        let numbers = bytes(stage.part(0, self.pages * size_of::<u32>()));
        let bodies = bytes(stage.part(STAGE_TABLE, self.pages * PAGE));
        mailbox.checksum.store(checksum(numbers, bodies), Ordering::Relaxed);
        // At most STAGE_PAGES.
        #[allow(clippy::cast_possible_truncation)]
        mailbox.pages.store(self.pages as u32, Ordering::Relaxed);
        link::ask(mailbox, Request::Commit, last)
    }
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
        if let Some(free) = self.runs.get_mut(self.count) {
            *free = run;
        }
        self.count += 1;
    }

    fn drop_private_copies(&self, state: Span) {
        let listed = self.runs.get(..self.count).unwrap_or(std::slice::from_ref(&state));
        for run in listed {
            // A failure keeps the copies, which equal the commit: they are found and committed again, nothing worse.
            // SAFETY: the daemon has made the commit true, so what is behind the mapping equals the private copies.
            let _ = unsafe { memory::drop_private_copies(*run) };
        }
    }
}
