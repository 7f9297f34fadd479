//! Signals: blocking, reading them from a descriptor, handlers, and dying of one.

use super::{Errno, check};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What the kernel gives a handler that was installed with `SA_SIGINFO`.
pub(crate) type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// The signals that mean a crash, when nobody sent them: faults of the processor, `abort(3)`, a refused system call.
pub(crate) const CRASHES: [i32; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT, libc::SIGTRAP, libc::SIGSYS];

/// Installs `handler` for every crash signal, on the alternate stack, with all of them blocked while it runs: a
/// handler that faults itself is ended by the kernel at once (`sigaction(2)`).
///
/// # Safety
/// `handler` is async-signal-safe.
pub(crate) unsafe fn handle_crashes(handler: Handler) -> Result<(), Errno> {
    // SAFETY: all-zero is a valid sigaction, which is plain data.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    for signal in CRASHES {
        // SAFETY: the set is writable and the signals exist.
        unsafe { libc::sigaddset(&raw mut action.sa_mask, signal) };
    }
    for signal in CRASHES {
        // SAFETY: the handler is async-signal-safe, as the caller vouches.
        check(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) })?;
    }
    Ok(())
}

/// Installs `handler` for `signal`, on the alternate stack where the thread has one (`sigaction(2)`).
///
/// # Safety
/// `handler` is async-signal-safe.
pub(crate) unsafe fn handle(signal: i32, handler: Handler) -> Result<(), Errno> {
    // SAFETY: all-zero is a valid sigaction, which is plain data.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: nothing else can come in between: the thread parks in it, or nothing happens.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    // SAFETY: the handler is async-signal-safe, as the caller vouches.
    check(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) }).map(|_| ())
}

/// Whether `handler` is what `signal` leads to at this moment (`sigaction(2)`).
pub(crate) fn leads_to(signal: i32, handler: Handler) -> bool {
    // SAFETY: all-zero is a valid sigaction, which is plain data.
    let mut present: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `present` is writable; nothing is installed.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut present) };
    asked == 0 && present.sa_sigaction == handler as usize
}

/// Gives `signal` its default action again (`sigaction(2)`). Async-signal-safe.
pub(crate) fn take_handler_away(signal: i32) {
    // SAFETY: all-zero is a valid sigaction: the default action, no flags, an empty mask.
    let default: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: takes a handler away; no code of ours runs for this signal any more.
    unsafe { libc::sigaction(signal, &raw const default, std::ptr::null_mut()) };
}

/// Sends `signal` to process `pid` (`kill(2)`): this process, or a child of it that nobody has waited for.
pub(crate) fn send(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no pointer is passed.
    check(unsafe { libc::kill(pid, signal) }).map(|_| ())
}

/// Dies of SIGSEGV by writing to address 0. To be called where SIGSEGV has its default action.
pub(crate) fn fault() {
    // SAFETY: nothing is mapped at address 0: the instruction changes no memory, it faults.
    unsafe { std::arch::asm!("mov qword ptr [{}], 1", in(reg) 0u64) };
}

/// Ends this process by `signal`, as if nobody had handled it: the parent's wait status names it. Async-signal-safe.
pub(crate) fn die_of(signal: i32) -> ! {
    take_handler_away(signal);
    // SAFETY: all-zero is a valid, empty set.
    let mut only: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is writable and the signal exists.
    unsafe { libc::sigaddset(&raw mut only, signal) };
    let (process, thread) = (super::process::id(), super::process::thread_id());
    // SAFETY: no pointer is passed; the signal goes to this very thread.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) };
    // SAFETY: the set is readable; the pending signal is delivered within this call and ends the process.
    unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const only, std::ptr::null_mut()) };
    // Not reached unless the signal's default action does not end a process.
    super::process::exit_now(128 + signal)
}

/// Takes SIGCHLD as by default, which a program may have been started with ignored: the kernel would then reap
/// children by itself, and their parent could not ask how they ended (`waitid(2)`, ECHILD).
pub(crate) fn keep_ended_children() -> Result<(), Errno> {
    // SAFETY: all-zero is a valid sigaction: the default action, no flags, an empty mask.
    let default: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the action is readable, and the old one is not asked for.
    check(unsafe { libc::sigaction(libc::SIGCHLD, &raw const default, std::ptr::null_mut()) }).map(|_| ())
}

/// Sleeps for so long (`nanosleep(2)`). Async-signal-safe; a signal ends it early.
pub(crate) fn sleep(nanoseconds: i64) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: nanoseconds };
    // SAFETY: the time is readable, and what is left of it is not asked for.
    unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
}

/// Sleeps until the process is ended (`pause(2)`). Async-signal-safe.
pub(crate) fn park() -> ! {
    loop {
        // SAFETY: no pointer is passed.
        unsafe { libc::pause() };
    }
}

/// SIGINT and SIGTERM, blocked in this thread and readable from a descriptor (`signalfd(2)`); the old mask comes back
/// when this is dropped.
pub(crate) struct StopSignals {
    fd: SignalFd,
    before: SigSet,
}

impl StopSignals {
    pub(crate) fn block() -> Result<Self, Errno> {
        let mut stops = SigSet::empty();
        stops.add(Signal::SIGINT);
        stops.add(Signal::SIGTERM);
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&stops), Some(&mut before))?;
        let fd = SignalFd::with_flags(&stops, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { fd, before })
    }

    /// The signal that has come, if one has.
    pub(crate) fn take(&mut self) -> Option<i32> {
        let info = self.fd.read_signal().ok().flatten()?;
        i32::try_from(info.ssi_signo).ok()
    }
}

impl std::os::fd::AsFd for StopSignals {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.fd)
    }
}

impl Drop for StopSignals {
    fn drop(&mut self) {
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}
