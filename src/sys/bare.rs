//! System calls that only the floor makes: the shortest way to each thing, without what a library does around it.

use super::event::Status;
use super::process::Forked;
use super::{Errno, check};
use crate::span::Span;
use std::arch::asm;
use std::sync::atomic::AtomicI32;

/// Forks by `clone(2)` alone. `fork(3)` also runs handlers, takes locks, and has the kernel write the child's id into
/// memory that the two still share: a page fault before the child's first instruction.
///
/// # Safety
/// As for [`process::fork`](super::process::fork). The child does not ask glibc for its thread's id, which is the
/// parent's, and starts no thread.
#[inline(always)]
pub(crate) unsafe fn fork() -> Result<Forked, Errno> {
    let forked: i64;
    // SAFETY: without flags but the signal of its end, this is a fork: both sides go on behind it with their own copy of
    // everything. The caller vouches for the single thread.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") libc::SYS_clone => forked,
            in("rdi") i64::from(libc::SIGCHLD),
            in("rsi") 0i64,
            in("rdx") 0i64,
            in("r10") 0i64,
            in("r8") 0i64,
            out("rcx") _,
            out("r11") _,
        );
    }
    match returned(forked)? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// What a system call answered: an id, or less than 0 for an error.
fn returned(value: i64) -> Result<i32, Errno> {
    let value = i32::try_from(value).map_err(|_| Errno::EOVERFLOW)?;
    if value < 0 { Err(Errno::from_raw(-value)) } else { Ok(value) }
}

/// Makes a process that shares this one's memory, is a child of its parent, and does nothing but hold the memory until
/// it is killed (`clone(2)`, `CLONE_VM | CLONE_PARENT`). It answers all signals with their default action's death, or
/// not at all, and dies with its parent.
///
/// It runs on this thread's stack pointer and thread pointer, so it touches neither: its code is the few instructions
/// below, and with every signal blocked no handler can run on them. The kernel writes its id to `id` before it runs.
pub(crate) fn keep_memory(parent: i32, id: &AtomicI32) -> Result<(), Errno> {
    const FLAGS: i32 = libc::CLONE_VM | libc::CLONE_PARENT | libc::CLONE_PARENT_SETTID | libc::SIGCHLD;
    // SAFETY: all-zero is a valid set, filled by the next line.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is writable.
    unsafe { libc::sigfillset(&raw mut all) };
    let mut before = all;
    // SAFETY: both sets are valid.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const all, &raw mut before) };
    let forked: i64;
    // SAFETY: in this process the block clobbers what a system call clobbers. The new process never leaves the block:
    // it asks for SIGKILL at its parent's death, exits where that has come already, and then sleeps in `pause` for
    // ever. It uses registers only, so that sharing memory and stack with this process changes nothing here.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 4f",
            "mov eax, {prctl}",
            "mov edi, {pdeathsig}",
            "mov esi, {kill}",
            "syscall",
            "mov eax, {getppid}",
            "syscall",
            "cmp eax, r12d",
            "jne 3f",
            "2:",
            "mov eax, {pause}",
            "syscall",
            "jmp 2b",
            "3:",
            "mov eax, {exit}",
            "xor edi, edi",
            "syscall",
            "ud2",
            "4:",
            prctl = const libc::SYS_prctl,
            pdeathsig = const libc::PR_SET_PDEATHSIG,
            kill = const libc::SIGKILL,
            getppid = const libc::SYS_getppid,
            pause = const libc::SYS_pause,
            exit = const libc::SYS_exit,
            inlateout("rax") libc::SYS_clone => forked,
            inlateout("rdi") i64::from(FLAGS) => _,
            inlateout("rsi") 0i64 => _,
            in("rdx") id.as_ptr(),
            in("r10") 0i64,
            in("r8") 0i64,
            in("r12") parent,
            out("rcx") _,
            out("r11") _,
        );
    }
    // SAFETY: the set is the one that was in force before.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    returned(forked).map(|_| ())
}

/// How child `pid` ended, `None` while it has not; it is reaped then (`waitpid(2)`, `WNOHANG`).
pub(crate) fn ended(pid: i32) -> Result<Option<Status>, Errno> {
    let mut status = 0;
    // SAFETY: `status` is writable for the length of the call.
    Ok(match check(unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) })? {
        0 => None,
        _ if libc::WIFEXITED(status) => Some(Status::Exited(libc::WEXITSTATUS(status))),
        _ => Some(Status::Killed(libc::WTERMSIG(status))),
    })
}

/// New memory, empty, that forks share with this process; unmapped when this is dropped.
pub(crate) struct SharedMemory {
    span: Span,
}

impl SharedMemory {
    /// `len` bytes at a place of the kernel's choice, every page committed now, so that what does not fit is an error
    /// and never a SIGBUS.
    pub(crate) fn new(len: usize) -> Result<Self, Errno> {
        use std::os::fd::AsRawFd;
        let fd = super::memory::committed_memfd(c"crashbed-floor", len)?;
        let (protection, fd) = (libc::PROT_READ | libc::PROT_WRITE, fd.as_raw_fd());
        // SAFETY: a place of the kernel's choice changes no memory that is in use. The mapping outlives the descriptor.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, libc::MAP_SHARED, fd, 0) };
        if at == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok(Self { span: Span { start: at as usize, len } })
    }

    pub(crate) fn span(&self) -> Span {
        self.span
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and what borrows from it borrows this.
        let _ = unsafe { super::memory::unmap(self.span) };
    }
}
