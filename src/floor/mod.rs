//! The floor: the least that this kernel allows, by bare system calls and as fast as they can be put together.
//!
//! A latency alone says as much about the machine as about the engine. So the same paths are walked without the engine,
//! in the same run. There are three kinds:
//!
//! - [`Daemon::floor`]: a whole recovery, in the daemon itself, with its region, its mechanism and its first operation.
//! - [`laps`]: a piece of one ([`Path`]) without any region, in a process of one thread.
//! - [`BareCommits`] and [`fork()`](fork()): a commit of written pages, copying them back, and a fork of whatever process, lap by lap
//!   between those of others.
//!
//! No policy, no records, no limits, no checks. What stays are the two calls by which each child dies with its parent:
//! nothing here may outlive the tree. Both sides of a hand-over have faulted in what they will touch before anything is
//! measured, as far as the engine may do so too: the state by reading only, since a page that was copied early would
//! not see a later commit. No code is rehearsed.
//!
//! # Where processes run
//!
//! Nobody is pinned while it works: a pinned process waits for its processor while another is idle, and the engine does
//! not pin. But a crashed process has no more use for its processor, so its handler *draws* whom it wakes to that very
//! one (`sched_setaffinity(2)`), and then sleeps: the woken process runs at once, in a cache that is warm. Left to the
//! scheduler, it is sent to an idle processor, which on a virtual machine costs an interrupt between processors and the
//! end of a halt: some ten times as much ([`Path::FaultToFutexSleeper`] beside [`Path::FaultToDrawnSleeper`]). Where it
//! would have run here anyway, the two microseconds of the call are lost. Who was drawn gets its processors back when the
//! lap is over. Daemon and successors have short slices, as the engine's have: a sleeper that is woken runs at once.

mod board;
mod child;
mod commit;
mod faults;
mod fork;
mod kills;
mod lap;
mod path;
mod processes;
mod threads;
mod track;

pub use commit::BareCommits;
pub use fork::fork;
pub use path::{Extent, Path, laps};

use crate::daemon::Daemon;
use crate::error::{Error, Result};
use crate::recoverable::Recoverable;
use crate::sys::{Errno, signal};
use crate::transaction::Tx;
use std::time::Duration;

/// How a bare child dies, and by that how its death becomes known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareNotice {
    /// It writes to address 0. A handler on an alternate stack stores a word in shared memory and wakes who is to go on;
    /// its address space is torn down off the path.
    Signal,
    /// It writes to address 0 without a handler; `waitpid(2)` tells.
    Waitpid,
    /// It sends itself SIGKILL; `waitpid(2)` tells (a wait for its pidfd takes a system call more).
    Kill,
    /// It falls silent for this long; then it is killed and waited for.
    Heartbeat(Duration),
}

/// How the successor is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareStart {
    /// Forked when the death is known.
    Cold,
    /// Forked ahead, with the state mapped and faulted in, asleep on a futex.
    Warm,
    /// The same, but spinning on a word.
    Hot,
}

/// One recovery by bare system calls. Times are from the last instruction before the fault, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lap {
    /// To the successor's first instruction; for one that was forked ahead, the first after its wait.
    pub hand_over_ns: u64,
    /// To the end of the successor's first operation.
    pub recovery_ns: u64,
    /// Page faults of the successor between the two, those that read nothing from a disk (minor ones).
    pub faults: u64,
    /// Pages of the state that the daemon copied back.
    pub copied_pages: u64,
}

impl<S: Recoverable + Default> Daemon<S> {
    /// Measures the least that a recovery of this daemon's transactions could take, once. The state is as before
    /// afterwards: what `first_operation` changes is never committed.
    ///
    /// ```text
    /// cold:  doomed child ── handler wakes, or death ──▶ daemon: copies back (full copy), forks ──▶ successor
    /// else:  doomed child ── handler wakes ─────────────────────────────────────────────────────▶ successor
    ///        (full copy, dirty pages, and every other notice: by way of the daemon)
    /// ```
    ///
    /// `first_operation` runs in the successor as a transaction's closure does: what it allocates lives in the region, or
    /// in scratch where it asks for that.
    /// The doomed child works while its successor gets ready, for `work` after that, and asks its daemon for something
    /// before it dies, as a commit does: as long as the transactions that the lap is held against, and with no more
    /// system calls and caches left to cool than they have, which would make every path slower.
    /// The doomed child has written no page, so under copy on write its death frees less than that of a transaction, and
    /// under dirty pages nothing has to be copied back.
    ///
    /// # Errors
    /// Where the kernel refuses a call; [`Error::Declaration`] under the undo log, which has no floor of this kind; and
    /// [`Error::Floor`] where a child ended otherwise than planned, such as by a panic or a crash of `first_operation`.
    /// [`Error::Stopping`] when the tree shuts down.
    pub fn floor(
        &mut self,
        notice: BareNotice,
        start: BareStart,
        work: Duration,
        first_operation: impl Fn(&Tx<'_>, &mut S) + Sync,
    ) -> Result<Lap> {
        let region = self.core.region();
        if region.declaration.mechanism.needs_declared_writes() {
            let what = format!(
                "the floor's processes declare no writes: there is none under {}",
                region.declaration.mechanism
            );
            return Err(Error::Declaration { daemon: region.declaration.name.clone(), what });
        }
        let mechanism = self.core.mechanism();
        mechanism.begin(region).map_err(failed("closing the gate"))?;
        let lap = lap::lap(&self.core, notice, start, work, &|tx, root| {
            // SAFETY: `lap` passes the address of the state of type S, in a process where nothing else borrows it.
            first_operation(tx, unsafe { &mut *(root as *mut S) });
        });
        lap::forget_children(region);
        lap::restore(region);
        mechanism.end(region).map_err(failed("opening the gate"))?;
        lap
    }
}

/// Makes sure that this process may fork bare children, and hears of their ends.
fn be_alone() -> Result<()> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        return Err(Error::Threads { threads });
    }
    signal::keep_ended_children().map_err(failed("taking SIGCHLD as by default"))
}

fn failed(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::system(what, errno)
}
