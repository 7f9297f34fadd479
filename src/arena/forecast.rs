//! What the allocator is about to write, told from the arena's bytes before it does.
//!
//! The undo log needs to know: the allocator's own words must come back with everything else, and a crash may strike in
//! the middle of an operation. So each operation is forecast under the lock, what it will write is logged, and only then
//! is it done.
//!
//! ```text
//! allocate   the arena's head; the block that is taken, which is the first of a list; the links of the next one in that
//!            list, and of the first one of the list that the rest goes to; `before` of the block behind
//! release    the arena's head; the block, or the free one before it that it melts into; the links of the neighbours in
//!            the lists of both free ones beside it, and of the first one of the list that it goes to; `before` of the
//!            block behind. The headers that melt away are told too, and where a block of a wide alignment says where its
//!            header is: they are not written yet, but are nobody's from now on
//! ```
//!
//! What lies inside of free memory, behind the headers of free blocks, is nobody's: it needs no forecast. The tests hold
//! each operation's writes against its forecast. How blocks and lists look is in `lists.rs`.

use super::Arena;
use super::lists::{BEFORE, FLAGS, GRAIN, HEADER, IN_A_CLASS, IN_USE, LISTS, NEXT, Offsets, PREVIOUS};
use super::lists::{list_for, list_of, offsets};
use crate::span::Span;
use std::alloc::Layout;

/// The most places that one operation writes to.
pub(crate) const MOST: usize = 10;

/// What an operation is about to write, the arena's head apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forecast {
    /// The block that is taken or released, from its header on, as long as it will be or was in use.
    pub(crate) block: Span,
    places: [Span; MOST],
    count: usize,
}

impl Forecast {
    fn new(block: Span) -> Self {
        Self { block, places: [Span { start: 0, len: 0 }; MOST], count: 0 }
    }

    fn add(&mut self, start: usize, len: usize) {
        self.places[self.count] = Span { start, len };
        self.count += 1;
    }

    /// Where it writes: pieces of whole words.
    pub(crate) fn places(&self) -> &[Span] {
        &self.places[..self.count]
    }
}

/// Whether forecasts can be made: the free lists were found to look as they are expected to.
pub(crate) fn is_possible() -> bool {
    offsets().is_some()
}

/// The lowest bit of `bits` from bit `from` on.
fn lowest_from(bits: u32, from: usize) -> Option<usize> {
    let rest = bits & u32::MAX.checked_shl(u32::try_from(from).ok()?)?;
    (rest != 0).then(|| rest.trailing_zeros() as usize)
}

fn word(at: usize) -> usize {
    // SAFETY: the callers pass words of an arena's head, and of headers that it leads to, under its lock: mapped, aligned,
    // and written by nobody else. Where a wild write has broken them, this faults as the operation itself would.
    unsafe { (at as *const usize).read() }
}

impl Arena {
    /// The first block of a list; 0 where it has none, or there is no such list.
    fn first_of(&self, offsets: &Offsets, list: usize) -> usize {
        if list < LISTS { word(self.lists.get() as usize + offsets.first + list * size_of::<u64>()) } else { 0 }
    }

    fn bits(&self, offset: usize) -> u32 {
        let at = (self.lists.get() as usize + offset) as *const u32;
        // SAFETY: the offset is that of a word of the lists; the lock is held.
        unsafe { at.read() }
    }

    /// What allocating `layout` will write; `None` where there is no room for it. To be called under the lock.
    pub(super) fn forecast_allocation(&self, layout: Layout) -> Option<Forecast> {
        let offsets = offsets()?;
        let overhead = layout.align().saturating_sub(HEADER) + HEADER;
        let wanted = layout.size().checked_add(overhead)?.checked_next_multiple_of(GRAIN)?;
        let least = list_for(wanted);
        let first_in = |class: usize, from: usize| {
            let lists = self.bits(offsets.lists + class * size_of::<u32>());
            lowest_from(lists, from).map(|list| class * IN_A_CLASS + list)
        };
        let class = least / IN_A_CLASS;
        let list = match (least < LISTS).then(|| first_in(class, least % IN_A_CLASS))? {
            Some(list) => list,
            None => first_in(lowest_from(self.bits(offsets.classes), class + 1)?, 0)?,
        };
        let block = self.first_of(offsets, list);
        let size = word(block) & !FLAGS;
        let payload = (block + HEADER).next_multiple_of(layout.align());
        let taken = (payload - block + layout.size()).next_multiple_of(GRAIN);
        let next = word(block + NEXT);

        let mut forecast = Forecast::new(Span { start: block, len: taken });
        forecast.add(block, GRAIN);
        if next != 0 {
            forecast.add(next + NEXT, GRAIN - NEXT);
        }
        if taken < size {
            forecast.add(block + size + BEFORE, size_of::<u64>());
            let rest = list_of(size - taken);
            let first = if rest == list { next } else { self.first_of(offsets, rest) };
            if first != 0 && first != next {
                forecast.add(first + NEXT, GRAIN - NEXT);
            }
        }
        Some(forecast)
    }

    /// What releasing the block at `payload`, which was allocated with `align`, will write. To be called under the lock.
    pub(super) fn forecast_release(&self, payload: usize, align: usize) -> Option<Forecast> {
        let offsets = offsets()?;
        let block = header_of(payload, align);
        let size = word(block) & !FLAGS;
        let mut forecast = Forecast::new(Span { start: block, len: size });
        let (mut start, mut len, mut behind) = (block, size, block + size);
        let mut melted = [0; 2];
        if word(behind) & IN_USE == 0 {
            melted[0] = behind;
            len += word(behind) & !FLAGS;
            behind = start + len;
        }
        let before = word(block + BEFORE);
        if before != 0 && word(before) & IN_USE == 0 {
            melted[1] = before;
            len += word(before) & !FLAGS;
            start = before;
        }
        forecast.add(start, GRAIN);
        forecast.add(behind + BEFORE, size_of::<u64>());
        if start != block {
            forecast.add(block, HEADER);
        }
        if align >= GRAIN {
            forecast.add(payload - size_of::<u64>(), size_of::<u64>());
        }
        if melted[0] != 0 {
            forecast.add(melted[0], GRAIN);
        }
        for gone in melted.into_iter().filter(|gone| *gone != 0) {
            for neighbour in [word(gone + NEXT), word(gone + PREVIOUS)] {
                if neighbour != 0 {
                    forecast.add(neighbour + NEXT, GRAIN - NEXT);
                }
            }
        }
        let mut first = self.first_of(offsets, list_of(len));
        while first != 0 && melted.contains(&first) {
            first = word(first + NEXT);
        }
        if first != 0 {
            forecast.add(first + NEXT, GRAIN - NEXT);
        }
        Some(forecast)
    }

    /// The free blocks of `least` bytes and more, headers included, list by list. Ends where the lists are broken, so it
    /// may be asked about a heap that a wild write has hit. Nobody changes the lists meanwhile.
    pub(crate) fn free_blocks(&self, least: usize) -> impl Iterator<Item = Span> + '_ {
        let pool = self.pool();
        let mut left = pool.len / GRAIN;
        (list_of(least.max(GRAIN))..LISTS)
            .flat_map(move |list| offsets().map(|offsets| self.first_of(offsets, list)))
            .flat_map(move |first| {
                let mut at = first;
                std::iter::from_fn(move || {
                    let is_inside = pool.contains(at) && at.is_multiple_of(GRAIN) && pool.end() - at > GRAIN;
                    if !is_inside || left == 0 {
                        return None;
                    }
                    left -= 1;
                    let block = Span { start: at, len: word(at) };
                    // In use, or longer than the pool: broken.
                    if block.len & FLAGS != 0 || block.len > pool.end() - at {
                        return None;
                    }
                    at = word(at + NEXT);
                    Some(block)
                })
            })
            .filter(move |block| block.len >= least)
    }

    /// The block that `at` lies in, header included, found by a walk over all blocks; `None` where there is none, or the
    /// chain is broken before it.
    pub(crate) fn block_around(&self, at: usize) -> Option<Span> {
        let pool = self.pool();
        let mut start = pool.start;
        while pool.contains(at) && pool.contains(start) && pool.end() - start >= GRAIN {
            let block = block_at(start);
            if block.contains(at) {
                return Some(block);
            }
            start = start.checked_add(block.len.max(GRAIN))?;
        }
        None
    }

    /// Whether a block that is in use has its payload at `payload`, as far as its header and those beside it tell.
    pub(crate) fn is_block(&self, payload: usize, align: usize) -> bool {
        let pool = self.pool();
        let fits = |at: usize| pool.contains(at) && at.is_multiple_of(GRAIN) && pool.end() - at >= GRAIN;
        if !pool.contains(payload) || payload - pool.start < HEADER {
            return false;
        }
        let block = header_of(payload, align);
        if !fits(block) || block >= payload || word(block) & FLAGS != IN_USE {
            return false;
        }
        let (behind, before) = (block.saturating_add(word(block) & !FLAGS), word(block + BEFORE));
        let is_before = match before {
            0 => block == pool.start,
            _ => fits(before) && before.saturating_add(word(before) & !FLAGS) == block,
        };
        behind > payload && fits(behind) && word(behind + BEFORE) == block && is_before
    }
}

/// The block whose header is at `header`.
pub(crate) fn block_at(header: usize) -> Span {
    Span { start: header, len: word(header) & !FLAGS }
}

/// The header of the block whose payload, allocated with `align`, is at `payload`.
pub(crate) fn header_of(payload: usize, align: usize) -> usize {
    if align >= GRAIN { word(payload - size_of::<u64>()) } else { payload - HEADER }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ptr::NonNull;

    const LEN: usize = 1 << 15;

    #[repr(align(4096))]
    struct Memory([u8; LEN]);

    #[derive(Clone, Debug)]
    enum Step {
        Take(usize, u32),
        Give(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Small ones of few sizes share lists; large ones use the memory up.
        let size = prop_oneof![4 => 1usize..200, 2 => 200usize..3000, 1 => 3000usize..12_000];
        let step = prop_oneof![
            5 => (size, prop_oneof![4 => 0u32..4, 1 => 4u32..10]).prop_map(|(size, align)| Step::Take(size, align)),
            4 => (0usize..64).prop_map(Step::Give),
        ];
        proptest::collection::vec(step, 1..150)
    }

    fn bytes(span: Span) -> Vec<u8> {
        // SAFETY: the test's own memory, which nobody writes at this moment.
        unsafe { std::slice::from_raw_parts(span.start as *const u8, span.len) }.to_vec()
    }

    /// Whether a change at `at` is one inside of memory that was free: behind the header of a free block.
    fn is_nobodys(free: &[Span], at: usize) -> bool {
        free.iter().any(|block| block.contains(at) && at - block.start >= GRAIN)
    }

    #[test]
    fn the_lists_are_found() {
        let offsets = offsets().expect("rlsf's lists look as they are expected to");
        assert!(offsets.first.is_multiple_of(8) && offsets.lists.is_multiple_of(4));
    }

    proptest! {
        /// No operation writes anything but what was forecast and what was nobody's.
        #[test]
        fn every_write_was_forecast(steps in steps()) {
            // SAFETY: bytes of zero are a valid `Memory`.
            let mut memory = unsafe { Box::<Memory>::new_zeroed().assume_init() };
            let span = Span { start: memory.0.as_mut_ptr() as usize, len: LEN };
            // SAFETY: the memory is ours for the whole test.
            let arena = unsafe { Arena::format(span) };
            let mut held: Vec<(NonNull<u8>, Layout)> = Vec::new();
            for step in steps {
                let free: Vec<Span> = arena.free_blocks(0).collect();
                let before = bytes(span);
                let mut forecast = None;
                match step {
                    Step::Take(size, align) => {
                        let layout = Layout::from_size_align(size, 1 << align).unwrap();
                        let log = |seen: &Forecast| forecast = Some(*seen);
                        let block = arena.allocate_logged(layout, size, log);
                        prop_assert_eq!(block.is_some(), forecast.is_some());
                        if let (Some(block), Some(forecast)) = (block, forecast) {
                            let at = block.as_ptr() as usize;
                            prop_assert!(forecast.block.contains(at) && at + size <= forecast.block.end());
                            prop_assert_eq!(forecast.block.start, header_of(at, layout.align()));
                            prop_assert!(arena.is_block(at, layout.align()));
                            held.push((block, layout));
                        }
                    }
                    Step::Give(i) if !held.is_empty() => {
                        let (block, layout) = held.swap_remove(i % held.len());
                        // SAFETY: allocated above with this layout, and forgotten now.
                        unsafe { arena.release_logged(block, layout, |seen| forecast = Some(*seen)) };
                        prop_assert!(forecast.is_some());
                        prop_assert!(!arena.is_block(block.as_ptr() as usize, layout.align()));
                    }
                    Step::Give(_) => {}
                }
                let after = bytes(span);
                let words = before.chunks(8).zip(after.chunks(8)).enumerate();
                let changed = words.filter(|(_, (old, new))| old != new).flat_map(|(i, (old, new))| {
                    (0..8).filter(move |&j| old[j] != new[j]).map(move |j| i * 8 + j)
                });
                for i in changed {
                    let at = span.start + i;
                    let told = forecast.is_some_and(|seen| seen.places().iter().any(|place| place.contains(at)));
                    prop_assert!(
                        told || i < size_of::<Arena>() || is_nobodys(&free, at),
                        "byte {} was written: {:?}, free were {:?}", i, forecast, free
                    );
                }
            }
        }

        /// The walk over the lists finds what the walk over all blocks finds.
        #[test]
        fn free_blocks_are_found(steps in steps(), least in 0usize..5000, broken in 0usize..LEN) {
            // SAFETY: bytes of zero are a valid `Memory`.
            let mut memory = unsafe { Box::<Memory>::new_zeroed().assume_init() };
            let span = Span { start: memory.0.as_mut_ptr() as usize, len: LEN };
            // SAFETY: the memory is ours for the whole test.
            let arena = unsafe { Arena::format(span) };
            let mut held: Vec<(NonNull<u8>, Layout)> = Vec::new();
            for step in steps {
                match step {
                    Step::Take(size, align) => {
                        let layout = Layout::from_size_align(size, 1 << align).unwrap();
                        held.extend(arena.allocate(layout, size).map(|block| (block, layout)));
                    }
                    Step::Give(i) if !held.is_empty() => {
                        let (block, layout) = held.swap_remove(i % held.len());
                        // SAFETY: allocated above with this layout, and forgotten now.
                        unsafe { arena.release(block, layout) };
                    }
                    Step::Give(_) => {}
                }
            }
            let mut found: Vec<usize> = arena.free_blocks(least).map(|block| block.start).collect();
            found.sort_unstable();
            let (mut at, mut wanted) = (arena.pool().start, Vec::new());
            while at < arena.pool().end() {
                if word(at) & IN_USE == 0 && word(at) >= least {
                    wanted.push(at);
                }
                at += word(at) & !FLAGS;
            }
            prop_assert_eq!(found, wanted);
            // Whatever a wild write does to a header, the walk ends.
            let at = (span.start + broken / GRAIN * GRAIN).max(arena.pool().start);
            // SAFETY: inside the test's own memory.
            unsafe { ((at + NEXT) as *mut usize).write(broken.wrapping_mul(0x9e37_79b9_7f4a_7c15)) };
            arena.free_blocks(0).count();
        }
    }
}
