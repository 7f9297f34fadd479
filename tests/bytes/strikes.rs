//! What strikes a tree while it plays, and what all of its processes know of that: the board.

use crate::mode::{Mode, POINTS};
use crate::support::board::Board;
use crate::support::fault::Fault;
use crashbed::point::Point;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// On the board: operations in the last commit that is known to be true, and in the newest that was asked for (or the same).
pub(crate) const ACKNOWLEDGED: usize = 0;
pub(crate) const IN_FLIGHT: usize = 1;
/// The case that is played, counted from the first one, and whether its state was made.
pub(crate) const CASE: usize = 2;
pub(crate) const BEGUN: usize = 3;
/// Bytes in use when the state was made; crashes that were struck, and those while a commit was in flight; crashed states
/// that were gone on with.
pub(crate) const LIVE: usize = 4;
pub(crate) const CRASHES: usize = 5;
pub(crate) const UNDER_WAY: usize = 6;
pub(crate) const GONE_ON: usize = 7;
/// Operations in the last commit that does not die with the daemon, under a mechanism whose commits are processes.
pub(crate) const OUTLIVES: usize = 8;
/// Operations that were done when the transaction was seen last.
pub(crate) const REACHED: usize = 9;
/// For each point: how many passes to let by, what is planned then (`STAYS`, or so many deaths above that), and how often
/// a process died there.
const PASSES: usize = 16;
const PLANNED: usize = 32;
const DIED: usize = 48;
const STAYS: u64 = 1;
/// Whether step so-and-so has struck.
pub(crate) const STRUCK: usize = 64;

/// How long somebody stays at a point: for some steps of another process.
const STAY: Duration = Duration::from_micros(200);

pub(crate) static BOARD: OnceLock<Board> = OnceLock::new();

fn place(at: Point) -> Option<usize> {
    POINTS.iter().position(|point| *point == at)
}

/// The hook: kills who passes a point at which that is planned, or holds it up.
pub(crate) fn strike(at: Point) {
    let Some(board) = BOARD.get() else { return };
    let Some(which) = place(at) else { return };
    let (passes, planned) = (&board[PASSES + which], &board[PLANNED + which]);
    match planned.load(SeqCst) {
        0 => {}
        _ if passes.load(SeqCst) > 0 => {
            passes.fetch_sub(1, SeqCst);
        }
        STAYS => {
            planned.store(0, SeqCst);
            std::thread::sleep(STAY);
        }
        deaths => {
            planned.store(if deaths == STAYS + 1 { 0 } else { deaths - 1 }, SeqCst);
            board[CRASHES].fetch_add(1, SeqCst);
            board[DIED + which].fetch_add(1, SeqCst);
            Fault::Kill.strike();
        }
    }
}

/// The next so many processes that pass a point, after some passes, die there; none, and the next one stays for a while.
pub(crate) fn plan(board: &Board, at: Point, passes: u64, deaths: u64) {
    let which = place(at).expect("one of the points");
    board[PASSES + which].store(passes, SeqCst);
    board[PLANNED + which].store(STAYS + deaths, SeqCst);
}

/// Nothing happens at these points any more.
pub(crate) fn forget_plans(board: &Board, points: &[Point]) {
    points.iter().filter_map(|at| place(*at)).for_each(|which| board[PLANNED + which].store(0, SeqCst));
}

/// SIGALRM, which nobody handles, ends this process in so many microseconds.
pub(crate) fn kill_by_timer(microseconds: i64) {
    let zero = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let timer = libc::itimerval { it_interval: zero, it_value: libc::timeval { tv_sec: 0, tv_usec: microseconds } };
    // SAFETY: the new timer is readable, and the old one is not asked for.
    unsafe {
        libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut::<libc::itimerval>())
    };
}

/// Says how often each thing happened that has to happen in a run of this mode, one a line.
pub(crate) fn print_counts(board: &Board, mode: &Mode<'_>) {
    println!("crash: {}", board[CRASHES].load(SeqCst));
    if mode.commits_later() {
        println!("crash while a commit was in flight: {}", board[UNDER_WAY].load(SeqCst));
    }
    if mode.can_keep() {
        println!("crashed state that was gone on with: {}", board[GONE_ON].load(SeqCst));
    }
    for (which, point) in POINTS.iter().enumerate().filter(|(_, point)| mode.points().any(|passed| passed == **point)) {
        println!("death at {point:?}: {}", board[DIED + which].load(SeqCst));
    }
}
