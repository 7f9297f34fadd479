//! What a state begins with: the engine's own words in it, and behind them the heap.

use crate::arena::Arena;
use crate::span::Span;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where in the state its heap begins.
pub(crate) const STATE_ARENA: usize = 1024;

/// What the state begins with. Committed and restored with everything else.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct StateHead {
    /// Operations completed.
    pub(crate) operations: AtomicU64,
    /// Where the program's state lives; 0 before it was made.
    pub(crate) root: AtomicU64,
    /// Where the last transaction's result lives; 0 where there is none.
    pub(crate) result: AtomicU64,
    /// The last transaction whose work is done: its number. Part of its last commit, so that work that is done is
    /// never done again, however its process ends afterwards.
    pub(crate) done: AtomicU64,
    /// How many of `skips` are in use.
    skip_count: AtomicU64,
    /// Operations that the program decided to skip and that no commit has passed yet.
    skips: [AtomicU64; Self::SKIPS],
}

const _: () = assert!(size_of::<StateHead>() <= STATE_ARENA);

impl Default for StateHead {
    /// That of a state that was never made.
    fn default() -> Self {
        // SAFETY: bytes of zero are an empty head.
        unsafe { std::mem::zeroed() }
    }
}

impl StateHead {
    /// How many operations can be skipped between two commits.
    pub(crate) const SKIPS: usize = 64;

    /// Makes `state` an empty state without a root.
    ///
    /// # Safety
    /// `state` is mapped and writable, and nothing borrows from it.
    pub(crate) unsafe fn format(state: Span) {
        let heap = state.behind(STATE_ARENA);
        // SAFETY: as the caller vouches; the heap's part is aligned to 1024.
        unsafe { Arena::format(heap) };
        // SAFETY: bytes of zero are an empty head, and the span is writable.
        unsafe { std::ptr::write_bytes(state.start as *mut u8, 0, size_of::<Self>()) };
    }

    /// The head of the state that `state` holds.
    ///
    /// # Safety
    /// `state` is mapped as long as the result is used.
    pub(crate) unsafe fn of<'a>(state: Span) -> &'a Self {
        // SAFETY: the memory is mapped; all bytes are valid for atomics.
        unsafe { &*(state.start as *const Self) }
    }

    /// The heap of this state.
    pub(crate) fn arena(&self) -> Option<&Arena> {
        let start = std::ptr::from_ref(self) as usize + STATE_ARENA;
        // SAFETY: a head lies at the start of a mapped state, whose heap is behind it.
        unsafe { Arena::at(start) }
    }

    fn fixed(&self) -> [&AtomicU64; 5] {
        [&self.operations, &self.root, &self.result, &self.done, &self.skip_count]
    }

    /// Its words, those skips that are not in use left out.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.fixed().into_iter().chain(self.skipped()).map(|word| word.load(Ordering::Relaxed))
    }

    /// Makes it equal to `other`.
    pub(crate) fn copy_from(&self, other: &Self) {
        for (word, value) in self.fixed().into_iter().chain(&self.skips).zip(other.words()) {
            word.store(value, Ordering::Relaxed);
        }
    }

    fn skipped(&self) -> &[AtomicU64] {
        let count = usize::try_from(self.skip_count.load(Ordering::Relaxed)).unwrap_or(0);
        &self.skips[..count.min(Self::SKIPS)]
    }

    /// The crash may have struck in the last commit of all, whose marks are not true of a state that is kept.
    pub(crate) fn forget_the_end(&self) {
        self.done.store(0, Ordering::Relaxed);
        self.result.store(0, Ordering::Relaxed);
    }

    /// Whether `operation` is to be skipped.
    pub(crate) fn skips(&self, operation: u64) -> bool {
        self.skipped().iter().any(|skip| skip.load(Ordering::Relaxed) == operation)
    }

    /// Adds an operation to skip; false where there is no room.
    pub(crate) fn skip(&self, operation: u64) -> bool {
        let count = self.skipped().len();
        if self.skips(operation) {
            return true;
        }
        let Some(free) = self.skips.get(count) else { return false };
        free.store(operation, Ordering::Relaxed);
        self.skip_count.store(count as u64 + 1, Ordering::Relaxed);
        true
    }

    /// Forgets the skips that lie behind `operations`: they were passed.
    pub(crate) fn forget_passed_skips(&self, operations: u64) {
        let mut kept = 0;
        for i in 0..self.skipped().len() {
            let skip = self.skips[i].load(Ordering::Relaxed);
            if skip >= operations {
                self.skips[kept].store(skip, Ordering::Relaxed);
                kept += 1;
            }
        }
        self.skip_count.store(kept as u64, Ordering::Relaxed);
    }
}
