//! Forking, dying with the parent, limits, and what this process is made of.

use super::{Errno, check, clock};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::time::Duration;

/// Which side of a fork this is.
pub(crate) enum Forked {
    /// In the parent: the child's id.
    Parent(i32),
    /// In the child.
    Child,
}

/// Forks (`fork(2)`).
///
/// # Safety
/// The process has one thread. Where it has more, the child may only make async-signal-safe calls.
pub(crate) unsafe fn fork() -> Result<Forked, Errno> {
    // SAFETY: the caller vouches for the single thread.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// Asks for SIGKILL when the parent ends (`PR_SET_PDEATHSIG`), and closes the race with a parent that has ended
/// already: false if it has.
pub(crate) fn die_with_parent(parent: i32) -> bool {
    prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).is_ok() && self::parent() == parent
}

/// Ends this process at once: no destructor, no `atexit`, no flush (`_exit(2)`).
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: ends the process; what its destructors would have freed goes with it.
    unsafe { libc::_exit(status) }
}

/// This process's id.
pub(crate) fn id() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// The parent's id (`getppid(2)`).
pub(crate) fn parent() -> i32 {
    nix::unistd::getppid().as_raw()
}

/// This thread's kernel id (`gettid(2)`).
pub(crate) fn thread_id() -> i32 {
    nix::unistd::gettid().as_raw()
}

/// Orphans below this process become its children, so that it can reap them (`PR_SET_CHILD_SUBREAPER`).
pub(crate) fn adopt_orphans(adopt: bool) -> Result<(), Errno> {
    prctl::set_child_subreaper(adopt)
}

/// Ends a child that cannot be followed, and reaps it (`kill(2)`, `waitpid(2)`): its id is its own until then.
pub(crate) fn end_child(pid: i32) {
    // SAFETY: no pointer is passed.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    // SAFETY: a null status pointer is allowed.
    while unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) } == -1 && Errno::last() == Errno::EINTR {}
}

/// Reaps child `pid` if it has ended; whether there is nothing left to reap.
pub(crate) fn reap_if_gone(pid: i32) -> bool {
    // SAFETY: a null status pointer is allowed.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) != 0 }
}

/// Reaps children that have ended and that nobody follows: adopted orphans. It ends at the first followed one that has
/// ended, to be called again when that has been reaped.
pub(crate) fn reap_orphans(is_followed: impl Fn(i32) -> bool) {
    while let Some(pid) = ended_child(libc::P_ALL, 0)
        && pid != 0
        && !is_followed(pid)
    {
        reap_if_gone(pid);
    }
}

/// Reaps all children that end within `patience`, which is not waited for where there are none.
pub(crate) fn wait_for_orphans(patience: Duration) {
    /// Between two looks.
    const STEP: Duration = Duration::from_micros(200);
    let until = clock::now_ns().saturating_add(u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX));
    loop {
        reap_orphans(|_| false);
        // No child at all is an error, one that runs on is none.
        if ended_child(libc::P_ALL, 0).is_none() || clock::now_ns() > until {
            return;
        }
        let _ = super::event::wait_any(&[], Some(STEP));
    }
}

/// Limits core dumps to one byte: unlike 0, that stops a `core_pattern` pipe too (`core(5)`). The hard limit stays,
/// so that a program below may ask for cores again.
pub(crate) fn limit_core_dumps() -> Result<(), Errno> {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, 1.min(hard), hard)
}

/// Forbids core dumps of this process from now on (`PR_SET_DUMPABLE`): it is dying. Async-signal-safe.
pub(crate) fn forbid_core_dump() {
    let _ = prctl::set_dumpable(false);
}

/// Limits this process's address space to `bytes` (`RLIMIT_AS`, the soft limit): further mappings fail with ENOMEM.
pub(crate) fn limit_address_space(bytes: u64) -> Result<(), Errno> {
    let (_, hard) = getrlimit(Resource::RLIMIT_AS)?;
    setrlimit(Resource::RLIMIT_AS, bytes.min(hard), hard)
}

/// The soft limit of `resource`, `None` where there is none.
pub(crate) fn soft_limit(resource: Resource) -> Option<u64> {
    let (soft, _) = getrlimit(resource).ok()?;
    (soft != libc::RLIM_INFINITY).then_some(soft)
}

/// Limits the main thread's stack, as far as the hard limit allows (`RLIMIT_STACK`; it is read at each growth).
pub(crate) fn limit_stack(bytes: u64) -> Result<(), Errno> {
    let (_, hard) = getrlimit(Resource::RLIMIT_STACK)?;
    setrlimit(Resource::RLIMIT_STACK, bytes.min(hard), hard)
}

/// Grows the main thread's stack to `bytes` below the present frame by touching its far end: no later growth is a
/// new mapping. One page is dirtied.
pub(crate) fn grow_stack(bytes: usize) {
    let here = 0u8;
    let far = (&raw const here as usize).saturating_sub(bytes) as *mut u8;
    // SAFETY: the address lies within RLIMIT_STACK of the stack's top (the caller asks for less than the limit), so
    // the kernel extends the stack to it; nothing lives that far below the present frame.
    unsafe { far.write_volatile(0) };
}

/// glibc's heap: one arena, never trimmed, never by `mmap`, grown by `bytes` now (`mallopt(3)`), so that it makes no
/// system call until they are used up.
pub(crate) fn grow_c_heap(bytes: usize) {
    let top_pad = i32::try_from(bytes).unwrap_or(i32::MAX);
    for (parameter, value) in
        [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_MAX, 0), (libc::M_TRIM_THRESHOLD, -1), (libc::M_TOP_PAD, top_pad)]
    {
        // SAFETY: glibc's documented parameters; no pointer is passed.
        unsafe { libc::mallopt(parameter, value) };
    }
    // Larger than what is free at the top now, so that the heap grows by it and the padding. The black box keeps the
    // compiler from leaving out the pair of calls.
    // SAFETY: an ordinary allocation, released at once; the trim threshold keeps the growth.
    let grown = std::hint::black_box(unsafe { libc::malloc(1 << 20) });
    // SAFETY: the block comes from the line above (null is allowed).
    unsafe { libc::free(grown) };
    // SAFETY: as above: from here on a growth takes what it needs and no more.
    unsafe { libc::mallopt(libc::M_TOP_PAD, 128 << 10) };
}

/// The calling thread's alternate signal stack (`sigaltstack(2)`); a fork's child inherits it.
///
/// # Safety
/// The span is mapped, writable, and used for nothing else as long as the thread lives.
pub(crate) unsafe fn use_signal_stack(span: crate::span::Span) -> Result<(), Errno> {
    let stack = libc::stack_t { ss_sp: span.start as *mut _, ss_flags: 0, ss_size: span.len };
    // SAFETY: the caller owns the span for the thread's life.
    check(unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) }).map(|_| ())
}

/// Whether `pid` is a child of this process, ended or not (`waitid(2)`, `WNOWAIT`: it stays as it is).
pub(crate) fn is_own_child(pid: i32) -> bool {
    ended_child(libc::P_PID, pid.cast_unsigned()).is_some()
}

/// The first of these children that has ended, which stays unreaped; 0 where none has, `None` where there are none.
fn ended_child(which: libc::idtype_t, id: libc::id_t) -> Option<i32> {
    // SAFETY: all-zero is a valid siginfo_t, which is plain data.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is writable for the length of the call.
    let found = unsafe { libc::waitid(which, id, &raw mut info, options) == 0 };
    // SAFETY: `waitid` has filled it in, or left it zero.
    found.then(|| unsafe { info.si_pid() })
}

/// A number that nobody can guess (`getrandom(2)`).
pub(crate) fn random() -> Result<u64, Errno> {
    let mut bytes = [0u8; 8];
    // SAFETY: the buffer is writable and eight bytes long; so few come whole or not at all.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == 8 { Ok(u64::from_ne_bytes(bytes)) } else { Err(Errno::last()) }
}

/// Page faults of the calling thread so far that needed no disk (`getrusage(2)`).
pub(crate) fn page_faults() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.minor_page_faults().cast_unsigned())
}
