//! Threads that are hard to stop: they block every signal, sleep in a system call, come and go, or use the very signal
//! that stops them.

use crate::rounds::{self, CELLS, counter, crash_in_rounds, handled_fault, wait_a_moment};
use crate::support::board::Board;
use crate::support::fault::Fault;
use crashbed::{Failure, Notice, Report, Tx};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64};
use std::time::Duration;

/// Each was told by the handler of the thread that crashed, whatever the others did.
fn told_by_the_handler(report: &Report, _: &Board) {
    for recovery in &report.recoveries {
        assert_eq!(recovery.crash.notice, Notice::Handler, "{:?}", recovery.crash);
    }
}

/// Every signal that can be blocked is, from here on, in the calling thread.
fn block_all_signals() {
    // SAFETY: all-zero is a valid set.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is writable.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: the set is readable, and the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()) };
}

/// Waits until the thread sleeps that has stored its id in `id` before it went to.
fn wait_until_it_sleeps(id: &AtomicI32) -> Result<(), Failure> {
    for _ in 0..10_000 {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", id.load(SeqCst))).unwrap_or_default();
        if stat.rsplit_once(')').is_some_and(|(_, state)| state.trim_start().starts_with('S')) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Err(Failure::new("it never slept"))
}

fn my_id() -> i32 {
    // SAFETY: no pointer is passed.
    unsafe { libc::gettid() }
}

/// A thread that cannot be stopped writes until the process is gone: the hand-over waits for that.
pub(crate) fn blocks_signals() -> crashbed::Result<()> {
    crash_in_rounds(
        20,
        |tx, cells, board| {
            let round = tx.crashes();
            let blocked = &AtomicBool::new(false);
            tx.threads(|scope| {
                let mut cells = cells.by_thread();
                let (mine, other) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
                scope.spawn(move || {
                    block_all_signals();
                    blocked.store(true, SeqCst);
                    rounds::write(mine, counter(board, 0), || true);
                })?;
                scope.spawn(move || rounds::write(other, counter(board, 1), || true))?;
                while !blocked.load(SeqCst) {
                    std::thread::yield_now();
                }
                wait_a_moment(round, Duration::from_micros(200));
                handled_fault(round).strike();
                Ok(())
            })?
        },
        told_by_the_handler,
    )
}

/// One thread sleeps in `read` on a pipe, into the region; one in `nanosleep`. What is then written to the pipe is the
/// successor's to read, and the region stays as it is.
pub(crate) fn asleep() -> crashbed::Result<()> {
    let (reader, writer) = std::io::pipe().map_err(crashbed::Error::program)?;
    crash_in_rounds(
        20,
        |tx, cells, board| {
            if tx.crashes() > 0 {
                (&writer).write_all(b"a letter")?;
                std::thread::sleep(Duration::from_micros(300));
                cells.check(tx.operations());
                let mut letter = [0; 8];
                (&reader).read_exact(&mut letter)?;
                assert_eq!(&letter, b"a letter");
            }
            let (fd, ids) = (reader.as_raw_fd(), &[AtomicI32::new(0), AtomicI32::new(0)]);
            let round = tx.crashes();
            tx.threads(|scope| {
                let cells = cells.by_thread().next().unwrap_or_default();
                scope.spawn(move || {
                    ids[0].store(my_id(), SeqCst);
                    // SAFETY: the buffer is this thread's part of the state.
                    unsafe { libc::read(fd, cells.as_mut_ptr().cast(), CELLS * 8) };
                    counter(board, 0).fetch_add(1, SeqCst);
                })?;
                scope.spawn(|| {
                    ids[1].store(my_id(), SeqCst);
                    std::thread::sleep(Duration::from_secs(30));
                })?;
                wait_until_it_sleeps(&ids[0])?;
                wait_until_it_sleeps(&ids[1])?;
                handled_fault(round).strike();
                Ok(())
            })?
        },
        |report, board| {
            told_by_the_handler(report, board);
            assert_eq!(counter(board, 0).load(SeqCst), 0, "a crashed process has read");
        },
    )
}

/// Threads begin and end without pause while one of them crashes: the one that makes them is stopped as well.
pub(crate) fn come_and_go() -> crashbed::Result<()> {
    crash_in_rounds(
        150,
        |tx, cells, board| {
            let round = tx.crashes();
            let writes = &AtomicU64::new(0);
            for turn in 0.. {
                tx.threads(|scope| {
                    for (i, cells) in cells.by_thread().enumerate() {
                        scope.spawn(move || {
                            let until = writes.fetch_add(1, Relaxed) + 20;
                            rounds::write(cells, counter(board, i), || writes.fetch_add(1, Relaxed) < until);
                            if turn == round % 5 && i as u64 == round % 13 {
                                wait_a_moment(round, Duration::from_micros(300));
                                handled_fault(round).strike();
                            }
                        })?;
                    }
                    Ok::<(), Failure>(())
                })??;
            }
            Ok(())
        },
        told_by_the_handler,
    )
}

/// How often the program's own handler ran. Private memory of each life.
static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn own_handler(_: i32) {
    HANDLED.fetch_add(1, SeqCst);
}

/// What this program does with the signal that the engine stops threads by.
fn use_the_signal(how: u64) {
    let signal = libc::SIGRTMIN() + 5;
    match how {
        // SAFETY: the handler adds to an atomic, which is async-signal-safe.
        0 => drop(unsafe { libc::signal(signal, own_handler as *const () as libc::sighandler_t) }),
        // SAFETY: no handler is installed.
        1 => drop(unsafe { libc::signal(signal, libc::SIG_IGN) }),
        // The engine's handler stays, and lets a program that has not crashed alone.
        _ => {}
    }
    let before = HANDLED.load(SeqCst);
    // SAFETY: no pointer is passed; the signal goes to this very process.
    unsafe { libc::kill(std::process::id().cast_signed(), signal) };
    // Delivered at the latest when this thread, the only one, comes back from a system call.
    std::thread::sleep(Duration::from_micros(1));
    assert_eq!(HANDLED.load(SeqCst) - before, u32::from(how == 0));
}

/// A program that uses the stop signal for itself is safe too, whether it handles it, ignores it, or only sends it.
pub(crate) fn the_signal_is_in_use() -> crashbed::Result<()> {
    fn round(tx: &mut Tx<'_>, cells: &mut rounds::Cells, board: &Board) -> Result<(), Failure> {
        let round = tx.crashes();
        use_the_signal(round % 3);
        tx.threads(|scope| {
            for (i, cells) in cells.by_thread().take(4).enumerate() {
                scope.spawn(move || rounds::write(cells, counter(board, i), || true))?;
            }
            wait_a_moment(round, Duration::from_micros(300));
            if round == 4 {
                Fault::Kill.strike()
            } else {
                handled_fault(round).strike()
            }
            Ok(())
        })?
    }
    crash_in_rounds(21, round, |_, _| {})
}
