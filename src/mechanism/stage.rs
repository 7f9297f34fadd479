//! The stage: where a transaction lays the pages of a commit for its daemon to take, piece by piece.
//!
//! ```text
//! u32 page numbers × PAGES, rounded up to a page | the pages, in the same order
//! ```

use super::page_log::{bytes, copy};
use crate::arena::free::FreePages;
use crate::link::{self, Refused};
use crate::mailbox::{Mailbox, Request};
use crate::region::Region;
use crate::span::Span;
use crate::sys::memory::PAGE;
use crate::sys::pagemap::{Pagemap, Pages};
use std::sync::atomic::Ordering;

/// Pages in one piece of a commit: 1 MiB.
const PAGES: usize = 256;
/// Bytes of the stage's table of page numbers.
const TABLE: usize = (PAGES * size_of::<u32>()).next_multiple_of(PAGE);
/// Bytes of the stage.
pub(crate) const LEN: usize = TABLE + PAGES * PAGE;

/// CRC-32 of a piece: its page numbers, then its pages.
fn checksum(numbers: &[u8], pages: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(numbers);
    sum.update(pages);
    sum.finalize()
}

/// The numbers and the pages of a piece of `pages` pages; `None` where no piece is as long.
fn piece(stage: Span, pages: usize) -> Option<(Span, Span)> {
    (pages <= PAGES).then(|| (stage.part(0, pages * size_of::<u32>()), stage.part(TABLE, pages * PAGE)))
}

/// A piece that the daemon was asked to take: where its numbers and its pages lie, and their checksum.
pub(super) struct Asked {
    pub(super) numbers: Span,
    pub(super) bodies: Span,
    sum: u32,
}

impl Asked {
    /// In the daemon: the piece that `mailbox` speaks of; `None` where none is as long.
    pub(super) fn of(stage: Span, mailbox: &Mailbox) -> Option<Self> {
        let (numbers, bodies) = piece(stage, mailbox.pages.load(Ordering::Relaxed) as usize)?;
        Some(Self { numbers, bodies, sum: mailbox.checksum.load(Ordering::Relaxed) })
    }

    /// Whether these copies of it are what was staged.
    pub(super) fn is_copied(&self, numbers: Span, bodies: Span) -> bool {
        checksum(bytes(numbers), bytes(bodies)) == self.sum
    }
}

/// The piece of a commit that is being staged, in the transaction.
pub(super) struct Piece<'a> {
    region: &'a Region,
    mailbox: &'a Mailbox,
    pages: usize,
    is_first: bool,
}

impl<'a> Piece<'a> {
    pub(super) fn new(region: &'a Region, mailbox: &'a Mailbox) -> Self {
        Self { region, mailbox, pages: 0, is_first: true }
    }

    /// Stages the page at `address`; sends the piece off first where it is full.
    pub(super) fn add(&mut self, address: usize) -> Result<(), Refused> {
        if self.pages == PAGES {
            self.send(false)?;
            (self.pages, self.is_first) = (0, false);
        }
        let stage = self.region.parts.stage;
        // A state has less than 2^32 pages: it is declared smaller.
        #[allow(clippy::cast_possible_truncation)]
        let number = ((address - self.region.parts.state.start) / PAGE) as u32;
        let at = (stage.start + self.pages * size_of::<u32>()) as *mut u32;
        // SAFETY: the stage's table has room for PAGES numbers, and this transaction alone writes it.
        unsafe { at.write(number) };
        copy(Span { start: address, len: PAGE }, stage.part(TABLE + self.pages * PAGE, PAGE));
        self.pages += 1;
        Ok(())
    }

    /// Has the daemon take the piece, and waits until it has.
    pub(super) fn send(&self, last: bool) -> Result<(), Refused> {
        self.tell();
        link::ask_and_wait(self.mailbox, Request::Commit, last)
    }

    /// Asks the daemon to take the piece, the last one, and answers the request's number.
    pub(super) fn ask(&self) -> u32 {
        self.tell();
        link::ask(self.mailbox, Request::Commit, true)
    }

    /// Says in the mailbox what the piece is.
    fn tell(&self) {
        let (mailbox, stage) = (self.mailbox, self.region.parts.stage);
        let numbers = bytes(stage.part(0, self.pages * size_of::<u32>()));
        let bodies = bytes(stage.part(TABLE, self.pages * PAGE));
        mailbox.checksum.store(checksum(numbers, bodies), Ordering::Relaxed);
        // At most PAGES.
        #[allow(clippy::cast_possible_truncation)]
        mailbox.pages.store(self.pages as u32, Ordering::Relaxed);
        mailbox.first.store(self.is_first.into(), Ordering::Relaxed);
    }
}

/// Tells which of the written pages of a commit are to be staged: those that hold something. In the transaction.
struct Sieve<'a> {
    region: &'a Region,
    /// How many pages it was asked about before it looked.
    seen: usize,
    free: FreePages,
}

impl<'a> Sieve<'a> {
    /// From so many written pages on, looking for free ones pays.
    const PAYS: usize = 32;
    /// To look at a free block costs as much as to stage a page, where it is not mapped yet.
    const MOST_BLOCKS: usize = Self::PAYS;

    fn new(region: &'a Region) -> Self {
        Self { region, seen: 0, free: FreePages::NONE }
    }

    /// Whether the page at `address` is to be staged.
    fn keeps(&mut self, address: usize) -> bool {
        let state = self.region.parts.state;
        if self.seen < Self::PAYS {
            self.seen += 1;
            if self.seen == Self::PAYS {
                // SAFETY: the state is mapped, and this transaction, which commits it, does not write it meanwhile.
                self.free = unsafe { self.region.free_pages(state, Self::MOST_BLOCKS) };
            }
        }
        !self.free.contains((address - state.start) / PAGE)
    }
}

/// In a transaction that commits: calls `found` with each maximal run of pages that it has written, which are
/// write-protected in the same step where it `protects`, and `add` with the address of each page of them that holds
/// something, until one is refused.
pub(super) fn each_written(
    region: &Region,
    pages: Pages,
    protects: bool,
    mut found: impl FnMut(Span),
    mut add: impl FnMut(usize) -> Result<(), Refused>,
) -> Result<(), Refused> {
    let mut sieve = Sieve::new(region);
    let mut added = Ok(());
    let add_run = |run: Span| {
        found(run);
        for at in (run.start..run.end()).step_by(PAGE) {
            if added.is_ok() && sieve.keeps(at) {
                added = add(at);
            }
        }
    };
    let (table, state) = (Pagemap::own().map_err(|_| Refused)?, region.parts.state);
    let listed =
        if protects { table.find_and_protect(pages, state, add_run) } else { table.find(pages, state, add_run) };
    listed.map_err(|_| Refused).and(added)
}

/// In the transaction, whose last request was taken: calls `found` with the address of each page of its last piece and
/// with what was staged of it.
pub(super) fn staged(region: &Region, mailbox: &Mailbox, mut found: impl FnMut(Span, Span)) {
    let (state, stage) = (region.parts.state, region.parts.stage);
    let Some((numbers, bodies)) = piece(stage, mailbox.pages.load(Ordering::Relaxed) as usize) else { return };
    for (i, number) in bytes(numbers).chunks_exact(size_of::<u32>()).enumerate() {
        let number = number.try_into().map_or(0, u32::from_ne_bytes) as usize;
        if number < state.len / PAGE {
            found(state.part(number * PAGE, PAGE), bodies.part(i * PAGE, PAGE));
        }
    }
}
