//! The processes of a measure: forked from one that has one thread, dead when their parent is, ended and reaped when
//! they are dropped; and the memory that they share.

use crate::faults::Mapping;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};
use std::io;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use zerocopy::FromZeros;

/// A forked child.
#[derive(Debug)]
pub(super) struct Child {
    /// `None` once it was reaped.
    pid: Option<Pid>,
}

impl Child {
    /// Forks a child that lives `life` and ends, with status 0 where that is `Ok`. Its core is limited to a byte, which
    /// stops a `core_pattern` pipe too (`core(5)`).
    pub(super) fn fork<E: std::fmt::Display>(life: impl FnOnce() -> Result<(), E>) -> io::Result<Self> {
        let parent = getpid();
        // SAFETY: a measure's process was started by exec and starts no thread, nor do its children.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self { pid: Some(child) }),
            ForkResult::Child => {
                let status = live(parent, life);
                // SAFETY: ends the process without running what the parent has registered for its own end.
                unsafe { libc::_exit(status) }
            }
        }
    }

    /// Waits for its end; the error says in words how that was other than well.
    pub(super) fn wait(&mut self) -> Result<(), String> {
        let Some(pid) = self.pid.take() else { return Ok(()) };
        loop {
            match waitpid(pid, None) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.to_string()),
                Ok(WaitStatus::Exited(_, 0)) => return Ok(()),
                Ok(WaitStatus::Exited(_, status)) => return Err(format!("exit status {status}")),
                Ok(WaitStatus::Signaled(_, signal, _)) => return Err(signal.to_string()),
                // Nobody asked for other changes.
                Ok(_) => {}
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            // It has not been waited for, so the id is still its own.
            let _ = kill(pid, Signal::SIGKILL);
            let _ = self.wait();
        }
    }
}

fn live<E: std::fmt::Display>(parent: Pid, life: impl FnOnce() -> Result<(), E>) -> i32 {
    let small_core =
        || getrlimit(Resource::RLIMIT_CORE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_CORE, 1.min(hard), hard));
    if prctl::set_pdeathsig(Signal::SIGKILL).is_err() || getppid() != parent || small_core().is_err() {
        return 1;
    }
    // The standard library's handler looks for overflowed stacks; a plain process dies at once.
    for crash in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: the default action runs no code of this process.
        if unsafe { signal(crash, SigHandler::SigDfl) }.is_err() {
            return 1;
        }
    }
    match catch_unwind(AssertUnwindSafe(life)) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            // Where nobody reads the error, the exit status still says it.
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("error: {error}\n"));
            1
        }
        Err(_) => 101,
    }
}

/// A `T` in memory that this process and all that are forked from it share, all bytes zero at first.
#[derive(Debug)]
pub(super) struct Shared<T> {
    mapping: Mapping,
    value: PhantomData<T>,
}

impl<T: FromZeros + Sync> Shared<T> {
    pub(super) fn new() -> io::Result<Self> {
        let bytes = NonZeroUsize::new(size_of::<T>()).ok_or(Errno::EINVAL)?;
        Ok(Self { mapping: Mapping::anonymous(bytes)?, value: PhantomData })
    }
}

impl<T: FromZeros + Sync> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the mapping is page-aligned, at least as long as a `T`, lives as long as `self`, and was all zeros,
        // which is a `T`; it is changed through shared references only.
        unsafe { self.mapping.start().cast::<T>().as_ref() }
    }
}
