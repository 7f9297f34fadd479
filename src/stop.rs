//! Stopping the other threads of a crashed transaction, so that its successor can start while the kernel still tears
//! the process down: none of them can write a byte any more.
//!
//! The crashed thread, in its handler, lists the threads and signals each; each answers in its own handler and parks.
//! A thread that was made meanwhile is found by listing again: only a thread that has not answered can make one. The
//! wait has a bound. A thread that blocks the signal, or cannot be scheduled in time, makes it fail; then the end of
//! the process has to be waited for.
//!
//! ```text
//! THREADS[i]   0 unused │ id: signalled │ -id: has answered, or has ended
//! ```

use crate::sys::{Errno, clock, event, process, signal, thread};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// The most threads that can be stopped: those that a daemon may declare, and some that C code started.
const MOST: usize = 4096 + 64;
/// The longest wait for all answers. Beyond it the process's own end is about as near.
const BOUND_NS: u64 = 10_000_000;
/// How often the answers are looked at before the first sleep.
const SPINS: u32 = 200;

static THREADS: [AtomicI32; MOST] = [const { AtomicI32::new(0) }; MOST];
/// Answers so far, and the futex that the crashed thread sleeps on.
static ANSWERS: AtomicU32 = AtomicU32::new(0);

/// The signal by which a thread is stopped. A program that uses it for itself is left alone until it crashes.
fn stop_signal() -> i32 {
    libc::SIGRTMIN() + 5
}

/// Installs the handler of the stop signal. Forks inherit it.
pub(crate) fn install_handler() -> Result<(), Errno> {
    // SAFETY: `on_stop` makes async-signal-safe calls only; see there.
    unsafe { signal::handle(stop_signal(), on_stop) }
}

/// Answers and parks, where this process has crashed. Atomics, `gettid`, a futex, `pause`: all async-signal-safe.
extern "C" fn on_stop(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let me = process::thread_id();
    let Some(slot) = listed().find(|slot| slot.load(Ordering::Acquire) == me) else { return };
    slot.store(-me, Ordering::Release);
    ANSWERS.fetch_add(1, Ordering::Release);
    event::futex_wake(&ANSWERS);
    signal::park();
}

/// The slots in use.
fn listed() -> impl Iterator<Item = &'static AtomicI32> {
    THREADS.iter().take_while(|slot| slot.load(Ordering::Acquire) != 0)
}

/// Stops every thread but the calling one; whether it is certain that none of them runs any more. In the crash handler,
/// by the one thread that has claimed the record.
pub(crate) fn others() -> bool {
    thread::is_alone() || stop_all(clock::now_ns() + BOUND_NS)
}

fn stop_all(until_ns: u64) -> bool {
    loop {
        match signal_new() {
            Some(0) => return true,
            Some(_) if wait_for_answers(until_ns) => {}
            // Too many, too late, or no /proc.
            _ => return false,
        }
    }
}

/// Signals every thread that is not listed yet; answers how many there were.
fn signal_new() -> Option<usize> {
    let (mut new, mut full) = (0, false);
    let each = thread::each_other(|thread| {
        // The list is in the kernel's order, so that the first slots are those of the first threads.
        let known = listed().any(|slot| slot.load(Ordering::Acquire).abs() == thread);
        if known {
            return true;
        }
        let Some(free) = THREADS.iter().find(|slot| slot.load(Ordering::Acquire) == 0) else {
            full = true;
            return false;
        };
        free.store(thread, Ordering::Release);
        new += 1;
        if !thread::send(thread, stop_signal()) {
            free.store(-thread, Ordering::Release);
        }
        true
    });
    each.ok().filter(|()| !full).map(|()| new)
}

/// Waits until every listed thread has answered or ended; false where that takes too long.
fn wait_for_answers(until_ns: u64) -> bool {
    const STEP_NS: u64 = 500_000;
    let mut spins = 0;
    loop {
        let answers = ANSWERS.load(Ordering::Acquire);
        if listed().all(|slot| slot.load(Ordering::Acquire) < 0) {
            return true;
        }
        if spins < SPINS {
            spins += 1;
            std::hint::spin_loop();
            continue;
        }
        if clock::now_ns() > until_ns {
            return false;
        }
        event::futex_wait_for(&ANSWERS, answers, STEP_NS);
        // One that ended before the signal came to it does not answer.
        for slot in listed() {
            let thread = slot.load(Ordering::Acquire);
            if thread > 0 && !thread::send(thread, 0) {
                slot.store(-thread, Ordering::Release);
            }
        }
    }
}
