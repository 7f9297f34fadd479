//! The records of the undo log: old bytes, and where they were.
//!
//! ```text
//! the old bytes, up to a multiple of 16 │ u64 address │ u64 length │ u64 kind, and 2^alignment × 256 │ u64 sum over all of it
//! ```
//!
//! What tells of a record stands behind it, so that they are read from the newest to the oldest. A transaction writes them,
//! so none is believed whose sum is wrong, or whose place is not inside of the state.

use crate::span::Span;

/// Old bytes are padded to a multiple of this.
pub(super) const GRAIN: usize = 16;
/// What follows on a record's bytes.
const TRAILER: usize = 32;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes before a write.
    Old,
    /// The header of a free block before it was taken.
    Taken,
    /// No bytes: the state was made anew; what was to be released before is gone.
    Anew,
    /// No bytes: the block at this address, which the last commit holds, is to be released at the next one.
    Freed {
        /// The power of two of its alignment.
        align_log2: u32,
    },
}

impl Kind {
    fn word(self) -> u64 {
        match self {
            Self::Old => 1,
            Self::Taken => 2,
            Self::Anew => 4,
            Self::Freed { align_log2 } => 3 | u64::from(align_log2) << 8,
        }
    }

    fn of_word(word: u64) -> Option<Self> {
        match (word & 0xff, word >> 8) {
            (1, 0) => Some(Self::Old),
            (2, 0) => Some(Self::Taken),
            (4, 0) => Some(Self::Anew),
            (3, align) => u32::try_from(align).ok().filter(|a| *a < 48).map(|align_log2| Self::Freed { align_log2 }),
            _ => None,
        }
    }

    fn bytes(self, len: usize) -> usize {
        if matches!(self, Self::Old | Self::Taken) { len } else { 0 }
    }
}

/// A record, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    /// What of the state it is about.
    pub(crate) place: Span,
    /// Where the old bytes stand, if it has any.
    bytes: usize,
}

/// The part has no room for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Somebody has written over the log: there is no way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("the undo log's number of the last commit is overwritten: {0}")]
    Epoch(u64),
    #[error("the undo log's head of epoch {0} is overwritten")]
    Head(u64),
    #[error("the undo log's record that ends at byte {at} of epoch {epoch} is overwritten")]
    Record { epoch: u64, at: usize },
}

/// Bytes that a record of `len` bytes takes.
pub(super) fn len_of(kind: Kind, len: usize) -> usize {
    kind.bytes(len).next_multiple_of(GRAIN) + TRAILER
}

/// Writes a record at `at`: that the bytes at `place` were those at `from`.
///
/// # Safety
/// At `at`, a multiple of the grain, there is room for [`len_of`], which nobody else writes; `from` can be read for the
/// length, and lies elsewhere.
pub(super) unsafe fn write(at: usize, kind: Kind, place: Span, from: usize) {
    let len = kind.bytes(place.len);
    let padded = len.next_multiple_of(GRAIN);
    // SAFETY: as the caller vouches.
    unsafe { std::ptr::copy_nonoverlapping(from as *const u8, at as *mut u8, len) };
    // SAFETY: as above; the padding is shorter than a grain.
    unsafe { std::ptr::write_bytes((at + len) as *mut u8, 0, padded - len) };
    let words = [place.start as u64, place.len as u64, kind.word()];
    let trailer = [words[0], words[1], words[2], sum(&words, at, padded)];
    // SAFETY: as above.
    unsafe { ((at + padded) as *mut [u64; 4]).write(trailer) };
}

impl Record {
    /// Puts the old bytes back.
    ///
    /// # Safety
    /// The record is one of [`Records`] of a state that is mapped and writable, and that nobody else touches.
    pub(super) unsafe fn put_back(&self) {
        let len = self.kind.bytes(self.place.len);
        // SAFETY: the bytes lie in the log and the place in the state, as was checked; the caller vouches for the rest.
        unsafe { std::ptr::copy_nonoverlapping(self.bytes as *const u8, self.place.start as *mut u8, len) };
    }
}

/// Walks over an epoch's records, newest first. Ends after the first one that is damaged.
pub(crate) struct Records {
    state: Span,
    epoch: u64,
    records: Span,
    left: usize,
    are_trusted: bool,
}

impl Records {
    /// The records that `records` is full of, about `state`.
    pub(super) fn new(state: Span, epoch: u64, records: Span) -> Self {
        Self { state, epoch, records, left: records.len, are_trusted: false }
    }

    /// The same for the transaction, which takes the sums of what it wrote for right.
    pub(crate) fn trusted(self) -> Self {
        Self { are_trusted: true, ..self }
    }

    /// The record that ends at `left`.
    fn newest(&self) -> Option<(Record, usize)> {
        let end = self.left.checked_sub(TRAILER)?;
        // SAFETY: inside of the part, aligned; nobody writes to it.
        let [address, len, word, sealed] = unsafe { ((self.records.start + end) as *const [u64; 4]).read() };
        let kind = Kind::of_word(word)?;
        let place = Span { start: usize::try_from(address).ok()?, len: usize::try_from(len).ok()? };
        if !self.state.contains(place.start) || place.len > self.state.end() - place.start {
            return None;
        }
        let padded = kind.bytes(place.len).next_multiple_of(GRAIN);
        let start = end.checked_sub(padded)?;
        let bytes = self.records.start + start;
        let is_whole = self.are_trusted || sum(&[address, len, word], bytes, padded) == sealed;
        is_whole.then_some((Record { kind, place, bytes }, start))
    }
}

impl Iterator for Records {
    type Item = Result<Record, Damage>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let Some((record, start)) = self.newest() else {
            let damage = Damage::Record { epoch: self.epoch, at: self.left };
            self.left = 0;
            return Some(Err(damage));
        };
        self.left = start;
        Some(Ok(record))
    }
}

/// An odd number without a pattern: the multiplier of splitmix64's finalizer (Steele, Lea, Flood, OOPSLA 2014).
pub(super) const MIX: u64 = 0xbf58_476d_1ce4_e5b9;

pub(super) fn mix(sum: u64, word: u64) -> u64 {
    (sum ^ word).wrapping_mul(MIX).rotate_left(29)
}

/// The sum over a record: its words, and `len` bytes, a multiple of [`GRAIN`]. Four sums side by side, as the processor
/// multiplies.
fn sum(words: &[u64; 3], bytes: usize, len: usize) -> u64 {
    // SAFETY: the callers pass bytes of a part, aligned to a grain, that nobody else writes.
    let bytes = unsafe { std::slice::from_raw_parts(bytes as *const [u64; 2], len / GRAIN) };
    let mut sums = [words[0], words[1], words[2], !MIX];
    let (pairs, rest) = bytes.as_chunks::<2>();
    for [[a, b], [c, d]] in pairs {
        sums = [mix(sums[0], *a), mix(sums[1], *b), mix(sums[2], *c), mix(sums[3], *d)];
    }
    if let [[a, b]] = rest {
        sums = [mix(sums[0], *a), mix(sums[1], *b), sums[2], sums[3]];
    }
    sums.into_iter().fold(MIX, mix)
}
