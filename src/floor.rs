//! The floor: the least that the kernel allows for a recovery, measured by bare system calls inside a daemon.
//!
//! A latency alone says as much about the machine as about the engine. So the same path is walked without the engine:
//! with the same region, the same mechanism and the same first operation, in the same process and the same run.
//!
//! ```text
//! doomed child                     daemon                           successor
//! map the state (copy on write)    waitpid, or the deadline first
//! stamp `beat_ns`, die        →    waitpid returns
//!                                  copy the commit (full copy)
//!                                  fork                        →    stamp `started_ns`
//!                                                                   map the state (copy on write)
//!                                                                   first operation
//!                                  waitpid                     ←    stamp `first_operation_ns`, exit
//! ```
//!
//! No handler, no event descriptor, no policy, no limits. What stays are the two calls by which each child dies with
//! its parent: nothing below may outlive the tree. The stamps lie in the transaction's mailbox.

use crate::crash::signal_name;
use crate::daemon::Daemon;
use crate::daemon_core::Core;
use crate::error::{Error, Result};
use crate::here::{self, Kind, Source};
use crate::mechanism;
use crate::panics;
use crate::recoverable::Recoverable;
use crate::region::Region;
use crate::sys::event::Status;
use crate::sys::process::{self, Forked};
use crate::sys::{Errno, clock, event, signal};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How a bare child dies, and by that how its death becomes known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareNotice {
    /// It writes to address 0 without a handler; `waitpid(2)` tells.
    Signal,
    /// It sends itself SIGKILL; `waitpid(2)` tells.
    Kill,
    /// It falls silent for this long; then it is killed and waited for.
    Heartbeat(Duration),
}

/// One recovery by bare system calls. Times are from the last instruction before the fault, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lap {
    /// To the successor's first instruction.
    pub hand_over_ns: u64,
    /// To the end of the successor's first operation.
    pub recovery_ns: u64,
}

impl<S: Recoverable + Default> Daemon<S> {
    /// Measures the least that a recovery of this daemon's transactions could take, once. The state is as before
    /// afterwards: what `first_operation` changes is never committed.
    ///
    /// `first_operation` runs in the successor as a transaction's closure does: what it allocates lives in the region.
    /// Under copy on write the doomed child has written no page, so its death frees less than that of a transaction.
    ///
    /// # Errors
    /// Where the kernel refuses a call, and [`Error::Floor`] where a child ended otherwise than planned, such as by a
    /// panic or a crash of `first_operation`. [`Error::Stopping`] when the tree shuts down.
    pub fn floor(&mut self, notice: BareNotice, first_operation: impl Fn(&mut S) + Sync) -> Result<Lap> {
        let region = self.core.region();
        let mechanism = self.core.mechanism();
        mechanism.begin(region).map_err(failed("closing the gate"))?;
        let lap = lap(&self.core, notice, &|root| {
            // SAFETY: `lap` passes the address of the state of type S, in a process where nothing else borrows it.
            first_operation(unsafe { &mut *(root as *mut S) });
        });
        region.daemon_mailbox().children[0].store(0, Ordering::Relaxed);
        restore(region);
        mechanism.end(region).map_err(failed("opening the gate"))?;
        lap
    }
}

fn failed(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::system(what, errno)
}

fn lap(core: &Core, notice: BareNotice, first_operation: &dyn Fn(u64)) -> Result<Lap> {
    let region = core.region();
    let daemon = process::id();
    let mailbox = region.seat(0);
    mailbox.prepare(0, 0, clock::now_ns());

    let doomed = fork(region, || doom(region, notice, daemon))?;
    if let BareNotice::Heartbeat(deadline) = notice {
        let stopping = outwait(core, deadline);
        signal::send(doomed, libc::SIGKILL).map_err(failed("killing a bare child"))?;
        if stopping? {
            event::wait(doomed).map_err(failed("waiting for a bare child"))?;
            return Err(Error::Stopping);
        }
    }
    let ended = event::wait(doomed).map_err(failed("waiting for a bare child"))?;
    restore(region);
    let successor = fork(region, || succeed(region, first_operation, daemon))?;

    let succeeded = event::wait(successor).map_err(failed("waiting for a bare successor"))?;
    let dies_of = if notice == BareNotice::Signal { libc::SIGSEGV } else { libc::SIGKILL };
    expect("child", ended, Status::Killed(dies_of))?;
    expect("successor", succeeded, Status::Exited(0))?;
    let since_fault = |stamp: u64| stamp.saturating_sub(mailbox.beat_ns.load(Ordering::Relaxed));
    Ok(Lap {
        hand_over_ns: since_fault(mailbox.started_ns.load(Ordering::Relaxed)),
        recovery_ns: since_fault(mailbox.first_operation_ns.load(Ordering::Relaxed)),
    })
}

fn expect(process: &'static str, ended: Status, planned: Status) -> Result<()> {
    if ended == planned {
        return Ok(());
    }
    let words = |status| match status {
        Status::Exited(status) => format!("exit status {status}"),
        Status::Killed(signal) | Status::Stopped(signal) => signal_name(signal),
    };
    Err(Error::Floor { process, planned: words(planned), ended: words(ended) })
}

/// Forks; in the child, runs `life`. The child's id stands where the root looks for a dead daemon's transaction.
fn fork(region: &Region, life: impl FnOnce()) -> Result<i32> {
    // SAFETY: a daemon has one thread.
    match unsafe { process::fork() }.map_err(failed("forking a bare child"))? {
        Forked::Child => {
            life();
            process::exit_now(0)
        }
        Forked::Parent(pid) => {
            region.daemon_mailbox().children[0].store(pid, Ordering::Relaxed);
            Ok(pid)
        }
    }
}

/// Puts the state in place, in a fresh child of `daemon`.
fn enter(region: &Region, daemon: i32) {
    if !process::die_with_parent(daemon) {
        process::exit_now(1);
    }
    // SAFETY: this process has not borrowed anything from the state yet.
    if unsafe { mechanism::of(region.declaration.mechanism).enter(region) }.is_err() {
        process::exit_now(1);
    }
}

/// The doomed child. The stamp is the last that it does before it dies.
fn doom(region: &Region, notice: BareNotice, daemon: i32) {
    enter(region, daemon);
    process::forbid_core_dump();
    signal::take_handler_away(libc::SIGSEGV);
    let me = process::id();
    settle();
    region.seat(0).beat_ns.store(clock::now_ns(), Ordering::Relaxed);
    match notice {
        BareNotice::Signal => signal::fault(),
        BareNotice::Kill => {
            let _ = signal::send(me, libc::SIGKILL);
        }
        BareNotice::Heartbeat(_) => signal::park(),
    }
}

/// Works on for a moment, as a transaction has before it crashes: the parent is asleep by then, and the faults that
/// the fork left both of them are over. Without this the floor would be slower than what it is the floor of.
fn settle() {
    const MOMENT_NS: u64 = 500_000;
    let until = clock::now_ns() + MOMENT_NS;
    while clock::now_ns() < until {
        std::hint::spin_loop();
    }
}

/// The successor, from its first instruction to the end of its first operation.
fn succeed(region: &Region, first_operation: &dyn Fn(u64), daemon: i32) {
    let mailbox = region.seat(0);
    mailbox.started_ns.store(clock::now_ns(), Ordering::Relaxed);
    here::become_kind(Kind::Transaction, region.parts.state, region.parts.scratch, mailbox, -1);
    enter(region, daemon);
    let root = region.head().root.load(Ordering::Relaxed);
    here::set_source(Source::Region);
    if panics::catch(|| first_operation(root)).is_err() {
        process::exit_now(1);
    }
    mailbox.first_operation_ns.store(clock::now_ns(), Ordering::Relaxed);
}

/// Sleeps until the child has been silent for `deadline`. True where the tree shuts down before.
fn outwait(core: &Core, deadline: Duration) -> Result<bool> {
    let mailbox = core.region().seat(0);
    loop {
        let silent = Duration::from_nanos(clock::now_ns().saturating_sub(mailbox.beat_ns.load(Ordering::Relaxed)));
        let left = deadline.saturating_sub(silent);
        if left.is_zero() {
            return Ok(false);
        }
        let [stopping] =
            event::wait_readable([core.shutdown.as_fd()], Some(left)).map_err(failed("waiting for a deadline"))?;
        if stopping {
            return Ok(true);
        }
    }
}

/// Puts the last commit in place, where it lies elsewhere (full copy: in its slot). No child runs.
fn restore(region: &Region) {
    let state = region.parts.state;
    let committed = std::ptr::from_ref(mechanism::of(region.declaration.mechanism).committed(region)) as usize;
    if committed != state.start {
        // SAFETY: a slot is as long as the state and apart from it; both are mapped, and the state is writable here.
        unsafe { std::ptr::copy_nonoverlapping(committed as *const u8, state.start as *mut u8, state.len) };
    }
}
