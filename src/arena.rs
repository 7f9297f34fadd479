//! The allocator inside a piece of memory: a two-level segregated fit (the `rlsf` crate) whose whole state lives in
//! the memory that it manages, so that it is committed and restored with it.
//!
//! ```text
//! byte 0      ArenaHead: magic, lock, counters, pool, free lists (written by whoever allocates, under the lock)
//! byte pool   blocks, each behind its header: size | flags, address of the block before it
//! the end     a sentinel block
//! ```

mod forecast;
pub(crate) mod free;
mod lists;

pub(crate) use forecast::{Forecast, MOST as MOST_PLACES, block_at, header_of, is_possible};

use crate::span::Span;
use rlsf::Tlsf;
use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// 32 size classes of 16: O(1), blocks up to 64 GiB.
type FreeLists = Tlsf<'static, u32, u32, 32, 16>;

const MAGIC: u64 = u64::from_le_bytes(*b"arena-01");

/// What an arena begins with.
#[repr(C)]
pub(crate) struct Arena {
    magic: u64,
    /// 1 while a thread changes the free lists.
    lock: AtomicU32,
    /// Bytes in blocks that are in use, as asked for.
    live_bytes: AtomicU64,
    pool_start: u64,
    pool_len: u64,
    /// The end of the furthest block that was ever handed out: beyond it nothing has been written.
    used_until: AtomicU64,
    lists: std::cell::UnsafeCell<FreeLists>,
}

// SAFETY: the free lists are touched under `lock` only.
unsafe impl Sync for Arena {}

impl Arena {
    /// Makes `span` from byte `offset` on an empty arena.
    ///
    /// # Safety
    /// `span` is mapped, writable, aligned to 64 bytes, larger than the head by at least a page, and nothing borrows
    /// from it. It stays mapped as long as the result is used.
    pub(crate) unsafe fn format<'a>(span: Span) -> &'a Self {
        let at = span.start as *mut Self;
        let pool_start = (span.start + size_of::<Self>()).next_multiple_of(64);
        let arena = Self {
            magic: MAGIC,
            lock: AtomicU32::new(0),
            live_bytes: AtomicU64::new(0),
            pool_start: pool_start as u64,
            pool_len: 0,
            used_until: AtomicU64::new(pool_start as u64),
            lists: std::cell::UnsafeCell::new(FreeLists::new()),
        };
        // SAFETY: the span is writable and large enough.
        unsafe { at.write(arena) };
        let pool = std::ptr::slice_from_raw_parts_mut(pool_start as *mut u8, span.end() - pool_start);
        // SAFETY: just written; nothing else borrows it.
        let arena = unsafe { &mut *at };
        if let Some(pool) = NonNull::new(pool) {
            // SAFETY: the pool is writable memory that only this arena hands out, for as long as it is used.
            let taken = unsafe { arena.lists.get_mut().insert_free_block_ptr(pool) };
            arena.pool_len = taken.map_or(0, |len| len.get() as u64);
        }
        arena
    }

    /// The arena at `start`, `None` where none was made.
    ///
    /// # Safety
    /// `start` is mapped as long as the result is used, and holds zeros or an arena.
    pub(crate) unsafe fn at<'a>(start: usize) -> Option<&'a Self> {
        // SAFETY: the memory is mapped, and all-zero bytes are a valid (if useless) `Arena` too.
        let arena = unsafe { &*(start as *const Self) };
        (arena.magic == MAGIC).then_some(arena)
    }

    /// Bytes in use, as asked for.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes.load(Ordering::Relaxed)
    }

    /// The address up to which memory has been handed out at some time.
    pub(crate) fn used_until(&self) -> usize {
        usize::try_from(self.used_until.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Whether a thread is changing the free lists, or was when it died.
    pub(crate) fn is_locked(&self) -> bool {
        self.lock.load(Ordering::Relaxed) != 0
    }

    /// Frees the lock of whoever held it and is gone.
    pub(crate) fn unlock(&self) {
        self.lock.store(0, Ordering::Relaxed);
    }

    /// What of an arena at `start` its operations change, apart from blocks and from the lock.
    pub(crate) fn words(start: usize) -> Span {
        let from = std::mem::offset_of!(Self, live_bytes);
        Span { start: start + from, len: size_of::<Self>() - from }
    }

    /// The memory that blocks are made of.
    pub(crate) fn pool(&self) -> Span {
        let number = |word: u64| usize::try_from(word).unwrap_or(0);
        Span { start: number(self.pool_start), len: number(self.pool_len) }
    }

    /// A block for `layout`, of which `asked` bytes were asked for; `None` where there is no room.
    pub(crate) fn allocate(&self, layout: Layout, asked: usize) -> Option<NonNull<u8>> {
        self.allocate_after(layout, asked, || Some(()))
    }

    /// As [`allocate`](Self::allocate), for whoever has to know before it is written what will be: `log` is told under the
    /// lock, unless there is no room.
    pub(crate) fn allocate_logged(
        &self,
        layout: Layout,
        asked: usize,
        log: impl FnOnce(&Forecast),
    ) -> Option<NonNull<u8>> {
        self.allocate_after(layout, asked, || self.forecast_allocation(layout).map(|forecast| log(&forecast)))
    }

    /// Allocates where `first`, under the lock, answers something.
    fn allocate_after(&self, layout: Layout, asked: usize, first: impl FnOnce() -> Option<()>) -> Option<NonNull<u8>> {
        let block = self.locked(|lists| {
            first()?;
            // SAFETY: the lock is held, and what `first` read of the lists it has read.
            let block = unsafe { &mut *lists }.allocate(layout)?;
            let end = (block.as_ptr() as usize + layout.size()) as u64;
            // Under the lock, so that a load and a store do.
            if end > self.used_until.load(Ordering::Relaxed) {
                self.used_until.store(end, Ordering::Relaxed);
            }
            Some(block)
        })?;
        self.live_bytes.fetch_add(asked as u64, Ordering::Relaxed);
        Some(block)
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// `block` came from this arena's [`allocate`](Self::allocate) with `layout` and is not used any more.
    pub(crate) unsafe fn release(&self, block: NonNull<u8>, layout: Layout) {
        self.locked(|lists| {
            // SAFETY: the lock is held.
            let lists = unsafe { &mut *lists };
            // SAFETY: as the caller vouches.
            unsafe { lists.deallocate(block, layout.align()) };
        });
        self.live_bytes.fetch_sub(layout.size() as u64, Ordering::Relaxed);
    }

    /// As [`release`](Self::release), with `log` as in [`allocate_logged`](Self::allocate_logged).
    ///
    /// # Safety
    /// As for [`release`](Self::release).
    pub(crate) unsafe fn release_logged(&self, block: NonNull<u8>, layout: Layout, log: impl FnOnce(&Forecast)) {
        self.locked(|lists| {
            if let Some(forecast) = self.forecast_release(block.as_ptr() as usize, layout.align()) {
                log(&forecast);
                // SAFETY: the lock is held, and what the forecast read of the lists it has read.
                let lists = unsafe { &mut *lists };
                // SAFETY: as the caller vouches.
                unsafe { lists.deallocate(block, layout.align()) };
            }
        });
        self.live_bytes.fetch_sub(layout.size() as u64, Ordering::Relaxed);
    }

    /// Calls `work` with the free lists, which nobody else touches meanwhile.
    fn locked<R>(&self, work: impl FnOnce(*mut FreeLists) -> R) -> R {
        let mut tries = 0u32;
        while self.lock.compare_exchange_weak(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            tries += 1;
            if tries < 100 {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        let result = work(self.lists.get());
        self.lock.store(0, Ordering::Release);
        result
    }
}

/// What can be told of an arena from its bytes alone, without trusting any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The lock is free and the chain of blocks is whole.
    Whole,
    /// A thread was changing it.
    Locked,
    /// The chain of blocks is broken: it was overwritten.
    Torn,
}

/// Whether the arena in `span` is whole.
///
/// # Safety
/// `span` is mapped, and nothing writes it meanwhile.
pub(crate) unsafe fn is_whole(span: Span) -> bool {
    // SAFETY: as the caller vouches; the walk trusts none of the bytes.
    let bytes = unsafe { std::slice::from_raw_parts(span.start as *const u8, span.len) };
    examine(bytes, span.start as u64) == Condition::Whole
}

/// Walks the bytes of an arena that was mapped at `base`.
///
/// The chain of headers is that of rlsf 0.2.3: a word of size and flags (bit 0 in use, bit 1 the end), then the
/// address of the block before; sizes are multiples of 32. A test below keeps this true.
pub(crate) fn examine(bytes: &[u8], base: u64) -> Condition {
    const IN_FLAGS: u64 = 31;
    const SENTINEL: u64 = 2;
    let word = |at: u64| -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
    };
    let field = |offset: usize| word(offset as u64);
    if field(std::mem::offset_of!(Arena, magic)) != Some(MAGIC) {
        return Condition::Torn;
    }
    let lock = field(std::mem::offset_of!(Arena, lock)).unwrap_or(0) & u64::from(u32::MAX);
    if lock != 0 {
        return Condition::Locked;
    }
    let pool = (field(std::mem::offset_of!(Arena, pool_start)), field(std::mem::offset_of!(Arena, pool_len)));
    let (Some(start), Some(len)) = pool else { return Condition::Torn };
    let (Some(mut at), Some(end)) = (start.checked_sub(base), start.checked_sub(base).and_then(|s| s.checked_add(len)))
    else {
        return Condition::Torn;
    };
    let mut before = 0;
    while at < end {
        let (Some(size), Some(previous)) = (word(at), at.checked_add(8).and_then(word)) else { return Condition::Torn };
        if previous != before {
            return Condition::Torn;
        }
        let whole = size & !IN_FLAGS;
        if size & SENTINEL != 0 {
            let is_the_end = end - at <= 32 || at.checked_add(whole) == Some(end);
            return if is_the_end { Condition::Whole } else { Condition::Torn };
        }
        if whole == 0 {
            return Condition::Torn;
        }
        before = base.wrapping_add(at);
        at = match at.checked_add(whole) {
            Some(next) => next,
            None => return Condition::Torn,
        };
    }
    if at == end { Condition::Whole } else { Condition::Torn }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[repr(align(4096))]
    struct Memory([u8; 1 << 18]);

    fn memory() -> Box<Memory> {
        // SAFETY: bytes of zero are a valid `Memory`.
        unsafe { Box::<Memory>::new_zeroed().assume_init() }
    }

    fn span(memory: &mut Memory) -> Span {
        Span { start: memory.0.as_mut_ptr() as usize, len: memory.0.len() }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Take(usize, u32),
        Give(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (1usize..6000, 0u32..8).prop_map(|(size, align)| Step::Take(size, align)),
            2 => (0usize..64).prop_map(Step::Give),
        ];
        proptest::collection::vec(step, 1..200)
    }

    proptest! {
        /// Blocks are aligned, inside, apart from each other; the bytes in use add up; the chain stays whole; and
        /// breaking a header of the chain is seen.
        #[test]
        fn serves_like_a_model(steps in steps(), spoilt in 0usize..64, wild: u64) {
            let mut memory = memory();
            let span = span(&mut memory);
            // SAFETY: the memory is ours for the whole test.
            let arena = unsafe { Arena::format(span) };
            let mut held: Vec<(NonNull<u8>, Layout)> = Vec::new();
            for step in steps {
                match step {
                    Step::Take(size, align) => {
                        let layout = Layout::from_size_align(size, 1 << align).unwrap();
                        if let Some(block) = arena.allocate(layout, layout.size()) {
                            let start = block.as_ptr() as usize;
                            prop_assert_eq!(start % layout.align(), 0);
                            prop_assert!(start >= span.start && start + size <= span.end());
                            for (other, with) in &held {
                                let other = other.as_ptr() as usize;
                                prop_assert!(start + size <= other || other + with.size() <= start);
                            }
                            held.push((block, layout));
                        }
                    }
                    Step::Give(i) if !held.is_empty() => {
                        let (block, layout) = held.swap_remove(i % held.len());
                        // SAFETY: allocated above with this layout, and forgotten now.
                        unsafe { arena.release(block, layout) };
                    }
                    Step::Give(_) => {}
                }
                prop_assert_eq!(arena.live_bytes(), held.iter().map(|(_, l)| l.size() as u64).sum::<u64>());
            }
            // SAFETY: the memory is ours and nobody writes while we read.
            let bytes = unsafe { std::slice::from_raw_parts(span.start as *const u8, span.len) };
            prop_assert_eq!(examine(bytes, span.start as u64), Condition::Whole);
            let mut broken = bytes.to_vec();
            if let Some((block, _)) = held.get(spoilt % held.len().max(1)).filter(|(_, l)| l.align() <= 16) {
                let header = block.as_ptr() as usize - span.start - 16;
                broken[header + 1] ^= 0x55;
                prop_assert_eq!(examine(&broken, span.start as u64), Condition::Torn);
                broken[header..header + 8].fill(0xff);
                prop_assert_eq!(examine(&broken, span.start as u64), Condition::Torn);
                // Whatever it is, the walk ends.
                broken[header..header + 8].copy_from_slice(&wild.to_le_bytes());
                examine(&broken, span.start as u64);
            }
            let mut locked = bytes.to_vec();
            locked[std::mem::offset_of!(Arena, lock)] = 1;
            prop_assert_eq!(examine(&locked, span.start as u64), Condition::Locked);
        }

        /// Whatever the bytes are, the walk ends without a panic.
        #[test]
        fn survives_any_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 0..20_000), magic in any::<bool>()) {
            if magic && bytes.len() > 16 {
                bytes[..8].copy_from_slice(&MAGIC.to_le_bytes());
                bytes[8..16].fill(0);
            }
            examine(&bytes, 4096);
        }
    }
}
