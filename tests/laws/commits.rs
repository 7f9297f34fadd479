//! Law 7: after each kind of crash, at many places, the state equals a commit that was acknowledged or in flight.

use crate::support::board::Board;
use crate::support::fault::{self, Fault};
use crate::support::mechanism_and_spare;
use crate::support::state::Linked;
use crashbed::point::{self, Point};
use crashbed::{Daemon, Declaration, Failure, Intensity, MIB, Outcome, Root, Tx};
use crashbed_policies::CheckpointResume;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// On the board: operations in the last acknowledged commit, and in the one in flight (or the same).
const ACKNOWLEDGED: usize = 0;
const IN_FLIGHT: usize = 1;
/// The fault to strike at a point, plus one; the point; how many passes to let by. Taken back when it strikes.
const FAULT: usize = 2;
const POINT: usize = 3;
const PASSES: usize = 4;
const STRUCK: usize = 5;
/// Operations in the last commit that does not die with the daemon, under a mechanism whose commits are processes.
const OUTLIVES: usize = 6;

static BOARD: OnceLock<Board> = OnceLock::new();

/// The places where a crash strikes: within the program's code, and at the engine's points.
const PLACES: [Point; 11] = [
    Point::Named("before"),
    Point::Named("between"),
    Point::Named("after"),
    Point::Named("counted"),
    Point::Restore,
    Point::Stage,
    Point::Staged,
    Point::Log,
    Point::Apply,
    Point::Acknowledge,
    Point::DaemonRestore,
];

fn in_daemon(place: Point) -> bool {
    matches!(place, Point::Log | Point::Apply | Point::Acknowledge | Point::DaemonRestore)
}

/// The hook: strikes the planned fault at the planned point.
fn strike(at: Point) {
    let Some(board) = BOARD.get() else { return };
    let fault = board[FAULT].load(SeqCst);
    let planned = usize::try_from(board[POINT].load(SeqCst)).unwrap_or(0);
    if fault == 0 || PLACES[planned] != at || board[PASSES].fetch_sub(1, SeqCst) != 0 {
        return;
    }
    board[FAULT].store(0, SeqCst);
    board[STRUCK].fetch_add(1, SeqCst);
    Fault::ALL[usize::try_from(fault - 1).unwrap_or(0)].strike();
}

/// Operations `from` to `to`, a commit after every third.
fn work(tx: &mut Tx<'_>, state: &mut Linked, to: u64, board: &Board) -> Result<(), Failure> {
    check(state, tx.operations(), board);
    while tx.operations() < to {
        let n = tx.operations();
        tx.point("before");
        state.first_half(n);
        tx.point("between");
        state.second_half(n);
        tx.point("after");
        tx.done();
        tx.point("counted");
        if n % 3 == 2 {
            board[IN_FLIGHT].store(n + 1, SeqCst);
            tx.commit()?;
            board[ACKNOWLEDGED].store(n + 1, SeqCst);
        }
    }
    board[IN_FLIGHT].store(to, SeqCst);
    Ok(())
}

fn check(state: &Linked, operations: u64, board: &Board) {
    let (acknowledged, in_flight) = (board[ACKNOWLEDGED].load(SeqCst), board[IN_FLIGHT].load(SeqCst));
    let outlives = mechanism_and_spare().0.returns_from_commits() && operations == board[OUTLIVES].load(SeqCst);
    assert!(
        (operations == acknowledged || operations == in_flight || outlives) && *state == Linked::after(operations),
        "no commit that was made: {operations} operations, {acknowledged} acknowledged, {in_flight} in flight"
    );
}

fn declaration() -> Declaration {
    Declaration::new("d", MIB)
        .mechanism(mechanism_and_spare().0)
        .switches_always(true)
        .spare(mechanism_and_spare().1)
        .heartbeat(Duration::from_millis(300))
        .intensity(Intensity::UNLIMITED)
}

/// Every fault at every place, the first and a later time that it is passed; daemons crash too.
pub(crate) fn crashes_everywhere() -> crashbed::Result<()> {
    fault::prepare();
    let board = *BOARD.get_or_init(Board::new);
    point::set_hook(strike);
    let forks = mechanism_and_spare().0.returns_from_commits();
    let plans: Vec<(Fault, usize, u64)> = Fault::ALL
        .into_iter()
        .flat_map(|fault| (0..PLACES.len()).flat_map(move |place| [0, 4].map(move |passes| (fault, place, passes))))
        .filter(|&(fault, place, passes)| {
            // Nothing watches a daemon's heartbeat, and one that exits with 0 has ended as it wanted to. Restores are
            // passed once after each crash. A hang costs its deadline: once a place.
            let restores = matches!(PLACES[place], Point::Restore | Point::DaemonRestore);
            !(in_daemon(PLACES[place]) && (!fault.ends_by_itself() || matches!(fault, Fault::ExitEarly | Fault::DoublePanic))
                || restores && passes > 0
                // A panic at a point of the engine's is no crash, but the engine's end.
                || fault == Fault::DoublePanic && !matches!(PLACES[place], Point::Named(_))
                || !fault.ends_by_itself() && passes > 0
                // Of commits that are forks the daemon has the last one only.
                || forks && passes > 0 && (in_daemon(PLACES[place]) || PLACES[place] == Point::Staged))
        })
        .collect();
    let strikes = plans.len() as u64;
    Root::new()
        .declare(declaration(), move |daemon: &mut Daemon<Linked>| {
            // The daemon's place in its work: how many plans have been begun.
            const BEGUN: usize = 10;
            check(daemon.state(), daemon.operations(), &board);
            loop {
                let begun = board[BEGUN].load(SeqCst);
                let Some(&(fault, place, passes)) = plans.get(usize::try_from(begun).unwrap_or(0)) else { break };
                board[BEGUN].store(begun + 1, SeqCst);
                board[POINT].store(place as u64, SeqCst);
                board[PASSES].store(passes, SeqCst);
                board[FAULT].store(fault.number() + 1, SeqCst);
                let to = daemon.operations() + 20;
                // To see a restore, there must be a crash before it.
                let crashes_first = PLACES[place] == Point::DaemonRestore;
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    if crashes_first && tx.crash().is_none() {
                        Fault::Kill.strike();
                    }
                    work(tx, state, to, &board)
                })?;
                assert_eq!(outcome, Outcome::Done(()), "{fault:?} at {:?}", PLACES[place]);
                board[ACKNOWLEDGED].store(to, SeqCst);
                board[OUTLIVES].store(to, SeqCst);
                check(daemon.state(), to, &board);
                assert_eq!(board[FAULT].load(SeqCst), 0, "{fault:?} never struck at {:?}", PLACES[place]);
            }
            Ok(())
        })
        .run()?;
    assert_eq!(board[STRUCK].load(SeqCst), strikes, "faults that struck");
    assert!(strikes > 200, "{strikes}");
    Ok(())
}

/// The check can fail: half an operation is committed before a crash.
pub(crate) fn commits_half_an_operation() -> crashbed::Result<()> {
    let board = Board::new();
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Linked>| {
            daemon.transaction(CheckpointResume, |tx, state| {
                if tx.crash().is_none() {
                    state.first_half(0);
                    tx.commit()?;
                    if tx.crash().is_none() {
                        Fault::Kill.strike();
                    }
                }
                Ok(())
            })?;
            check(daemon.state(), daemon.operations(), &board);
            Ok(())
        })
        .run()
}
