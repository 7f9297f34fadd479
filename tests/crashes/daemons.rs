//! Daemons that crash: made again by the root, in the middle of anything.

use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::state::Linked;
use crate::support::{declaration, mechanism_and_spare};
use crashbed::point::{self, Point};
use crashbed::{Daemon, Error, Intensity, MIB, Outcome, Root, Spare};
use crashbed_policies::{CheckpointResume, ZeroState};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

fn ten_operations(daemon: &mut Daemon<Linked>) -> crashbed::Result<()> {
    let outcome = daemon.transaction(CheckpointResume, |tx, state| {
        for _ in 0..10 {
            state.operate(tx.operations());
            tx.done();
        }
        Ok(())
    })?;
    assert_eq!(outcome, Outcome::Done(()));
    Ok(())
}

/// Under resume a daemon finds its last commit again, under zero an empty state; both see the crash.
pub(crate) fn daemon_policies() -> crashbed::Result<()> {
    let life = |kept: u64| {
        move |daemon: &mut Daemon<Linked>| {
            assert_eq!(daemon.operations(), kept * daemon.restarts());
            assert_eq!(*daemon.state(), Linked::after(kept * daemon.restarts()));
            assert_eq!(daemon.crash().is_some(), daemon.restarts() > 0);
            if daemon.restarts() == 3 {
                return Ok(());
            }
            ten_operations(daemon)?;
            assert!(daemon.crash().is_none_or(|crash| crash.cause.signal() == Some(libc::SIGILL)));
            Fault::Illegal.strike();
            Ok(())
        }
    };
    Root::new().declare(declaration(), life(10)).run()?;
    Root::new().declare(declaration().policy(ZeroState), life(0)).run()
}

/// The root gives a daemon up by its intensity, says so, and lets the others end their work.
pub(crate) fn daemon_given_up() -> crashbed::Result<()> {
    let board = Board::new();
    let intensity = Intensity { restarts: 4, within: Duration::from_secs(60) };
    let ended = Root::new()
        .declare(declaration().intensity(intensity), |_: &mut Daemon<u64>| {
            board[0].fetch_add(1, SeqCst);
            Fault::NullWrite.strike();
            Ok(())
        })
        .daemon("other", MIB, |daemon: &mut Daemon<u64>| {
            while board[0].load(SeqCst) < 5 {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(100));
            board[1].store(1, SeqCst);
            assert_eq!(*daemon.state(), 0);
            Ok(())
        })
        .run();
    match ended {
        Err(Error::DaemonGaveUp { daemon, restarts: 4, crash }) if daemon == "d" => {
            assert_eq!(crash.cause.signal(), Some(libc::SIGSEGV));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((board[0].load(SeqCst), board[1].load(SeqCst)), (5, 1));
    Ok(())
}

static BOARD: OnceLock<Board> = OnceLock::new();
const ARMED: usize = 0;
const WHICH: usize = 1;
const PASSES: usize = 2;
const BEGUN: usize = 3;
const PLACES: [Point; 7] =
    [Point::Restore, Point::Stage, Point::Staged, Point::Log, Point::Apply, Point::Acknowledge, Point::DaemonRestore];

fn kill_at_the_point(at: Point) {
    let Some(board) = BOARD.get() else { return };
    let which = usize::try_from(board[WHICH].load(SeqCst)).unwrap_or(0);
    if board[ARMED].load(SeqCst) == 1 && PLACES[which] == at && board[PASSES].fetch_sub(1, SeqCst) == 0 {
        board[ARMED].store(0, SeqCst);
        Fault::Kill.strike();
    }
}

/// Killed at each point, the first eight times that it is passed, a tree goes on with a whole commit: the one before
/// or the one under way, none of which is lost once it was acknowledged. The result arrives once, of the work as done.
pub(crate) fn points() -> crashbed::Result<()> {
    let board = *BOARD.get_or_init(Board::new);
    point::set_hook(kill_at_the_point);
    let plans: Vec<(usize, u64)> =
        (0..8).flat_map(|passes| (0..PLACES.len()).map(move |place| (place, passes))).collect();
    const ACKNOWLEDGED: usize = 4;
    Root::new()
        .declare(declaration().intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<Linked>| {
            loop {
                let at = daemon.operations();
                assert!(at >= board[ACKNOWLEDGED].load(SeqCst), "a commit was lost");
                assert_eq!(*daemon.state(), Linked::after(at));
                let begun = board[BEGUN].load(SeqCst);
                let Some(&(place, passes)) = plans.get(usize::try_from(begun).unwrap_or(0)) else { return Ok(()) };
                board[BEGUN].store(begun + 1, SeqCst);
                board[WHICH].store(place as u64, SeqCst);
                board[PASSES].store(passes, SeqCst);
                board[ARMED].store(1, SeqCst);
                let to = at + 8;
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    while tx.operations() < to {
                        // Each life of it but the last crashes, so that there is something to restore.
                        if tx.crashes() < 8 && tx.operations() == at + tx.crashes() {
                            Fault::NullWrite.strike();
                        }
                        let n = tx.operations();
                        assert_eq!(*state, Linked::after(n));
                        state.operate(n);
                        tx.done();
                        tx.commit()?;
                        board[ACKNOWLEDGED].fetch_max(n + 1, SeqCst);
                    }
                    Ok(format!("at {to}"))
                })?;
                assert_eq!(outcome, Outcome::Done(format!("at {to}")));
                assert_eq!(daemon.operations(), to);
                let never = board[ARMED].swap(0, SeqCst) != 0;
                // A spare that takes over by itself leaves the daemon nothing to restore.
                let may_be = PLACES[place] == Point::DaemonRestore && mechanism_and_spare().1 != Spare::Cold;
                assert!(!never || may_be, "{:?} was never passed {passes} times", PLACES[place]);
            }
        })
        .run()
}

/// When the root itself can go on no more, it says why, and ends what runs.
pub(crate) fn out_of_descriptors() -> crashbed::Result<()> {
    let board = Board::new();
    let root = std::process::id().cast_signed();
    let ended = Root::new()
        .declare(declaration(), move |_: &mut Daemon<u64>| {
            // Only when the root has forked and followed both daemons.
            while board[0].load(SeqCst) == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            // Below what the root has open: the next pidfd is one too many.
            let limit = libc::rlimit { rlim_cur: 8, rlim_max: 1024 };
            // SAFETY: the new limit is readable, and the old one is not asked for.
            let set = unsafe { libc::prlimit(root, libc::RLIMIT_NOFILE, &raw const limit, std::ptr::null_mut()) };
            assert_eq!(set, 0, "prlimit");
            Fault::Kill.strike();
            Ok(())
        })
        .daemon("lasting", MIB, |daemon: &mut Daemon<u64>| {
            daemon.transaction(CheckpointResume, |_, _| {
                board[0].store(1, SeqCst);
                std::thread::sleep(Duration::from_secs(30));
                Ok(())
            })?;
            Ok(())
        })
        .run();
    match ended {
        Err(Error::System { what, .. }) => assert!(what.contains("daemon `d`"), "{what}"),
        other => panic!("{other:?}"),
    }
    // SAFETY: a null status pointer is allowed.
    assert_eq!(unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) }, -1, "something was left running");
    Ok(())
}

/// A program may be started with SIGCHLD ignored, by which children are reaped by themselves.
pub(crate) fn children_are_ignored() -> crashbed::Result<()> {
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Linked>| {
            if daemon.restarts() == 0 {
                ten_operations(daemon)?;
                Fault::NullWrite.strike();
            }
            assert_eq!(*daemon.state(), Linked::after(10));
            Ok(())
        })
        .run()
}
