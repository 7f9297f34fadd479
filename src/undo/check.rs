//! The check mode of the undo log: what has changed since the last commit without being declared.
//!
//! A transaction has a snapshot of the last commit in memory of its own. Before a commit, whatever may differ is made equal
//! in the snapshot: the state's head, what is in the log, blocks taken since, free memory. What differs still was written
//! without a word. The old bytes go to the log then, so that the refused commit is rolled back whole; where nothing
//! differs, the snapshot is that of the new commit.

use super::records::{Kind, Records};
use super::{WRITER, Words, with};
use crate::arena::{self, Arena};
use crate::failure::{Failure, FailureKind};
use crate::region::Region;
use crate::span::Span;
use crate::state_head::STATE_ARENA;
use crate::sys::memory::PAGE;
use std::sync::atomic::Ordering;

const WORD: usize = size_of::<u64>();

/// The snapshot of the last commit; `None` where the daemon has not declared that it wants the check.
fn snapshot(region: &Region) -> Option<Span> {
    let notes = region.parts.notes;
    let marks = super::marks_len(region.parts.state.len).next_multiple_of(PAGE);
    region.declaration.check_declared.then(|| notes.part(marks, region.parts.state.len))
}

fn copy(from: usize, to: usize, len: usize) {
    // SAFETY: the callers pass a piece of the state and the same piece of the snapshot, both mapped and writable here.
    unsafe { std::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, len) };
}

/// In a transaction whose state is in place: takes the snapshot.
pub(crate) fn start(region: &Region) {
    if let Some(snapshot) = snapshot(region) {
        copy(region.parts.state.start, snapshot.start, snapshot.len);
    }
}

/// Whether all that has changed was declared; else where not, and the log knows the old bytes.
pub(crate) fn examine(region: &Region) -> Result<(), Failure> {
    let Some(snapshot) = snapshot(region) else { return Ok(()) };
    if !WRITER.is_logging.load(Ordering::Relaxed) {
        // The first commit: all of it is new.
        start(region);
        return Ok(());
    }
    let (state, heap) = (region.parts.state, region.head().arena());
    let undeclared = with(|words| {
        words.forgive(state, snapshot, heap);
        words.differences(state, snapshot)
    });
    let Some(Some((first, count))) = undeclared else { return Ok(()) };
    let root = usize::try_from(region.head().root.load(Ordering::Relaxed)).unwrap_or(0);
    let place = match heap.and_then(|heap| heap.block_around(first.start)) {
        Some(block) if block.contains(root) => format!("byte {} of the state itself", first.start - root),
        Some(block) => {
            format!("byte {} of the block of {} bytes at {:#x}", first.start - block.start, block.len, block.start)
        }
        None => "outside of every block".to_owned(),
    };
    let what = format_args!(
        "the {} bytes at {:#x} ({place}) have changed and were not declared ({count} such places in all): write by \
         Logged::write, LoggedVec::write or Tx::declare",
        first.len, first.start
    );
    Err(Failure::engine(FailureKind::CommitRefused, &what))
}

/// After the state has changed in a way that was logged, and is about to be a commit: so has the snapshot.
pub(crate) fn follow(region: &Region) {
    if let Some(snapshot) = snapshot(region) {
        with(|words| words.forgive(region.parts.state, snapshot, region.head().arena()));
    }
}

impl Words {
    /// Makes equal in the snapshot what may differ from it.
    fn forgive(&self, state: Span, snapshot: Span, heap: Option<&Arena>) {
        let forgive = |place: Span| {
            if state.contains(place.start) && place.len <= state.end() - place.start {
                copy(place.start, place.start - state.start + snapshot.start, place.len);
            }
        };
        forgive(state.part(0, STATE_ARENA));
        for record in self.log.records(self.epoch).into_iter().flat_map(Records::trusted).map_while(Result::ok) {
            match record.kind {
                Kind::Old => forgive(record.place),
                // Its header tells how long it is, as long as it is taken.
                Kind::Taken if self.is_taken(record.place.start) => {
                    forgive(arena::block_at(record.place.start));
                }
                Kind::Taken => forgive(record.place),
                Kind::Freed { .. } | Kind::Anew => {}
            }
        }
        for block in heap.into_iter().flat_map(|heap| heap.free_blocks(0)) {
            forgive(block);
        }
    }

    /// The first piece of words that differ, and how many there are. The log knows them all then.
    fn differences(&mut self, state: Span, snapshot: Span) -> Option<(Span, usize)> {
        // SAFETY: both are mapped; nobody writes to them while a commit is made.
        let old = unsafe { std::slice::from_raw_parts(snapshot.start as *const u64, snapshot.len / WORD) };
        // SAFETY: as above.
        let new = unsafe { std::slice::from_raw_parts(state.start as *const u64, snapshot.len / WORD) };
        let (mut at, mut first, mut count) = (0, None, 0);
        while let Some(skipped) = old[at..].iter().zip(&new[at..]).position(|(old, new)| old != new) {
            let start = at + skipped;
            let len = old[start..].iter().zip(&new[start..]).take_while(|(old, new)| old != new).count();
            let place = Span { start: state.start + start * WORD, len: len * WORD };
            let is_known = self.part.append(Kind::Old, place, snapshot.start + start * WORD);
            if is_known.is_err() {
                self.exhausted(place.len);
            }
            first.get_or_insert(place);
            (at, count) = (start + len, count + 1);
        }
        first.map(|first| (first, count))
    }
}
