//! What a policy decides beyond zero, resume and asking: skipping, older commits, the daemon, and what is told of it.
//! Keeping a crashed state is in `kept.rs`, changed environments in `environments.rs`.

use crate::support::board::Board;
use crate::support::declaration;
use crate::support::fault::Fault;
use crate::support::state::Linked;
use crashbed::point::{self, Point};
use crashbed::{
    Action, Answer, Cause, Crash, Daemon, Decision, Environment, Error, History, Intensity, Outcome, Phase,
    RestartPolicy, Root,
};
use crashbed_policies::{Escalation, OlderCommit, Quarantine};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Answers the crashes of a transaction by these decisions, one after the other; then gives up.
pub(crate) struct Script(pub(crate) Vec<Decision>);

impl RestartPolicy for Script {
    fn name(&self) -> &str {
        "script"
    }
    fn decide(&self, _: &Crash, history: &History) -> Decision {
        let nth = usize::try_from(history.total()).unwrap_or(0);
        self.0.get(nth - 1).copied().unwrap_or(Decision::now(Action::GiveUp))
    }
}

/// Twenty operations with a commit after ten, of which number 13 always crashes where it is not skipped.
fn meet_poison(
    daemon: &mut Daemon<Linked>,
    policy: impl RestartPolicy,
    asks_for_skips: bool,
) -> crashbed::Result<Outcome<u64>> {
    daemon.zero()?;
    daemon.transaction(policy, |tx, state| {
        while tx.operations() < 20 {
            let n = tx.operations();
            if !(asks_for_skips && tx.skips(n)) {
                if n == 13 {
                    Fault::NullWrite.strike();
                }
                state.operate(n);
            }
            tx.done();
            if n == 9 {
                tx.commit()?;
            }
        }
        Ok(tx.crashes())
    })
}

/// The actions of the newest transaction's recoveries.
fn actions<S: crashbed::Recoverable + Default>(daemon: &Daemon<S>) -> Vec<Action> {
    daemon.report().recoveries.iter().map(|recovery| recovery.decision.action).collect()
}

/// An operation that crashes twice is skipped, at once or after a delay; one that crashes all the same is given up.
pub(crate) fn skip() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Linked>| {
            let mut skipped = Linked::default();
            (0..20).filter(|n| *n != 13).for_each(|n| skipped.operate(n));

            assert_eq!(meet_poison(daemon, Quarantine::default(), true)?, Outcome::Done(2));
            assert_eq!((actions(daemon), daemon.operations()), (vec![Action::Resume, Action::Skip], 20));
            assert_eq!(*daemon.state(), skipped);
            let resumed = |daemon: &Daemon<Linked>| daemon.report().recoveries.last().map(|r| r.resumed_operations);
            assert_eq!(resumed(daemon), Some(Some(10)));

            let wait = Duration::from_millis(30);
            let late = Script(vec![Decision::after(wait, Action::Skip)]);
            assert_eq!(meet_poison(daemon, late, true)?, Outcome::Done(1));
            assert_eq!(*daemon.state(), skipped);
            let recovery = daemon.report().recoveries[0];
            assert!(Duration::from_nanos(recovery.restored_ns - recovery.decided_ns) >= wait, "{recovery:?}");

            let outcome = meet_poison(daemon, Quarantine::default(), false)?;
            let Outcome::GaveUp(crash) = outcome else { panic!("{outcome:?}") };
            assert_eq!((crash.operation, daemon.report().crashes), (13, 3));
            assert_eq!(*daemon.state(), Linked::after(10));
            Ok(())
        })
        .run()
}

/// A fault that the last commit holds already is left behind by going back further.
pub(crate) fn older() -> crashbed::Result<()> {
    let board = Board::new();
    Root::new()
        .declare(declaration().kept_commits(3), |daemon: &mut Daemon<Vec<u64>>| {
            let outcome = daemon.transaction(OlderCommit::default(), |tx, state| {
                while tx.operations() < 20 {
                    let n = tx.operations();
                    assert_eq!(state.len() as u64, n);
                    // Damaged, once, long before that matters.
                    let damaged = n == 7 && board[0].fetch_add(1, SeqCst) == 0;
                    if n == 13 && state.contains(&666) {
                        Fault::NullWrite.strike();
                    }
                    state.push(if damaged { 666 } else { n });
                    tx.done();
                    if n % 5 == 4 {
                        tx.commit()?;
                    }
                }
                Ok(tx.crashes())
            })?;
            assert_eq!(outcome, Outcome::Done(2));
            assert_eq!(actions(daemon), [Action::Resume, Action::Older(1)]);
            let resumed: Vec<_> = daemon.report().recoveries.iter().map(|r| r.resumed_operations).collect();
            assert_eq!(resumed, [Some(10), Some(5)]);
            assert_eq!(*daemon.state(), (0..20).collect::<Vec<u64>>());
            Ok(())
        })
        .run()
}

/// A policy has the daemon made again: its closure is called anew on the last commit, and the transaction that follows
/// knows of no crash. When that never stops, the root gives the daemon up by its intensity.
pub(crate) fn restart_daemon() -> crashbed::Result<()> {
    const LIVES: usize = 0;
    const CRASHES: usize = 1;
    let board = Board::new();
    let policy = Escalation { resumes: 1, older: 0, zeros: 0, ..Escalation::default() };
    let intensity = Intensity { restarts: 3, within: Duration::from_secs(600) };
    let ended = Root::new()
        .declare(declaration().intensity(intensity), |daemon: &mut Daemon<Linked>| {
            assert_eq!(board[LIVES].fetch_add(1, SeqCst), daemon.restarts());
            let kept = if daemon.restarts() == 0 { 0 } else { 10 };
            assert_eq!((daemon.operations(), daemon.state()), (kept, &Linked::after(kept)));
            if let Some(crash) = daemon.crash() {
                assert_eq!(crash.cause, Cause::Exited { status: 75 });
                assert_eq!((crash.operation, crash.committed_operations), (10, 10));
            }
            daemon.prepare(policy).intensity(Intensity::UNLIMITED).run(|tx, state| {
                while tx.operations() < 10 {
                    state.operate(tx.operations());
                    tx.done();
                }
                tx.commit()?;
                // The history began with this daemon.
                assert!(tx.crashes() < 2);
                board[CRASHES].fetch_add(1, SeqCst);
                Fault::NullWrite.strike();
                Ok(())
            })?;
            panic!("the daemon is made again while its transaction runs");
        })
        .run();
    match ended {
        Err(Error::DaemonGaveUp { restarts: 3, crash, .. }) => assert_eq!(crash.cause, Cause::Exited { status: 75 }),
        other => panic!("{other:?}"),
    }
    assert_eq!((board[LIVES].load(SeqCst), board[CRASHES].load(SeqCst)), (4, 8));
    Ok(())
}

/// A daemon that is supervised by the same ladder as its transactions is made anew, and given up in the end.
pub(crate) fn escalation() -> crashbed::Result<()> {
    let board = Board::new();
    let ladder = Escalation { resumes: 1, older: 1, zeros: 1, daemons: 1, ..Escalation::default() };
    let declaration = declaration().kept_commits(1).policy(ladder).intensity(Intensity::UNLIMITED);
    let ended = Root::new()
        .declare(declaration, |daemon: &mut Daemon<Linked>| {
            let life = board[0].fetch_add(1, SeqCst);
            // Its rungs: resume, an older commit (which is none of the root's), zero, the daemon (likewise). The
            // transaction before it has started over itself, and come to operation 10 again.
            let begins_with = if matches!(life, 0 | 3) { 0 } else { 10 };
            assert_eq!((daemon.operations(), daemon.state()), (begins_with, &Linked::after(begins_with)), "{life}");
            daemon.transaction(ladder, |tx, state| {
                while tx.operations() < 10 {
                    state.operate(tx.operations());
                    tx.done();
                }
                tx.commit()?;
                board[1].fetch_add(1, SeqCst);
                Fault::NullWrite.strike();
                Ok(())
            })?;
            panic!("the daemon is made again while its transaction runs");
        })
        .run();
    assert!(matches!(ended, Err(Error::DaemonGaveUp { restarts: 4, .. })), "{ended:?}");
    // Five lives, in each a resume, an older commit, a zero, and the crash that ends it.
    assert_eq!((board[0].load(SeqCst), board[1].load(SeqCst)), (5, 20));
    Ok(())
}

static BOARD: OnceLock<Board> = OnceLock::new();

fn kill_a_successor(at: Point) {
    let Some(board) = BOARD.get() else { return };
    if at == Point::Restore && board[0].load(SeqCst) == 1 {
        board[0].store(0, SeqCst);
        Fault::Kill.strike();
    }
}

/// A successor that is killed before it has a state was in no operation of its own: it is told as being where the last
/// commit is, so that neither operation 0 nor the one that crashed first is blamed for it.
pub(crate) fn before_the_state() -> crashbed::Result<()> {
    let board = *BOARD.get_or_init(Board::new);
    point::set_hook(kill_a_successor);
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Linked>| {
            let outcome = daemon.transaction(Quarantine::default(), |tx, state| {
                while tx.operations() < 20 {
                    let n = tx.operations();
                    assert!(!tx.skips(n));
                    if n == 13 && tx.crash().is_none() {
                        board[0].store(1, SeqCst);
                        Fault::NullWrite.strike();
                    }
                    state.operate(n);
                    tx.done();
                    if n == 9 {
                        tx.commit()?;
                    }
                }
                Ok(tx.crashes())
            })?;
            assert_eq!(outcome, Outcome::Done(2));
            let crash = daemon.report().recoveries[1].crash;
            assert_eq!((crash.phase, crash.operation, crash.committed_operations), (Phase::Starting, 10, 10));
            assert_eq!(*daemon.state(), Linked::after(20));
            Ok(())
        })
        .run()
}

/// Whoever decided, the spare or the daemon, and whoever asks, the program or the report: what is told of a crash and of
/// a decision is the same, and all of it.
pub(crate) fn told_in_full() -> crashbed::Result<()> {
    let board = Board::new();
    let wait = Duration::from_millis(3);
    let environment = |padding| Environment { padding, zeroed: true, fewer_threads: 1 };
    let decisions = vec![
        Decision::now(Action::Resume).within(environment(8)),
        Decision::after(wait, Action::Resume).within(environment(16)),
        Decision::now(Action::Zero).within(environment(24)),
        Decision::now(Action::ProcessDecides).within(environment(32)),
        Decision::after(wait, Action::ProcessDecides).within(environment(40)),
    ];
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<u64>| {
            for fault in [Fault::NullWrite, Fault::Kill] {
                let see = |scene: &crashbed::Scene<'_, u64>| {
                    let known: Vec<_> = scene.history().entries().iter().map(|entry| entry.decision).collect();
                    let all: Vec<_> = decisions.iter().map(|decision| Some(*decision)).collect();
                    assert_eq!(known, all[..known.len()]);
                    Answer::Resume
                };
                let outcome = daemon.prepare(Script(decisions.clone())).on_crash(&see).run(|tx, _| {
                    let at = usize::try_from(tx.crashes())? * 2;
                    if let Some(crash) = tx.crash() {
                        board[at].store(crash.operation, SeqCst);
                        board[at + 1].store(crash.committed_operations, SeqCst);
                    }
                    if tx.crashes() < 5 {
                        tx.done();
                        tx.commit()?;
                        tx.done();
                        // Some spares are ready by then, others are not.
                        std::thread::sleep(Duration::from_millis(tx.crashes()));
                        fault.strike();
                    }
                    Ok(())
                })?;
                assert_eq!(outcome, Outcome::Done(()));
                let recoveries = &daemon.report().recoveries;
                let told: Vec<_> = recoveries.iter().map(|recovery| recovery.decision).collect();
                assert_eq!(told, decisions);
                for (i, recovery) in recoveries.iter().enumerate() {
                    let told = [board[2 * i + 2].load(SeqCst), board[2 * i + 3].load(SeqCst)];
                    let crash = recovery.crash;
                    assert_eq!(told, [crash.operation, crash.committed_operations], "crash {i}");
                    assert_eq!(crash.operation, crash.committed_operations + 1);
                }
                daemon.zero()?;
            }
            Ok(())
        })
        .run()
}

/// What the last commit has as free memory, the commit before has in use: its bytes come back.
pub(crate) fn older_with_holes() -> crashbed::Result<()> {
    const BLOCKS: u8 = 64;
    let block = |byte: u8| vec![byte; 3 * 4096];
    Root::new()
        .declare(declaration().kept_commits(1), |daemon: &mut Daemon<Vec<Vec<u8>>>| {
            let outcome = daemon.transaction(Script(vec![Decision::now(Action::Older(1))]), |tx, blocks| {
                if tx.crash().is_some() {
                    return Ok(blocks.iter().zip(0..).filter(|(held, byte)| **held == block(*byte)).count() as u64);
                }
                blocks.extend((0..BLOCKS).map(block));
                tx.commit()?;
                // All of them are released, and their memory is written over and is free again when it is committed.
                blocks.clear();
                drop((0..BLOCKS).map(|_| block(0xff)).collect::<Vec<_>>());
                tx.commit()?;
                Fault::NullWrite.strike();
                Ok(0)
            })?;
            assert_eq!(outcome, Outcome::Done(u64::from(BLOCKS)));
            Ok(())
        })
        .run()
}
