//! The words by which the processes of a lap speak: a page of shared memory that holds nothing else.
//!
//! ```text
//! line  word            written by                     read by
//! 0     fault_ns        the doomed child, last of all  the daemon, afterwards
//! 1     told            its handler                    the daemon, asleep on it
//! 2     released        its handler, or the daemon     the successor, spinning or asleep on it
//! 3     ready           the successor                  the daemon, asleep on it; the doomed child
//! 4     successor       the successor                  the doomed child and the daemon, once it is ready
//! 5     asked           the doomed child               the daemon, asleep on it
//! 6     answered        the daemon                     the doomed child, asleep on it
//! 7     started_ns …    the successor                  the daemon, afterwards
//! ```
//!
//! Each word has a cache line to itself, so that a stamp does not take the line away from who spins on another.

use crate::span::Span;
use crate::sys::memory::{self, PAGE};
use crate::sys::{event, processors};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// A piece of memory that no other word shares a cache line with.
#[repr(C, align(64))]
#[derive(Default)]
pub(super) struct Line<T>(T);

impl<T> std::ops::Deref for Line<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// A word that is 0 until it is raised, and that one process may wait on.
#[derive(Default)]
pub(super) struct Flag(AtomicU32);

impl Flag {
    pub(super) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    /// Raises it, for who spins on it. Async-signal-safe, as all of these.
    pub(super) fn raise(&self) {
        self.0.store(1, Ordering::Release);
    }

    /// Raises it, and wakes who sleeps on it.
    pub(super) fn raise_and_wake(&self) {
        self.raise();
        event::futex_wake(&self.0);
    }

    /// Spins for some 20 µs, about as long as a wake-up takes and as the engine's spares spin in one go; whether it is raised.
    fn spin_a_while(&self) -> bool {
        const LOOKS: u32 = 400;
        (0..LOOKS).any(|_| {
            std::hint::spin_loop();
            self.is_raised()
        })
    }

    /// Spins until it is raised; steps aside now and then, where others want the processor.
    pub(super) fn spin(&self) {
        while !self.spin_a_while() {
            processors::step_aside();
        }
    }

    /// Sleeps until it is raised.
    pub(super) fn sleep(&self) {
        while !self.is_raised() {
            event::futex_wait(&self.0, 0);
        }
    }

    /// The same, but spins first for a while.
    pub(super) fn spin_and_sleep(&self) {
        if !self.spin_a_while() {
            self.sleep();
        }
    }

    /// Sleeps until it is raised, or for `limit`; whether it is raised.
    pub(super) fn sleep_for(&self, limit: Duration) -> bool {
        if !self.is_raised() {
            event::futex_wait_for(&self.0, 0, u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
        }
        self.is_raised()
    }

    pub(super) fn lower(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The words of a lap.
#[repr(C)]
#[derive(Default)]
pub(super) struct Board {
    /// The last instant before the fault.
    pub(super) fault_ns: Line<AtomicU64>,
    /// The handler has run.
    pub(super) told: Line<Flag>,
    /// The successor may begin.
    pub(super) released: Line<Flag>,
    /// The successor is about to wait.
    pub(super) ready: Line<Flag>,
    /// The successor's process id.
    pub(super) successor: Line<AtomicI32>,
    /// The doomed child's last request before it dies, as a commit is one; and the answer.
    pub(super) asked: Line<Flag>,
    pub(super) answered: Line<Flag>,
    /// The successor's first instruction.
    pub(super) started_ns: Line<AtomicU64>,
    /// The end of its first operation.
    pub(super) done_ns: AtomicU64,
    /// Its page faults between the two.
    pub(super) faults: AtomicU64,
    /// It has written all of the above.
    pub(super) done: Flag,
}

impl Board {
    /// Faults the page in, for a process that is about to measure.
    pub(super) fn touch(&self) {
        memory::populate_to_write(Span { start: std::ptr::from_ref(self) as usize, len: PAGE });
    }

    /// For the next lap.
    pub(super) fn clear(&self) {
        for flag in [&*self.told, &*self.released, &*self.ready, &*self.asked, &*self.answered, &self.done] {
            flag.lower();
        }
        for word in [&*self.fault_ns, &*self.started_ns, &self.done_ns, &self.faults] {
            word.store(0, Ordering::Relaxed);
        }
    }
}
