//! Memory faults, and the memory that faults need: single loads and stores as the processor does them, live data to
//! aim at, a region filled to its end.
//!
//! A fault here is something that happens to the machine, not a step of the program. So loads and stores are inline
//! assembly: the compiler sees no access to an object and draws no conclusion from one. A flipped bit in a register
//! copy's original may therefore stay without effect, as it does when a cosmic ray flips it.

use super::trigger::monotonic_ns;
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use rand::{Rng, RngExt};
use std::arch::asm;
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use zerocopy::FromBytes;

/// What a workload shows of its state, for faults that need it.
pub trait Target {
    /// Hands every range of live data that a memory fault may hit to `visit`. Allocates nothing, and hands out the
    /// same ranges when it is called twice in a row.
    fn live(&self, visit: &mut dyn FnMut(Live));

    /// Where [`Fault::RegionExhausted`](super::Fault::RegionExhausted) keeps what it allocates: a part of the state.
    fn hoard(&mut self) -> &mut Vec<Vec<u8>>;
}

/// A range of live data: its bytes' addresses, as a fault sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    address: usize,
    bytes: usize,
}

impl Live {
    /// The bytes of `value` itself, of a slice those of its items. Every bit pattern is a value of a [`FromBytes`] type,
    /// so a damaged one is wrong but never undefined. (A text's bytes are bytes: do not hand them out where the text
    /// is read as `str` again.)
    pub fn of<T: FromBytes + ?Sized>(value: &T) -> Self {
        Self { address: (&raw const *value).addr(), bytes: size_of_val(value) }
    }
}

/// Where a memory fault hits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aim {
    /// The first byte.
    pub(super) address: usize,
    /// Bytes from there to the range's end; at least 1.
    bytes: usize,
}

/// Picks a byte of the target's live data, each with the same probability; `None` where there is none.
pub(super) fn aim(target: &dyn Target, numbers: &mut impl Rng) -> Option<Aim> {
    let mut total = 0;
    target.live(&mut |live| total += live.bytes);
    if total == 0 {
        return None;
    }
    let mut left = numbers.random_range(0..total as u64);
    let mut aim = None;
    target.live(&mut |Live { address, bytes }| {
        let Ok(offset) = usize::try_from(left) else {
            return;
        };
        if aim.is_some() {
            return;
        }
        if offset < bytes {
            aim = Some(Aim { address: address + offset, bytes: bytes - offset });
        } else {
            left -= bytes as u64;
        }
    });
    aim
}

/// Flips one bit of the byte aimed at; whether the byte then differs.
pub(super) fn flip_bit(aim: Aim, numbers: &mut impl Rng, fault_ns: &AtomicU64) -> bool {
    let before = load(aim.address);
    let flipped = before ^ (1 << numbers.random_range(0..8u32));
    stamp(fault_ns);
    store(aim.address, flipped);
    load(aim.address) != before
}

/// The most bytes that a wild write covers.
const MOST_GARBAGE: usize = 64;

/// Writes 1 to 64 bytes of garbage, within the range aimed at; whether a byte then differs.
pub(super) fn scribble(aim: Aim, numbers: &mut impl Rng, fault_ns: &AtomicU64) -> bool {
    let bytes = numbers.random_range(1..=aim.bytes.min(MOST_GARBAGE) as u64);
    let mut changed = false;
    stamp(fault_ns);
    for (address, _) in (aim.address..).zip(0..bytes) {
        let before = load(address);
        store(address, numbers.random());
        changed |= load(address) != before;
    }
    changed
}

/// Bytes of garbage that stay where they were written, and what they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Damage {
    /// The first one.
    pub(super) address: usize,
    /// How many; at most 8.
    pub(super) bytes: u64,
    /// What they are, the first one lowest.
    pub(super) value: u64,
}

impl Damage {
    /// Whether they still are what they were made.
    pub(super) fn is_there(&self) -> bool {
        let bytes = (self.address..).zip(self.value.to_le_bytes()).zip(0..self.bytes);
        self.bytes > 0 && bytes.into_iter().all(|((address, byte), _)| load(address) == byte)
    }
}

/// Writes up to 8 bytes of garbage, within the range aimed at, each another than was there.
pub(super) fn damage(aim: Aim, numbers: &mut impl Rng, fault_ns: &AtomicU64) -> Damage {
    let bytes = aim.bytes.min(8);
    let mut value = [0; 8];
    stamp(fault_ns);
    for (address, byte) in (aim.address..).zip(&mut value[..bytes]) {
        *byte = load(address) ^ numbers.random_range(1..=u8::MAX);
        store(address, *byte);
    }
    Damage { address: aim.address, bytes: bytes as u64, value: u64::from_le_bytes(value) }
}

/// Allocates into `hoard` until the allocator refuses even [`LEAST`] bytes; how many bytes it got.
pub(super) fn exhaust(hoard: &mut Vec<Vec<u8>>, fault_ns: &AtomicU64) -> u64 {
    const LEAST: usize = 64;
    let mut taken = 0;
    let mut chunk = 16 << 20;
    while chunk >= LEAST {
        let mut bytes = Vec::new();
        stamp(fault_ns);
        // The list of chunks needs room as well, and may be what fails.
        if hoard.try_reserve(1).is_ok() && bytes.try_reserve_exact(chunk).is_ok() {
            hoard.push(bytes);
            taken += chunk as u64;
        } else {
            chunk /= 2;
        }
    }
    taken
}

/// Writes the present instant down: the last thing before a fault.
pub(super) fn stamp(fault_ns: &AtomicU64) {
    fault_ns.store(monotonic_ns(), Relaxed);
}

/// Reads the byte at `address`, whatever lies there: where nothing does, the processor faults.
pub(crate) fn load(address: usize) -> u8 {
    let byte: u8;
    // SAFETY: a read changes nothing, and where it may not be done the processor stops the process: neither breaks
    // what the compiler relies on. The instruction touches no stack and no flags.
    unsafe {
        asm!("mov {byte}, byte ptr [{address}]", address = in(reg) address, byte = out(reg_byte) byte,
            options(nostack, preserves_flags, readonly));
    }
    byte
}

/// Writes the byte at `address`. Only for this module's and its neighbours' faults: they write where nothing is
/// mapped, where it is read-only, or into live data that was handed out to be damaged.
pub(super) fn store(address: usize, byte: u8) {
    // SAFETY: this is the fault itself: unmapped and read-only memory stop the process, and live data comes from
    // `Target::live`, whose implementor gave it away to be damaged, with every bit pattern a value. The compiler
    // sees an instruction that may write any memory, and touches no stack and no flags.
    unsafe {
        asm!("mov byte ptr [{address}], {byte}", address = in(reg) address, byte = in(reg_byte) byte,
            options(nostack, preserves_flags));
    }
}

/// Crashes this process by a write to address 0; writes the instant before into `fault_ns`.
pub(crate) fn null_write(fault_ns: &AtomicU64) {
    stamp(fault_ns);
    store(0, 1);
}

/// Whole pages that this process mapped, and unmaps when dropped. Every process forked from it shares them.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<c_void>,
    bytes: NonZeroUsize,
}

impl Mapping {
    /// Zeroed pages that belong to no file.
    pub(crate) fn anonymous(bytes: NonZeroUsize) -> Result<Self, Errno> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel picks an address that is free, so nothing that exists is replaced.
        let start = unsafe { mmap_anonymous(None, bytes, protection, MapFlags::MAP_SHARED) }?;
        Ok(Self { start, bytes })
    }

    /// The beginning of a file.
    pub(super) fn of_file(file: impl AsFd, bytes: NonZeroUsize) -> Result<Self, Errno> {
        // SAFETY: the kernel picks an address that is free, so nothing that exists is replaced.
        let start = unsafe { mmap(None, bytes, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, file, 0) }?;
        Ok(Self { start, bytes })
    }

    /// The first byte; page-aligned.
    pub(crate) fn start(&self) -> NonNull<c_void> {
        self.start
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is this mapping's own, and references into it borrow it. munmap(2) fails for a bad range
        // only, which this is not.
        let _ = unsafe { munmap(self.start, self.bytes.get()) };
    }
}

// SAFETY: the mapping is an address range without thread affinity; what is done with its bytes is its user's to order.
unsafe impl Send for Mapping {}
// SAFETY: as above; shared access hands out the address only.
unsafe impl Sync for Mapping {}

#[cfg(test)]
mod tests {
    use super::{Live, Target, aim, flip_bit, scribble};
    use crate::faults::trigger::numbers;
    use proptest::prelude::*;
    use std::sync::atomic::AtomicU64;

    /// State in cells, as a test that watches it change needs.
    struct State {
        ranges: Vec<Box<[AtomicU64]>>,
        hoard: Vec<Vec<u8>>,
    }

    impl State {
        fn new(lengths: &[usize]) -> Self {
            let range = |&length| (0..length as u64).map(AtomicU64::new).collect();
            Self { ranges: lengths.iter().map(range).collect(), hoard: Vec::new() }
        }
        fn bytes(&self) -> Vec<u8> {
            let words = self.ranges.iter().flatten();
            words.flat_map(|word| word.load(std::sync::atomic::Ordering::SeqCst).to_le_bytes()).collect()
        }
    }

    impl Target for State {
        fn live(&self, visit: &mut dyn FnMut(Live)) {
            self.ranges.iter().for_each(|range| visit(Live::of(&range[..])));
        }
        fn hoard(&mut self) -> &mut Vec<Vec<u8>> {
            &mut self.hoard
        }
    }

    proptest! {
        #[test]
        fn a_bit_flip_changes_one_bit_and_says_when(lengths in prop::collection::vec(0usize..9, 0..6), seed: u64) {
            let state = State::new(&lengths);
            let before = state.bytes();
            let mut numbers = numbers(seed, 0, 0);
            let at = AtomicU64::new(0);
            let Some(aim) = aim(&state, &mut numbers) else {
                prop_assert!(before.is_empty());
                return Ok(());
            };
            prop_assert!(flip_bit(aim, &mut numbers, &at));
            let flipped: u32 = before.iter().zip(state.bytes()).map(|(a, b)| (a ^ b).count_ones()).sum();
            prop_assert_eq!(flipped, 1);
            prop_assert!(at.into_inner() != 0);
        }

        #[test]
        fn a_wild_write_stays_in_its_range_and_says_whether_it_changed_anything(
            lengths in prop::collection::vec(1usize..30, 1..6),
            seed: u64,
        ) {
            let state = State::new(&lengths);
            let before = state.bytes();
            let mut numbers = numbers(seed, 0, 0);
            let aim = aim(&state, &mut numbers).unwrap();
            let changed = scribble(aim, &mut numbers, &AtomicU64::new(0));
            prop_assert_eq!(changed, before != state.bytes());
            let hit = state.ranges.iter().map(|range| Live::of(&range[..])).filter(|live| {
                (live.address..live.address + live.bytes).contains(&aim.address)
                    && aim.address + aim.bytes == live.address + live.bytes
            });
            prop_assert_eq!(hit.count(), 1);
        }
    }

    proptest! {
        #[test]
        fn damage_is_there_until_a_byte_of_it_is_written(
            lengths in prop::collection::vec(1usize..9, 1..6), seed: u64, undone in 0_usize..8,
        ) {
            let state = State::new(&lengths);
            let before = state.bytes();
            let mut numbers = numbers(seed, 0, 0);
            let aim = aim(&state, &mut numbers).unwrap();
            let damage = super::damage(aim, &mut numbers, &AtomicU64::new(0));
            let changed = before.iter().zip(state.bytes()).filter(|(a, b)| **a != *b).count();
            prop_assert_eq!(changed as u64, damage.bytes);
            prop_assert_eq!(damage.bytes, aim.bytes.min(8) as u64);
            prop_assert!(damage.is_there());
            let address = damage.address + undone % aim.bytes.min(8);
            super::store(address, super::load(address) ^ 1);
            prop_assert!(!damage.is_there());
        }
    }

    #[test]
    fn every_live_byte_can_be_hit() {
        let state = State::new(&[2, 0, 1]);
        let mut hit: Vec<usize> =
            (0..2000).map(|seed| aim(&state, &mut numbers(seed, 0, 0)).unwrap().address).collect();
        hit.sort_unstable();
        hit.dedup();
        assert_eq!(hit.len(), 24);
    }
}
