//! The daemon's log of a commit that holds whole pages, and what it overwrites: shared by the mechanisms that commit
//! by page.
//!
//! A commit is collected in the log, then *decided* by one store (`ledger.logged`), then applied to the target: the
//! pages that the last commit consists of. Where older commits are kept, the pages that it overwrites are saved before
//! it is decided; putting them back, newest first, leads from one commit to the one before.
//!
//! ```text
//! log      u32 page numbers, one for each page of the target, rounded up to a page | the pages, in the same order
//! kept     × the declared number, used in turn: u64 pages, rounded up to a page    | numbers and pages, as in the log
//! ```
//!
//! | step | if the daemon dies after it |
//! |---|---|
//! | 1. the log is whole | commit n |
//! | 2. what it overwrites is saved, where commit n is to be kept; the oldest one that was kept is given up for it | commit n |
//! | 3. `logged` ← n + 1 | **commit n + 1**: decided, the log will be applied |
//! | 4. the log's pages are copied to the target | commit n + 1: its successor applies the log again |
//! | 5. `commit` ← n + 1 | commit n + 1 |
//!
//! To go back: `back_from` ← n, `back_to` ← m; what was saved is put back; `logged`, `commit` ← m; `back_to` ← 0. A
//! daemon that dies in it leaves both words, and its successor does it again.

use super::stage::Asked;
use crate::copy::{self, Way};
use crate::point::{self, Point};
use crate::region::Ledger;
use crate::span::Span;
use crate::sys::memory::PAGE;
use std::sync::atomic::{AtomicUsize, Ordering, compiler_fence};

/// No page has this number.
const END: u32 = u32::MAX;

/// How many pages of the commit under way the log holds. The daemon's own; a successor starts with an empty log.
static FILLED: AtomicUsize = AtomicUsize::new(0);

/// How many pages the last commit had that was decided. The daemon's own.
static DECIDED: AtomicUsize = AtomicUsize::new(0);

/// How many pages the commit had that this daemon has decided last.
pub(super) fn decided() -> usize {
    DECIDED.load(Ordering::Relaxed)
}

/// Bytes of a table of page numbers, for a target of so many bytes.
const fn table_len(bytes: usize) -> usize {
    (bytes / PAGE * size_of::<u32>()).next_multiple_of(PAGE)
}

/// Bytes of a log for a target of `bytes`.
const fn log_len(bytes: usize) -> usize {
    table_len(bytes) + bytes
}

/// Bytes that the log takes, and what `kept` commits before the last one take.
pub(crate) const fn len(bytes: usize, kept: usize) -> usize {
    log_len(bytes) + kept * (PAGE + log_len(bytes))
}

/// The part of the log in `memory` that holds pages, for a target of `bytes`; as long as that. Free while no commit is
/// under way.
pub(super) fn bodies(memory: Span, bytes: usize) -> Span {
    memory.part(table_len(bytes), bytes)
}

/// Copies pages that are mapped, and apart.
pub(super) fn copy(from: Span, to: Span) {
    // SAFETY: both are mapped parts of the region, `to` is writable in this process, and parts do not overlap.
    unsafe { copy::pages(from, to, Way::of(to.len)) };
}

/// Copies numbers of pages, from one table to another.
fn copy_numbers(from: Span, to: Span) {
    debug_assert_eq!(from.len, to.len);
    // SAFETY: as for pages.
    unsafe { std::ptr::copy_nonoverlapping(from.start as *const u8, to.start as *mut u8, to.len) };
}

/// The bytes of a mapped part of the region.
pub(super) fn bytes<'a>(span: Span) -> &'a [u8] {
    // SAFETY: the callers pass parts that are mapped, and written by nobody else meanwhile.
    unsafe { std::slice::from_raw_parts(span.start as *const u8, span.len) }
}

/// Numbers of pages, then those pages.
#[derive(Clone, Copy)]
struct Pages {
    table: Span,
    bodies: Span,
}

impl Pages {
    /// In `span`, for the pages of a target of `bytes`.
    fn within(span: Span, bytes: usize) -> Self {
        let table = table_len(bytes);
        Self { table: span.part(0, table), bodies: span.part(table, bytes) }
    }

    fn most(self) -> usize {
        self.bodies.len / PAGE
    }

    fn body(self, i: usize) -> Span {
        self.bodies.part(i * PAGE, PAGE)
    }

    /// The first `count` numbers.
    fn numbers<'a>(self, count: usize) -> &'a [u32] {
        let numbers = self.table.part(0, count * size_of::<u32>());
        // SAFETY: the table is mapped and aligned to a page; it is the daemon's own, and changes between two calls only.
        unsafe { std::slice::from_raw_parts(numbers.start as *const u32, count) }
    }

    fn set_number(self, i: usize, number: u32) {
        let at = self.table.part(i * size_of::<u32>(), size_of::<u32>());
        // SAFETY: a number's place in the table, which is the daemon's own memory.
        unsafe { (at.start as *mut u32).write(number) };
    }
}

/// The log of a region, in its daemon.
#[derive(Clone, Copy)]
pub(super) struct PageLog<'a> {
    ledger: &'a Ledger,
    target: Span,
    log: Pages,
    kept: Span,
    keeps: usize,
}

impl<'a> PageLog<'a> {
    /// The log of `target` in `memory`, which is as long as [`len`] says.
    pub(super) fn new(ledger: &'a Ledger, target: Span, memory: Span, keeps: usize) -> Self {
        let log = memory.part(0, log_len(target.len));
        Self { ledger, target, log: Pages::within(log, target.len), kept: memory.behind(log.len), keeps }
    }

    /// As [`bodies`].
    pub(super) fn bodies(&self) -> Span {
        self.log.bodies
    }

    /// How many pages the log holds.
    pub(super) fn filled(&self) -> usize {
        FILLED.load(Ordering::Relaxed)
    }

    /// Forgets what was collected: of a commit that was given up in the middle, or that the transaction could not stage to
    /// its end. Seldom anything: to write each time would copy the page that a fork has left.
    pub(super) fn clear(&self) {
        if self.filled() != 0 {
            FILLED.store(0, Ordering::Relaxed);
        }
    }

    /// Adds the pages of a piece, which is not trusted. False, with an empty log, where it is damaged or its numbers do
    /// not ascend.
    pub(super) fn append(&self, asked: &Asked) -> bool {
        let (filled, pages) = (self.filled(), asked.bodies.len / PAGE);
        let is_sound = pages <= self.log.most() - filled && {
            // Copied first, then checked: what is checked is what will be applied.
            let numbers = self.log.table.part(filled * size_of::<u32>(), asked.numbers.len);
            let bodies = self.log.bodies.part(filled * PAGE, asked.bodies.len);
            copy_numbers(asked.numbers, numbers);
            copy(asked.bodies, bodies);
            let all = self.log.numbers(filled + pages);
            asked.is_copied(numbers, bodies)
                && all[filled..].iter().all(|number| (*number as usize) < self.log.most())
                && all[filled.saturating_sub(1)..].is_sorted_by(|a, b| a < b)
        };
        FILLED.store(if is_sound { filled + pages } else { 0 }, Ordering::Relaxed);
        is_sound
    }

    /// Adds the page `number` of `state` where it differs from the target's. False where the numbers do not ascend.
    pub(super) fn append_changed(&self, number: usize, state: Span) -> bool {
        let filled = self.filled();
        let follows = filled == 0 || (self.log.numbers(filled)[filled - 1] as usize) < number;
        if number >= self.log.most() || !follows {
            self.clear();
            return false;
        }
        let page = state.part(number * PAGE, PAGE);
        if differs(page, self.target.part(number * PAGE, PAGE)) {
            copy(page, self.log.body(filled));
            // A region has less than 2^32 pages: it is declared smaller.
            #[allow(clippy::cast_possible_truncation)]
            self.log.set_number(filled, number as u32);
            FILLED.store(filled + 1, Ordering::Relaxed);
        }
        true
    }

    /// Decides that what was collected becomes a commit.
    pub(super) fn decide(&self) {
        let filled = self.filled();
        // The number of pages travels with the log: a number that no page has ends it.
        if filled < self.log.most() {
            self.log.set_number(filled, END);
        }
        self.save(filled);
        DECIDED.store(filled, Ordering::Relaxed);
        FILLED.store(0, Ordering::Relaxed);
        // All of that comes first, for the compiler too; a process that dies loses no store that it made.
        compiler_fence(Ordering::SeqCst);
        self.ledger.logged.store(self.ledger.commit.load(Ordering::Relaxed) + 1, Ordering::Release);
        compiler_fence(Ordering::SeqCst);
    }

    /// Whether a commit is decided that is not applied yet.
    pub(super) fn is_decided(&self) -> bool {
        self.ledger.logged.load(Ordering::Acquire) == self.ledger.commit.load(Ordering::Acquire) + 1
    }

    /// Makes the commit that is decided true.
    pub(super) fn apply(&self) {
        let numbers = self.log.numbers(self.log.most());
        for (i, &number) in numbers.iter().enumerate().take_while(|(_, number)| **number != END) {
            if i == 1 {
                point::pass(Point::Apply);
            }
            copy(self.log.body(i), self.target.part(number as usize * PAGE, PAGE));
        }
        compiler_fence(Ordering::SeqCst);
        self.ledger.commit.store(self.ledger.logged.load(Ordering::Relaxed), Ordering::Release);
    }

    /// Where the way from commit `number` + 1 back to `number` is saved: how many pages, and they.
    fn way_back(&self, number: u64) -> (&AtomicUsize, Pages) {
        let len = self.kept.len / self.keeps;
        // Below the number of them.
        #[allow(clippy::cast_possible_truncation)]
        let slot = self.kept.part((number % self.keeps as u64) as usize * len, len);
        // SAFETY: a slot begins with a page for this word, in memory of the daemon's own.
        let pages = unsafe { &*(slot.start as *const AtomicUsize) };
        (pages, Pages::within(slot.behind(PAGE), self.target.len))
    }

    /// Saves what the first `filled` pages of the log overwrite, where older commits are kept.
    fn save(&self, filled: usize) {
        let last = self.ledger.commit.load(Ordering::Relaxed);
        if self.keeps == 0 || last == 0 {
            return;
        }
        self.ledger.give_up_before(last + 1, self.keeps);
        compiler_fence(Ordering::SeqCst);
        let (pages, saved) = self.way_back(last);
        for (i, &number) in self.log.numbers(filled).iter().enumerate() {
            saved.set_number(i, number);
            copy(self.target.part(number as usize * PAGE, PAGE), saved.body(i));
        }
        pages.store(filled, Ordering::Relaxed);
    }

    /// Makes the commit that is `back` before the last one the last one, or the oldest that is kept. Whether that
    /// is another one.
    pub(super) fn go_back(&self, back: u8) -> bool {
        let last = self.ledger.commit.load(Ordering::Relaxed);
        let to = self.ledger.before_last(back);
        let goes_back = self.keeps > 0 && to < last;
        if goes_back {
            self.ledger.back_from.store(last, Ordering::Relaxed);
            self.ledger.back_to.store(to, Ordering::Release);
            self.finish_going_back();
        }
        goes_back
    }

    /// Goes back where that was begun.
    pub(super) fn finish_going_back(&self) {
        let (from, to) = (self.ledger.back_from.load(Ordering::Relaxed), self.ledger.back_to.load(Ordering::Acquire));
        if to == 0 {
            return;
        }
        for number in (to..from).rev() {
            let (pages, saved) = self.way_back(number);
            for (i, &number) in saved.numbers(pages.load(Ordering::Relaxed)).iter().enumerate() {
                copy(saved.body(i), self.target.part(number as usize * PAGE, PAGE));
            }
            point::pass(Point::DaemonRestore);
        }
        compiler_fence(Ordering::SeqCst);
        self.ledger.logged.store(to, Ordering::Relaxed);
        self.ledger.commit.store(to, Ordering::Relaxed);
        self.ledger.back_to.store(0, Ordering::Release);
    }
}

/// Whether two pages differ.
pub(super) fn differs(one: Span, other: Span) -> bool {
    bytes(one) != bytes(other)
}
