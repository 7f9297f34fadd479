//! Handlers of segmentation faults that are not the engine's: a runtime's, a crash reporter's. What becomes of a crash
//! is then theirs to say; the engine finds them at a commit, and loses nothing.

use crate::support::declaration;
use crate::support::fault::Fault;
use crate::support::state::Linked;
use crashbed::{Cause, Daemon, Notice, Outcome, Root, Tx};
use crashbed_policies::CheckpointResume;
use std::cell::UnsafeCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// The action that the program's handler found in its place.
static FOUND: OnceLock<libc::sigaction> = OnceLock::new();
/// A page of no access, which the handler of [`mends`] makes readable.
static PAGE: AtomicUsize = AtomicUsize::new(0);

/// A signal stack of the program's own, in place of the engine's.
#[repr(align(4096))]
struct Stack(UnsafeCell<[u8; 64 << 10]>);
// SAFETY: only the kernel uses it, for one thread.
unsafe impl Sync for Stack {}
static STACK: Stack = Stack(UnsafeCell::new([0; 64 << 10]));

/// Takes the place of whatever handles segmentation faults.
fn handle_by(handler: Handler) {
    // SAFETY: for the kernel's plain structures zeros are valid.
    let (mut action, mut found) = unsafe { std::mem::zeroed::<(libc::sigaction, libc::sigaction)>() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: both are valid, and each handler here makes async-signal-safe calls only.
    assert_eq!(unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, &raw mut found) }, 0);
    // A successor's is the same.
    let _ = FOUND.set(found);
}

/// Calls the handler that it found.
extern "C" fn calls_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(found) = FOUND.get() else { std::process::abort() };
    // SAFETY: it was installed with SA_SIGINFO, so it is such a function.
    let found = unsafe { std::mem::transmute::<usize, Handler>(found.sa_sigaction) };
    found(signal, info, context);
}

/// Reports to nobody, and lets the signal do what it does without a handler.
extern "C" fn lets_die(signal: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the default action is always valid; the faulting instruction runs again.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Ends the process in its own way.
extern "C" fn exits(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: ends the process.
    unsafe { libc::_exit(3) };
}

/// Makes the page readable, and goes on.
extern "C" fn mends(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let page = PAGE.load(Ordering::Relaxed) as *mut libc::c_void;
    // SAFETY: the page is this story's own.
    unsafe { libc::mprotect(page, 4096, libc::PROT_READ) };
}

/// A transaction with `prepare` done to it commits, then does `fault`, in each of three lives; then it ends.
fn three_lives(
    prepare: impl Fn(&Tx<'_>) + Sync,
    fault: impl Fn() + Sync,
    look: impl Fn(&Daemon<Linked>),
) -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Linked>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                assert!(*state == Linked::after(tx.operations()), "the state is no commit");
                prepare(tx);
                let n = tx.operations();
                state.operate(n);
                tx.done();
                tx.commit()?;
                if tx.operations() <= 3 {
                    // A spare has the time to be ready.
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    state.first_half(n + 1);
                    fault();
                    state.second_half(n + 1);
                    tx.done();
                }
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            assert!(*daemon.state() == Linked::after(daemon.operations()), "the state is no commit");
            look(daemon);
            Ok(())
        })
        .run()
}

/// That each of three crashes became known so, as the end of the process says that it ended, and by a handler that was
/// seen.
fn crashed_thrice(daemon: &Daemon<Linked>, notice: Notice, is_end: fn(Cause) -> bool) {
    let report = daemon.report();
    assert!(report.foreign_handler, "it was not seen");
    assert_eq!((report.crashes, daemon.operations()), (3, 4));
    for recovery in &report.recoveries {
        assert_eq!(recovery.crash.notice, notice, "{:?}", recovery.crash);
        assert!(is_end(recovery.crash.cause), "{:?}", recovery.crash);
    }
}

fn is_segmentation_fault(cause: Cause) -> bool {
    cause.signal() == Some(libc::SIGSEGV)
}

/// One that calls the engine's changes nothing but that it is told of.
pub(crate) fn chained() -> crashbed::Result<()> {
    three_lives(
        |_| handle_by(calls_on),
        || Fault::NullWrite.strike(),
        |daemon| crashed_thrice(daemon, Notice::Handler, is_segmentation_fault),
    )
}

/// One that does so on a stack of its own: an overflow of the stack is told of too.
pub(crate) fn on_a_stack_of_its_own() -> crashbed::Result<()> {
    let prepare = |_: &Tx<'_>| {
        let stack = libc::stack_t { ss_sp: STACK.0.get().cast(), ss_flags: 0, ss_size: size_of::<Stack>() };
        // SAFETY: the stack is a static's, and nothing else uses it.
        assert_eq!(unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) }, 0);
        handle_by(calls_on);
    };
    three_lives(
        prepare,
        || Fault::Overflow.strike(),
        |daemon| crashed_thrice(daemon, Notice::Handler, is_segmentation_fault),
    )
}

/// One that lets the process die: the pidfd tells.
pub(crate) fn not_chained() -> crashbed::Result<()> {
    three_lives(
        |_| handle_by(lets_die),
        || Fault::NullWrite.strike(),
        |daemon| crashed_thrice(daemon, Notice::Pidfd, is_segmentation_fault),
    )
}

/// One that ends the process by an exit: a crash all the same.
pub(crate) fn exiting() -> crashbed::Result<()> {
    three_lives(
        |_| handle_by(exits),
        || Fault::NullWrite.strike(),
        |daemon| crashed_thrice(daemon, Notice::Pidfd, |cause| cause == Cause::Exited { status: 3 }),
    )
}

/// One that mends what was wrong: no crash.
pub(crate) fn mending() -> crashbed::Result<()> {
    let (none, private) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping of the kernel's choice; nothing existing changes.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, none, private, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    PAGE.store(page as usize, Ordering::Relaxed);
    let fault = || {
        // SAFETY: the page is mapped; that it cannot be read is for the handler to see to.
        assert_eq!(unsafe { page_start().read_volatile() }, 0);
    };
    three_lives(
        |_| handle_by(mends),
        fault,
        |daemon| {
            let report = daemon.report();
            assert_eq!((report.crashes, report.foreign_handler), (0, true));
            assert_eq!(daemon.operations(), 2);
        },
    )
}

fn page_start() -> *const u8 {
    PAGE.load(Ordering::Relaxed) as *const u8
}

/// Where nobody has put one, none is told of.
pub(crate) fn none() -> crashbed::Result<()> {
    three_lives(
        |_| (),
        || Fault::NullWrite.strike(),
        |daemon| {
            assert_eq!((daemon.report().crashes, daemon.report().foreign_handler), (3, false));
        },
    )
}
