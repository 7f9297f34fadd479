//! Going through a piece of code instruction by instruction, to be killed after one of them.
//!
//! The processor traps after each instruction while its trap flag is set; the handler counts, and kills the process when
//! its turn has come. A trap takes some microseconds.

use super::fault::Fault;
use std::arch::asm;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU64};

/// Instructions left until the kill.
static LEFT: AtomicI64 = AtomicI64::new(0);
static PASSED: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_trap(_: i32) {
    PASSED.fetch_add(1, Relaxed);
    if LEFT.fetch_sub(1, Relaxed) == 0 {
        Fault::Kill.strike();
    }
}

/// From here on this process traps, and is killed after `count` instructions.
pub(crate) fn begin(count: u64) {
    // SAFETY: all-zero is a valid action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_trap as extern "C" fn(i32) as usize;
    // SAFETY: the action is valid, and its handler only counts and kills.
    unsafe { libc::sigaction(libc::SIGTRAP, &raw const action, std::ptr::null_mut()) };
    LEFT.store(i64::try_from(count).unwrap_or(i64::MAX), Relaxed);
    PASSED.store(0, Relaxed);
    // SAFETY: sets the trap flag: this process traps after each instruction, into the handler above.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
}

/// The end of that; answers how many instructions there were.
pub(crate) fn end() -> u64 {
    // SAFETY: clears the trap flag.
    unsafe { asm!("pushfq", "and qword ptr [rsp], -257", "popfq") };
    PASSED.load(Relaxed)
}

/// Runs `work` in this way.
pub(crate) fn step(count: u64, work: impl FnOnce()) -> u64 {
    begin(count);
    work();
    end()
}
