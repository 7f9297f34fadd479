//! Waking and waiting: event descriptors, futex words, `ppoll`.

use super::{Errno, check, check_long};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// An event descriptor (`eventfd(2)`), non-blocking and closed on exec, inherited by forks.
pub(crate) fn eventfd() -> Result<OwnedFd, Errno> {
    use nix::sys::eventfd::{EfdFlags, EventFd};
    EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC).map(Into::into)
}

/// Makes `event` readable. Async-signal-safe. A full counter is readable already, so its refusal is ignored.
pub(crate) fn raise(event: i32) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: the buffer is eight readable bytes; a bad descriptor is an error that changes nothing.
    unsafe { libc::write(event, one.as_ptr().cast(), one.len()) };
}

/// Makes `event` unreadable again.
pub(crate) fn lower(event: &OwnedFd) {
    let mut count = [0u8; 8];
    // SAFETY: the buffer is eight writable bytes; an empty counter answers EAGAIN.
    unsafe { libc::read(event.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
}

/// Which of `fds` are readable; waits for the first until `timeout` has passed (`None`: for ever) (`ppoll(2)`).
///
/// Interrupted waits are reported as nothing readable: the callers loop.
pub(crate) fn wait_readable<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    timeout: Option<Duration>,
) -> Result<[bool; N], Errno> {
    use nix::poll::{PollFd, PollFlags, ppoll};
    let mut polled = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    match ppoll(&mut polled, timeout.map(Into::into), None) {
        Ok(_) => Ok(polled.map(|fd| fd.any().unwrap_or(false))),
        Err(Errno::EINTR) => Ok([false; N]),
        Err(error) => Err(error),
    }
}

/// The same for a number of descriptors that is known only at run time.
pub(crate) fn wait_any(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> Result<Vec<bool>, Errno> {
    use nix::poll::{PollFd, PollFlags, ppoll};
    let mut polled: Vec<_> = fds.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
    match ppoll(&mut polled, timeout.map(Into::into), None) {
        Ok(_) => Ok(polled.iter().map(|fd| fd.any().unwrap_or(false)).collect()),
        Err(Errno::EINTR) => Ok(vec![false; fds.len()]),
        Err(error) => Err(error),
    }
}

/// Sleeps while `word` is `value` (`futex(2)`, `FUTEX_WAIT`, shared between processes). May wake without a reason.
pub(crate) fn futex_wait(word: &AtomicU32, value: u32) {
    // SAFETY: the word outlives the call and is aligned; the kernel only reads it. No timeout is passed.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, std::ptr::null::<libc::timespec>())
    };
}

/// As [`futex_wait`], for `nanoseconds` at the most.
pub(crate) fn futex_wait_for(word: &AtomicU32, value: u32, nanoseconds: u64) {
    let seconds = i64::try_from(nanoseconds / 1_000_000_000).unwrap_or(i64::MAX);
    let rest = i64::try_from(nanoseconds % 1_000_000_000).unwrap_or(0);
    let timeout = libc::timespec { tv_sec: seconds, tv_nsec: rest };
    // SAFETY: the word and the timeout outlive the call and are aligned; the kernel only reads them.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, &raw const timeout) };
}

/// Wakes whoever sleeps on `word` (`futex(2)`, `FUTEX_WAKE`).
pub(crate) fn futex_wake(word: &AtomicU32) {
    // SAFETY: the kernel uses the word's address only to find its sleepers.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

/// A descriptor of process `pid` that becomes readable when it ends (`pidfd_open(2)`, Linux 5.3).
///
/// Free of races only while `pid` is a child that nobody has waited for.
pub(crate) fn pidfd(pid: i32) -> Result<OwnedFd, Errno> {
    use std::os::fd::FromRawFd;
    // SAFETY: no pointer is passed.
    let fd = check_long(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends `signal` to the very process behind `pidfd` (`pidfd_send_signal(2)`).
pub(crate) fn signal(pidfd: &OwnedFd, signal: i32) -> Result<(), Errno> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is what the man page asks for when there is none.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) };
    check_long(sent).map(|_| ())
}

/// How a child's life changed (`waitid(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It exited with this status.
    Exited(i32),
    /// This signal ended it.
    Killed(i32),
    /// This signal stopped it.
    Stopped(i32),
}

/// Waits for child `pid` to end and reaps it, by its id alone (`waitpid(2)`). Safe while nobody else reaps it.
pub(crate) fn wait(pid: i32) -> Result<Status, Errno> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is writable for the length of the call.
        match check(unsafe { libc::waitpid(pid, &raw mut status, 0) }) {
            Ok(_) if libc::WIFEXITED(status) => return Ok(Status::Exited(libc::WEXITSTATUS(status))),
            Ok(_) => return Ok(Status::Killed(libc::WTERMSIG(status))),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits for the child behind `pidfd` to end and reaps it (`waitid(2)`, `P_PIDFD`, Linux 5.4).
pub(crate) fn reap(pidfd: &OwnedFd) -> Result<Status, Errno> {
    loop {
        match wait_for(pidfd, libc::WEXITED) {
            Ok(Some(status)) => return Ok(status),
            Ok(None) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the child behind `pidfd` is stopped at this moment; it stays so, and stays unreaped.
pub(crate) fn is_stopped(pidfd: &OwnedFd) -> bool {
    let asked = wait_for(pidfd, libc::WSTOPPED | libc::WNOHANG | libc::WNOWAIT);
    matches!(asked, Ok(Some(Status::Stopped(_))))
}

fn wait_for(pidfd: &OwnedFd, options: i32) -> Result<Option<Status>, Errno> {
    // SAFETY: all-zero is a valid siginfo_t, which is plain data.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let id = pidfd.as_raw_fd().cast_unsigned();
    // SAFETY: `info` is writable for the length of the call.
    check(unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, options) })?;
    // SAFETY: after waitid the SIGCHLD fields are those in use, or all zero when nothing had changed.
    let pid = unsafe { info.si_pid() };
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    Ok(match (pid, info.si_code) {
        (0, _) => None,
        (_, libc::CLD_EXITED) => Some(Status::Exited(status)),
        (_, libc::CLD_KILLED | libc::CLD_DUMPED) => Some(Status::Killed(status)),
        _ => Some(Status::Stopped(status)),
    })
}
