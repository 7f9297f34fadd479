//! What a spare touches before it waits, so that its first operation meets as few page faults as can be.
//!
//! The state is touched by *reading*: a page that a spare wrote would be its own copy from then on, and stale after the
//! next commit. The program's code is read too, as a fork's child begins without the page tables of file mappings.
//! Memory that is the process's alone (stack, statics, scratch) is made writable: whatever it holds, the predecessor
//! cannot change it any more.

use crate::arena::Arena;
use crate::notice;
use crate::region::Region;
use crate::span::Span;
use crate::state_head::STATE_ARENA;
use crate::sys::memory::{self, PAGE};
use crate::sys::processors::Processors;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// The most of a state that is touched: page tables of 128 KiB, and below a millisecond.
const MOST_STATE: usize = 64 << 20;
/// The most of one mapping of the program or of a library.
const MOST_IMAGE: usize = 16 << 20;
/// How much of the stack below the present frame is made writable.
const STACK: usize = 96 << 10;
/// How much of the stack a daemon needs for a fork.
const FRAMES: usize = 8 << 10;
/// How much of the signal stack's end is made writable: the handler's frames, those of the kernel and of the processor's
/// extended state.
const SIGNAL_STACK: usize = 16 << 10;
/// How much around the handler's code is touched. The linker lays what it calls nearby.
const HANDLER: usize = 64 << 10;
/// How much of scratch is made writable.
const SCRATCH: usize = 64 << 10;

/// The mappings of program and libraries, and whether they are written to. Found by the root; forks inherit it.
static IMAGE: OnceLock<Vec<(Span, bool)>> = OnceLock::new();

/// Notes where program and libraries are mapped. The root calls this once, before it forks.
pub(crate) fn find_image() {
    use procfs::process::{MMPermissions, MMapPath, Process};
    IMAGE.get_or_init(|| {
        let Ok(maps) = Process::myself().and_then(|me| me.maps()) else { return Vec::new() };
        // A file's mapping, or what follows on one that is written to: its `.bss`, which is no file's.
        let mut before = 0;
        let of_a_file = maps.iter().filter(|map| {
            let is_bss = map.address.0 == before && map.pathname == MMapPath::Anonymous;
            let is_file = matches!(map.pathname, MMapPath::Path(_));
            before = if is_file && map.perms.contains(MMPermissions::WRITE) { map.address.1 } else { 0 };
            is_file || is_bss
        });
        let private = of_a_file.filter(|map| map.perms.contains(MMPermissions::PRIVATE | MMPermissions::READ));
        let span = |(start, end): (u64, u64)| {
            let start = usize::try_from(start).unwrap_or(0);
            Span { start, len: usize::try_from(end).unwrap_or(0).saturating_sub(start).min(MOST_IMAGE) }
        };
        private.map(|map| (span(map.address), map.perms.contains(MMPermissions::WRITE))).collect()
    });
}

/// Touches the code and the statics of program and libraries.
pub(crate) fn touch_image() {
    for &(span, written) in IMAGE.get().into_iter().flatten() {
        if written { memory::populate_to_write(span) } else { memory::populate_to_read(span) }
    }
}

/// Makes room for another entry, and touches it, so that adding it neither allocates nor copies a page.
pub(crate) fn touch_room<T>(entries: &mut Vec<T>) {
    entries.reserve(1);
    // The next entry, and the page behind it where it crosses a border.
    for room in entries.spare_capacity_mut().iter_mut().take(2) {
        *room = MaybeUninit::zeroed();
        std::hint::black_box(room);
    }
}

/// Makes the pages of the stack just below the caller's frame this process's own again, after a fork.
pub(crate) fn touch_frames() {
    let here = 0u8;
    let top = ((&raw const here as usize) & !(PAGE - 1)) + PAGE;
    memory::populate_to_write(Span { start: top - FRAMES, len: FRAMES });
}

/// Touches what the crash handler needs, and that no work before the crash does. In a transaction: a few microseconds.
pub(crate) fn touch_handler(region: &Region) {
    let stack = region.parts.signal_stack;
    memory::populate_to_write(stack.part(stack.len - SIGNAL_STACK, SIGNAL_STACK));
    // It writes to the mailbox of the spare that it releases.
    memory::populate_to_write(region.parts.seats);
    let code = notice::handler_address() & !(PAGE - 1);
    memory::populate_to_read(Span { start: code - HANDLER / 2, len: HANDLER });
    // The C library's part.
    std::hint::black_box(Processors::of(0));
}

/// Touches what the first operation of a transaction on `region` is likely to need. In a spare.
pub(crate) fn touch(region: &Region) {
    touch_image();
    let here = 0u8;
    let top = (&raw const here as usize) & !(PAGE - 1);
    memory::populate_to_write(Span { start: top - STACK, len: STACK });
    // Its own crash is to be told as fast.
    touch_handler(region);
    let scratch = region.parts.scratch;
    memory::populate_to_write(scratch.part(0, SCRATCH.min(scratch.len)));
    let state = region.parts.state;
    // SAFETY: the state is mapped as long as the region.
    let used = unsafe { Arena::at(state.start + STATE_ARENA) }.map_or(0, Arena::used_until);
    let used = used.saturating_sub(state.start).next_multiple_of(PAGE);
    memory::populate_to_read(state.part(0, used.min(state.len).min(MOST_STATE)));
}
