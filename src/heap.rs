//! The program's global allocator: what a transaction allocates lives in its daemon's region.
//!
//! | who allocates | from | lives |
//! |---|---|---|
//! | root, daemon | private memory (the system's allocator) | as long as the process |
//! | transaction | its daemon's region | as the state: committed, restored |
//! | transaction, inside [`Tx::scratch`](crate::Tx::scratch) | scratch | one incarnation at the most |
//!
//! Releasing goes by address: a block of the region goes back to the region (in a daemon, which must not change the
//! state, it stays), a block of scratch to scratch, and a private block that a transaction inherited is left alone,
//! since its daemon still owns it. Growing a private block in a transaction copies it home.

use crate::arena::Arena;
use crate::environment;
use crate::error::{Error, Result};
use crate::here::{self, Kind, Source};
use crate::region;
use crate::span::Span;
use crate::state_head::{STATE_ARENA, StateHead};
use crate::sys::memory::{self, PAGE};
use crate::sys::process;
use crate::text::Text;
use crate::undo;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::NonNull;

/// The global allocator of every program that uses the engine.
///
/// ```
/// use crashbed::Heap;
///
/// // SAFETY: this program takes nothing owned out of a static or a lock that was filled before a fork.
/// #[global_allocator]
/// static HEAP: Heap = unsafe { Heap::new() };
/// ```
#[derive(Debug)]
pub struct Heap(());

impl Heap {
    /// The allocator.
    ///
    /// # Safety
    /// This is the one promise that the compiler cannot check. The program promises that no transaction moves into
    /// the state an owned value (a `Vec`, a `String`, a `Box`) that was made *before the fork*, in the daemon or the
    /// root. Captured values are out of reach already, since a transaction's closure is `Fn`; what is left are values
    /// taken out of statics and locks that had been filled before (`STASH.lock().unwrap().take()`). Clone them
    /// instead. A value that breaks the promise points into private memory that its daemon may release or reuse.
    /// The same holds for scratch: nothing made inside [`Tx::scratch`](crate::Tx::scratch) is moved into the state
    /// other than as its result (through a lock around a `&mut` of the state, say).
    pub const unsafe fn new() -> Self {
        Self(())
    }

    /// Has this thread allocate from an arena of `bytes` of private memory from now on, in a process without a tree:
    /// to measure what the allocator costs by itself. For good, so such a process cannot become a root.
    ///
    /// # Errors
    /// [`Error::NotPlain`] in a process that is part of a tree or has such an arena already, and where the memory cannot
    /// be mapped.
    pub fn by_itself(bytes: usize) -> Result<()> {
        here::expect_plain()?;
        let span = Span { start: region::address_after(None), len: bytes.next_multiple_of(PAGE).max(2 * PAGE) };
        memory::map_empty(span).map_err(|errno| Error::system(format!("an arena of {} bytes", span.len), errno))?;
        // SAFETY: the span was mapped just now, for as long as the process lives, and nothing borrows from it.
        unsafe { Arena::format(span) };
        here::get_scratch(span);
        here::set_source(Source::Scratch);
        Ok(())
    }
}

/// The arena that `source` means in this process; `None` for private memory, and before there is one.
fn arena(source: Source) -> Option<&'static Arena> {
    let start = match source {
        Source::Private => return None,
        Source::Region => here::state().start + STATE_ARENA,
        Source::Scratch => here::scratch().start,
    };
    // SAFETY: the region's parts stay mapped as long as the process lives; a thread's source is set to them only
    // after they were formatted.
    unsafe { Arena::at(start) }
}

// SAFETY: blocks come from the system's allocator or from an arena, whose blocks are apart, aligned and stay put;
// releasing goes by address to where the block came from. It does not unwind.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let source = here::source();
        if source == Source::Private {
            // SAFETY: the caller's contract is the system allocator's.
            return unsafe { System.alloc(layout) };
        }
        let (padded, zeroed) = environment::block(layout);
        let allocate = |arena: &'static Arena| match source {
            Source::Region if undo::is_logging() => undo::allocate(arena, padded, layout.size()),
            _ => arena.allocate(padded, layout.size()),
        };
        match arena(source).and_then(allocate) {
            Some(block) if zeroed => {
                // SAFETY: the block was made just now, with this many bytes.
                unsafe { block.as_ptr().write_bytes(0, padded.size()) };
                block.as_ptr()
            }
            Some(block) => block.as_ptr(),
            None => exhausted(source, layout.size()),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let address = block as usize;
        let owner = if here::state().contains(address) {
            if here::kind() != Kind::Transaction {
                return;
            }
            Source::Region
        } else if here::scratch().contains(address) {
            Source::Scratch
        } else {
            if here::kind() != Kind::Transaction || here::source() == Source::Private {
                // SAFETY: the block is private, so it came from the system's allocator.
                unsafe { System.dealloc(block, layout) };
            }
            return;
        };
        if let (Some(arena), Some(block)) = (arena(owner), NonNull::new(block)) {
            match owner {
                // SAFETY: the block lies in this arena, so it came from it, with this layout.
                Source::Region if undo::is_logging() => unsafe { undo::release(arena, block, layout) },
                // SAFETY: as above.
                _ => unsafe { arena.release(block, layout) },
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let address = block as usize;
        let private = !here::state().contains(address) && !here::scratch().contains(address);
        if private && here::source() == Source::Private {
            // SAFETY: the caller's contract is the system allocator's.
            return unsafe { System.realloc(block, layout, size) };
        }
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else { return std::ptr::null_mut() };
        // SAFETY: `wanted` is a valid layout of more than zero bytes, as the caller vouches.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: both blocks are at least this long, and a new block never overlaps an old one.
            unsafe { std::ptr::copy_nonoverlapping(block, moved, layout.size().min(size)) };
            // SAFETY: the block came from this allocator with `layout`; its content has moved.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}

/// Ends the transaction as failed: there is no room.
///
/// A null pointer would be answered by an abort with a message on the terminal (and, with `RUST_BACKTRACE`, by a
/// backtrace that allocates in turn), so that no allocation could fail as the outcome that it is.
fn exhausted(source: Source, bytes: usize) -> ! {
    let (what, span, by) = match source {
        Source::Scratch => ("scratch", here::scratch(), "Declaration::scratch"),
        _ => ("the region", here::state(), "its daemon"),
    };
    let free = arena(source).map_or(0, |arena| (span.len as u64).saturating_sub(arena.live_bytes()));
    if let Some(mailbox) = here::mailbox() {
        let waiting = match undo::freed_bytes() {
            freed if freed > 0 && source == Source::Region => Text::display(&format_args!(
                ", and {freed} bytes that were released can be used when no commit that is kept has them; commit earlier, or"
            )),
            _ => Text::new(";"),
        };
        mailbox.fail_exhausted(&format_args!(
            "no room for {bytes} bytes in {what}: {free} of {} bytes are free, in pieces that are too small{waiting} \
             declare more by {by}",
            span.len
        ));
    }
    process::exit_now(0)
}

/// Bytes of the region in use, in the state that this process sees.
pub(crate) fn live_bytes(head: &StateHead) -> u64 {
    head.arena().map_or(0, Arena::live_bytes)
}
