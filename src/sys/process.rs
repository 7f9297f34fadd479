//! Forking, dying with the parent, limits, and what this process is made of.

use super::{Errno, check, check_long, clock};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::sync::atomic::AtomicI32;
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

/// Forks a process that is a child of this one's *parent* from its first instruction on (`clone(2)`, `CLONE_PARENT`): who
/// follows this process can follow that one, and nobody adopts it. The kernel writes its id to `id` before it runs, also
/// where this process is being killed, so that what stands there once this process is gone is final.
///
/// The C library does not know of this fork. What it keeps of the kernel's is kept right here: its note of the thread's
/// id, and the list of robust locks. Its handlers (`pthread_atfork(3)`) are not called, and its locks not taken: with
/// one thread, nobody else holds one.
///
/// # Safety
/// The process has one thread, and `id` lies in memory that the two share.
pub(crate) unsafe fn fork_sibling(id: &AtomicI32) -> Result<Forked, Errno> {
    let note = note_of_thread_id();
    let kept = if note.is_null() { 0 } else { libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID };
    let flags = libc::CLONE_PARENT | libc::CLONE_PARENT_SETTID | kept | libc::SIGCHLD;
    let (mut locks, mut length) = (std::ptr::null_mut::<libc::c_void>(), 0usize);
    // SAFETY: both are writable; 0 is this thread.
    unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut locks, &raw mut length) };
    let stack = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: without a stack of its own and without shared memory this is a fork: both sides go on behind it, each with
    // its copy of everything. The caller vouches for the single thread; the kernel writes to `id`, and in the child to
    // the C library's note of the thread's id, as the library's own `fork` has it do.
    let forked = unsafe { libc::syscall(libc::SYS_clone, i64::from(flags), stack, id.as_ptr(), note, 0) };
    match check_long(forked)? {
        0 => {
            // SAFETY: the list is this thread's, which the kernel has forgotten in the child.
            unsafe { libc::syscall(libc::SYS_set_robust_list, locks, length) };
            Ok(Forked::Child)
        }
        pid => Ok(Forked::Parent(pid)),
    }
}

/// Where the C library keeps this thread's id, as the kernel knows it (`PR_GET_TID_ADDRESS`); null where it does not say.
fn note_of_thread_id() -> *mut i32 {
    let mut note = std::ptr::null_mut();
    // SAFETY: `note` is writable for the length of the call; where the kernel refuses, it stays null.
    unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut note) };
    note
}

/// Asks for SIGKILL when the parent ends (`PR_SET_PDEATHSIG`), and closes the race with a parent that has ended
/// already: false if it has. By the function that has just forked: each page of code that a fresh process has not run yet
/// costs it a page fault, some 3 µs.
pub(crate) fn die_with_parent(parent: i32) -> bool {
    // SAFETY: no pointer is passed; the unused arguments are 0.
    let asked = unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    // SAFETY: no argument at all.
    asked == 0 && unsafe { libc::syscall(libc::SYS_getppid) } == i64::from(parent)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::bare::SharedMemory;
    use crate::sys::event::{self, Status};
    use std::sync::atomic::Ordering;

    /// What the child of a child finds, as an exit status: 0 if all is as it should be.
    fn look(parent: i32, id: &AtomicI32) -> i32 {
        let note = note_of_thread_id();
        // SAFETY: the C library's note, which is there as long as the thread.
        let noted = (!note.is_null()).then(|| unsafe { note.read() });
        i32::from(self::parent() != parent)
            | i32::from(id.load(Ordering::Relaxed) != self::id()) << 1
            | i32::from(noted.is_some_and(|noted| noted != thread_id())) << 2
            | i32::from(!die_with_parent(parent)) << 3
    }

    #[test]
    fn a_sibling_is_the_parents_child_at_once_and_known_by_its_id() {
        let memory = SharedMemory::new(4096).unwrap();
        // SAFETY: shared memory of zeros, aligned, mapped until the end of this test.
        let id = unsafe { &*(memory.span().start as *const AtomicI32) };
        let me = self::id();
        // SAFETY: the child makes system calls only, and forks with its one thread.
        let child = match unsafe { fork() }.unwrap() {
            Forked::Parent(child) => child,
            // SAFETY: the child has one thread; `id` is shared.
            Forked::Child => match unsafe { fork_sibling(id) } {
                Ok(Forked::Child) => exit_now(look(me, id)),
                Ok(Forked::Parent(pid)) => exit_now(i32::from(pid != id.load(Ordering::Relaxed))),
                Err(_) => exit_now(99),
            },
        };
        assert_eq!(event::wait(child).unwrap(), Status::Exited(0));
        let sibling = id.load(Ordering::Relaxed);
        assert_eq!(event::wait(sibling).unwrap(), Status::Exited(0));
    }
}
