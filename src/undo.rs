//! The undo log as the transaction writes it: what it is about to change goes there first.
//!
//! The words here are this process's own. What has to outlive it is in the log itself (`undo/log.rs`).
//!
//! | what | is logged |
//! |---|---|
//! | a declared piece of the state | its old bytes, once in an epoch where it is declared again and again |
//! | a block that is taken | what the heap will write: its forecast. The block's content was nobody's |
//! | a block that is released, and was taken in this epoch | the forecast |
//! | a block that is released, and is in the last commit | that it is to be: its content must stay until no commit that is kept has it |
//! | a state made anew | that it is; the heap's head; the content of each block that is taken then, as the old state is in it |
//!
//! The heap's head is logged whole with the first operation of an epoch, its lock apart.

pub(crate) mod check;
mod freed;
pub(crate) mod log;
mod records;

pub(crate) use freed::release_freed;
pub(crate) use records::Damage;

use crate::arena::{self, Arena, Forecast};
use crate::here;
use crate::link::Refused;
use crate::point::{self, Point};
use crate::region::Region;
use crate::span::Span;
use crate::sys::process;
use freed::freed_blocks;
use log::{Log, Part};
use records::{Full, Kind, Records};
use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

/// A block of the heap begins at a multiple of this, and has a bit in the marks.
const BLOCK: usize = 32;
/// How many of the pieces declared last are known.
const KNOWN: usize = 256;

/// Bytes of the marks of a state of `bytes`: a bit for each block that may begin in it.
pub(crate) fn marks_len(bytes: usize) -> usize {
    bytes / BLOCK / 8
}

/// What this process knows of its log.
static WRITER: Writer =
    Writer { is_logging: AtomicBool::new(false), lock: AtomicBool::new(false), words: UnsafeCell::new(None) };

struct Writer {
    /// Whether there is a commit that writes have to be logged against.
    is_logging: AtomicBool,
    /// Held by the thread that uses `words`.
    lock: AtomicBool,
    words: UnsafeCell<Option<Words>>,
}

// SAFETY: the words are used under the lock only.
unsafe impl Sync for Writer {}

struct Words {
    log: Log,
    epoch: u64,
    part: Part<'static>,
    /// This process's own memory: a bit for each block that was taken in this epoch.
    marks: Span,
    /// Whether the heap's head is in the log.
    has_heap: bool,
    /// Blocks taken, and blocks to be released, in this epoch; bytes of the latter.
    taken: usize,
    freed: usize,
    freed_bytes: usize,
    /// The end of the blocks of a state that can be gone back to and was made anew; 0 where there is none.
    anew_until: usize,
    /// Pieces that are in the log: address, length, epoch.
    known: [(usize, usize, u64); KNOWN],
}

/// Begins to log, in a transaction whose state is in place; afresh, where it has begun and the state is another one now.
pub(crate) fn start(region: &Region, log: Log) {
    let epoch = log.epoch();
    let marks = region.parts.notes.part(0, marks_len(region.parts.state.len));
    if with(|words| words.taken > 0) == Some(true) {
        // SAFETY: this process's own memory; no other thread of it runs.
        unsafe { std::ptr::write_bytes(marks.start as *mut u8, 0, marks.len) };
    }
    let words = Words {
        log,
        epoch,
        part: log.part(epoch),
        marks,
        has_heap: false,
        taken: 0,
        freed: 0,
        freed_bytes: 0,
        anew_until: log.anew_until(epoch),
        known: [(0, 0, 0); KNOWN],
    };
    // SAFETY: no other thread runs in a process before its work begins.
    unsafe { *WRITER.words.get() = Some(words) };
    // Before the first commit there is nothing to go back to.
    WRITER.is_logging.store(epoch > 0, Ordering::Release);
}

/// Whether what this process changes in the state has to be logged.
#[inline]
pub(crate) fn is_logging() -> bool {
    WRITER.is_logging.load(Ordering::Relaxed)
}

/// Calls `work` with the words; does nothing where this process has no log.
fn with<R>(work: impl FnOnce(&mut Words) -> R) -> Option<R> {
    while WRITER.lock.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
        std::hint::spin_loop();
    }
    // SAFETY: the lock is held.
    let words = unsafe { &mut *WRITER.words.get() };
    let result = words.as_mut().map(work);
    WRITER.lock.store(false, Ordering::Release);
    result
}

/// Has the log know the bytes of `place` before they are written. What lies outside of the state needs none.
#[inline]
pub(crate) fn declare(place: Span) {
    if is_logging() && place.len != 0 {
        with(|words| words.declare(place));
    }
}

/// As [`declare`], for what lies in the block at `payload`: one that was taken in this epoch needs none.
#[inline]
pub(crate) fn declare_in(payload: usize, align: usize, place: Span) {
    if is_logging() && place.len != 0 {
        with(|words| {
            if !words.log.state().contains(payload) || !words.is_taken(arena::header_of(payload, align)) {
                words.declare(place);
            }
        });
    }
}

/// Allocates from the state's heap.
pub(crate) fn allocate(heap: &Arena, layout: Layout, asked: usize) -> Option<NonNull<u8>> {
    heap.allocate_logged(layout, asked, |forecast| {
        with(|words| words.take(heap, forecast));
    })
}

/// Releases a block of the state's heap: at once, or at the next commit.
///
/// # Safety
/// As for [`Arena::release`].
pub(crate) unsafe fn release(heap: &Arena, block: NonNull<u8>, layout: Layout) {
    let payload = block.as_ptr() as usize;
    let is_taken = with(|words| words.is_taken(arena::header_of(payload, layout.align())));
    if is_taken == Some(true) {
        // SAFETY: as the caller vouches.
        unsafe { release_now(heap, block, layout) };
    } else {
        with(|words| words.put_off(Span { start: payload, len: layout.size() }, layout.align()));
    }
}

/// # Safety
/// As for [`Arena::release`].
unsafe fn release_now(heap: &Arena, block: NonNull<u8>, layout: Layout) {
    let log = |forecast: &Forecast| {
        with(|words| {
            words.log_heap(heap, forecast, Kind::Old);
            words.mark(forecast.block.start, false);
        });
    };
    // SAFETY: as the caller vouches.
    unsafe { heap.release_logged(block, layout, log) };
}

/// Bytes that are released, and can be used after the next commit.
pub(crate) fn freed_bytes() -> usize {
    if is_logging() { with(|words| words.freed_bytes).unwrap_or(0) } else { 0 }
}

/// The state is about to be made anew, over the old one, which can still be gone back to.
pub(crate) fn before_made_anew(region: &Region) {
    let Some(heap) = region.head().arena() else { return };
    if !is_logging() {
        return;
    }
    with(|words| {
        let pool = heap.pool();
        words.log_heap_head(heap);
        // The first block and the last one.
        for start in [pool.start, pool.end() - BLOCK] {
            words.append(Kind::Old, Span { start, len: BLOCK });
        }
        // Behind the furthest block is the header of the free one that follows, and nothing that counts.
        words.anew_until = (heap.used_until() + 2 * BLOCK).min(pool.end()).max(words.anew_until);
        words.log.set_anew(words.epoch, words.anew_until);
        words.forget_taken();
        // Nothing of the old state is released by itself.
        words.append(Kind::Anew, Span { start: pool.start, len: 0 });
        (words.freed, words.freed_bytes) = (0, 0);
    });
}

/// Makes the present state a commit.
pub(crate) fn commit(region: &Region) -> Result<Option<u32>, Refused> {
    point::pass(Point::Stage);
    let (freed, epoch, log) = with(|words| (words.freed, words.epoch, words.log)).ok_or(Refused)?;
    if (freed > 0 || log.kept() > 0)
        && let Some(heap) = region.head().arena()
        && let Some(due) = log.due(epoch).map_err(|_| Refused)?
    {
        // Their releases are part of this epoch still: a crash until the flip takes them back.
        for (block, layout) in freed_blocks(due.trusted()) {
            // SAFETY: this process, or one before it, wrote the record when it released the block, with its layout.
            unsafe { release_now(heap, block, layout) };
        }
        check::follow(region);
    }
    with(|words| {
        words.forget_taken();
        words.log.prepare(words.epoch);
    });
    point::pass(Point::Staged);
    log.flip(epoch);
    point::pass(Point::Flipped);
    with(|words| {
        words.epoch += 1;
        words.part = words.log.part(words.epoch);
        (words.has_heap, words.freed, words.freed_bytes) = (false, 0, 0);
        words.anew_until = words.log.anew_until(words.epoch);
    });
    WRITER.is_logging.store(true, Ordering::Release);
    Ok(None)
}

impl Words {
    fn append(&mut self, kind: Kind, place: Span) {
        if self.part.append(kind, place, place.start) == Err(Full) {
            self.exhausted(place.len);
        }
    }

    /// Ends the transaction as failed, as an allocation without room does.
    fn exhausted(&self, bytes: usize) -> ! {
        let (filled, room) = self.part.fill();
        if let Some(mailbox) = here::mailbox() {
            mailbox.fail_exhausted(&format_args!(
                "no room for {bytes} bytes in the undo log: {filled} of {room} bytes hold what changed since the last \
                 commit; commit more often, or declare more by Declaration::undo_log"
            ));
        }
        process::exit_now(0)
    }

    fn declare(&mut self, place: Span) {
        if !self.log.state().contains(place.start) {
            return;
        }
        let slot = (place.start >> 3 ^ place.start >> 12) % KNOWN;
        let (start, len, epoch) = self.known[slot];
        if start == place.start && len >= place.len && epoch == self.epoch {
            return;
        }
        self.append(Kind::Old, place);
        self.known[slot] = (place.start, place.len, self.epoch);
    }

    fn take(&mut self, heap: &Arena, forecast: &Forecast) {
        let block = forecast.block;
        self.log_heap(heap, forecast, Kind::Taken);
        if self.anew_until > block.start {
            // The header of what is left of the free block is written, too.
            let end = (block.end() + BLOCK).min(self.anew_until);
            self.append(Kind::Old, Span { start: block.start, len: end - block.start });
        }
        self.mark(block.start, true);
        self.taken += 1;
    }

    fn put_off(&mut self, place: Span, align: usize) {
        self.append(Kind::Freed { align_log2: align.trailing_zeros() }, place);
        self.freed += 1;
        self.freed_bytes += place.len;
    }

    /// Logs what an operation of the heap will write; `kind` is that of the first place.
    fn log_heap(&mut self, heap: &Arena, forecast: &Forecast, kind: Kind) {
        self.log_heap_head(heap);
        for (i, place) in forecast.places().iter().enumerate() {
            self.append(if i == 0 { kind } else { Kind::Old }, *place);
        }
    }

    fn log_heap_head(&mut self, heap: &Arena) {
        if !self.has_heap {
            self.append(Kind::Old, Arena::words(std::ptr::from_ref(heap) as usize));
            self.has_heap = true;
        }
    }

    /// The byte and the bit of the block whose header is at `header`.
    fn bit(&self, header: usize) -> Option<(*mut u8, u8)> {
        let block = header.checked_sub(self.log.state().start)? / BLOCK;
        (block / 8 < self.marks.len).then(|| ((self.marks.start + block / 8) as *mut u8, 1 << (block % 8)))
    }

    /// Whether this block was taken in this epoch.
    fn is_taken(&self, header: usize) -> bool {
        // SAFETY: inside of the marks, which are this process's own memory.
        self.bit(header).is_some_and(|(byte, bit)| unsafe { byte.read() } & bit != 0)
    }

    fn mark(&mut self, header: usize, is_taken: bool) {
        if let Some((byte, bit)) = self.bit(header) {
            // SAFETY: as above.
            let old = unsafe { byte.read() };
            // SAFETY: as above, and nobody else holds the lock.
            unsafe { byte.write(if is_taken { old | bit } else { old & !bit }) };
        }
    }

    /// All blocks are the last commit's, or gone.
    fn forget_taken(&mut self) {
        if std::mem::take(&mut self.taken) == 0 {
            return;
        }
        // A record that is damaged ends the walk: the marks that are left make some blocks look new. The daemon finds the
        // damage, too, when it matters.
        for record in self.log.records(self.epoch).into_iter().flat_map(Records::trusted).map_while(Result::ok) {
            if record.kind == Kind::Taken {
                self.mark(record.place.start, false);
            }
        }
    }
}

/// The log of a region, in a process that has it mapped.
pub(crate) fn of(region: &Region) -> Log {
    // SAFETY: the stage is the undo log's, as long as it was declared, and mapped in root, daemon and transaction as long as
    // the region; it was zeroed when it was made.
    unsafe { Log::new(region.parts.stage, region.parts.state, region.declaration.undo_log_parts()) }
}
