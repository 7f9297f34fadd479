//! A fork, bare: from the call to the child's first instruction.

use super::failed;
use crate::error::{Error, Result};
use crate::sys::event::{self, Status};
use crate::sys::process::{self, Forked};
use crate::sys::{bare, clock};
use std::sync::atomic::{AtomicU64, Ordering};

/// Forks this process by a bare `clone(2)`, with all that is mapped in it, and answers how long it took until the child's
/// first instruction, in nanoseconds. The child says so by `stamp`, and ends.
///
/// # Errors
/// [`Error::System`] where the kernel refuses to fork, [`Error::Floor`] where the child ended otherwise.
///
/// # Safety
/// This process has one thread, and `stamp` lies in memory that it shares with what it forks.
pub unsafe fn fork(stamp: &AtomicU64) -> Result<u64> {
    stamp.store(0, Ordering::Relaxed);
    let began_ns = clock::now_ns();
    // SAFETY: as the caller vouches. The child reads the clock, stores, and ends.
    match unsafe { bare::fork() }.map_err(failed("forking a bare process"))? {
        Forked::Child => {
            stamp.store(clock::now_ns(), Ordering::Relaxed);
            process::exit_now(0)
        }
        Forked::Parent(pid) => {
            let ended = event::wait(pid).map_err(failed("waiting for a bare process"))?;
            let stamp_ns = stamp.load(Ordering::Relaxed);
            if ended != Status::Exited(0) || stamp_ns == 0 {
                let ended = format!("{ended:?}");
                return Err(Error::Floor { process: "fork", planned: "exit status 0".to_owned(), ended });
            }
            Ok(stamp_ns.saturating_sub(began_ns))
        }
    }
}
