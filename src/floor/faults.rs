//! From a fault to whoever hears of it: the handler, another process, the fork of one.
//!
//! The first two kinds need no death: the handler goes on behind the instruction, so the same processes walk all laps
//! and nothing but the path itself is cold.
//!
//! ```text
//! faulting process                       other process
//! work for a moment, stamp, fault
//! handler: `told` ← lap, wake       →    stamp `heard_ns`
//! sleep                             ←    `answered` ← lap, wake
//! go on behind the fault
//! ```

use super::board::Line;
use super::child::{MOMENT, work};
use super::processes::Child;
use super::track::{Track, WARM_UP, Words};
use crate::error::Result;
use crate::sys::event::{self, Status};
use crate::sys::{clock, process, processors, signal};
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// How long a process waits for the other's answer before it takes it for dead.
const PATIENCE_NS: u64 = 5_000_000_000;

/// How the other process waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Spinning,
    Asleep,
    /// Asleep, and drawn to the processor of who wakes it.
    Drawn,
}

/// What the processes of a path share.
#[repr(C)]
struct Hearing {
    /// The lap whose fault was told of.
    told: Line<AtomicU32>,
    /// The lap whose fault was heard of.
    answered: Line<AtomicU32>,
    /// When it was heard of.
    heard_ns: Line<AtomicU64>,
    /// The last instant before the fault; for [`to_fork`], where it is another process that reads it.
    fault_ns: Line<AtomicU64>,
}

// SAFETY: four atomics, for which zeros are valid.
unsafe impl Words for Hearing {}

/// The words, for the handlers: set in the faulting process.
static WORDS: AtomicPtr<Hearing> = AtomicPtr::new(std::ptr::null_mut());
/// The process that the handler draws and wakes; 0 where it spins.
static SLEEPER: AtomicI32 = AtomicI32::new(0);
/// Whether the handler draws it.
static DRAWS: AtomicU32 = AtomicU32::new(0);

fn words() -> &'static Hearing {
    // SAFETY: `prepare` stored the address of words that stay mapped in this process.
    unsafe { &*WORDS.load(Ordering::Relaxed) }
}

/// Makes this process one that faults and goes on.
fn prepare(track: &Track<Hearing>, handler: signal::Handler, parent: i32) {
    WORDS.store(std::ptr::from_ref(track.words()).cast_mut(), Ordering::Relaxed);
    process::forbid_core_dump();
    // SAFETY: the stack is part of shared memory that only this process uses so, and that it never unmaps.
    let stack = unsafe { process::use_signal_stack(track.signal_stack()) };
    // SAFETY: the handlers below load, store, make system calls, and change the registers that they were given.
    let installed = unsafe { signal::handle_crashes(handler) };
    if !process::die_with_parent(parent) || stack.is_err() || installed.is_err() {
        process::exit_now(1);
    }
}

/// Writes to address 0, and goes on behind that once a handler has answered by [`go_on`].
fn fault_and_go_on() {
    // SAFETY: nothing is mapped at address 0: the instruction changes no memory, it faults, and the handler goes on at
    // the label that the block has left in a register for it.
    unsafe {
        std::arch::asm!("lea rcx, [rip + 2f]", "mov qword ptr [{}], 1", "2:", in(reg) 0u64, out("rcx") _);
    }
}

/// In a handler: has the process go on behind the instruction that faulted.
fn go_on(context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid ucontext_t to a handler that was installed with SA_SIGINFO.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    registers[libc::REG_RIP as usize] = registers[libc::REG_RCX as usize];
}

pub(super) fn to_handler(laps: usize) -> Result<Vec<u64>> {
    extern "C" fn on_fault(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        words().heard_ns.store(clock::now_ns(), Ordering::Relaxed);
        go_on(context);
    }
    let track = Track::<Hearing>::new(laps)?;
    let parent = process::id();
    let life = || {
        prepare(&track, on_fault, parent);
        track.walk(|_| {
            let fault_ns = clock::now_ns();
            fault_and_go_on();
            track.words().heard_ns.load(Ordering::Relaxed).saturating_sub(fault_ns)
        });
    };
    // SAFETY: the caller has one thread.
    unsafe { Child::fork("child", life) }?.ends_by(Status::Exited(0))?;
    Ok(track.laps())
}

pub(super) fn to_process(wait: Wait, laps: usize) -> Result<Vec<u64>> {
    extern "C" fn on_fault(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        let (words, sleeper) = (words(), SLEEPER.load(Ordering::Relaxed));
        if DRAWS.load(Ordering::Relaxed) != 0 {
            processors::draw(sleeper);
        }
        let lap = words.told.load(Ordering::Relaxed) + 1;
        words.told.store(lap, Ordering::Release);
        if sleeper != 0 {
            event::futex_wake(&words.told);
            sleep_until(&words.answered, lap);
        }
        go_on(context);
    }
    let track = Track::<Hearing>::new(laps)?;
    let parent = process::id();
    let hear = || {
        if process::die_with_parent(parent) {
            hear_all(track.words(), wait);
        }
    };
    // SAFETY: the caller has one thread.
    let other = unsafe { Child::fork("other process", hear) }?;
    let life = || {
        DRAWS.store(u32::from(wait == Wait::Drawn), Ordering::Relaxed);
        SLEEPER.store(if wait == Wait::Spinning { 0 } else { other.pid() }, Ordering::Relaxed);
        prepare(&track, on_fault, parent);
        let words = track.words();
        track.walk(|lap| {
            work(MOMENT);
            let fault_ns = clock::now_ns();
            fault_and_go_on();
            sleep_until(&words.answered, lap);
            words.heard_ns.load(Ordering::Relaxed).saturating_sub(fault_ns)
        });
    };
    // SAFETY: as above.
    unsafe { Child::fork("child", life) }?.ends_by(Status::Exited(0))?;
    Ok(track.laps())
}

/// The other process: hears of one fault after the other, until it is killed.
fn hear_all(words: &Hearing, wait: Wait) {
    let mut lap = 0;
    loop {
        while words.told.load(Ordering::Acquire) == lap {
            if wait == Wait::Spinning {
                std::hint::spin_loop();
            } else {
                event::futex_wait(&words.told, lap);
            }
        }
        words.heard_ns.store(clock::now_ns(), Ordering::Relaxed);
        lap += 1;
        words.answered.store(lap, Ordering::Release);
        event::futex_wake(&words.answered);
    }
}

/// Sleeps until `word` is `value`; ends the process where that takes too long. Async-signal-safe.
fn sleep_until(word: &AtomicU32, value: u32) {
    let until_ns = clock::now_ns() + PATIENCE_NS;
    loop {
        let now = word.load(Ordering::Acquire);
        if now == value {
            return;
        }
        if clock::now_ns() > until_ns {
            process::exit_now(libc::ETIMEDOUT);
        }
        event::futex_wait_for(word, now, PATIENCE_NS);
    }
}

pub(super) fn to_fork(laps: usize) -> Result<Vec<u64>> {
    let track = Track::<Hearing>::new(0)?;
    let words = track.words();
    let parent = process::id();
    let doomed = || {
        process::forbid_core_dump();
        signal::take_handler_away(libc::SIGSEGV);
        if process::die_with_parent(parent) {
            work(MOMENT);
            words.fault_ns.store(clock::now_ns(), Ordering::Relaxed);
            signal::fault();
        }
    };
    let successor = || words.heard_ns.store(clock::now_ns(), Ordering::Relaxed);
    let mut measured = Vec::with_capacity(laps);
    for lap in 0..WARM_UP + laps {
        // SAFETY: the caller has one thread.
        unsafe { Child::fork("child", doomed) }?.ends_by(Status::Killed(libc::SIGSEGV))?;
        // SAFETY: as above.
        unsafe { Child::fork("successor", successor) }?.ends_by(Status::Exited(0))?;
        if lap >= WARM_UP {
            measured.push(words.heard_ns.load(Ordering::Relaxed) - words.fault_ns.load(Ordering::Relaxed));
        }
    }
    Ok(measured)
}
