//! Reader and writer locks that the kernel lets go when their holder dies: `fcntl(2)` record locks.
//!
//! They belong to a process (not to a descriptor, nor to a fork's child) and cannot be damaged by a wild write, which
//! is why regions use them and not a lock word in shared memory. Two bytes serve: [`Byte::Data`] is held to read or
//! to change a region, [`Byte::Intent`] says that somebody waits to read it.

use super::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use std::os::fd::BorrowedFd;

/// Which byte of the file stands for the lock.
#[derive(Clone, Copy)]
pub(crate) enum Byte {
    /// Held shared by readers, exclusively by the daemon while the state is not a whole commit.
    Data = 0,
    /// Held shared by readers from before they ask until they are done.
    Intent = 1,
}

/// How a lock is held.
#[derive(Clone, Copy)]
pub(crate) enum Hold {
    /// With other readers.
    Shared = libc::F_RDLCK as isize,
    /// Alone.
    Exclusive = libc::F_WRLCK as isize,
    /// No longer.
    Not = libc::F_UNLCK as isize,
}

// The constants are 0, 1 and 2.
#[allow(clippy::cast_possible_truncation)]
fn record(byte: Byte, hold: Hold) -> libc::flock {
    libc::flock { l_type: hold as i16, l_whence: libc::SEEK_SET as i16, l_start: byte as i64, l_len: 1, l_pid: 0 }
}

/// Takes or lets go of a lock without waiting; false where somebody else's hold forbids it.
pub(crate) fn set(fd: BorrowedFd<'_>, byte: Byte, hold: Hold) -> Result<bool, Errno> {
    match fcntl(fd, FcntlArg::F_SETLK(&record(byte, hold))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The process whose hold on `byte` would refuse us an exclusive one, if any.
pub(crate) fn holder(fd: BorrowedFd<'_>, byte: Byte) -> Result<Option<i32>, Errno> {
    let mut asked = record(byte, Hold::Exclusive);
    fcntl(fd, FcntlArg::F_GETLK(&mut asked))?;
    let free = i32::from(asked.l_type) == libc::F_UNLCK;
    Ok((!free).then_some(asked.l_pid))
}
