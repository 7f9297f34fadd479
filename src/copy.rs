//! Copying many pages of a region: a whole state to a slot and back, or those of a commit.
//!
//! Up to some mebibytes nothing is faster than the C library's copy: what is read and what is written stay in the
//! processor's caches. Beyond that, writing past the caches is: a line of the target need not be read before it is
//! overwritten, and the copy does not drive the state out of the caches on its way. Four pages are copied side by side,
//! so that several streams of both are under way at a time. What a kernel copies by itself (`pread`, `process_vm_readv`,
//! `copy_file_range`) takes about twice as long. `cargo bench --bench floors -- copy` measures it.
//!
//! A process that writes to pages of a shared mapping takes a page fault for each of them the first time; one that reads
//! takes one for sixteen, after which these can be written, too (`do_fault_around`, `mm/memory.c`). So a byte of each 64
//! KiB of the target is read before they are written. Where they are mapped already, that costs a line of the cache.

use crate::span::Span;
use crate::sys::memory::PAGE;
use std::arch::x86_64::{__m128i, _MM_HINT_T0, _mm_load_si128, _mm_prefetch, _mm_sfence, _mm_stream_si128};

/// The kernel maps so much around a page that is read: `fault_around_bytes` unless changed.
const AROUND: usize = 16 * PAGE;

/// From so many bytes on, a copy is written past the caches.
const PAST_CACHES: usize = 24 << 20;

/// How many bytes of each page of four are copied in turn: a line of the cache.
const LINE: usize = 64;
/// How many pages are copied side by side.
const ABREAST: usize = 4;

/// How a copy is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As the C library does.
    Cached,
    /// By non-temporal stores.
    PastCaches,
}

impl Way {
    /// The faster way to copy `bytes` in all.
    pub(crate) fn of(bytes: usize) -> Self {
        if bytes < PAST_CACHES { Self::Cached } else { Self::PastCaches }
    }
}

/// Copies pages.
///
/// # Safety
/// Both spans are mapped, begin at a page, are whole pages and as long, lie apart, and nothing else writes either
/// meanwhile; `to` is writable.
pub(crate) unsafe fn pages(from: Span, to: Span, way: Way) {
    debug_assert!(from.len == to.len && [from.start, to.start, to.len].iter().all(|n| n.is_multiple_of(PAGE)));
    let mut done = 0;
    while done < to.len {
        let at = to.start + done;
        let piece = (at + 1).next_multiple_of(AROUND) - at;
        let piece = piece.min(to.len - done);
        // Of lone pages, which follow on each other, one in sixteen will do.
        if piece > PAGE || at.is_multiple_of(AROUND) {
            // SAFETY: the piece's first byte is mapped.
            unsafe { touch(at, at + piece) };
        }
        let (from, to) = (from.part(done, piece), to.part(done, piece));
        match way {
            // SAFETY: pieces of what the caller vouches for.
            Way::Cached => unsafe {
                std::ptr::copy_nonoverlapping(from.start as *const u8, to.start as *mut u8, piece);
            },
            // SAFETY: the same; whole pages.
            Way::PastCaches => unsafe { stream(from.start, to.start, piece / PAGE) },
        }
        done += piece;
    }
    if way == Way::PastCaches {
        // Orders these stores before those that say that the copy is whole.
        // SAFETY: every processor of this platform has the instruction.
        unsafe { _mm_sfence() };
    }
}

/// Reads the byte at `now`, so that the kernel maps what is around it, and has the processor fetch the one at `next`.
///
/// # Safety
/// `now` is mapped.
unsafe fn touch(now: usize, next: usize) {
    // SAFETY: a hint: it may name any address, and faults at none.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(next as *const i8) };
    // SAFETY: mapped, as the caller vouches; whatever it holds is a byte.
    unsafe { (now as *const u8).read_volatile() };
}

/// Has the processor fetch the first lines of `span`; it guesses the following ones by itself.
pub(crate) fn fetch(span: Span) {
    const LINES: usize = 4;
    for line in 0..LINES {
        // SAFETY: a hint: it may name any address, and faults at none.
        unsafe { _mm_prefetch::<_MM_HINT_T0>((span.start + line * LINE) as *const i8) };
    }
}

/// Copies `pages` pages by non-temporal stores.
///
/// # Safety
/// As for [`pages`].
unsafe fn stream(from: usize, to: usize, pages: usize) {
    let mut first = 0;
    while first < pages {
        let abreast = ABREAST.min(pages - first);
        for line in (0..PAGE).step_by(LINE) {
            for page in first..first + abreast {
                let at = page * PAGE + line;
                // SAFETY: a line of a page of both, aligned as pages are.
                unsafe { stream_line((from + at) as *const __m128i, (to + at) as *mut __m128i) };
            }
        }
        first += abreast;
    }
}

/// # Safety
/// A line of a cache can be read at `from` and written at `to`; both are aligned to one.
#[allow(clippy::multiple_unsafe_ops_per_block)] // One line: four loads, then four stores.
#[inline(always)]
unsafe fn stream_line(from: *const __m128i, to: *mut __m128i) {
    // SAFETY: the four quarters of the line, which the caller vouches for.
    unsafe {
        let quarters = [
            _mm_load_si128(from),
            _mm_load_si128(from.add(1)),
            _mm_load_si128(from.add(2)),
            _mm_load_si128(from.add(3)),
        ];
        _mm_stream_si128(to, quarters[0]);
        _mm_stream_si128(to.add(1), quarters[1]);
        _mm_stream_si128(to.add(2), quarters[2]);
        _mm_stream_si128(to.add(3), quarters[3]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Both ways copy the pages that they are to copy, from and to wherever they begin, and no byte beside them.
        #[test]
        fn copies_these_pages_and_no_others(
            pages in 0usize..70,
            from in 0usize..20,
            to in 0usize..20,
            past_caches: bool,
            seed: u8,
        ) {
            #[repr(align(65536))]
            struct Memory([u8; 100 * PAGE]);
            let memory = || {
                // SAFETY: bytes of zero are a valid `Memory`.
                unsafe { Box::<Memory>::new_zeroed().assume_init() }
            };
            let (mut source, mut target) = (memory(), memory());
            for (i, byte) in source.0.iter_mut().enumerate() {
                *byte = (i / 251).to_le_bytes()[0] ^ i.to_le_bytes()[0] ^ seed;
            }
            target.0.fill(seed ^ 0x5a);
            let mut expected = target.0.to_vec();
            let len = pages * PAGE;
            expected[to * PAGE..][..len].copy_from_slice(&source.0[from * PAGE..][..len]);
            let way = if past_caches { Way::PastCaches } else { Way::Cached };
            let span = |memory: &mut Memory, page: usize| Span { start: memory.0.as_mut_ptr() as usize + page * PAGE, len };
            let (from, to) = (span(&mut source, from), span(&mut target, to));
            // SAFETY: both are this test's own memory, and apart.
            unsafe { super::pages(from, to, way) };
            prop_assert!(target.0[..] == expected[..]);
        }
    }

    #[test]
    fn what_is_small_stays_in_the_caches() {
        assert_eq!(Way::of(16 << 20), Way::Cached);
        assert_eq!(Way::of(64 << 20), Way::PastCaches);
    }
}
