//! Blocks that were released, and are in a commit that can be gone back to: the log has them until none is.

use super::of;
use super::records::{Kind, Records};
use crate::arena::{self, Arena, Forecast};
use crate::region::Region;
use crate::span::Span;
use crate::state_head::STATE_ARENA;
use std::alloc::Layout;
use std::ptr::NonNull;

/// The blocks that are to be released, of the state that was made last in this epoch. Ends at a record that is damaged.
pub(super) fn freed_blocks(records: Records) -> impl Iterator<Item = (NonNull<u8>, Layout)> {
    let records = records.map_while(Result::ok).take_while(|record| record.kind != Kind::Anew);
    records.filter_map(|record| {
        let Kind::Freed { align_log2 } = record.kind else { return None };
        let layout = Layout::from_size_align(record.place.len, 1 << align_log2).ok()?;
        Some((NonNull::new(record.place.start as *mut u8)?, layout))
    })
}

/// In the daemon, after a crash whose state is to be kept: releases the blocks that a commit would release, so that they do
/// not leak; `all` whose release was put off, where no older commit is kept with it. Where the heap is not whole, or the
/// log has no room, they do leak.
pub(crate) fn release_freed(region: &Region, all: bool) {
    let (log, state) = (of(region), region.parts.state);
    let epoch = log.epoch();
    let part = log.part(epoch);
    let Some(heap) = region.head().arena() else { return };
    let old = |place: Span| part.append(Kind::Old, place, place.start);
    // SAFETY: the state is mapped, and no thread of the crashed process writes any more.
    let is_whole = unsafe { arena::is_whole(state.behind(STATE_ARENA)) };
    if !is_whole {
        return;
    }
    let last = if all { epoch + log.kept() } else { epoch };
    // Epochs that are not over yet have nothing else to release.
    let due = (epoch..=last).map_while(|at| log.due_of(at, epoch).ok()).flatten();
    // The walks begin before this is written.
    let due: Vec<_> = due.collect();
    if due.is_empty() || old(Arena::words(std::ptr::from_ref(heap) as usize)).is_err() {
        return;
    }
    for (block, layout) in due.into_iter().flat_map(freed_blocks) {
        let (filled, room) = part.fill();
        if filled + ROOM_OF_A_RELEASE > room {
            return;
        }
        if heap.is_block(block.as_ptr() as usize, layout.align()) {
            // The room was looked at above.
            let log = |forecast: &Forecast| {
                for place in forecast.places() {
                    let _ = old(*place);
                }
            };
            // SAFETY: a block that is in use, and that the program has released.
            unsafe { heap.release_logged(block, layout, log) };
        }
    }
}

/// The most bytes of records that a release takes.
const ROOM_OF_A_RELEASE: usize = arena::MOST_PLACES * 64;
