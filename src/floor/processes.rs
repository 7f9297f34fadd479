//! The processes of a floor: forked bare, asked how they ended, and never left behind.

use super::failed;
use crate::crash::signal_name;
use crate::error::{Error, Result};
use crate::panics;
use crate::sys::event::Status;
use crate::sys::process::{self, Forked};
use crate::sys::{bare, event};
use std::cell::Cell;

/// A child; killed and reaped when this is dropped, unless it has ended before.
pub(super) struct Child {
    name: &'static str,
    pid: i32,
    reaped: Cell<bool>,
}

impl Child {
    /// Forks; in the child, runs `life` and exits, with status 1 where it panics. `name` is for errors.
    ///
    /// # Safety
    /// As for [`bare::fork`].
    pub(super) unsafe fn fork(name: &'static str, life: impl FnOnce()) -> Result<Self> {
        // SAFETY: as the caller vouches.
        match unsafe { bare::fork() }.map_err(failed("forking a bare process"))? {
            // A panic must not unwind into what the parent goes on with.
            Forked::Child => process::exit_now(i32::from(panics::catch(life).is_err())),
            Forked::Parent(pid) => Ok(Self::adopted(name, pid)),
        }
    }

    /// A child that was forked otherwise.
    pub(super) fn adopted(name: &'static str, pid: i32) -> Self {
        Self { name, pid, reaped: Cell::new(false) }
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits for its end, which must be as planned (`waitpid(2)`).
    pub(super) fn ends_by(&self, planned: Status) -> Result<()> {
        let ended = event::wait(self.pid).map_err(failed("waiting for a bare process"))?;
        self.reaped.set(true);
        if ended == planned { Ok(()) } else { Err(self.ended_otherwise(&words(planned), ended)) }
    }

    /// An error where it has ended and `excused` does not say that this is right.
    pub(super) fn still_runs(&self, excused: impl Fn() -> bool) -> Result<()> {
        match bare::ended(self.pid).map_err(failed("looking at a bare process"))? {
            Some(ended) => {
                self.reaped.set(true);
                if excused() { Ok(()) } else { Err(self.ended_otherwise("its work", ended)) }
            }
            None => Ok(()),
        }
    }

    fn ended_otherwise(&self, planned: &str, ended: Status) -> Error {
        Error::Floor { process: self.name, planned: planned.to_owned(), ended: words(ended) }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped.get() {
            process::end_child(self.pid);
        }
    }
}

fn words(status: Status) -> String {
    match status {
        Status::Exited(status) => format!("exit status {status}"),
        Status::Killed(signal) | Status::Stopped(signal) => signal_name(signal),
    }
}
