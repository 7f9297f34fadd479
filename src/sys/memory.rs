//! Mapping, sealing and dropping memory.

use super::{Errno, check};
use crate::span::Span;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The size of a page. x86-64 has no other base size.
pub(crate) const PAGE: usize = 4096;

/// Memory behind a descriptor (`memfd_create(2)`), `len` bytes, every page committed now (`fallocate(2)`): that it
/// does not fit is an error here and never a SIGBUS later. It is gone with the last process that holds it.
pub(crate) fn committed_memfd(name: &CStr, len: usize) -> Result<OwnedFd, Errno> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let len = i64::try_from(len).map_err(|_| Errno::EFBIG)?;
    // SAFETY: no pointer is passed.
    check(unsafe { libc::ftruncate(fd.as_raw_fd(), len) })?;
    // SAFETY: no pointer is passed.
    check(unsafe { libc::fallocate(fd.as_raw_fd(), 0, 0, len) })?;
    Ok(fd)
}

/// Seals `fd` against every further way of writing to it: a new shared mapping can only read, `write(2)` and hole
/// punching fail, its size is fixed (`F_SEAL_FUTURE_WRITE`, `fcntl(2)`, Linux 5.1). Mappings made before go on
/// writing, in forks too.
pub(crate) fn seal(fd: &OwnedFd) -> Result<(), Errno> {
    let seals = SealFlag::F_SEAL_FUTURE_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(fd.as_fd(), FcntlArg::F_ADD_SEALS(seals)).map(|_| ())
}

/// How a descriptor is mapped.
#[derive(Clone, Copy)]
pub(crate) enum Map {
    /// Shared, to read and write.
    Shared,
    /// Shared, to read; behind a sealed descriptor `mprotect(2)` cannot change that.
    ReadOnly,
    /// Private: what is written is copied first and seen by this process alone.
    CopyOnWrite,
}

impl Map {
    fn flags(self) -> (i32, i32) {
        match self {
            Self::Shared => (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED),
            Self::ReadOnly => (libc::PROT_READ, libc::MAP_SHARED),
            Self::CopyOnWrite => (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE),
        }
    }
}

/// Maps `fd` over `span`, which must be free (`mmap(2)`, `MAP_FIXED_NOREPLACE`).
pub(crate) fn map_new(fd: BorrowedFd<'_>, span: Span, map: Map) -> Result<(), Errno> {
    let (protection, flags) = map.flags();
    // SAFETY: NOREPLACE refuses a span that is in use, so no existing memory changes.
    let at = unsafe { mmap(span, protection, flags | libc::MAP_FIXED_NOREPLACE, fd.as_raw_fd()) }?;
    at_wanted_place(at, span)
}

/// Maps private, empty memory over `span`, which must be free.
pub(crate) fn map_empty(span: Span) -> Result<(), Errno> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: NOREPLACE refuses a span that is in use, so no existing memory changes.
    let at = unsafe { mmap(span, libc::PROT_READ | libc::PROT_WRITE, flags, -1) }?;
    at_wanted_place(at, span)
}

/// Maps `fd` over `span`, in the place of what is there.
///
/// # Safety
/// `span` belongs to the engine, and nothing borrows from it that the new mapping would change.
pub(crate) unsafe fn map_over(fd: BorrowedFd<'_>, span: Span, map: Map) -> Result<(), Errno> {
    let (protection, flags) = map.flags();
    // SAFETY: the caller owns the span and nothing borrows from it.
    unsafe { mmap(span, protection, flags | libc::MAP_FIXED, fd.as_raw_fd()) }.map(|_| ())
}

/// # Safety
/// With `MAP_FIXED` the span's present memory goes away: nothing may borrow from it.
unsafe fn mmap(span: Span, protection: i32, flags: i32, fd: i32) -> Result<usize, Errno> {
    // SAFETY: the caller vouches for what a fixed mapping replaces.
    let at = unsafe { libc::mmap(span.start as *mut _, span.len, protection, flags, fd, 0) };
    if at == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(at as usize) }
}

/// Kernels before 4.17 take `MAP_FIXED_NOREPLACE` for a hint and may answer another place.
fn at_wanted_place(at: usize, span: Span) -> Result<(), Errno> {
    if at == span.start { Ok(()) } else { Err(Errno::EEXIST) }
}

/// Unmaps `span` (`munmap(2)`).
///
/// # Safety
/// `span` belongs to the engine, and nothing borrows from it.
pub(crate) unsafe fn unmap(span: Span) -> Result<(), Errno> {
    // SAFETY: the caller owns the span and nothing borrows from it.
    check(unsafe { libc::munmap(span.start as *mut _, span.len) }).map(|_| ())
}

/// Keeps `span` out of the address space of later forks (`madvise(2)`, `MADV_DONTFORK`).
pub(crate) fn keep_from_forks(span: Span) -> Result<(), Errno> {
    // SAFETY: the advice changes nothing in this process; a fork's child finds the span unmapped.
    check(unsafe { libc::madvise(span.start as *mut _, span.len, libc::MADV_DONTFORK) }).map(|_| ())
}

/// Lets later forks have `span` again (`madvise(2)`, `MADV_DOFORK`).
pub(crate) fn let_forks_have(span: Span) -> Result<(), Errno> {
    // SAFETY: the advice changes nothing in this process.
    check(unsafe { libc::madvise(span.start as *mut _, span.len, libc::MADV_DOFORK) }).map(|_| ())
}

/// Drops this process's private copies in `span` (`madvise(2)`, `MADV_DONTNEED`): the next read finds what is behind
/// the mapping.
///
/// # Safety
/// `span` belongs to the engine, and what is behind the mapping is right for every borrow that lives.
pub(crate) unsafe fn drop_private_copies(span: Span) -> Result<(), Errno> {
    // SAFETY: the caller vouches for the content that takes the place of the private copies.
    check(unsafe { libc::madvise(span.start as *mut _, span.len, libc::MADV_DONTNEED) }).map(|_| ())
}

/// Forbids to unmap, move or re-protect `span` for the rest of this process's life (`mseal(2)`, Linux 6.10). False
/// where the kernel has no such call; the mapping of a sealed descriptor is then all that guards it.
pub(crate) fn seal_mapping(span: Span) -> bool {
    // SAFETY: no memory changes; a kernel without the call answers ENOSYS.
    unsafe { libc::syscall(libc::SYS_mseal, span.start, span.len, 0) == 0 }
}

/// Makes `span` ready to be read, page by page, without a fault later (`madvise(2)`, `MADV_POPULATE_READ`, Linux 5.14).
/// Where the kernel cannot, or a part is not mapped, the faults come later.
pub(crate) fn populate_to_read(span: Span) {
    // SAFETY: the content of no page changes.
    unsafe { libc::madvise(span.start as *mut _, span.len, libc::MADV_POPULATE_READ) };
}

/// Makes `span` ready to be written (`madvise(2)`, `MADV_POPULATE_WRITE`, Linux 5.14): private pages become this
/// process's own. Otherwise as [`populate_to_read`].
pub(crate) fn populate_to_write(span: Span) {
    // SAFETY: the content of no page changes; a private page is copied.
    unsafe { libc::madvise(span.start as *mut _, span.len, libc::MADV_POPULATE_WRITE) };
}

/// Whether the machine has swap space (`sysinfo(2)`).
pub(crate) fn has_swap() -> bool {
    // SAFETY: the structure is plain numbers, which the call fills.
    let mut info: libc::sysinfo = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for the call.
    let returned = unsafe { libc::sysinfo(&raw mut info) };
    returned != 0 || info.totalswap > 0
}

/// Keeps the pages of `span` in memory (`mlock(2)`), for this process and for all that map them, while this one does.
pub(crate) fn lock(span: Span) -> Result<(), Errno> {
    // SAFETY: no content changes.
    check(unsafe { libc::mlock(span.start as *const _, span.len) }).map(|_| ())
}
