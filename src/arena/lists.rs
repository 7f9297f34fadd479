//! The blocks and the lists of free blocks of rlsf 0.2.3, as they lie in memory.
//!
//! ```text
//! block   u64 size, bit 0: in use │ u64 address of the block before it │ free only: u64 next, u64 previous in its list
//! list    of sizes from 2^f × (16 + s) / 16 × 32 bytes on, for f < 32 and s < 16; a bit for each f and for each list
//! ```
//!
//! The last block of all is one grain long, and in use. Where in [`FreeLists`] its parts stand is the compiler's choice,
//! and found out once.

use super::FreeLists;
use std::ptr::NonNull;
use std::sync::OnceLock;

/// Blocks are multiples of this, and so are their addresses.
pub(super) const GRAIN: usize = 32;
/// A block's header while it is in use, and while it is free.
pub(super) const HEADER: usize = 16;
pub(super) const FREE_HEADER: usize = 32;
/// Bits of a size word that are none of the size.
pub(super) const FLAGS: usize = GRAIN - 1;
pub(super) const IN_USE: usize = 1;

/// Where in a block's header things stand.
pub(super) const BEFORE: usize = 8;
pub(super) const NEXT: usize = 16;
pub(super) const PREVIOUS: usize = 24;

/// Lists in a class of sizes, from one power of two to the next; and lists in all.
pub(super) const IN_A_CLASS: usize = 16;
pub(super) const LISTS: usize = 32 * IN_A_CLASS;

/// The list that a free block of `size` bytes is in, a grain or more: by its highest bit, and the four behind. For sizes
/// beyond all lists it is none of them.
pub(super) const fn list_of(size: usize) -> usize {
    let class = (size / GRAIN).ilog2() as usize;
    class * IN_A_CLASS + (size >> (class + 1)) % IN_A_CLASS
}

/// The first list of which every block has `size` bytes.
pub(super) const fn list_for(size: usize) -> usize {
    let list = list_of(size);
    if size.is_multiple_of(2 << (list / IN_A_CLASS)) { list } else { list + 1 }
}

/// Where in [`FreeLists`] its parts stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offsets {
    /// A word with a bit for each class that has a block.
    pub(super) classes: usize,
    /// A word for each class, with a bit for each list that has one.
    pub(super) lists: usize,
    /// The address of the first block of each list.
    pub(super) first: usize,
}

/// Where they stand; `None` where the free lists do not look as they are expected to.
pub(super) fn offsets() -> Option<&'static Offsets> {
    static FOUND: OnceLock<Option<Offsets>> = OnceLock::new();
    FOUND.get_or_init(find_offsets).as_ref()
}

/// Puts one block into empty lists, and looks which words change; then another, and looks whether those do that should.
fn find_offsets() -> Option<Offsets> {
    #[repr(C, align(64))]
    struct Pool([u8; 1024]);
    const WORDS: usize = size_of::<FreeLists>() / size_of::<u32>();
    #[repr(C, align(16))]
    struct Words([u32; WORDS]);

    let mut pool = Pool([0; 1024]);
    let start = pool.0.as_mut_ptr();
    let lists_with = |size: usize| {
        // Zeros are empty lists, and are zeros between the fields too.
        let mut words = Words([0; WORDS]);
        let lists = (&raw mut words).cast::<FreeLists>();
        let memory = NonNull::new(std::ptr::slice_from_raw_parts_mut(start, size + GRAIN))?;
        // SAFETY: the words are as large as the lists, aligned, and hold empty ones.
        let lists = unsafe { &mut *lists };
        // SAFETY: the pool is writable, and outlives the lists.
        unsafe { lists.insert_free_block_ptr(memory) }?;
        Some(words)
    };
    let find = |words: &Words, wanted: u32| {
        let mut found = (0..WORDS).filter(|&i| words.0[i] == wanted);
        found.next().filter(|_| found.next().is_none()).map(|i| i * size_of::<u32>())
    };
    let at_address = |words: &Words| {
        let is = |i: usize| {
            let halves = [words.0[i], words.0.get(i + 1).copied().unwrap_or(0)].map(u64::from);
            halves[0] | halves[1] << 32 == start as u64
        };
        let mut found = (0..WORDS).step_by(2).filter(|&i| is(i));
        found.next().filter(|_| found.next().is_none()).map(|i| i * size_of::<u32>())
    };
    // A block of 64 bytes: class 1, list 0.
    let words = lists_with(64)?;
    let offsets = Offsets {
        classes: find(&words, 1 << 1)?,
        lists: find(&words, 1)?.checked_sub(size_of::<u32>())?,
        first: at_address(&words)?.checked_sub(IN_A_CLASS * size_of::<u64>())?,
    };
    // One of 19 × 32 bytes: class 4, list 3.
    let words = lists_with(19 * GRAIN)?;
    let seen = (
        find(&words, 1 << 4)?,
        find(&words, 1 << 3)?.checked_sub(4 * size_of::<u32>())?,
        at_address(&words)?.checked_sub((4 * IN_A_CLASS + 3) * size_of::<u64>())?,
    );
    let holds_all = offsets.first + LISTS * size_of::<u64>() <= size_of::<FreeLists>();
    (holds_all && seen == (offsets.classes, offsets.lists, offsets.first)).then_some(offsets)
}
