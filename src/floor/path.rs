//! The paths that a recovery is made of, each by itself: names, and what each takes.

use super::{faults, kills, threads};
use crate::error::Result;
use std::fmt;

/// A path that is measured without a region, between a process and others that it forks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// From the last instruction before a write to address 0 to the first of the handler, in one process.
    FaultToHandler,
    /// To the first instruction behind the wait of another process, which spins on the word that the handler stores.
    FaultToSpinningProcess,
    /// The same, with the other process asleep on the word as a futex, and woken wherever the scheduler likes.
    FaultToFutexSleeper,
    /// The same, with the sleeper drawn to the processor that the handler is about to leave.
    FaultToDrawnSleeper,
    /// To the first instruction of a process that the parent forks when `waitpid` has told it of the death.
    FaultToWaitpidAndFork,
    /// From a SIGKILL sent to a process that works, with a region touched whole, until its pidfd is readable.
    KillToPidfd,
    /// The same, with a keeper: a process that shares its memory, so that the kill tears nothing down.
    KillToPidfdWithKeeper,
    /// From the first of the signals by which a thread stops others of its process, which work, to the last answer.
    StopThreads,
}

/// How large the process of a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of shared memory that it has touched whole, for the paths that [take a region](Path::takes_region).
    pub region_bytes: usize,
    /// Threads to stop, at least one, for the path that [takes threads](Path::takes_threads).
    pub threads: usize,
}

impl Path {
    /// All paths.
    pub const ALL: [Self; 8] = [
        Self::FaultToHandler,
        Self::FaultToSpinningProcess,
        Self::FaultToFutexSleeper,
        Self::FaultToDrawnSleeper,
        Self::FaultToWaitpidAndFork,
        Self::KillToPidfd,
        Self::KillToPidfdWithKeeper,
        Self::StopThreads,
    ];

    /// The name, as in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FaultToHandler => "fault-to-handler",
            Self::FaultToSpinningProcess => "fault-to-spinning-process",
            Self::FaultToFutexSleeper => "fault-to-futex-sleeper",
            Self::FaultToDrawnSleeper => "fault-to-drawn-sleeper",
            Self::FaultToWaitpidAndFork => "fault-to-waitpid-and-fork",
            Self::KillToPidfd => "kill-to-pidfd",
            Self::KillToPidfdWithKeeper => "kill-to-pidfd-with-keeper",
            Self::StopThreads => "stop-threads",
        }
    }

    /// What it measures, in a line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::FaultToHandler => "a null write, to the first instruction of its handler",
            Self::FaultToSpinningProcess => "a null write, to another process that spins on the handler's word",
            Self::FaultToFutexSleeper => "a null write, to another process asleep on the handler's futex",
            Self::FaultToDrawnSleeper => "the same, with the sleeper drawn to the handler's processor",
            Self::FaultToWaitpidAndFork => {
                "a null write without handler, waitpid and fork, to the fork's first instruction"
            }
            Self::KillToPidfd => "SIGKILL to a process with a region touched whole, until its pidfd is readable",
            Self::KillToPidfdWithKeeper => "the same, with a process that shares the memory and keeps it",
            Self::StopThreads => "signals to all threads of a process, until the last has answered",
        }
    }

    /// Whether [`Extent::region_bytes`] matters.
    pub const fn takes_region(self) -> bool {
        matches!(self, Self::KillToPidfd | Self::KillToPidfdWithKeeper)
    }

    /// Whether [`Extent::threads`] matters.
    pub const fn takes_threads(self) -> bool {
        matches!(self, Self::StopThreads)
    }
}

/// Walks `path` so many times, and answers how long each took, in nanoseconds. Nothing is left behind.
///
/// In a process with one thread, which is not a tree's: it forks, maps shared memory, and takes SIGCHLD as by default.
///
/// # Errors
/// [`Error::Threads`](crate::Error::Threads) where the process has several, [`Error::Memory`](crate::Error::Memory) where a region does not fit, [`Error::System`](crate::Error::System)
/// where the kernel refuses a call that the path cannot do without, [`Error::Floor`](crate::Error::Floor) where a process ended otherwise
/// than planned.
pub fn laps(path: Path, extent: Extent, laps: usize) -> Result<Vec<u64>> {
    super::be_alone()?;
    match path {
        Path::FaultToHandler => faults::to_handler(laps),
        Path::FaultToSpinningProcess => faults::to_process(faults::Wait::Spinning, laps),
        Path::FaultToFutexSleeper => faults::to_process(faults::Wait::Asleep, laps),
        Path::FaultToDrawnSleeper => faults::to_process(faults::Wait::Drawn, laps),
        Path::FaultToWaitpidAndFork => faults::to_fork(laps),
        Path::KillToPidfd => kills::to_pidfd(extent.region_bytes, false, laps),
        Path::KillToPidfdWithKeeper => kills::to_pidfd(extent.region_bytes, true, laps),
        Path::StopThreads => threads::stop(extent.threads, laps),
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
