//! A crashed state that the program's own code keeps before its transaction has committed anything: the daemon puts it back
//! and commits it while the transaction waits, which began on a log that is another one then.

use crate::declaration;
use crate::kept::{State, check};
use crate::support::argument;
use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::step;
use crashbed::point::{self, Point};
use crashbed::{Answer, Answered, Daemon, Failure, Outcome, Root, Scene, Tx};
use crashbed_policies::ProcessDecides;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;

static BOARD: OnceLock<Board> = OnceLock::new();
/// The point at which the process dies that goes on with the kept state, from 1; 0 none.
const PLANNED: usize = 0;
const POINTS: [Point; 3] = [Point::Stage, Point::Staged, Point::Flipped];
/// How many instructions there are from the answer to the program's function; and after how many it dies this time.
const LENGTH: usize = 1;
const COUNT: usize = 2;
const STEPPED: usize = 3;

fn strike(at: Point) {
    let Some(board) = BOARD.get() else { return };
    let planned = usize::try_from(board[PLANNED].load(SeqCst)).unwrap_or(0);
    if planned > 0 && POINTS[planned - 1] == at {
        board[PLANNED].store(0, SeqCst);
        Fault::Kill.strike();
    }
}

/// The first crash is kept, those that follow are gone back from.
fn keep_first(scene: &Scene<'_, State>, before_the_answer: impl Fn()) -> Answer<State> {
    if scene.history().total() > 1 {
        return Answer::Resume;
    }
    let crashed = scene.crashed().expect("the crashed state");
    assert_eq!(crashed.operations(), scene.operations() + 1);
    check(scene.commit(), scene.operations());
    // SAFETY: the crash struck between two operations, and nothing wrote over the state.
    let intact = unsafe { crashed.assume_intact() }.expect("an intact state");
    before_the_answer();
    Answer::Keep(intact)
}

/// Operations up to a multiple of four, each with a commit; the first one crashes before anything is committed.
fn work(tx: &mut Tx<'_>, state: &mut State) -> Result<Vec<u64>, Failure> {
    loop {
        check(state, tx.operations());
        let n = tx.operations();
        state.list.push(tx, n);
        drop(tx.replace(&mut state.text, Some(vec![n.to_le_bytes()[0]; 5000].into())));
        tx.done();
        if tx.crashes() == 0 {
            Fault::NullWrite.strike();
        }
        // A block that is free twice is handed out twice.
        let blocks: Vec<Vec<usize>> = (1..40).map(|i| vec![i; 16 * i]).collect();
        assert!(blocks.iter().zip(1..).all(|(block, i)| block.iter().all(|word| *word == i)), "blocks overlap");
        drop(blocks);
        tx.commit()?;
        if tx.operations().is_multiple_of(4) {
            // The next transaction's first act is to release it.
            return Ok(vec![n; 100]);
        }
    }
}

fn done(daemon: &Daemon<State>, outcome: &Outcome<Vec<u64>>) {
    let operations = daemon.operations();
    assert_eq!(*outcome, Outcome::Done(vec![operations - 1; 100]));
    assert!(operations.is_multiple_of(4));
    check(daemon.state(), operations);
    assert_eq!(daemon.restarts(), 0, "the daemon died of it: {:?}", daemon.crash());
}

/// What a crash leaves of it that follows: in the program's function, or in the first commit, wherever in it. With as many
/// older commits, and looked at for writes that were not declared, as the argument says.
pub(crate) fn keeps_before_its_first_commit() -> crashbed::Result<()> {
    let argument = argument();
    let (kept, check_declared) = argument.split_once(' ').expect("KEPT CHECKED");
    let declaration = declaration()
        .kept_commits(kept.parse().expect("a number"))
        .check_declared(check_declared.parse().expect("true or false"));
    let board = *BOARD.get_or_init(Board::new);
    point::set_hook(strike);
    Root::new()
        .declare(declaration, |daemon: &mut Daemon<State>| {
            let mut live = Vec::new();
            for round in 0..24 {
                let planned = round % (POINTS.len() as u64 + 1);
                let keep = |scene: &Scene<'_, State>| keep_first(scene, || board[PLANNED].store(planned, SeqCst));
                let outcome = daemon.prepare(ProcessDecides).on_crash(&keep).run(|tx, state| {
                    if planned == 0 && tx.crashes() == 1 {
                        // What was kept is the last commit, and is gone back to.
                        check(state, tx.operations());
                        state.list.replace(tx, vec![7; 3000]);
                        drop(tx.replace(&mut state.text, None));
                        Fault::NullWrite.strike();
                    }
                    work(tx, state)
                })?;
                done(daemon, &outcome);
                assert_eq!(daemon.operations(), 4 * (round + 1));
                let answered: Vec<_> = daemon.report().recoveries.iter().map(|recovery| recovery.answered).collect();
                assert_eq!(answered, [Some(Answered::Keep), Some(Answered::Resume)], "round {round}");
                live.push(daemon.live_bytes());
            }
            // The list grows by doubling; the rest is as it was.
            assert!(live[23].abs_diff(live[3]) < 2000, "{live:?}");
            Ok(())
        })
        .run()
}

/// Killed at one instruction after the other from the answer on, until the program's function has its state.
pub(crate) fn dies_after_its_answer() -> crashbed::Result<()> {
    const ROUNDS: u64 = 24;
    let board = Board::new();
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<State>| {
            for round in 0..=ROUNDS {
                // The first round finds out how many there are.
                let count = if round == 0 { u64::MAX } else { board[LENGTH].load(SeqCst) * (round - 1) / ROUNDS };
                board[COUNT].store(count, SeqCst);
                let keep = |scene: &Scene<'_, State>| {
                    keep_first(scene, || {
                        board[STEPPED].store(1, SeqCst);
                        step::begin(board[COUNT].load(SeqCst));
                    })
                };
                let outcome = daemon.prepare(ProcessDecides).on_crash(&keep).run(|tx, state| {
                    if tx.crashes() == 1 && board[STEPPED].swap(0, SeqCst) == 1 {
                        board[LENGTH].fetch_max(step::end(), SeqCst);
                    }
                    work(tx, state)
                })?;
                done(daemon, &outcome);
                assert!(daemon.report().crashes <= 2, "{:?}", daemon.report());
                board[STEPPED + 1].fetch_add(daemon.report().crashes - 1, SeqCst);
            }
            let (length, killed) = (board[LENGTH].load(SeqCst), board[STEPPED + 1].load(SeqCst));
            println!("{killed} killed, of {length} instructions");
            assert!(length > 200 && killed >= ROUNDS / 2, "{killed} killed, of {length} instructions");
            Ok(())
        })
        .run()
}
