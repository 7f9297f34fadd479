//! The bytes of the undo log: what was there before each write since the last commit, and how it is put back.
//!
//! ```text
//! byte    0         u64  epoch: number of the last commit, which is the epoch that is under way
//!      4096         part 0 │ part 1 │ …         epoch e is in part e % parts
//!
//! part    0         u64  number of its epoch
//!         8         u64  seal over this and the head: no wild write made it up
//!        16         u64  bytes of records that are whole
//!        24         u64  end of the blocks of a state that was made anew in it; 0 where none was
//!        32              the state's head as the epoch found it, skips included as far as they are in use
//!      4096              records (`records.rs`), oldest first
//! ```
//!
//! All of it is memory that the transaction writes, so the daemon believes none of it that is not sealed, inside of the
//! state, and inside of its part. A record counts once `filled` covers it, which is stored last. x86-64 makes stores
//! visible in the order in which they are made, and a process that dies loses none: all that has to be kept in order is
//! the compiler.
//!
//! Rolling back goes from the newest record to the oldest, so that each byte ends as the epoch found it. It may be begun
//! again after any death: nothing but the bytes in the records is ever written, until `filled` becomes 0.

use super::records::{self, Damage, Full, Kind, MIX, Records, mix};
use crate::span::Span;
use crate::state_head::StateHead;
use crate::sys::memory::PAGE;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

/// Bytes of a log of so many parts, each with room for so many bytes of records.
pub(crate) fn len(parts: usize, room: usize) -> usize {
    PAGE + parts * (PAGE + room)
}

/// A log, wherever it is mapped.
#[derive(Clone, Copy)]
pub(crate) struct Log {
    span: Span,
    state: Span,
    parts: usize,
}

/// What a part begins with.
#[repr(C)]
pub(crate) struct PartHead {
    epoch: AtomicU64,
    seal: AtomicU64,
    filled: AtomicU64,
    anew_until: AtomicU64,
    state: StateHead,
}

const _: () = assert!(size_of::<PartHead>() <= PAGE);

/// Where the next record of a part goes.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) head: &'a PartHead,
    records: Span,
}

impl Log {
    /// # Safety
    /// `span` is mapped, writable and zeroed at first, as long as [`len`] says and as long as this or a copy is used;
    /// `state` begins with a [`StateHead`]. Whoever calls what writes to the state may write to it.
    pub(crate) unsafe fn new(span: Span, state: Span, parts: usize) -> Self {
        Self { span, state, parts }
    }

    pub(crate) fn state(&self) -> Span {
        self.state
    }

    /// How many commits before the last one are kept.
    pub(crate) fn kept(&self) -> u64 {
        (self.parts as u64 - 2) / 2
    }

    /// The oldest commit that can be gone back to when `epoch` was the last one.
    pub(crate) fn oldest(&self, epoch: u64) -> u64 {
        epoch.saturating_sub(self.kept()).max(epoch.min(1))
    }

    /// The end of the blocks of states that were made anew after the oldest commit that is kept; 0 where none was.
    pub(crate) fn anew_until(&self, epoch: u64) -> usize {
        let parts = (self.oldest(epoch)..=epoch).map(|epoch| self.part(epoch).head.anew_until.load(Ordering::Relaxed));
        parts.max().and_then(|until| usize::try_from(until).ok()).unwrap_or(0)
    }

    /// Notes that the state is made anew in epoch `epoch`, over blocks up to `until`.
    pub(crate) fn set_anew(&self, epoch: u64, until: usize) {
        self.part(epoch).head.anew_until.store(until as u64, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }

    /// The records in which the blocks stand that are to be released at the end of epoch `epoch`: those that no commit has
    /// from then on that is kept. None where the state was made anew since.
    pub(crate) fn due(&self, epoch: u64) -> Result<Option<Records>, Damage> {
        self.due_of(epoch, epoch)
    }

    /// The same for the end of an epoch to come, where `last` is under way.
    pub(crate) fn due_of(&self, epoch: u64, last: u64) -> Result<Option<Records>, Damage> {
        let from = epoch.saturating_sub(self.kept());
        let is_anew = (from + 1..=last).any(|epoch| self.part(epoch).head.anew_until.load(Ordering::Relaxed) != 0);
        if from == 0 || is_anew {
            return Ok(None);
        }
        self.records(from).map(Some)
    }

    /// Whether this epoch's part says that it is.
    pub(crate) fn is_sealed(&self, epoch: u64) -> bool {
        let head = self.part(epoch).head;
        head.epoch.load(Ordering::Relaxed) == epoch && head.seal.load(Ordering::Relaxed) == seal(epoch, &head.state)
    }

    fn epoch_word(&self) -> &AtomicU64 {
        // SAFETY: the log begins with this word.
        unsafe { &*(self.span.start as *const AtomicU64) }
    }

    /// The number of the last commit, whatever it is worth.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch_word().load(Ordering::Acquire)
    }

    /// The part of epoch `epoch`.
    pub(crate) fn part(&self, epoch: u64) -> Part<'static> {
        let len = (self.span.len - PAGE) / self.parts;
        // Below the number of parts.
        #[allow(clippy::cast_possible_truncation)]
        let part = self.span.part(PAGE + (epoch % self.parts as u64) as usize * len, len);
        // SAFETY: parts begin with a head; all bytes are valid for it, and the log is mapped as long as it is used.
        let head = unsafe { &*(part.start as *const PartHead) };
        Part { head, records: part.behind(PAGE) }
    }

    /// The state's head as of the last commit. What it says is as good as what wrote it.
    pub(crate) fn committed(&self) -> &'static StateHead {
        &self.part(self.epoch()).head.state
    }

    /// The head of the state as it is.
    fn head(&self) -> &'static StateHead {
        // SAFETY: the state is mapped as long as the log.
        unsafe { StateHead::of(self.state) }
    }

    /// Makes the part of the epoch behind `epoch` ready: the state's head as it is, and no records. Nothing has happened
    /// yet.
    pub(crate) fn prepare(&self, epoch: u64) {
        let PartHead { epoch: number, seal, filled, anew_until, state } = self.part(epoch + 1).head;
        // First of all, it is no older epoch's any more.
        seal.store(0, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        filled.store(0, Ordering::Relaxed);
        anew_until.store(0, Ordering::Relaxed);
        state.copy_from(self.head());
        number.store(epoch + 1, Ordering::Relaxed);
        seal.store(self::seal(epoch + 1, state), Ordering::Relaxed);
    }

    /// The commit: the present state is that of epoch `epoch` + 1, whose part is ready.
    pub(crate) fn flip(&self, epoch: u64) {
        // Whatever was written before is in place, and nothing that is written from here on moves up.
        self.epoch_word().store(epoch + 1, Ordering::Release);
        compiler_fence(Ordering::SeqCst);
    }

    /// The records of `epoch`, newest first.
    pub(crate) fn records(&self, epoch: u64) -> Result<Records, Damage> {
        let Part { head, records } = self.part(epoch);
        // Before the first commit nothing is logged, and all is zero.
        if epoch > 0 && !self.is_sealed(epoch) {
            return Err(Damage::Head(epoch));
        }
        let filled = head.filled.load(Ordering::Acquire);
        let left = usize::try_from(filled).unwrap_or(usize::MAX);
        if left > records.len || !left.is_multiple_of(records::GRAIN) {
            return Err(Damage::Head(epoch));
        }
        Ok(Records::new(self.state, epoch, records.part(0, left)))
    }

    /// Whether the log can be believed, as far as a restore of commit `first` needs it.
    pub(crate) fn check(&self, first: u64) -> Result<(), Damage> {
        let last = self.epoch();
        // Of older ones there is nothing.
        if last < first || last - first > self.parts as u64 {
            return Err(Damage::Epoch(last));
        }
        for epoch in first..=last {
            self.records(epoch)?.try_for_each(|record| record.map(|_| ()))?;
        }
        Ok(())
    }

    /// Puts commit `first` in place, which is the last one then. The log is whole ([`check`](Self::check)). May die at any
    /// instruction and be called again; `between` is called after a record.
    pub(crate) fn roll_back(&self, first: u64, mut between: impl FnMut()) -> Result<(), Damage> {
        let last = self.epoch();
        for epoch in (first..=last).rev() {
            for record in self.records(epoch)? {
                let record = record?;
                // SAFETY: the record was checked against this state, which this process may write; nobody else does.
                unsafe { record.put_back() };
                between();
            }
        }
        let part = self.part(first).head;
        let head = self.head();
        head.copy_from(&part.state);
        if let Some(arena) = head.arena() {
            // It was free at each commit, and is in no record.
            arena.unlock();
        }
        compiler_fence(Ordering::SeqCst);
        self.epoch_word().store(first, Ordering::Release);
        part.anew_until.store(0, Ordering::Relaxed);
        part.filled.store(0, Ordering::Release);
        Ok(())
    }

    /// Forgets all records: the state is one that they do not lead back from, and has released what they put off.
    pub(crate) fn forget_records(&self) {
        for epoch in 0..self.parts as u64 {
            let PartHead { filled, anew_until, .. } = self.part(epoch).head;
            [filled, anew_until].into_iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
    }

    /// Makes an empty log of it again, and the state one that was never made. May be called again after any death.
    pub(crate) fn forget(&self) {
        self.head().copy_from(&StateHead::default());
        self.forget_records();
        for epoch in 0..self.parts as u64 {
            let PartHead { epoch: number, seal, state, .. } = self.part(epoch).head;
            state.copy_from(&StateHead::default());
            [number, seal].into_iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
        self.epoch_word().store(0, Ordering::Release);
    }
}

impl Part<'_> {
    /// Bytes of records, and how many there is room for.
    pub(crate) fn fill(&self) -> (usize, usize) {
        (usize::try_from(self.head.filled.load(Ordering::Relaxed)).unwrap_or(usize::MAX), self.records.len)
    }

    /// Writes down that the `place.len` bytes at `place` were those at `from`. One writer at a time.
    pub(crate) fn append(&self, kind: Kind, place: Span, from: usize) -> Result<(), Full> {
        let (filled, room) = self.fill();
        let len = records::len_of(kind, place.len);
        if filled > room || len > room - filled {
            return Err(Full);
        }
        // SAFETY: the room was looked at; it is the writer's alone.
        unsafe { records::write(self.records.start + filled, kind, place, from) };
        self.head.filled.store((filled + len) as u64, Ordering::Release);
        // What the log is for must not move up before it.
        compiler_fence(Ordering::SeqCst);
        Ok(())
    }
}

/// What a part's head carries, so that nothing but [`Log::prepare`] is believed.
fn seal(epoch: u64, state: &StateHead) -> u64 {
    state.words().fold(mix(MIX, !epoch), mix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    const STATE: usize = 16 << 10;
    const ROOM: usize = 64 << 10;

    #[repr(align(4096))]
    struct Memory {
        state: [u8; STATE],
        log: [u8; PAGE + 6 * (PAGE + ROOM)],
    }

    fn memory() -> Box<Memory> {
        // SAFETY: bytes of zero are a valid `Memory`.
        unsafe { Box::<Memory>::new_zeroed().assume_init() }
    }

    fn log(memory: &mut Memory, parts: usize) -> Log {
        let state = Span { start: memory.state.as_mut_ptr() as usize, len: STATE };
        let span = Span { start: memory.log.as_mut_ptr() as usize, len: len(parts, ROOM) };
        // SAFETY: the memory outlives its log, is zeroed, and is written through these addresses alone.
        unsafe { Log::new(span, state, parts) }
    }

    /// The state's bytes; what the test writes lies behind the place of the heap's head, and holds no arena.
    fn bytes(log: &Log) -> Vec<u8> {
        // SAFETY: the test's own memory.
        unsafe { std::slice::from_raw_parts(log.state.start as *const u8, STATE) }.to_vec()
    }

    fn commit(log: &Log) {
        log.prepare(log.epoch());
        log.flip(log.epoch());
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Declares a piece and writes so many of its bytes, as a process does that dies in the middle of it.
        Write {
            at: usize,
            len: usize,
            written: usize,
            with: u8,
        },
        /// Counts an operation, and plans another to be skipped.
        Count,
        Commit,
        /// Rolls back so far, after having died in the middle of it so many times.
        Restore {
            back: u64,
            deaths: Vec<usize>,
        },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let write = (2048..STATE - 700, 0usize..700, any::<prop::sample::Index>(), any::<u8>())
            .prop_map(|(at, len, written, with)| Step::Write { at, len, written: written.index(len + 1), with });
        let restore = (0u64..4, prop::collection::vec(0usize..6, 0..4));
        let step = prop_oneof![
            8 => write,
            2 => Just(Step::Count),
            3 => Just(Step::Commit),
            2 => restore.prop_map(|(back, deaths)| Step::Restore { back, deaths }),
        ];
        prop::collection::vec(step, 1..80)
    }

    proptest! {
        /// Whatever is written after its declaration, whenever the restore dies and however far it goes back: the state is
        /// the commit, byte for byte.
        #[test]
        fn rolls_back_like_a_model(steps in steps(), kept in 0usize..3) {
            let mut memory = memory();
            let log = log(&mut memory, 2 + 2 * kept);
            commit(&log);
            let (mut commits, mut oldest) = (vec![bytes(&log)], 1);
            for step in steps {
                let part = log.part(log.epoch());
                match step {
                    Step::Write { at, len, written, with } => {
                        let place = Span { start: log.state.start + at, len };
                        let (filled, room) = part.fill();
                        match part.append(Kind::Old, place, place.start) {
                            // SAFETY: inside of the state.
                            Ok(()) => unsafe { std::ptr::write_bytes(place.start as *mut u8, with, written) },
                            Err(Full) => prop_assert!(filled + records::len_of(Kind::Old, len) > room),
                        }
                    }
                    Step::Count => {
                        let head = log.head();
                        let operations = head.operations.fetch_add(1, Ordering::Relaxed);
                        head.skip(operations + 7);
                        head.forget_passed_skips(operations);
                    }
                    Step::Commit => {
                        commit(&log);
                        oldest = oldest.max(log.oldest(log.epoch()));
                        commits.push(bytes(&log));
                    }
                    Step::Restore { back, deaths } => {
                        let first = log.epoch().saturating_sub(back).max(oldest);
                        for death in deaths {
                            // As a daemon's successor does that knows how far its predecessor was to go back.
                            let mut left = death;
                            let die = || match left {
                                0 => resume_unwind(Box::new(())),
                                _ => left -= 1,
                            };
                            let _ = catch_unwind(AssertUnwindSafe(|| log.roll_back(first, die)));
                        }
                        prop_assert_eq!(log.check(first), Ok(()));
                        prop_assert_eq!(log.roll_back(first, || ()), Ok(()));
                        commits.truncate(usize::try_from(first).unwrap());
                        let now = bytes(&log);
                        // Of the skips, those in use count.
                        let words = |bytes: &[u8]| bytes[..size_of::<StateHead>()].to_vec();
                        prop_assert!(now[1024..] == commits.last().unwrap()[1024..], "not the commit");
                        let head = log.head().words().collect::<Vec<_>>();
                        let wanted = words(commits.last().unwrap());
                        prop_assert!(head.iter().enumerate().all(|(i, w)| w.to_le_bytes() == wanted[8 * i..8 * i + 8]));
                        prop_assert_eq!(log.part(first).fill().0, 0);
                    }
                }
            }
        }

        /// What a wild write leaves in the log is found, or was of no use to a restore; nothing faults.
        #[test]
        fn a_wild_write_is_found(at in 0usize..3 * PAGE + ROOM, with in prop::collection::vec(any::<u8>(), 1..64)) {
            let mut memory = memory();
            let log = log(&mut memory, 2);
            commit(&log);
            commit(&log);
            for i in 0..20 {
                let place = Span { start: log.state.start + 2048 + i * 100, len: 90 };
                log.part(2).append(Kind::Old, place, place.start).unwrap();
            }
            let committed = bytes(&log);
            // SAFETY: inside of the state.
            unsafe { std::ptr::write_bytes((log.state.start + 2048) as *mut u8, 7, 20 * 100) };
            for i in 0..20 {
                // SAFETY: what lies between two records' places was never declared: put back by hand.
                unsafe { std::ptr::write_bytes((log.state.start + 2048 + i * 100 + 90) as *mut u8, 0, 10) };
            }
            // SAFETY: inside of the log, which is longer.
            unsafe { std::ptr::copy_nonoverlapping(with.as_ptr(), (log.span.start + at) as *mut u8, with.len()) };
            if log.check(2).is_ok() {
                log.roll_back(2, || ()).unwrap();
                // A record less may be there, where the number of bytes was hit: that is what this cannot see.
                let hit_filled = at < PAGE + 24 && at + with.len() > PAGE + 16;
                prop_assert!(hit_filled || bytes(&log) == committed);
            }
            log.forget();
            prop_assert_eq!((log.epoch(), log.check(0)), (0, Ok(())));
        }
    }
}
