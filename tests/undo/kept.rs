//! A crashed state that is kept instead of gone back from.

use crate::declaration;
use crate::support::board::Board;
use crate::support::fault::Fault;
use crashbed::point::{self, Point};
use crashbed::{
    Action, Answer, Answered, Crash, Daemon, Decision, Guarded, History, LoggedVec, Outcome, Recoverable,
    RestartPolicy, Root, Scene, Tx,
};
use crashbed_policies::{CheckpointResume, ProcessDecides};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;

#[derive(Default, Recoverable)]
pub(crate) struct State {
    pub(crate) list: LoggedVec<u64>,
    pub(crate) text: Option<Box<[u8]>>,
}

// SAFETY: every change below is made under a guard, or in a transaction that does not keep anything.
unsafe impl Guarded for State {}

/// Three operations, of which the first is committed; each releases the block of the one before.
fn work(tx: &mut Tx<'_>, state: &mut State) -> Result<u64, crashbed::Failure> {
    let began = tx.operations() % 3;
    loop {
        let n = tx.operations();
        {
            let _change = tx.change();
            state.list.push(tx, n);
            drop(tx.replace(&mut state.text, Some(vec![n.to_le_bytes()[0]; 5000].into())));
        }
        tx.done();
        match n % 3 {
            0 => tx.commit()?,
            1 if tx.crash().is_none() => Fault::NullWrite.strike(),
            _ => {}
        }
        if tx.operations().is_multiple_of(3) {
            return Ok(began);
        }
    }
}

/// Whether this is what so many operations make, each of which adds its number and releases the text of the one before.
pub(crate) fn check(state: &State, operations: u64) {
    assert_eq!(*state.list, *(0..operations).collect::<Vec<_>>());
    let last = operations.checked_sub(1).map(|n| vec![n.to_le_bytes()[0]; 5000].into_boxed_slice());
    assert_eq!(state.text, last);
}

fn keep(scene: &Scene<'_, State>) -> Answer<State> {
    let crashed = scene.crashed().expect("the crashed state");
    assert_eq!((scene.operations() % 3, crashed.operations() % 3), (1, 2));
    check(scene.commit(), scene.operations());
    // SAFETY: the crash struck between two operations, and nothing wrote over the state.
    match unsafe { crashed.assume_intact() } {
        Ok(intact) => Answer::Keep(intact),
        Err(damaged) => panic!("{damaged}"),
    }
}

/// The program's own code reads the crashed state, and keeps it. What was released in it does not leak.
pub(crate) fn keeps_by_its_own_code() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<State>| {
            let mut live = Vec::new();
            for round in 1..=30 {
                let outcome = daemon.prepare(ProcessDecides).on_crash(&keep).run(work)?;
                assert_eq!(outcome, Outcome::Done(2), "round {round}");
                assert_eq!(daemon.report().recoveries[0].answered, Some(Answered::Keep));
                check(daemon.state(), 3 * round);
                live.push(daemon.live_bytes());
            }
            // The list grows by doubling; the rest is as it was.
            assert!(live[29] - live[3] < 2000, "{live:?}");
            Ok(())
        })
        .run()
}

static BOARD: OnceLock<Board> = OnceLock::new();
const TO_DIE: usize = 0;

fn die(at: Point) {
    let to_die = || BOARD.get().map(|board| &board[TO_DIE]).filter(|left| left.load(SeqCst) > 0);
    if at == Point::DaemonRestore
        && let Some(left) = to_die()
        && left.fetch_sub(1, SeqCst) <= 3
    {
        Fault::Kill.strike();
    }
}

/// The daemon dies while it restores, while it puts the crashed state back, and while its successor does.
pub(crate) fn keeps_while_daemons_die() -> crashbed::Result<()> {
    let board = *BOARD.get_or_init(Board::new);
    point::set_hook(die);
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<State>| {
            const ROUND: usize = 1;
            while board[ROUND].load(SeqCst) < 12 {
                let round = board[ROUND].fetch_add(1, SeqCst);
                let operations = daemon.operations();
                check(daemon.state(), operations);
                board[TO_DIE].store(3 + round % 4, SeqCst);
                let outcome = daemon.prepare(ProcessDecides).on_crash(&keep).run(work)?;
                assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
                check(daemon.state(), daemon.operations());
            }
            board[TO_DIE].store(0, SeqCst);
            assert!(daemon.restarts() >= 6, "{}", daemon.restarts());
            Ok(())
        })
        .run()
}

struct KeepIfIntact;

impl RestartPolicy for KeepIfIntact {
    fn name(&self) -> &str {
        "keep-if-intact"
    }
    fn decide(&self, _: &Crash, _: &History) -> Decision {
        Decision::now(Action::KeepIfIntact)
    }
}

/// Kept where the crash struck outside of a change, else gone back from.
pub(crate) fn keeps_if_intact() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<State>| {
            let mut live = Vec::new();
            for round in 1..=30 {
                let outcome = daemon.prepare(KeepIfIntact).keep_if_intact().run(work)?;
                assert_eq!(outcome, Outcome::Done(2), "round {round}");
                assert!(daemon.report().recoveries[0].kept);
                check(daemon.state(), 3 * round);
                live.push(daemon.live_bytes());
            }
            assert!(live[29] - live[3] < 2000, "{live:?}");
            let outcome = daemon.prepare(KeepIfIntact).keep_if_intact().run(|tx, state| {
                if tx.crash().is_none() {
                    let _change = tx.change();
                    state.list.truncate(tx, 5);
                    Fault::Kill.strike();
                }
                Ok(())
            })?;
            assert_eq!((outcome, daemon.report().recoveries[0].kept), (Outcome::Done(()), false));
            check(daemon.state(), 90);
            let outcome = daemon.transaction(CheckpointResume, work)?;
            assert_eq!(outcome, Outcome::Done(1));
            check(daemon.state(), 93);
            Ok(())
        })
        .run()
}
