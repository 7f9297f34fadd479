//! The gate between a region's commits and its readers in other daemons: a reader sees whole commits only.
//!
//! The gate is a kernel lock (so that the death of a holder opens it) and the ledger's `whole` word (so that the death
//! of a *daemon* in the middle of a commit does not let readers in). The daemon closes the gate while the state part
//! is not a whole commit. A reader that stays in for longer than [`LEASE`] holds up another daemon's commits: it is
//! treated like any process without a heartbeat, and killed.

use crate::error::{Error, Result};
use crate::region::Region;
use crate::sys::{self, Errno, clock, event, lock};
use lock::{Byte, Hold};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a reader may stay in while a commit waits for it.
pub const LEASE: Duration = Duration::from_secs(1);

/// How long one waits between two tries.
const STEP: Duration = Duration::from_micros(50);

fn sleep() {
    // Nothing to wait for but time; a failure only makes the wait shorter.
    let _ = event::wait_any(&[], Some(STEP));
}

fn deadline(within: Duration) -> u64 {
    clock::now_ns().saturating_add(u64::try_from(within.as_nanos()).unwrap_or(u64::MAX))
}

/// Keeps readers out, in the region's daemon: waits for those that are in, and ends those that overstay.
pub(crate) fn close(region: &Region) -> std::result::Result<(), Errno> {
    region.ledger().whole.store(0, Ordering::Release);
    if !region.has_readers {
        return Ok(());
    }
    let fd = region.state_fd.as_fd();
    let until = deadline(LEASE);
    while !lock::set(fd, Byte::Data, Hold::Exclusive)? {
        if clock::now_ns() > until
            && let Some(pid) = lock::holder(fd, Byte::Data)?
        {
            evict(region, pid)?;
        }
        sleep();
    }
    Ok(())
}

/// Kills a reader that overstays. Only processes of this tree have the descriptor that the lock is on.
fn evict(region: &Region, pid: i32) -> std::result::Result<(), Errno> {
    let pidfd = match event::pidfd(pid) {
        Ok(pidfd) => pidfd,
        Err(Errno::ESRCH) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    // Asked again after the pidfd was opened: the id has not been given to another process in between.
    if lock::holder(region.state_fd.as_fd(), Byte::Data)? == Some(pid) && pid != sys::process::id() {
        event::signal(&pidfd, libc::SIGKILL)?;
    }
    Ok(())
}

/// Lets readers in again, in the region's daemon: the state part holds a whole commit.
pub(crate) fn open(region: &Region) -> std::result::Result<(), Errno> {
    region.ledger().whole.store(1, Ordering::Release);
    if region.has_readers {
        lock::set(region.state_fd.as_fd(), Byte::Data, Hold::Not)?;
    }
    Ok(())
}

/// The same where there is a commit to read.
pub(crate) fn open_where_committed(region: &Region) -> std::result::Result<(), Errno> {
    if region.ledger().commit.load(Ordering::Acquire) > 0 { open(region) } else { Ok(()) }
}

/// Whether a reader waits, or reads. In the region's daemon or its transaction.
pub(crate) fn is_awaited(region: &Region) -> bool {
    region.has_readers && lock::holder(region.state_fd.as_fd(), Byte::Intent).is_ok_and(|reader| reader.is_some())
}

/// Lets those in who wait at this moment, and closes again: for a mechanism that works in place, between two commits.
pub(crate) fn let_waiting_in(region: &Region) -> std::result::Result<(), Errno> {
    let fd = region.state_fd.as_fd();
    if !region.has_readers || lock::holder(fd, Byte::Intent)?.is_none() {
        return Ok(());
    }
    open(region)?;
    let until = deadline(LEASE);
    while lock::holder(fd, Byte::Intent)?.is_some() && clock::now_ns() < until {
        sleep();
    }
    close(region)
}

/// Reads a foreign region behind the gate, in a process of another daemon.
pub(crate) fn read<R>(region: &Region, within: Duration, read: impl FnOnce() -> R) -> Result<R> {
    let fd = region.state_fd.as_fd();
    let name = &region.declaration.name;
    let failed = |errno| Error::system(format!("reading region `{name}`"), errno);
    let until = deadline(within);
    // Readers share this byte and nobody holds it alone, so it is never refused.
    lock::set(fd, Byte::Intent, Hold::Shared).map_err(failed)?;
    let let_go = LetGo(region);
    loop {
        let whole = || region.ledger().whole.load(Ordering::Acquire) == 1;
        // Asked before the lock too: one that only tries must not hold up the commit that it waits for.
        if whole() && lock::set(fd, Byte::Data, Hold::Shared).map_err(failed)? {
            if whole() {
                let result = read();
                drop(let_go);
                return Ok(result);
            }
            lock::set(fd, Byte::Data, Hold::Not).map_err(failed)?;
        }
        if clock::now_ns() > until {
            return Err(Error::Busy { name: name.clone(), within });
        }
        sleep();
    }
}

/// Lets go of both bytes, also when the reading panics.
struct LetGo<'a>(&'a Region);

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        for byte in [Byte::Data, Byte::Intent] {
            let _ = lock::set(self.0.state_fd.as_fd(), byte, Hold::Not);
        }
    }
}
