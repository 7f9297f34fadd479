//! A keeper: a process that shares a transaction's address space and sleeps, so that the transaction's own end leaves
//! the tearing down to it.
//!
//! The kernel raises a pidfd when a process has let go of its memory. The last one to let go pays for every page, which
//! takes longer the more of them were touched. With a keeper the transaction is never the last: its end is noticed in a
//! time that does not grow. The keeper is told of it by `PR_SET_PDEATHSIG`, stays out of the way for a moment, and goes.
//!
//! It lives in memory that the transaction's main thread uses, thread-locals included. So its code is system calls on
//! registers and on a stack of its own, and nothing else: no C library (which would write `errno`), no allocation.

use super::Errno;
use crate::span::Span;
use std::arch::asm;
use std::sync::atomic::AtomicI32;

/// How long it stays out of the way of the recovery.
const QUIET_NS: i64 = 2_000_000;

/// Starts a keeper of this process; `pid` is set to its id before it runs (`clone(2)`: `CLONE_VM`,
/// `CLONE_PARENT_SETTID`). To be called by the main thread: the keeper ends with the thread that called.
///
/// # Safety
/// `stack` is mapped, writable, and nothing else uses it as long as this process or its keeper lives.
pub(crate) unsafe fn start(stack: Span, pid: &AtomicI32) -> Result<(), Errno> {
    let flags = i64::from(libc::CLONE_VM | libc::CLONE_PARENT_SETTID | libc::SIGCHLD);
    let top = stack.end() & !15;
    let returned: i64;
    // SAFETY: the child starts on a stack of its own, as the caller vouches, and never returns from `keep`; the parent
    // goes on behind label 2 with nothing changed but the registers named.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call {keep}",
            "ud2",
            "2:",
            keep = sym keep,
            inlateout("rax") libc::SYS_clone => returned,
            in("rdi") flags,
            in("rsi") top,
            in("rdx") pid.as_ptr(),
            in("r10") 0,
            in("r8") 0,
            in("r12") i64::from(super::process::id()),
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    match i32::try_from(returned) {
        Ok(error) if error < 0 => Err(Errno::from_raw(-error)),
        _ => Ok(()),
    }
}

/// The keeper's life.
extern "C" fn keep(parent: i64) -> ! {
    let all = u64::MAX;
    let pause = [0, QUIET_NS];
    let nothing = 0;
    // Every signal is blocked: the one below is waited for. SIGKILL ends it at any time.
    raw(libc::SYS_rt_sigprocmask, [i64::from(libc::SIG_SETMASK), address(&all), nothing, 8]);
    // It must not hold files open that others wait to see closed (close_range(2), Linux 5.9; else they stay open as
    // long as it lives).
    raw(libc::SYS_close_range, [nothing, i64::from(u32::MAX), nothing, nothing]);
    raw(libc::SYS_prctl, [i64::from(libc::PR_SET_NAME), c"keeper".as_ptr() as i64, nothing, nothing]);
    raw(libc::SYS_prctl, [i64::from(libc::PR_SET_PDEATHSIG), i64::from(libc::SIGTERM), nothing, nothing]);
    if raw(libc::SYS_getppid, [nothing; 4]) == parent {
        raw(libc::SYS_rt_sigtimedwait, [address(&all), nothing, nothing, 8]);
        raw(libc::SYS_nanosleep, [address(&pause), nothing, nothing, nothing]);
    }
    loop {
        raw(libc::SYS_exit_group, [nothing; 4]);
    }
}

fn address<T>(of: &T) -> i64 {
    (std::ptr::from_ref(of) as usize).cast_signed() as i64
}

/// A system call that touches nothing but what its arguments name: no `errno`.
#[inline(always)]
fn raw(number: i64, [first, second, third, fourth]: [i64; 4]) -> i64 {
    let returned;
    // SAFETY: the callers above pass calls that read from the addresses given, at most, and those are locals of theirs.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => returned,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    returned
}
