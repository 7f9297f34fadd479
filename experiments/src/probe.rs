//! Asks the kernel what it allows, by doing it: the program's only raw system calls outside the engine.
//!
//! Each probe leaves the process as it was. A refusal (EPERM, EACCES of a container's filter) comes back as the error
//! that it is; to the caller it means the same as ENOSYS.

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use std::fs::{self, File};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// A memfd that only its present mappings can write (`F_SEAL_FUTURE_WRITE`, `fcntl(2)`).
///
/// # Errors
/// The kernel's.
pub fn sealed_memory() -> Result<(), Errno> {
    let memory = memfd_create("probe", MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC)?;
    // SAFETY: F_ADD_SEALS takes a descriptor, which `memory` owns, and an int; it touches no memory of ours.
    let result = unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_FUTURE_WRITE) };
    Errno::result(result).map(drop)
}

/// A descriptor for a process: this one (`pidfd_open(2)`).
///
/// # Errors
/// The kernel's.
pub fn pidfd() -> Result<OwnedFd, Errno> {
    let this = nix::unistd::getpid().as_raw();
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, this, 0) };
    let descriptor = i32::try_from(Errno::result(descriptor)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made it and no one else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Waiting for a process by its descriptor (`waitid(2)`, `P_PIDFD`).
///
/// # Errors
/// The kernel's; EINVAL where it does not know the kind.
pub fn wait_by_pidfd() -> Result<(), Errno> {
    use std::os::fd::AsFd;
    let descriptor = pidfd()?;
    match waitid(Id::PIDFd(descriptor.as_fd()), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
        // A process is no child of itself: the kernel knows the kind, and that is what was asked.
        Err(Errno::ECHILD) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

/// `struct pm_scan_arg` of `linux/fs.h`, which `libc` does not have.
#[repr(C)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

nix::ioctl_readwrite!(
    /// `PAGEMAP_SCAN` of `linux/fs.h`.
    pagemap_scan_ioctl,
    b'f',
    16,
    ScanArguments
);

/// Listing written pages by `PAGEMAP_SCAN` (Linux 6.7, `ioctl(2)` on `/proc/self/pagemap`).
///
/// # Errors
/// The kernel's; ENOTTY where it has no such call.
pub fn pagemap_scan() -> Result<(), Errno> {
    const PAGE_IS_PRESENT: u64 = 1 << 3;
    let pagemap = File::open("/proc/self/pagemap").map_err(errno)?;
    let mut arguments = ScanArguments {
        size: size_of::<ScanArguments>() as u64,
        flags: 0,
        start: 0,
        end: 1 << 20,
        walk_end: 0,
        vec: 0,
        vec_len: 0,
        max_pages: 0,
        category_inverted: 0,
        category_mask: PAGE_IS_PRESENT,
        category_anyof_mask: 0,
        return_mask: PAGE_IS_PRESENT,
    };
    // SAFETY: the kernel reads and writes `arguments` only, of the size it says; without a vector it lists nothing.
    unsafe { pagemap_scan_ioctl(pagemap.as_raw_fd(), &raw mut arguments) }.map(drop)
}

/// Reading `/proc/self/pagemap`, an entry of 8 bytes a page.
///
/// # Errors
/// The kernel's.
pub fn pagemap() -> Result<(), Errno> {
    let on_the_stack = 0_u8;
    let here = std::ptr::from_ref(&on_the_stack).addr() as u64;
    let pagemap = File::open("/proc/self/pagemap").map_err(errno)?;
    pagemap.read_exact_at(&mut [0; 8], here / crate::size::Size::PAGE * 8).map_err(errno)
}

/// Sealing a mapping against `mmap`, `munmap` and `mprotect` (`mseal(2)`, Linux 6.10).
///
/// # Errors
/// The kernel's.
pub fn sealed_mapping() -> Result<(), Errno> {
    // SAFETY: a length of 0 seals nothing: the call answers before it looks at a mapping.
    let result = unsafe { libc::syscall(libc::SYS_mseal, 0_usize, 0_usize, 0_usize) };
    Errno::result(result).map(drop)
}

/// Asking for a length of slices under the fair scheduler (`sched_setattr(2)`, Linux 6.12): asks for what there is.
///
/// # Errors
/// The kernel's; ENOSYS where it does not say how long slices are.
pub fn slices() -> Result<(), Errno> {
    // SAFETY: all-zero bytes are a valid `sched_attr`.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes to the structure, of the size that is passed.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size_of_val(&attributes), 0) };
    Errno::result(got)?;
    if attributes.sched_runtime == 0 {
        return Err(Errno::ENOSYS);
    }
    // SAFETY: the kernel reads the structure, whose first member is its size.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    Errno::result(set).map(drop)
}

/// Dying with the parent (`PR_SET_PDEATHSIG`): sets what is set already.
///
/// # Errors
/// The kernel's.
pub fn death_with_parent() -> Result<(), Errno> {
    prctl::set_pdeathsig(prctl::get_pdeathsig()?)
}

/// Adopting orphans (`PR_SET_CHILD_SUBREAPER`): sets what is set already.
///
/// # Errors
/// The kernel's.
pub fn subreaper() -> Result<(), Errno> {
    prctl::set_child_subreaper(prctl::get_child_subreaper()?)
}

/// Being a likelier victim of the OOM killer (`/proc/self/oom_score_adj`): writes what is there already.
///
/// # Errors
/// The kernel's.
pub fn oom_score() -> Result<(), Errno> {
    let path = "/proc/self/oom_score_adj";
    let score = fs::read_to_string(path).map_err(errno)?;
    fs::write(path, score.trim()).map_err(errno)
}

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
