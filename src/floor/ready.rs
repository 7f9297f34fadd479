//! What a process faults in before it waits for what will be measured, so that the path itself has no more page faults
//! than the kernel makes it have.

use super::board::Board;
use crate::region::Region;
use crate::span::Span;
use crate::sys::bare::{self, Access};
use crate::sys::memory::PAGE;
use procfs::process::{MMPermissions, MMapPath, MemoryMaps, Process};
use std::sync::OnceLock;

/// So much of the stack below the present frame may be used.
const STACK: usize = 16 * PAGE;

/// In the daemon, before the first fork: finds where the program and its libraries lie. Forks share the layout, and must
/// not allocate.
pub(super) fn find_code() {
    code();
}

/// In the child that dies by its handler: what that will use. Not for one that is waited for: its death would take as
/// much longer as there is more to tear down.
pub(super) fn before_fault(region: &Region) {
    // SAFETY: the region's signal stack is mapped, writable, and this process's own copy.
    unsafe { bare::fault_in(region.parts.signal_stack, Access::Write) };
    fault_in_code();
}

/// In a successor that was forked ahead: what its first operation may use. The state is only read: a page that is
/// copied now would not see a later commit.
pub(super) fn before_waiting(region: &Region) {
    // SAFETY: the state is mapped, readable.
    unsafe { bare::fault_in(region.parts.state, Access::Read) };
    fault_in_code();
    let here = 0u8;
    let page = (&raw const here as usize).next_multiple_of(PAGE);
    // SAFETY: the root has grown the stack by far more than this below the frames of a daemon.
    unsafe { bare::fault_in(Span { start: page - STACK, len: STACK }, Access::Write) };
}

/// In every process: the words by which they speak.
pub(super) fn board(board: &Board) {
    let page = Span { start: std::ptr::from_ref(board) as usize, len: PAGE };
    // SAFETY: the board is a page that is mapped, shared and writable.
    unsafe { bare::fault_in(page, Access::Write) };
}

fn fault_in_code() {
    for (span, access) in code() {
        // SAFETY: mapped with these permissions when the daemon began; nothing unmaps a program's image.
        unsafe { bare::fault_in(*span, *access) };
    }
}

/// The mappings of the program's image and its libraries, and how each may be touched.
fn code() -> &'static [(Span, Access)] {
    static CODE: OnceLock<Vec<(Span, Access)>> = OnceLock::new();
    CODE.get_or_init(|| Process::myself().and_then(|me| me.maps()).map_or_else(|_| Vec::new(), |maps| images(&maps)))
}

fn images(maps: &MemoryMaps) -> Vec<(Span, Access)> {
    let mut found = Vec::new();
    let mut image_end = 0;
    for map in maps {
        let (start, end) = map.address;
        // What is zero at first lies behind an image, without its name.
        let belongs = match &map.pathname {
            MMapPath::Path(path) => path.is_file(),
            MMapPath::Anonymous => start == image_end,
            _ => false,
        };
        if !belongs || !map.perms.contains(MMPermissions::READ) {
            continue;
        }
        image_end = end;
        let access = if map.perms.contains(MMPermissions::WRITE) { Access::Write } else { Access::Read };
        if let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end)) {
            found.push((Span { start, len: end - start }, access));
        }
    }
    found
}
