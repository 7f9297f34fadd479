//! Several threads crash at once, or one crashes while the handler of another stops the threads.

use crate::rounds::{self, counter, crash_in_rounds, handled_fault, wait_a_moment};
use crate::support::fault::Fault;
use crate::support::state::mix;
use crashbed::{Cause, Notice};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

/// As many crashes as a report keeps.
const KEPT: u64 = 60;
/// The first thread ids of a round, two for each, on the board.
const IDS: usize = 128;

fn my_id() -> u64 {
    // SAFETY: no pointer is passed.
    u64::from(unsafe { libc::gettid() }.cast_unsigned())
}

/// Two threads crash in the same moment, one by SIGSEGV and one by SIGILL, while a third writes: there is one record, of
/// one of the two, and nothing in it is the other's.
pub(crate) fn two_at_once() -> crashbed::Result<()> {
    const FAULTS: [(Fault, i32, u64); 2] = [(Fault::NullWrite, libc::SIGSEGV, 8), (Fault::Illegal, libc::SIGILL, 0)];
    let slot = |round: u64, which: usize| IDS + 2 * usize::try_from(round).unwrap_or(0) + which;
    crash_in_rounds(
        KEPT,
        |tx, cells, board| {
            let round = tx.crashes();
            let (come, here) = (&AtomicU32::new(0), &AtomicU32::new(0));
            tx.threads(|scope| {
                let mut cells = cells.by_thread();
                let cells = cells.next().unwrap_or_default();
                scope.spawn(move || rounds::write(cells, counter(board, 0), || true))?;
                for (which, (fault, ..)) in FAULTS.iter().enumerate() {
                    scope.spawn(move || {
                        board[slot(round, which)].store(my_id(), SeqCst);
                        come.fetch_add(1, SeqCst);
                        while come.load(SeqCst) < 2 {
                            std::thread::yield_now();
                        }
                        // Now both have the processor, where there are two.
                        here.fetch_add(1, SeqCst);
                        (0..1000).take_while(|_| here.load(SeqCst) < 2).for_each(|_| std::hint::spin_loop());
                        fault.strike();
                    })?;
                }
                Ok(())
            })?
        },
        |report, board| {
            assert_eq!(report.recoveries.len() as u64, KEPT);
            for (round, recovery) in (0..).zip(&report.recoveries) {
                let crash = &recovery.crash;
                assert_eq!(crash.notice, Notice::Handler, "{crash:?}");
                let thread = u64::from(crash.thread.cast_unsigned());
                let which = [0, 1].into_iter().find(|which| board[slot(round, *which)].load(SeqCst) == thread);
                let (_, expected, at) = FAULTS[which.expect("the thread is one of the two")];
                let Cause::Signal { signal, address, .. } = crash.cause else { panic!("{crash:?}") };
                assert_eq!(signal, expected, "{crash:?}");
                assert!(at == 0 || address == at, "{crash:?}");
            }
        },
    )
}

/// Six threads crash one after the other within microseconds, each in a way of its own, while the first one's handler
/// stops the others; two write. In some rounds one is killed, so that a handler is cut off anywhere.
pub(crate) fn one_after_the_other() -> crashbed::Result<()> {
    const CRASHES: u64 = 250;
    crash_in_rounds(
        CRASHES,
        |tx, cells, board| {
            let round = tx.crashes();
            let go = &AtomicBool::new(false);
            tx.threads(|scope| {
                for (i, cells) in cells.by_thread().take(8).enumerate() {
                    let part = mix(round * 8 + i as u64);
                    scope.spawn(move || {
                        if i < 2 {
                            return rounds::write(cells, counter(board, i), || true);
                        }
                        while !go.load(Relaxed) {
                            std::thread::yield_now();
                        }
                        wait_a_moment(part, Duration::from_micros(1 + round % 100));
                        if i == 2 && round % 4 == 3 { Fault::Kill.strike() } else { handled_fault(part).strike() }
                    })?;
                }
                go.store(true, Relaxed);
                Ok(())
            })?
        },
        |report, _| {
            let noticed = |by| report.recoveries.iter().filter(|recovery| recovery.crash.notice == by).count();
            assert!(noticed(Notice::Handler) > 0, "{report:?}");
        },
    )
}
