//! Commits by their numbers: what a ticket and a crash say of the commit that was found, where no count of operations
//! tells one from another; and what a ticket says of a commit that was refused.

use crate::refused::{SPOILT, spoil, stage};
use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::{declaration, mechanism_and_spare};
use crashbed::point::{self, Point};
use crashbed::{
    Action, Answer, Crash, Daemon, Decision, Failure, FailureKind, History, Intensity, Logged, MechanismKind, Outcome,
    RestartPolicy, Root, Scene,
};
use crashbed_policies::CheckpointResume;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;

/// What the policy was told last; how often that was the commit that was asked for last, or was to be, and how often the one
/// before it; whether the next commit is killed before it is asked for; and the number of the commit of each value.
const TOLD: usize = 0;
const LAST: usize = 1;
const BEFORE: usize = 2;
const KILLS: usize = 3;
const ASKED: usize = 4;
const NUMBERS: usize = 5;
static BOARD: OnceLock<Board> = OnceLock::new();

fn kill_before_it_is_asked_for(at: Point) {
    if at == Point::Staged
        && let Some(board) = BOARD.get()
        && board[KILLS].swap(0, SeqCst) == 1
    {
        Fault::Kill.strike();
    }
}

/// Notes which commit it was told of.
struct Told(Board, Action);

impl RestartPolicy for Told {
    fn name(&self) -> &str {
        "told"
    }
    fn decide(&self, crash: &Crash, _: &History) -> Decision {
        let Self(board, action) = self;
        board[TOLD].store(crash.commit, SeqCst);
        match board[ASKED].load(SeqCst).checked_sub(crash.commit) {
            Some(0) => board[LAST].fetch_add(1, SeqCst),
            Some(1) => board[BEFORE].fetch_add(1, SeqCst),
            _ => panic!("{} was asked for, and {} found", board[ASKED].load(SeqCst), crash.commit),
        };
        Decision::now(*action)
    }
}

/// Forty commits without an operation in between, and a crash for each: while it is in flight, before it is asked for, after
/// it was waited for. Policy, program and successor are told the number of the commit that is there.
pub(crate) fn which_commit() -> crashbed::Result<()> {
    const VALUES: u64 = 40;
    let board = *BOARD.get_or_init(Board::new);
    let number = |value: u64| &board[NUMBERS + usize::try_from(value).unwrap_or(0)];
    point::set_hook(kill_before_it_is_asked_for);
    Root::new()
        .declare(declaration().intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<Logged<u64>>| {
            for action in [Action::ProcessDecides, Action::Resume] {
                daemon.zero()?;
                (0..=VALUES).for_each(|value| number(value).store(0, SeqCst));
                // The first one makes the state, the second ends the transaction that has made it.
                number(0).store(2, SeqCst);
                let decide = |scene: &Scene<'_, Logged<u64>>| {
                    let (found, told) = (scene.crash().commit, board[TOLD].load(SeqCst));
                    assert_eq!((found, found), (told, number(**scene.commit()).load(SeqCst)));
                    Answer::Resume
                };
                let outcome = daemon.prepare(Told(board, action)).on_crash(&decide).run(|tx, state| {
                    while **state < VALUES {
                        assert_eq!(tx.commit_number(), number(**state).load(SeqCst), "the commit of {state:?}");
                        let (value, crashes) = (**state + 1, tx.crashes());
                        state.set(tx, value);
                        let asked = tx.commit_number() + 1;
                        let is_new = number(value).swap(asked, SeqCst) == 0;
                        board[ASKED].store(asked, SeqCst);
                        board[KILLS].store(u64::from(is_new && value % 3 == 1), SeqCst);
                        let ticket = tx.commit_later()?;
                        assert_eq!(ticket.number(), asked);
                        if tx.crashes() == crashes && is_new {
                            if value % 3 == 2 {
                                tx.wait(ticket)?;
                                assert!(ticket.is_done(tx));
                            }
                            state.set(tx, 1000);
                            [Fault::NullWrite, Fault::Kill][usize::try_from(value)? % 2].strike();
                        }
                    }
                    Ok(tx.operations())
                })?;
                assert_eq!(outcome, Outcome::Done(0));
                let last = daemon.report().recoveries.last().map(|last| last.crash.commit);
                assert_eq!(last, Some(board[TOLD].load(SeqCst)));
            }
            assert!(board[LAST].load(SeqCst) > 0 && board[BEFORE].load(SeqCst) > 0);
            Ok(())
        })
        .run()
}

/// A commit that was refused stays so for its ticket, whoever was told first, until one is made that holds as much.
pub(crate) fn stays_refused() -> crashbed::Result<()> {
    if mechanism_and_spare().0 == MechanismKind::FullCopy {
        // It stages nothing.
        return Ok(());
    }
    let is_refused = |told: Result<(), Failure>| told.is_err_and(|told| told.kind() == FailureKind::CommitRefused);
    point::set_hook(spoil);
    Root::new()
        .declare(declaration().switches_always(false), |daemon: &mut Daemon<u64>| {
            SPOILT.store(stage(), SeqCst);
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                *state = 5;
                let ticket = tx.commit_later()?;
                assert!(is_refused(tx.commit()), "the daemon took what was spoilt");
                for _ in 0..2 {
                    assert!(ticket.is_done(tx) && is_refused(tx.wait(ticket)), "the ticket says that it was made");
                }
                let next = tx.commit_later()?;
                assert_eq!(next.number(), ticket.number() + 1);
                tx.wait(next)?;
                tx.wait(ticket)?;
                Err::<(), _>(Failure::new("after the commit"))
            })?;
            assert_eq!(SPOILT.load(SeqCst), 0, "nothing was spoilt");
            assert!(
                matches!(&outcome, Outcome::Failed(failure) if failure.message() == "after the commit"),
                "{outcome:?}"
            );
            assert_eq!(*daemon.state(), 5);
            Ok(())
        })
        .run()
}
