//! The two processes of a whole recovery: the child that dies, and its successor.

use super::board::Board;
use super::{BareNotice, BareStart};
use crate::here::{self, Kind, Source};
use crate::mailbox::Mailbox;
use crate::mechanism::Mechanism;
use crate::panics;
use crate::prefault;
use crate::region::Region;
use crate::sys::{clock, memory, process, processors, signal};
use crate::transaction::Tx;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};
use std::time::Duration;

/// The first operation, on the state at an address.
pub(super) type FirstOperation<'a> = dyn Fn(&Tx<'_>, u64) + 'a;

/// What both have from their daemon.
#[derive(Clone, Copy)]
pub(super) struct Role<'a> {
    pub(super) region: &'a Region,
    pub(super) mailbox: &'a Mailbox,
    pub(super) mechanism: &'static dyn Mechanism,
    pub(super) board: &'a Board,
    pub(super) notice: BareNotice,
    pub(super) start: BareStart,
    /// Whether the doomed child's handler lets the successor go by itself.
    pub(super) direct: bool,
    /// How long the doomed child works before it dies.
    pub(super) work: Duration,
    pub(super) daemon: i32,
}

/// Who is to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Target {
    /// The daemon, which sleeps on `told`.
    Daemon = 0,
    /// A successor that sleeps on `released`.
    Sleeper = 1,
    /// A successor that spins on `released`.
    Spinner = 2,
}

impl Target {
    /// A successor that was forked ahead, and is ready.
    pub(super) fn successor(start: BareStart) -> Self {
        if start == BareStart::Hot { Self::Spinner } else { Self::Sleeper }
    }

    /// Lets process `pid` go on. A sleeper goes on on this processor, as soon as this process sleeps; so does a spinner
    /// that has no processor at the moment. Async-signal-safe.
    pub(super) fn let_go(self, board: &Board, pid: i32) {
        /// Much longer than one needs that runs.
        const PATIENCE_NS: u64 = 8_000;
        match self {
            Self::Daemon => {
                processors::draw(pid);
                board.told.raise_and_wake();
            }
            Self::Sleeper => {
                processors::draw(pid);
                board.released.raise_and_wake();
            }
            Self::Spinner => {
                board.released.raise();
                let until_ns = clock::now_ns() + PATIENCE_NS;
                while board.started_ns.load(Ordering::Relaxed) == 0 {
                    if clock::now_ns() > until_ns {
                        processors::draw(pid);
                        return;
                    }
                    std::hint::spin_loop();
                }
            }
        }
    }
}

/// The target of this process's handler, the words that it uses, and the target's process.
static TARGET: AtomicU32 = AtomicU32::new(0);
static BOARD: AtomicPtr<Board> = AtomicPtr::new(std::ptr::null_mut());
static NEXT: AtomicI32 = AtomicI32::new(0);

/// The bare handler: lets the next one go on, and leaves it the processor. Being killed and torn down comes later, from
/// the daemon.
extern "C" fn on_fault(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let target = match TARGET.load(Ordering::Relaxed) {
        1 => Target::Sleeper,
        2 => Target::Spinner,
        _ => Target::Daemon,
    };
    // SAFETY: `doom` stored the board before it faults; it stays mapped.
    target.let_go(unsafe { &*BOARD.load(Ordering::Relaxed) }, NEXT.load(Ordering::Relaxed));
    signal::park()
}

/// Puts the state in place, in a fresh child of `daemon`.
fn enter(role: Role<'_>) {
    if !process::die_with_parent(role.daemon) {
        process::exit_now(1);
    }
    // SAFETY: this process has not borrowed anything from the state yet.
    if unsafe { role.mechanism.enter(role.region) }.is_err() {
        process::exit_now(1);
    }
}

/// The doomed child. The stamp is the last that it does before it dies.
pub(super) fn doom(role: Role<'_>) {
    let Role { board, notice, start, .. } = role;
    enter(role);
    processors::ask_usual_slices();
    process::forbid_core_dump();
    signal::take_handler_away(libc::SIGSEGV);
    if notice == BareNotice::Signal {
        // SAFETY: `on_fault` loads, stores and makes system calls: async-signal-safe.
        if unsafe { signal::handle_crashes(on_fault) }.is_err() {
            process::exit_now(1);
        }
        // What its handler uses. One that is waited for is left as small as it is: its death takes the longer, the more
        // there is to tear down.
        prefault::touch_image();
        memory::populate_to_write(role.region.parts.signal_stack);
    }
    board.touch();
    if start != BareStart::Cold {
        // It keeps its processor meanwhile, so that the successor gets ready on another and cools no cache here.
        board.ready.spin();
    }
    let successor = board.successor.load(Ordering::Relaxed);
    let (target, next) =
        if role.direct { (Target::successor(start), successor) } else { (Target::Daemon, role.daemon) };
    BOARD.store(std::ptr::from_ref(board).cast_mut(), Ordering::Relaxed);
    TARGET.store(target as u32, Ordering::Relaxed);
    NEXT.store(next, Ordering::Relaxed);
    let me = process::id();
    work(role.work);
    board.asked.raise_and_wake();
    board.answered.spin_and_sleep();
    work(AFTER_AN_ANSWER);
    board.fault_ns.store(clock::now_ns(), Ordering::Relaxed);
    match notice {
        BareNotice::Signal | BareNotice::Waitpid => signal::fault(),
        BareNotice::Kill => {
            let _ = signal::send(me, libc::SIGKILL);
        }
        BareNotice::Heartbeat(_) => signal::park(),
    }
}

/// How long the doomed child works between its daemon's answer and its death: as a transaction does some operations after
/// a commit, while its daemon goes back to sleep.
const AFTER_AN_ANSWER: Duration = Duration::from_micros(30);

/// How long the children of the paths without a region work.
pub(super) const MOMENT: Duration = Duration::from_micros(500);

/// Works on, as a transaction does before it crashes: whoever waits is asleep by then, and the faults that the fork left
/// both of them are over. Without this the floor would be slower than what it is the floor of.
pub(super) fn work(time: Duration) {
    let until = clock::now_ns().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    while clock::now_ns() < until {}
}

/// The successor, to the end of its first operation.
pub(super) fn succeed(role: Role<'_>, first_operation: &FirstOperation<'_>) {
    let Role { region, mailbox, mechanism, board, start, .. } = role;
    let mut faults_before = 0;
    if start == BareStart::Cold {
        board.started_ns.store(clock::now_ns(), Ordering::Relaxed);
    }
    here::become_kind(Kind::Transaction, region.parts.state, region.parts.scratch, mailbox, -1);
    enter(role);
    here::set_source(Source::Region);
    if start != BareStart::Cold {
        prefault::touch(region);
        board.touch();
        // The kernel's own page of code for it.
        clock::now_ns();
        board.successor.store(process::id(), Ordering::Relaxed);
        faults_before = process::page_faults();
        board.ready.raise_and_wake();
        if start == BareStart::Hot {
            board.released.spin()
        } else {
            board.released.sleep()
        }
        board.started_ns.store(clock::now_ns(), Ordering::Relaxed);
    }
    let root = region.head().root.load(Ordering::Relaxed);
    let tx = Tx::bare(region, mailbox, mechanism);
    if panics::catch(|| first_operation(&tx, root)).is_err() {
        process::exit_now(1);
    }
    board.done_ns.store(clock::now_ns(), Ordering::Relaxed);
    board.faults.store(process::page_faults() - faults_before, Ordering::Relaxed);
    board.done.raise_and_wake();
}
