//! Every raw system call of the engine, each in a wrapper of a few lines that names the man page it follows.
//!
//! Nothing here allocates, locks or unwinds, so all of it may run after a fork and in a signal handler. What can be
//! misused into undefined behaviour (anything that maps, unmaps or drops memory by address) is an `unsafe fn` whose
//! contract says what the caller must own.

pub(crate) mod bare;
pub(crate) mod clock;
pub(crate) mod event;
pub(crate) mod keeper;
pub(crate) mod lock;
pub(crate) mod memory;
pub(crate) mod pagemap;
pub(crate) mod process;
pub(crate) mod processors;
pub(crate) mod signal;
pub(crate) mod thread;
pub(crate) mod userfaultfd;

pub(crate) use nix::errno::Errno;

/// A C return value: -1 means `errno`.
fn check(returned: i32) -> Result<i32, Errno> {
    Errno::result(returned)
}

/// A `long` return value of `syscall(2)` that is known to fit a descriptor or a small count.
fn check_long(returned: i64) -> Result<i32, Errno> {
    let returned = Errno::result(returned)?;
    i32::try_from(returned).map_err(|_| Errno::EOVERFLOW)
}
