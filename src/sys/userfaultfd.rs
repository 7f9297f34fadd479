//! Write tracking by the kernel: `userfaultfd(2)` with asynchronous write-protection (Linux 6.7; see
//! `Documentation/admin-guide/mm/userfaultfd.rst`).
//!
//! A page of a registered mapping can be write-protected; the first write to it lifts the protection by itself, nobody
//! is told and nobody waits. Which pages are not protected says the page table (`pagemap.rs`). Both belong to one
//! address space: a fork's child is not tracked until it registers itself.

use super::{Errno, check, check_long};
use crate::span::Span;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `UFFD_USER_MODE_ONLY`: allowed to everybody. With asynchronous protection the kernel's own writes are tracked too.
const USER_MODE_ONLY: libc::c_int = 1;
/// `_IOWR(0xAA, 0x3F, struct uffdio_api)` and `_IOWR(0xAA, 0x00, struct uffdio_register)`, of `linux/userfaultfd.h`.
const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
const API: u64 = 0xaa;
const FEATURE_WP_HUGETLBFS_SHMEM: u64 = 1 << 12;
const FEATURE_WP_UNPOPULATED: u64 = 1 << 13;
const FEATURE_WP_ASYNC: u64 = 1 << 15;
const MODE_WP: u64 = 1 << 1;

/// `struct uffdio_api`.
#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`, its range written out.
#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

/// Registers `span` of this process for tracking, as long as the answer is open. No page is protected yet.
///
/// # Errors
/// `ENOSYS`, `EPERM` or `EINVAL` where the kernel, or a filter, does not allow it.
pub(crate) fn track(span: Span) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointer is passed.
    let fd = check_long(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | USER_MODE_ONLY) })?;
    // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let features = FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED | FEATURE_WP_HUGETLBFS_SHMEM;
    let mut api = Api { api: API, features, ioctls: 0 };
    // SAFETY: the argument is the structure that the call asks for, and outlives it.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), UFFDIO_API, &raw mut api) })?;
    let mut register = Register { start: span.start as u64, len: span.len as u64, mode: MODE_WP, ioctls: 0 };
    // SAFETY: as above. Without a protected page nothing changes for whoever uses the memory.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), UFFDIO_REGISTER, &raw mut register) })?;
    Ok(fd)
}
