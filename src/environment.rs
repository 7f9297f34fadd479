//! What may be changed around a successor, so that a fault that depends on it does not come again.
//!
//! After Qin, Tucek, Sundaresan and Zhou, "Rx: Treating Bugs as Allergies" (SOSP 2005): a program that crashed goes back
//! to a commit and runs again in an environment in which many bugs do no harm, such as blocks with room behind them.
//! What holds for one incarnation is set before its code runs, in that process alone.

use std::alloc::Layout;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment of one incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Environment {
    /// Bytes that each new block of the region's heap gets behind it: a write past its end hits nothing.
    pub padding: u16,
    /// New blocks hold zeros: what reads memory before it was written reads zeros, not what was there.
    pub zeroed: bool,
    /// Threads fewer than the daemon declares, of which one stays at least ([`Tx::thread_count`](crate::Tx::thread_count)):
    /// a race has fewer to run in.
    pub fewer_threads: u16,
}

impl Environment {
    /// Nothing is changed.
    pub const USUAL: Self = Self { padding: 0, zeroed: false, fewer_threads: 0 };

    /// The word that crosses between processes.
    pub(crate) fn to_word(self) -> u64 {
        u64::from(self.padding) | u64::from(self.fewer_threads) << 16 | u64::from(self.zeroed) << 32
    }

    pub(crate) fn from_word(word: u64) -> Self {
        let [p0, p1, f0, f1, zeroed, ..] = word.to_le_bytes();
        Self { padding: u16::from_le_bytes([p0, p1]), zeroed: zeroed == 1, fewer_threads: u16::from_le_bytes([f0, f1]) }
    }

    /// Makes it that of this process.
    pub(crate) fn set(self) {
        PRESENT.store(self.to_word(), Ordering::Relaxed);
    }
}

/// The environment of this process; 0 the usual one.
static PRESENT: AtomicU64 = AtomicU64::new(0);

/// The environment of this process.
pub(crate) fn present() -> Environment {
    Environment::from_word(PRESENT.load(Ordering::Relaxed))
}

/// What is allocated where `layout` is asked for, and whether it is to be zeroed.
#[inline]
pub(crate) fn block(layout: Layout) -> (Layout, bool) {
    match PRESENT.load(Ordering::Relaxed) {
        0 => (layout, false),
        word => padded(layout, Environment::from_word(word)),
    }
}

#[cold]
fn padded(layout: Layout, environment: Environment) -> (Layout, bool) {
    let size = layout.size().saturating_add(usize::from(environment.padding));
    (Layout::from_size_align(size, layout.align()).unwrap_or(layout), environment.zeroed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_environment_crosses_as_a_word(padding: u16, zeroed: bool, fewer_threads: u16) {
            let environment = Environment { padding, zeroed, fewer_threads };
            prop_assert_eq!(Environment::from_word(environment.to_word()), environment);
            prop_assert_eq!(environment.to_word() == 0, environment == Environment::USUAL);
        }
    }
}
