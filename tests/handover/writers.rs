//! Sixteen threads write without pause while one of them crashes: its successor finds the commit and nothing else, and
//! nothing of them goes on, in the region or outside of it.

use crate::rounds::{self, THREADS, counter, crash_in_rounds, handled_fault, wait_a_moment};
use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::{LIMIT, SPARES, each_anew_of, numbers, start};
use std::sync::RwLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// In every other round the main thread crashes, else all writers that see that they are to.
pub(crate) fn sixteen_write() -> crashbed::Result<()> {
    let crashes = numbers()[0];
    crash_in_rounds(
        crashes,
        |tx, cells, board| {
            let round = tx.crashes();
            let (start, strike) = (&RwLock::new(()), &AtomicBool::new(false));
            let closed = start.write();
            // Every eighth crash is one that no handler sees.
            let fault = if round % 8 == 7 { Fault::Kill } else { handled_fault(round / 2) };
            tx.threads(|scope| {
                for (i, cells) in cells.by_thread().enumerate() {
                    scope.spawn(move || {
                        drop(start.read());
                        rounds::write(cells, counter(board, i), || !strike.load(Relaxed));
                        fault.strike();
                    })?;
                }
                drop(closed);
                wait_a_moment(round, Duration::from_micros(500));
                if round % 2 == 0 {
                    fault.strike();
                }
                strike.store(true, Relaxed);
                Ok(())
            })?
        },
        |_, board| assert!((0..THREADS).all(|i| counter(board, i).load(Relaxed) > 0), "a thread never wrote"),
    )
}

/// The look can fail: here a process writes on after the crash, as a thread must not.
pub(crate) fn one_writes_on() -> crashbed::Result<()> {
    crash_in_rounds(
        64,
        |tx, cells, board| {
            // SAFETY: the child writes to memory that it has, and ends without coming back here.
            if tx.crashes() == 3 && unsafe { libc::fork() } == 0 {
                write_for_a_while(&mut cells.by_thread().next().unwrap_or_default()[..], board);
            }
            // It has a processor before the crash, however busy the machine is.
            let until = Instant::now() + Duration::from_secs(10);
            while tx.crashes() == 3 && counter(board, 0).load(Relaxed) == 0 && Instant::now() < until {
                tx.beat();
                std::thread::yield_now();
            }
            Fault::NullWrite.strike();
            Ok(())
        },
        |_, _| {},
    )
}

fn write_for_a_while(cells: &mut [u64], board: &Board) -> ! {
    let began = Instant::now();
    rounds::write(cells, counter(board, 0), || began.elapsed() < Duration::from_millis(500));
    // SAFETY: ends the process.
    unsafe { libc::_exit(0) }
}

fn play(crashes: u64) {
    let each = crashes.div_ceil(2 * SPARES.len() as u64);
    each_anew_of("sixteen-write", &SPARES, &each.to_string(), Duration::from_secs(600));
}

pub(crate) fn sixteen_threads_write_while_one_crashes() {
    play(2_000);
}

pub(crate) fn sixteen_threads_write_while_one_crashes_ten_thousand_times() {
    play(10_000);
}

pub(crate) fn what_writes_on_is_seen() {
    for argument in ["copy-on-write warm", "full-copy cold"] {
        let ended = start("one-writes-on", argument).finish(LIMIT, Duration::from_secs(5));
        assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
        assert!(ended.err.contains("the predecessor"), "{ended:#?}");
    }
}
