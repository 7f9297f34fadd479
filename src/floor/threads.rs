//! Stopping the threads of a process: one of them signals the others, each answers from a handler and sleeps there.

use super::child::{MOMENT, work};
use super::failed;
use super::processes::Child;
use super::track::{Track, Words};
use crate::error::{Error, Result};
use crate::panics;
use crate::sys::event::{self, Status};
use crate::sys::process::{self, Forked};
use crate::sys::{clock, signal, thread};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// What stops a thread.
const STOP: i32 = libc::SIGUSR1;
/// So small that many fit; they run a loop and a handler.
const STACK: usize = 64 << 10;

/// How long the stopping thread spins.
const SPIN_NS: u64 = 20_000;

/// The answers to the stop under way.
static ANSWERS: AtomicU32 = AtomicU32::new(0);
/// How many answers are all.
static THREADS: AtomicU32 = AtomicU32::new(0);
/// Counts the stops that are over: those who have answered sleep on it.
static OVER: AtomicU32 = AtomicU32::new(0);
/// Threads that work.
static WORKING: AtomicU32 = AtomicU32::new(0);

/// The other process has no words of its own: its threads share its memory.
struct Nothing;

// SAFETY: no bytes at all.
unsafe impl Words for Nothing {}

extern "C" fn on_stop(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let over = OVER.load(Ordering::Relaxed);
    if ANSWERS.fetch_add(1, Ordering::AcqRel) + 1 == THREADS.load(Ordering::Relaxed) {
        event::futex_wake(&ANSWERS);
    }
    while OVER.load(Ordering::Acquire) == over {
        event::futex_wait(&OVER, over);
    }
    WORKING.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn stop(threads: usize, laps: usize) -> Result<Vec<u64>> {
    let count = u32::try_from(threads).ok().filter(|count| *count > 0);
    let Some(count) = count else {
        return Err(Error::program(format_args!("floor: {threads} threads cannot be stopped: one is the least")));
    };
    let track = Track::<Nothing>::new(laps)?;
    let parent = process::id();
    // By fork(3), and not bare: the child starts threads.
    // SAFETY: the caller has one thread.
    match unsafe { process::fork() }.map_err(failed("forking a bare process"))? {
        Forked::Child => {
            let stopped =
                panics::catch(|| if process::die_with_parent(parent) { stop_all(&track, count) } else { Ok(()) });
            let status = match stopped {
                Ok(Ok(())) => 0,
                Ok(Err(error)) => error.raw_os_error().unwrap_or(1),
                Err(_) => 1,
            };
            process::exit_now(status)
        }
        Forked::Parent(pid) => Child::adopted("process with threads", pid).ends_by(Status::Exited(0))?,
    }
    Ok(track.laps())
}

/// In the process with threads: starts them, and stops them over and over.
fn stop_all(track: &Track<Nothing>, count: u32) -> std::io::Result<()> {
    THREADS.store(count, Ordering::Relaxed);
    // SAFETY: `on_stop` loads, stores and makes system calls: async-signal-safe.
    unsafe { signal::handle(STOP, on_stop) }?;
    let ids: &'static [AtomicI32] = Vec::leak((0..count).map(|_| AtomicI32::new(0)).collect());
    for id in ids {
        std::thread::Builder::new().stack_size(STACK).spawn(|| {
            id.store(process::thread_id(), Ordering::Relaxed);
            WORKING.fetch_add(1, Ordering::Release);
            loop {
                std::hint::spin_loop();
            }
        })?;
    }
    track.walk(|_| {
        while WORKING.load(Ordering::Acquire) < count {
            std::thread::yield_now();
        }
        work(MOMENT);
        WORKING.store(0, Ordering::Relaxed);
        ANSWERS.store(0, Ordering::Relaxed);
        let begun_ns = clock::now_ns();
        for id in ids {
            thread::send(id.load(Ordering::Relaxed), STOP);
        }
        wait_for(count, begun_ns + SPIN_NS);
        let stopped_ns = clock::now_ns();
        OVER.fetch_add(1, Ordering::Release);
        event::futex_wake(&OVER);
        stopped_ns - begun_ns
    });
    Ok(())
}

/// Waits for all answers: spins at first, as an answer from another processor takes less than falling asleep and being
/// woken, then leaves the processor to those that have not run yet.
fn wait_for(count: u32, spin_until_ns: u64) {
    loop {
        let answers = ANSWERS.load(Ordering::Acquire);
        if answers == count {
            return;
        }
        if clock::now_ns() < spin_until_ns {
            std::hint::spin_loop();
        } else {
            event::futex_wait(&ANSWERS, answers);
        }
    }
}
