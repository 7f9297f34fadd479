//! What happened, as plain data: born in the notice handler or from a wait status, read by a policy, kept in the
//! history, written into a trial.
//!
//! A [`Crash`] says what the kernel said. What is derived (a stack overflow is a fault near the stack pointer) is
//! a method, so that record and reading of it stay apart.

use crate::text::Text;
use std::fmt;
use std::time::Duration;

/// One crash of one incarnation. Holds no pointer: it may be copied anywhere and replayed later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crash {
    /// Why the process ended, in the kernel's words.
    pub cause: Cause,
    /// How the crash became known.
    pub notice: Notice,
    /// What the transaction was doing.
    pub phase: Phase,
    /// Which life of the process this ended.
    pub incarnation: u64,
    /// Operations that the incarnation had completed, committed or not: the index of the one in flight. Those of the last
    /// commit where it had no state yet, and for a daemon.
    pub operation: u64,
    /// Operations that the last commit holds.
    pub committed_operations: u64,
    /// The number of the last commit ([`Ticket::number`](crate::Ticket::number)); 0 before the first.
    pub commit: u64,
    /// The thread that crashed, by its kernel id; 0 where no handler saw it.
    pub thread: i32,
    /// Where it crashed; `None` where no handler saw it.
    pub place: Option<Place>,
    /// Whether the heap's lock was held, so that the crashed state was caught in the middle of a change;
    /// `None` where the mechanism did not keep the crashed state.
    pub heap_locked: Option<bool>,
    /// Whether a change guard was held, or a scope of threads ran: the crash struck in the middle of a change
    /// ([`Tx::change`](crate::Tx::change), [`Tx::threads`](crate::Tx::threads)).
    pub changing: bool,
    /// When the instruction stopped, as the handler saw it; else the last sign of life that the daemon knew of.
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub happened_ns: u64,
    /// When the daemon (or the root) knew. `CLOCK_MONOTONIC`, nanoseconds.
    pub noticed_ns: u64,
    /// A panic's message where a panic aborted the process, else empty.
    pub note: Text,
}

/// Why a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A signal ended it (`waitid(2)`: `CLD_KILLED` or `CLD_DUMPED`).
    Signal {
        /// The signal's number.
        signal: i32,
        /// `si_code`, which tells a fault from a `kill(2)`; 0 where no handler saw it.
        code: i32,
        /// `si_addr`, the address that faulted; 0 where there is none.
        address: u64,
    },
    /// It exited before it was done (`CLD_EXITED`).
    Exited {
        /// The exit status, 0 to 255.
        status: i32,
    },
    /// It gave no sign of life within its deadline and was killed for it.
    Hung {
        /// How long it had been silent when that was noticed.
        silent: Duration,
        /// Whether the kernel said that it was stopped (`CLD_STOPPED`), as by SIGSTOP.
        stopped: bool,
    },
}

/// How a crash became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// The crash handler wrote a complete record.
    Handler,
    /// The handler was entered but did not finish its record: it failed itself.
    Torn,
    /// The process ended without a handler: the pidfd became readable.
    Pidfd,
    /// The heartbeat's deadline passed.
    Heartbeat,
}

/// What the transaction was doing when it crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Phase {
    /// Between the fork and the program's code.
    Starting = 0,
    /// Its own code decided what to do with the state (process decides).
    Deciding = 1,
    /// In the program's closure.
    Running = 2,
    /// Staging a commit, or waiting for its acknowledgement.
    Committing = 3,
    /// Committed for the last time and about to exit.
    Ending = 4,
}

/// Where in the program a crash happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The instruction pointer.
    pub instruction: u64,
    /// The stack pointer.
    pub stack: u64,
    /// The instruction's offset in the program's image, for `addr2line`; `None` outside of it.
    pub image_offset: Option<u64>,
}

impl Crash {
    /// How long the crash went unnoticed.
    pub fn undetected(&self) -> Duration {
        Duration::from_nanos(self.noticed_ns.saturating_sub(self.happened_ns))
    }

    /// How far the work had come: the operation in flight, or the first one that the last commit does not hold where
    /// that is further. Between two crashes it grows where there was progress
    /// ([`History::crashes_since_progress`](crate::History::crashes_since_progress)).
    pub fn reached(&self) -> u64 {
        self.operation.max(self.committed_operations)
    }

    /// Whether the fault's address lies so close to the stack pointer that the stack must have overflowed.
    ///
    /// A frame larger than the distance would be missed; compilers probe the stack page by page, so there is none.
    pub fn is_stack_overflow(&self) -> bool {
        const NEAR: u64 = 64 << 10;
        match (self.cause, self.place) {
            (Cause::Signal { signal: libc::SIGSEGV | libc::SIGBUS, address, code }, Some(place)) => {
                // si_code > 0 is the kernel's own fault (sigaction(2)); only then is the address one.
                code > 0 && address != 0 && address.abs_diff(place.stack) < NEAR
            }
            _ => false,
        }
    }
}

impl Cause {
    /// The signal, where one ended the process.
    pub fn signal(&self) -> Option<i32> {
        match self {
            Self::Signal { signal, .. } => Some(*signal),
            _ => None,
        }
    }
}

/// A signal's name, as `SIGSEGV`, or its number where it has none.
pub fn signal_name(signal: i32) -> String {
    match nix::sys::signal::Signal::try_from(signal) {
        Ok(known) => known.as_str().to_owned(),
        Err(_) => signal.to_string(),
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Signal { signal, code, address } => {
                f.write_str(&signal_name(signal))?;
                // What the processor reports without an address has the code SI_KERNEL.
                let is_access = matches!(signal, libc::SIGSEGV | libc::SIGBUS) && (1..libc::SI_KERNEL).contains(&code);
                if self.is_stack_overflow() {
                    f.write_str(" (stack overflow)")?;
                } else if address != 0 || is_access {
                    write!(f, " at address {address:#x}")?;
                }
            }
            Cause::Exited { status } => write!(f, "exit {status} before it was done")?,
            Cause::Hung { silent, stopped } => {
                let how = if stopped { "stopped" } else { "silent" };
                write!(f, "{how} for {} ms", silent.as_millis())?;
            }
        }
        write!(f, " in operation {}", self.operation)?;
        if !self.note.is_empty() {
            write!(f, ": {}", self.note)?;
        }
        Ok(())
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handler => "handler",
            Self::Torn => "torn",
            Self::Pidfd => "pidfd",
            Self::Heartbeat => "heartbeat",
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A crash in operation 7, of which 5 are committed.
    pub(crate) fn a_crash() -> Crash {
        Crash {
            cause: Cause::Signal { signal: libc::SIGSEGV, code: 1, address: 8 },
            notice: Notice::Handler,
            phase: Phase::Running,
            incarnation: 1,
            operation: 7,
            committed_operations: 5,
            commit: 2,
            thread: 1,
            place: None,
            heap_locked: None,
            changing: false,
            happened_ns: 1,
            noticed_ns: 2,
            note: Text::EMPTY,
        }
    }

    #[test]
    fn an_access_to_address_0_says_so() {
        let words =
            |signal, code, address| Crash { cause: Cause::Signal { signal, code, address }, ..a_crash() }.to_string();
        assert_eq!(words(libc::SIGSEGV, 1, 0), "SIGSEGV at address 0x0 in operation 7");
        assert_eq!(words(libc::SIGSEGV, 1, 8), "SIGSEGV at address 0x8 in operation 7");
        // By the processor without an address; by another process; no access at all.
        assert_eq!(words(libc::SIGSEGV, libc::SI_KERNEL, 0), "SIGSEGV in operation 7");
        assert_eq!(words(libc::SIGSEGV, 0, 0), "SIGSEGV in operation 7");
        assert_eq!(words(libc::SIGABRT, -6, 0), "SIGABRT in operation 7");
    }
}
