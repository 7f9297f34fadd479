//! The memory that the processes of a path share: their words, a signal stack, and the laps as measured.

use super::failed;
use crate::error::Result;
use crate::span::Span;
use crate::sys::bare::SharedMemory;
use crate::sys::memory::{self, PAGE};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

const SIGNAL_STACK: usize = 8 * PAGE;

/// Laps that are walked before those that count.
pub(super) const WARM_UP: usize = 20;

/// Words that processes share.
///
/// # Safety
/// All of it are atomics, at most a page of them, and zeros are valid.
pub(super) unsafe trait Words {}

/// A page of words, the stack, and as many numbers as there are laps.
pub(super) struct Track<W> {
    shared: SharedMemory,
    laps: usize,
    words: PhantomData<W>,
}

impl<W: Words> Track<W> {
    /// Zeros, every page of them there.
    pub(super) fn new(laps: usize) -> Result<Self> {
        const { assert!(size_of::<W>() <= PAGE && align_of::<W>() <= PAGE) };
        let len = PAGE + SIGNAL_STACK + laps * size_of::<u64>();
        let shared = SharedMemory::new(len).map_err(failed("shared memory for the laps of a floor"))?;
        memory::populate_to_write(shared.span());
        Ok(Self { shared, laps, words: PhantomData })
    }

    pub(super) fn words(&self) -> &W {
        // SAFETY: the first page, mapped as long as `self`; zeros are valid words, and all of them are atomics.
        unsafe { &*(self.shared.span().start as *const W) }
    }

    pub(super) fn signal_stack(&self) -> Span {
        self.shared.span().part(PAGE, SIGNAL_STACK)
    }

    fn measured(&self) -> &[AtomicU64] {
        let start = self.shared.span().start + PAGE + SIGNAL_STACK;
        // SAFETY: the memory has room for so many behind the stack; zeros are valid, and all of them are atomics.
        unsafe { std::slice::from_raw_parts(start as *const AtomicU64, self.laps) }
    }

    /// Walks all laps, in the process that measures: `lap` gets their number, from 1, and answers nanoseconds. The
    /// first [`WARM_UP`] do not count.
    pub(super) fn walk(&self, mut lap: impl FnMut(u32) -> u64) {
        let counted = self.measured();
        for (i, number) in (0..WARM_UP + counted.len()).zip(1..) {
            let ns = lap(number);
            if let Some(slot) = i.checked_sub(WARM_UP) {
                counted[slot].store(ns, Ordering::Relaxed);
            }
        }
    }

    /// What was measured.
    pub(super) fn laps(&self) -> Vec<u64> {
        self.measured().iter().map(|ns| ns.load(Ordering::Relaxed)).collect()
    }
}
