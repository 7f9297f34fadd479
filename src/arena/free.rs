//! Which pages hold nothing: those that lie wholly inside a free block of an arena, behind its header. Their content is
//! nobody's, whatever it is, so a commit need not save it, and a restore need not put it back.
//!
//! They are told from the arena's bytes, in a process that does not trust them (a daemon reads what a transaction wrote):
//! by the lists of free blocks, largest first, and not by the chain of all blocks. That is faster, and a free block is
//! vouched for by more than one bit: the list that it is in must be that of its size, its neighbours in the list and the
//! block behind it must know it, and the latter must be in use. Where anything contradicts, no page is free.

use super::lists::{BEFORE, FREE_HEADER, GRAIN, IN_USE, LISTS, NEXT, PREVIOUS, list_of, offsets};
use super::{Arena, MAGIC};
use crate::span::Span;
use crate::sys::memory::PAGE;
use std::mem::offset_of;
use std::ops::Range;

/// The first list whose blocks can hold a whole page.
const FIRST_LIST: usize = list_of(PAGE);
/// The most runs of pages that are told of.
const MOST_RUNS: usize = 512;

/// Runs of pages that hold nothing, in ascending order.
pub(crate) struct FreePages {
    /// From one page number to another, which is not in it.
    runs: [(u32, u32); MOST_RUNS],
    count: usize,
}

impl FreePages {
    /// No page.
    pub(crate) const NONE: Self = Self { runs: [(0, 0); MOST_RUNS], count: 0 };

    /// The free pages of the state that lies in `state` (its arena `offset` bytes behind its start) and was made at
    /// address `base`: those inside of the `most_blocks` largest free blocks, which is what finding them costs.
    ///
    /// # Safety
    /// `state` is mapped, begins at a page, and nothing writes it meanwhile.
    pub(crate) unsafe fn find(state: Span, offset: usize, base: usize, most_blocks: usize) -> Self {
        let bytes = Bytes { state, base };
        let mut found = Self::NONE;
        match found.add_blocks(&bytes, offset, most_blocks) {
            Some(()) => found,
            None => Self::NONE,
        }
    }

    /// Adds the pages inside of the largest free blocks; `None` where the arena contradicts itself.
    fn add_blocks(&mut self, bytes: &Bytes, offset: usize, most_blocks: usize) -> Option<()> {
        let arena = bytes.base + offset;
        let pool_start = (arena + size_of::<Arena>()).next_multiple_of(64);
        let is_formatted = bytes.word(arena + offset_of!(Arena, magic))? == usize::try_from(MAGIC).ok()?
            && bytes.word(arena + offset_of!(Arena, pool_start))? == pool_start;
        // In the word behind the lock is nothing.
        let is_locked = bytes.word(arena + offset_of!(Arena, lock))? & 0xffff_ffff != 0;
        if !is_formatted || is_locked {
            return None;
        }
        let lists = arena + offset_of!(Arena, lists) + offsets()?.first;
        let mut blocks = 0;
        'all: for list in (FIRST_LIST..LISTS).rev() {
            let mut block = bytes.word(lists + list * size_of::<usize>())?;
            let mut previous = 0;
            while block != 0 {
                if blocks == most_blocks || self.count == MOST_RUNS {
                    break 'all;
                }
                blocks += 1;
                let size = bytes.free_block(block, list, previous).filter(|_| block >= pool_start)?;
                self.add((block + FREE_HEADER - bytes.base).div_ceil(PAGE), (block + size - bytes.base) / PAGE)?;
                previous = block;
                block = bytes.word(block + NEXT)?;
            }
        }
        let runs = &mut self.runs[..self.count];
        runs.sort_unstable();
        runs.is_sorted_by(|one, next| one.1 <= next.0).then_some(())
    }

    fn add(&mut self, first: usize, end: usize) -> Option<()> {
        if first < end {
            self.runs[self.count] = (u32::try_from(first).ok()?, u32::try_from(end).ok()?);
            self.count += 1;
        }
        Some(())
    }

    /// Whether page `page` of the state is free.
    pub(crate) fn contains(&self, page: usize) -> bool {
        let runs = &self.runs[..self.count];
        let behind = runs.partition_point(|(first, _)| *first as usize <= page);
        behind > 0 && page < runs[behind - 1].1 as usize
    }

    /// What of the pages in `within` is not free, in ascending runs. All are numbers of bytes from the state's start.
    pub(crate) fn others(&self, within: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let free = self.runs[..self.count].iter().map(|run| run.0 as usize * PAGE..run.1 as usize * PAGE);
        let mut from = within.start;
        free.chain(std::iter::once(within.end..within.end)).filter_map(move |free| {
            let kept = from..free.start.min(within.end);
            from = from.max(free.end);
            (!kept.is_empty()).then_some(kept)
        })
    }
}

/// The bytes of a state, wherever they lie now, by the addresses at which it was made.
struct Bytes {
    state: Span,
    base: usize,
}

impl Bytes {
    /// The word at `address`, where that is one of the state's.
    fn word(&self, address: usize) -> Option<usize> {
        let offset = address.checked_sub(self.base)?;
        let is_inside = offset % size_of::<usize>() == 0 && offset < self.state.len;
        // SAFETY: whoever made this vouches for the memory, which begins and ends at a page, and the word is in it.
        is_inside.then(|| unsafe { ((self.state.start + offset) as *const usize).read() })
    }

    /// The size of the free block at `block`, where it is one: in `list`, behind block `previous` of that.
    fn free_block(&self, block: usize, list: usize, previous: usize) -> Option<usize> {
        let size = self.word(block)?;
        let behind = block.checked_add(size)?;
        let is_sound = block.is_multiple_of(GRAIN)
            && size.is_multiple_of(GRAIN)
            && size >= PAGE
            && list_of(size) == list
            && self.word(block + PREVIOUS)? == previous
            && self.word(behind)? & IN_USE != 0
            && self.word(behind + BEFORE)? == block;
        is_sound.then_some(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::{Condition, examine};
    use proptest::prelude::*;
    use std::alloc::Layout;
    use std::collections::BTreeSet;
    use std::ptr::NonNull;

    const PAGES: usize = 128;

    #[repr(align(4096))]
    struct Memory([u8; PAGES * PAGE]);

    impl Memory {
        fn new() -> Box<Self> {
            // SAFETY: bytes of zero are a valid `Memory`.
            unsafe { Box::<Self>::new_zeroed().assume_init() }
        }

        fn span(&mut self) -> Span {
            Span { start: self.0.as_mut_ptr() as usize, len: self.0.len() }
        }
    }

    /// The arena's place in its memory, as in a state.
    const OFFSET: usize = 1024;

    #[derive(Clone, Debug)]
    enum Step {
        Take(usize, u32),
        Give(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (1usize..20_000, 0u32..8).prop_map(|(size, align)| Step::Take(size, align)),
            1 => (20_000usize..100_000).prop_map(|size| Step::Take(size, 0)),
            3 => (0usize..64).prop_map(Step::Give),
        ];
        proptest::collection::vec(step, 1..120)
    }

    /// What a program holds of an arena: blocks, each filled with a byte of its own.
    #[derive(Default)]
    struct Held(Vec<(NonNull<u8>, Layout, u8)>);

    impl Held {
        fn play(&mut self, arena: &Arena, steps: &[Step]) {
            for (i, step) in steps.iter().enumerate() {
                match *step {
                    Step::Take(size, align) => {
                        let layout = Layout::from_size_align(size, 1 << align).unwrap();
                        if let Some(block) = arena.allocate(layout, size) {
                            let byte = i.to_le_bytes()[0];
                            // SAFETY: the block was made just now, with so many bytes.
                            unsafe { block.as_ptr().write_bytes(byte, size) };
                            self.0.push((block, layout, byte));
                        }
                    }
                    Step::Give(i) if !self.0.is_empty() => {
                        let (block, layout, _) = self.0.swap_remove(i % self.0.len());
                        // SAFETY: allocated above with this layout, and forgotten now.
                        unsafe { arena.release(block, layout) };
                    }
                    Step::Give(_) => {}
                }
            }
        }

        fn is_unharmed(&self) -> bool {
            self.0.iter().all(|(block, layout, byte)| {
                // SAFETY: a block that is held has so many bytes, all written.
                let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), layout.size()) };
                bytes.iter().all(|found| found == byte)
            })
        }
    }

    /// The free pages by the chain of all blocks, and where the words of all headers lie.
    fn by_the_chain(memory: &mut Memory) -> (BTreeSet<usize>, Vec<usize>) {
        let span = memory.span();
        let bytes = Bytes { state: span, base: span.start };
        let (mut free, mut headers) = (BTreeSet::new(), Vec::new());
        let mut at = (span.start + OFFSET + size_of::<Arena>()).next_multiple_of(64);
        loop {
            let word = bytes.word(at).unwrap();
            let end = at + (word & !(GRAIN - 1));
            let words = if word & IN_USE == 0 { 4 } else { 2 };
            headers.extend((0..words).map(|word| at - span.start + word * 8));
            match word & (GRAIN - 1) {
                0 => free.extend((at + FREE_HEADER - span.start).div_ceil(PAGE)..(end - span.start) / PAGE),
                IN_USE => {}
                _ => return (free, headers),
            }
            at = end;
        }
    }

    fn find(memory: &mut Memory, base: usize, most_blocks: usize) -> FreePages {
        // SAFETY: the memory is this test's own.
        unsafe { FreePages::find(memory.span(), OFFSET, base, most_blocks) }
    }

    fn pages(free: &FreePages) -> BTreeSet<usize> {
        (0..PAGES).filter(|page| free.contains(*page)).collect()
    }

    fn copy(free: &FreePages, from: &Memory, to: &mut Memory) -> usize {
        let runs = free.others(0..100 * PAGE).chain(free.others(100 * PAGE..PAGES * PAGE));
        runs.map(|run| to.0[run.clone()].copy_from_slice(&from.0[run.clone()])).count()
    }

    proptest! {
        /// A heap that is saved without its free pages, overwritten, and restored without them is as it was: what is
        /// held is unharmed, the chain is whole, and it goes on being used as before. Free are those pages that the
        /// chain of blocks says are.
        #[test]
        fn a_heap_is_restored_without_its_free_pages(before in steps(), lost in steps(), after in steps(), junk: u8) {
            let (mut memory, mut slot) = (Memory::new(), Memory::new());
            let span = memory.span();
            // SAFETY: the memory is this test's own, to its end.
            let arena = unsafe { Arena::format(span.behind(OFFSET)) };
            let mut held = Held::default();
            held.play(arena, &before);
            let free = find(&mut memory, span.start, usize::MAX);
            prop_assert_eq!(pages(&free), by_the_chain(&mut memory).0);
            slot.0.fill(junk);
            copy(&free, &memory, &mut slot);
            // Work that a crash ends.
            Held(held.0.clone()).play(arena, &lost);
            memory.0[OFFSET..].fill(junk ^ 0xff);
            let saved = find(&mut slot, span.start, usize::MAX);
            prop_assert_eq!(pages(&saved), pages(&free));
            copy(&saved, &slot, &mut memory);
            prop_assert!(held.is_unharmed());
            prop_assert_eq!(examine(&memory.0[OFFSET..], (span.start + OFFSET) as u64), Condition::Whole);
            held.play(arena, &after);
            prop_assert!(held.is_unharmed());
            prop_assert_eq!(examine(&memory.0[OFFSET..], (span.start + OFFSET) as u64), Condition::Whole);
            prop_assert_eq!(arena.live_bytes(), held.0.iter().map(|(_, l, _)| l.size() as u64).sum::<u64>());
        }

        /// The largest free blocks come first, and a limit only leaves some out.
        #[test]
        fn fewer_blocks_are_the_largest(before in steps(), most in 0usize..8) {
            let mut memory = Memory::new();
            let span = memory.span();
            // SAFETY: the memory is this test's own, to its end.
            let arena = unsafe { Arena::format(span.behind(OFFSET)) };
            Held::default().play(arena, &before);
            let (all, some) = (find(&mut memory, span.start, usize::MAX), find(&mut memory, span.start, most));
            prop_assert!(some.count <= most && pages(&some).is_subset(&pages(&all)));
            prop_assert!(most == 0 || all.count == 0 || some.count > 0);
        }

        /// No bit that flips anywhere in what is saved makes a page free that holds something.
        #[test]
        fn a_flipped_bit_frees_no_page(before in steps(), bits in proptest::collection::vec(any::<usize>(), 300)) {
            let mut memory = Memory::new();
            let span = memory.span();
            // SAFETY: the memory is this test's own, to its end.
            let arena = unsafe { Arena::format(span.behind(OFFSET)) };
            Held::default().play(arena, &before);
            let (free, headers) = by_the_chain(&mut memory);
            // Most of them where most is at stake: in the arena's head, and in the headers of blocks, low bits first.
            for (i, bit) in bits.into_iter().enumerate() {
                let bit = match i % 6 {
                    0 => bit % (memory.0.len() * 8),
                    1 => OFFSET * 8 + bit % (size_of::<Arena>() * 8),
                    2 => headers[bit / 64 % headers.len()] * 8 + bit % 64,
                    _ => headers[bit / 64 % headers.len()] * 8 + bit % 18,
                };
                memory.0[bit / 8] ^= 1 << (bit % 8);
                let found = pages(&find(&mut memory, span.start, usize::MAX));
                prop_assert!(found.is_subset(&free), "bit {bit}: {:?}", found.difference(&free));
                memory.0[bit / 8] ^= 1 << (bit % 8);
            }
        }

        /// Whatever the bytes are, the search ends without a panic.
        #[test]
        fn survives_any_bytes(
            words in proptest::collection::vec((0usize..PAGES * PAGE / 8, any::<u64>(), 0usize..PAGES * PAGE), 0..3000),
        ) {
            let mut memory = Memory::new();
            let span = memory.span();
            // SAFETY: the memory is this test's own, to its end.
            unsafe { Arena::format(span.behind(OFFSET)) };
            for (at, word, offset) in words {
                // Half of them addresses, which lead on.
                let word = if word % 2 == 0 { word } else { (span.start + offset) as u64 & !31 };
                let at = if word % 3 == 0 { OFFSET / 8 + at % 600 } else { at };
                memory.0[at * 8..][..8].copy_from_slice(&word.to_le_bytes());
            }
            find(&mut memory, span.start, usize::MAX);
        }
    }

    #[test]
    fn an_empty_heap_is_free_but_for_its_ends() {
        let mut memory = Memory::new();
        let span = memory.span();
        // SAFETY: the memory is this test's own, to its end.
        let arena = unsafe { Arena::format(span.behind(OFFSET)) };
        let head = (OFFSET + size_of::<Arena>() + FREE_HEADER).div_ceil(PAGE);
        assert_eq!(pages(&find(&mut memory, span.start, 1)), (head..PAGES - 1).collect());
        assert_eq!(pages(&find(&mut memory, span.start, 0)), BTreeSet::new());
        arena.locked(|_| assert_eq!(pages(&find(&mut memory, span.start, 1)), BTreeSet::new(), "it is being changed"));
    }
}
