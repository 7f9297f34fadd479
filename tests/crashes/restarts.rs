//! How often and when a transaction is made again.

use crate::support::board::Board;
use crate::support::declaration;
use crate::support::fault::Fault;
use crashbed::{Action, Crash, Daemon, Decision, History, Intensity, Outcome, RestartPolicy, Root};
use crashbed_policies::CheckpointResume;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Whatever the policy says, one crash more than the limit ends it; the last commit stands.
pub(crate) fn intensity() -> crashbed::Result<()> {
    let board = Board::new();
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<u64>| {
            for restarts in [0, 1, 7] {
                board[0].store(0, SeqCst);
                let before = *daemon.state();
                let limit = Intensity { restarts, within: Duration::from_secs(60) };
                let outcome = daemon.prepare(CheckpointResume).intensity(limit).run(|_, state| {
                    board[0].fetch_add(1, SeqCst);
                    *state += 1;
                    Fault::NullWrite.strike();
                    Ok(())
                })?;
                assert!(matches!(outcome, Outcome::GaveUp(_)), "{outcome:?}");
                assert_eq!(board[0].load(SeqCst), restarts as u64 + 1);
                assert_eq!(*daemon.state(), before);
            }
            // Slowly enough, no number of crashes is too many.
            let limit = Intensity { restarts: 1, within: Duration::from_millis(1) };
            let outcome = daemon.prepare(Patient).intensity(limit).run(|tx, _| {
                if tx.crashes() < 6 {
                    Fault::Kill.strike();
                }
                Ok(tx.crashes())
            })?;
            assert_eq!(outcome, Outcome::Done(6));
            Ok(())
        })
        .run()
}

/// Waits ten milliseconds before each new attempt.
struct Patient;

impl RestartPolicy for Patient {
    fn name(&self) -> &str {
        "patient"
    }
    fn decide(&self, _: &Crash, _: &History) -> Decision {
        Decision::after(Duration::from_millis(10), Action::Resume)
    }
}

/// A delay passes between crash and successor, and is no part of the daemon's heartbeat; daemons wait as well.
pub(crate) fn delay() -> crashbed::Result<()> {
    struct Slow;
    impl RestartPolicy for Slow {
        fn name(&self) -> &str {
            "slow"
        }
        fn decide(&self, _: &Crash, history: &History) -> Decision {
            Decision::after(Duration::from_millis(200 * history.total()), Action::Resume)
        }
    }
    let began = Instant::now();
    Root::new()
        .declare(declaration().heartbeat(Duration::from_millis(100)).policy(Slow), |daemon: &mut Daemon<u64>| {
            if daemon.restarts() == 0 {
                let outcome = daemon.transaction(Slow, |tx, _| {
                    if tx.crashes() < 2 {
                        Fault::NullWrite.strike();
                    }
                    Ok(())
                })?;
                assert_eq!(outcome, Outcome::Done(()));
                for (recovery, wait) in daemon.report().recoveries.iter().zip([200_000_000, 400_000_000]) {
                    let waited = recovery.started_ns - recovery.decided_ns;
                    assert!(waited >= wait, "{waited}");
                }
                Fault::NullWrite.strike();
            }
            Ok(())
        })
        .run()?;
    assert!(began.elapsed() >= Duration::from_millis(800), "{:?}", began.elapsed());
    Ok(())
}

/// Each incarnation has a number that none had before, over transactions and over the daemon's own crashes; random
/// numbers that are seeded with it do not repeat.
pub(crate) fn incarnations() -> crashbed::Result<()> {
    let board = Board::new();
    let seen = |number: u64| {
        let earlier =
            (1..=board[0].load(SeqCst)).any(|i| board[usize::try_from(i).unwrap_or(0)].load(SeqCst) == number);
        assert!(!earlier, "incarnation {number} was there before");
        let slot = board[0].fetch_add(1, SeqCst) + 1;
        board[usize::try_from(slot).unwrap_or(0)].store(number, SeqCst);
    };
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<u64>| {
            for _ in 0..5 {
                let outcome = daemon.transaction(CheckpointResume, |tx, _| {
                    seen(tx.incarnation());
                    if tx.crashes() < 3 {
                        Fault::Kill.strike();
                    }
                    Ok(())
                })?;
                assert_eq!(outcome, Outcome::Done(()));
            }
            if daemon.restarts() < 3 {
                Fault::Kill.strike();
            }
            Ok(())
        })
        .run()?;
    assert_eq!(board[0].load(SeqCst), 4 * 5 * 4);
    Ok(())
}
