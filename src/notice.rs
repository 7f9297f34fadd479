//! How a crash becomes known: the handler that a dying process runs, and the reading of what it left.
//!
//! The handler runs on the thread's alternate stack, so that an overflowed stack is no obstacle. It claims the record
//! (one thread of those that crash at once; the others park), fills it, stops the other threads, releases the spare
//! that is to succeed it or else raises the event that wakes the parent, and then dies of the very signal, so that the
//! wait status says the same. The successor starts while the kernel tears the process down. Whatever goes wrong in the
//! handler ends in a death that the pidfd tells.
//!
//! A record is believed for its nonce, which a wild write cannot guess.

use crate::crash::{Cause, Crash, Notice, Phase, Place};
use crate::here;
use crate::link;
use crate::mailbox::{Mailbox, NOTICE_COMPLETE, NOTICE_ENTERED, NOTICE_TOLD};
use crate::point::{self, Point};
use crate::state_head::Committed;
use crate::stop;
use crate::sys::processors;
use crate::sys::{self, Errno, clock, event, process, signal};
use crate::text::Text;
use crate::turn;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Where the program's image begins in memory, so that an instruction can be named outside of the process; 0 unknown.
static IMAGE_START: AtomicUsize = AtomicUsize::new(0);
static IMAGE_END: AtomicUsize = AtomicUsize::new(0);

/// How long a stopped process stays before it dies: about what a successor takes to its first operation.
const LINGER_NS: i64 = 300_000;
/// So many times that at the most, where the daemon wants to read its page table first.
const MOST_LINGERS: usize = 100;

/// What nonces are made of: private memory of the tree, inherited by forks.
static SECRET: AtomicU64 = AtomicU64::new(0);

/// Draws the secret. The root calls this once, before it forks.
pub(crate) fn draw_secret() -> Result<(), Errno> {
    SECRET.store(process::random()?, Ordering::Relaxed);
    Ok(())
}

/// What the record of incarnation `incarnation` must carry.
fn nonce(incarnation: u64) -> u64 {
    scramble(incarnation)
}

/// The finalizer of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) over
/// the secret and the number.
fn scramble(number: u64) -> u64 {
    let mut mixed = SECRET.load(Ordering::Relaxed) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The id of process `pid`, incarnation `incarnation`, as a crash handler believes it that finds it in shared memory:
/// in the upper half; the lower one proves that no wild write made it up.
pub(crate) fn seal(pid: i32, incarnation: u64) -> u64 {
    let id = u64::from(pid.cast_unsigned()) << 32;
    id | scramble(id ^ !incarnation) >> 32
}

/// The spare in this seat, where its id can be believed. It is gone from there before anybody else can get that id.
fn sleeper(seat: &Mailbox) -> Option<i32> {
    let word = seat.standby.sleeper.load(Ordering::Relaxed);
    let pid = i32::try_from(word >> 32).ok().filter(|pid| *pid > 0)?;
    (word == seal(pid, seat.incarnation.load(Ordering::Relaxed))).then_some(pid)
}

/// Finds the program's image. The root calls this once, before it forks: forks share the layout.
pub(crate) fn find_image() {
    let Ok(maps) = procfs::process::Process::myself().and_then(|me| me.maps()) else { return };
    let here = find_image as *const () as u64;
    let Some(mine) = maps.iter().find(|map| (map.address.0..map.address.1).contains(&here)) else { return };
    let same = maps.iter().filter(|map| map.pathname == mine.pathname);
    let (mut start, mut end) = (u64::MAX, 0);
    for map in same {
        start = start.min(map.address.0);
        end = end.max(map.address.1);
    }
    // Addresses of this process fit its own word.
    #[allow(clippy::cast_possible_truncation)]
    {
        IMAGE_START.store(start as usize, Ordering::Relaxed);
        IMAGE_END.store(end as usize, Ordering::Relaxed);
    }
}

/// Installs the crash handler. Forks inherit it.
pub(crate) fn install_handler() -> Result<(), Errno> {
    stop::install_handler()?;
    // SAFETY: `on_crash` makes async-signal-safe calls only; see there.
    unsafe { signal::handle_crashes(on_crash) }
}

/// Whether a segmentation fault leads to our handler still. A program or a library may have put its own there: where it
/// calls the one that it found, nothing changes; where not, the pidfd tells of the crash.
pub(crate) fn is_installed() -> bool {
    signal::leads_to(libc::SIGSEGV, on_crash)
}

/// Where the handler's code begins.
pub(crate) fn handler_address() -> usize {
    on_crash as *const () as usize
}

/// The handler. Only atomics, clock, `gettid`, `getppid`, futexes, `unshare` (which does nothing here), reading
/// `/proc/self/task`, `getcpu`, `sched_getaffinity` and `sched_setaffinity`, `sched_yield`, `write` to an event
/// descriptor, `nanosleep`, `prctl`, `sigaction`, `tgkill`: all async-signal-safe, no allocation, no lock. A hook of
/// [`Point::Released`] must be so too.
extern "C" fn on_crash(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(mailbox) = here::mailbox() else { signal::die_of(signal) };
    let record = &mailbox.notice;
    let thread = process::thread_id();
    if record.claimed.compare_exchange(0, thread, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        // Another thread's crash is being told; its death takes this thread along.
        signal::park();
    }
    record.stage.store(NOTICE_ENTERED, Ordering::Relaxed);
    mailbox.drawn.clear();
    record.when_ns.store(clock::now_ns(), Ordering::Relaxed);
    record.nonce.store(nonce(mailbox.incarnation.load(Ordering::Relaxed)), Ordering::Relaxed);
    record.signal.store(signal, Ordering::Relaxed);
    // SAFETY: the kernel passes a valid siginfo_t to a handler that was installed with SA_SIGINFO.
    let info = unsafe { &*info };
    let code = info.si_code;
    // SAFETY: every siginfo_t has these bytes; whether they are an address is asked below.
    let address = unsafe { info.si_addr() } as u64;
    record.code.store(code, Ordering::Relaxed);
    // Only the kernel's own faults (si_code > 0) carry an address; elsewhere the field means something else.
    record.address.store(if code > 0 { address } else { 0 }, Ordering::Relaxed);
    // SAFETY: the kernel passes a valid ucontext_t to such a handler.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let register = |which: i32| registers[which as usize].cast_unsigned();
    record.instruction.store(register(libc::REG_RIP), Ordering::Relaxed);
    record.stack.store(register(libc::REG_RSP), Ordering::Relaxed);
    // SAFETY: this thread has claimed the record, and others read the letter only when the record is complete.
    unsafe { mailbox.panic.write(crate::panics::present()) };
    let stopped = stop::others();
    record.stopped.store(u32::from(stopped), Ordering::Relaxed);
    record.stage.store(NOTICE_COMPLETE, Ordering::Release);
    // A request that is not answered yet is the daemon's to finish first: it may be changing the state at this moment.
    // One that has forked at a commit is not what works, and has no successor.
    let works = mailbox.chain.successor.load(Ordering::Relaxed) == 0;
    let heir = heir(mailbox).filter(|_| stopped && works && link::pending(mailbox).is_none());
    let incarnation = heir.map_or(0, |heir| heir.incarnation.load(Ordering::Relaxed));
    let heir = heir.filter(|heir| turn::release(&heir.standby, sleeper(heir)));
    if stopped && works && heir.is_none() {
        // Before it can see that it has been told: who has gone on already would stay drawn.
        mailbox.drawn.draw(here::parent());
    }
    if heir.is_some() {
        point::pass(Point::Released);
    }
    record.stage.store(NOTICE_TOLD, Ordering::Release);
    match heir {
        Some(heir) => {
            turn::hurry(heir, || sleeper(heir).filter(|_| heir.incarnation.load(Ordering::Relaxed) == incarnation))
        }
        None => event::raise(here::event()),
    }
    if stopped {
        // Who was drawn here runs at once, and not after the timer below was set.
        processors::step_aside();
        // What the kernel tears down now would be in the successor's way: on the processor, and at the locks that a
        // fork takes as well.
        signal::sleep(LINGER_NS);
        for _ in 0..MOST_LINGERS {
            if mailbox.lingers.load(Ordering::Acquire) == 0 {
                break;
            }
            signal::sleep(LINGER_NS);
        }
    }
    process::forbid_core_dump();
    signal::die_of(signal)
}

/// The seat of the spare that is to succeed this process, where there is one.
fn heir(mailbox: &Mailbox) -> Option<&'static Mailbox> {
    let seat = mailbox.heir.load(Ordering::Acquire) as usize;
    seat.checked_sub(1).and_then(here::seat)
}

/// Whether the mailbox's incarnation has left a complete record.
pub(crate) fn is_complete(mailbox: &Mailbox) -> bool {
    matches!(mailbox.notice.stage.load(Ordering::Acquire), NOTICE_COMPLETE | NOTICE_TOLD)
        && mailbox.notice.nonce.load(Ordering::Relaxed) == nonce(mailbox.incarnation.load(Ordering::Relaxed))
}

/// Whether the handler behind a complete record has done what it does about an heir. Until then it may release one at
/// any moment, and its parent must not start a second successor.
pub(crate) fn is_told(mailbox: &Mailbox) -> bool {
    mailbox.notice.stage.load(Ordering::Acquire) == NOTICE_TOLD
}

/// Whether the handler behind a complete record drew its parent to its own processor.
pub(crate) fn has_drawn(mailbox: &Mailbox) -> bool {
    mailbox.drawn.is() && is_complete(mailbox)
}

/// Whether that record says that no thread of the process can write any more.
pub(crate) fn is_stopped(mailbox: &Mailbox) -> bool {
    mailbox.notice.stopped.load(Ordering::Relaxed) == 1
}

/// What ended a process, as its parent saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its handler has left a complete record and stopped all threads; the process itself may not be gone yet.
    Handled,
    /// It ended by itself; this is its wait status.
    Status(event::Status),
    /// It was silent for too long and was killed for it.
    Silent { silent: Duration, stopped: bool },
}

/// Puts together what happened from what the kernel said and what the process left in its mailbox, which nothing
/// writes any more: all threads have been stopped, or the process has been reaped.
pub(crate) fn read(mailbox: &Mailbox, ending: &Ending, noticed_ns: u64, committed: Committed) -> Crash {
    let record = &mailbox.notice;
    let complete = is_complete(mailbox);
    let told = |signal| {
        let code = record.code.load(Ordering::Relaxed);
        let address = record.address.load(Ordering::Relaxed);
        (Cause::Signal { signal, code, address }, Notice::Handler)
    };
    let (cause, notice) = match *ending {
        Ending::Handled => told(record.signal.load(Ordering::Relaxed)),
        Ending::Silent { silent, stopped } => (Cause::Hung { silent, stopped }, Notice::Heartbeat),
        Ending::Status(event::Status::Exited(status)) => (Cause::Exited { status }, Notice::Pidfd),
        Ending::Status(event::Status::Killed(signal) | event::Status::Stopped(signal)) => {
            if complete && record.signal.load(Ordering::Relaxed) == signal {
                told(signal)
            } else {
                let entered = record.stage.load(Ordering::Relaxed) != 0;
                let notice = if entered { Notice::Torn } else { Notice::Pidfd };
                (Cause::Signal { signal, code: 0, address: 0 }, notice)
            }
        }
    };
    let handled = notice == Notice::Handler;
    let last_sign = match *ending {
        Ending::Silent { silent, .. } => {
            noticed_ns.saturating_sub(u64::try_from(silent.as_nanos()).unwrap_or(u64::MAX))
        }
        Ending::Handled | Ending::Status(_) => mailbox.beat_ns.load(Ordering::Relaxed).min(noticed_ns),
    };
    // SAFETY: no thread of the process writes any more.
    let note = unsafe { mailbox.panic.read() };
    Crash {
        cause,
        notice,
        phase: phase(mailbox.phase.load(Ordering::Relaxed)),
        incarnation: mailbox.incarnation.load(Ordering::Relaxed),
        // Before it has a state it has counted nothing.
        operation: mailbox.resumed().map_or(committed.operations, |_| mailbox.operation.load(Ordering::Relaxed)),
        committed_operations: committed.operations,
        commit: committed.commit,
        thread: if handled { record.claimed.load(Ordering::Relaxed) } else { 0 },
        place: handled.then(|| place(record.instruction.load(Ordering::Relaxed), record.stack.load(Ordering::Relaxed))),
        heap_locked: None,
        changing: mailbox.changing.load(Ordering::Relaxed) != 0,
        happened_ns: if handled { record.when_ns.load(Ordering::Relaxed).min(noticed_ns) } else { last_sign },
        noticed_ns,
        // Only an abort can be a panic's.
        note: if cause.signal() == Some(libc::SIGABRT) { note } else { Text::EMPTY },
    }
}

fn place(instruction: u64, stack: u64) -> Place {
    let start = IMAGE_START.load(Ordering::Relaxed) as u64;
    let image = start..IMAGE_END.load(Ordering::Relaxed) as u64;
    let image_offset = image.contains(&instruction).then(|| instruction - start);
    Place { instruction, stack, image_offset }
}

fn phase(word: u32) -> Phase {
    match word {
        1 => Phase::Deciding,
        2 => Phase::Running,
        3 => Phase::Committing,
        4 => Phase::Ending,
        _ => Phase::Starting,
    }
}

/// Waits for a process that has crashed, or is to end now, to be gone: no thread of it can write any more. One that
/// does not go by itself in time is killed.
pub(crate) fn wait_until_gone(pidfd: &std::os::fd::OwnedFd, patience: Duration) -> Result<event::Status, Errno> {
    use std::os::fd::AsFd;
    let until = clock::now_ns() + u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
    while clock::now_ns() < until {
        let left = Duration::from_nanos(until.saturating_sub(clock::now_ns()));
        let [gone] = event::wait_readable([pidfd.as_fd()], Some(left))?;
        if gone {
            return event::reap(pidfd);
        }
    }
    match event::signal(pidfd, libc::SIGKILL) {
        Ok(()) | Err(sys::Errno::ESRCH) => event::reap(pidfd),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sleeper_is_believed_by_its_seal_alone(pid in 1i32.., incarnation: u64, wild: u64) {
            // SAFETY: all-zero memory is an empty mailbox.
            let seat: Mailbox = unsafe { std::mem::zeroed() };
            prop_assert_eq!(sleeper(&seat), None);
            seat.incarnation.store(incarnation, Ordering::Relaxed);
            let sealed = seal(pid, incarnation);
            seat.standby.sleeper.store(sealed, Ordering::Relaxed);
            prop_assert_eq!(sleeper(&seat), Some(pid));
            for bit in 0..64 {
                seat.standby.sleeper.store(sealed ^ 1 << bit, Ordering::Relaxed);
                prop_assert_eq!(sleeper(&seat), None, "bit {}", bit);
            }
            seat.standby.sleeper.store(sealed, Ordering::Relaxed);
            seat.incarnation.store(wild, Ordering::Relaxed);
            prop_assert_eq!(sleeper(&seat), (wild == incarnation).then_some(pid));
        }
    }
}
