//! What the program's own code may do around a transaction without hurting the tree.

use crate::support::declaration;
use crate::support::fault::Fault;
use crashbed::{Answer, Crash, Daemon, Decision, Error, History, MIB, Outcome, RestartPolicy, Root};
use crashbed_policies::{CheckpointResume, ProcessDecides};
use std::sync::LazyLock;
use std::time::Duration;

/// Panics when it is asked.
struct Panics;

impl RestartPolicy for Panics {
    fn name(&self) -> &str {
        "panics"
    }
    fn decide(&self, _: &Crash, _: &History) -> Decision {
        panic!("a policy of the program's own")
    }
}

/// A policy that panics has given up: the transaction's crash is told and its state is the last commit; a daemon's
/// ends that daemon and no other.
pub(crate) fn policy_that_panics() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<u64>| {
            let outcome = daemon.transaction(Panics, |tx, state| {
                *state = 7;
                tx.commit()?;
                *state = 666;
                Fault::NullWrite.strike();
                Ok(())
            })?;
            assert!(matches!(outcome, Outcome::GaveUp(_)), "{outcome:?}");
            assert_eq!(*daemon.state(), 7);
            Ok(())
        })
        .run()?;
    let ended = Root::new()
        .declare(declaration().policy(Panics), |_: &mut Daemon<u64>| {
            Fault::NullWrite.strike();
            Ok(())
        })
        .daemon("other", MIB, |daemon: &mut Daemon<u64>| {
            let outcome = daemon.transaction(CheckpointResume, |_, state| {
                *state += 1;
                Ok(*state)
            })?;
            assert_eq!(outcome, Outcome::Done(1));
            Ok(())
        })
        .run();
    assert!(matches!(ended, Err(Error::DaemonGaveUp { .. })), "{ended:?}");
    Ok(())
}

/// A daemon that exits before its closure has returned has crashed, whatever its status.
pub(crate) fn daemon_that_exits() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<u64>| {
            if daemon.restarts() == 0 {
                std::process::exit(0);
            }
            assert!(daemon.crash().is_some());
            Ok(())
        })
        .run()
}

static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| (0..50).map(|n| format!("word {n}")).collect());
static OTHER_WORDS: LazyLock<Vec<String>> = LazyLock::new(|| (0..50).map(|n| format!("other {n}")).collect());

/// A static that initialises itself inside scratch, or while the program decides, is still whole afterwards.
pub(crate) fn statics() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Vec<String>>| {
            let decided = |_: &crashbed::Scene<'_, Vec<String>>| {
                assert_eq!(OTHER_WORDS.len(), 50);
                Answer::Zero
            };
            let outcome = daemon.prepare(ProcessDecides).on_crash(&decided).run(|tx, state| {
                let count = tx.scratch(|| WORDS.len());
                // Whatever scratch and region hand out next must not be the static's.
                let filled = tx.scratch(|| vec!["x".repeat(100); 200]);
                state.extend(filled);
                assert_eq!((count, WORDS[49].as_str()), (50, "word 49"));
                if tx.crash().is_none() {
                    Fault::NullWrite.strike();
                }
                assert_eq!(OTHER_WORDS[49], "other 49");
                Ok(state.len())
            })?;
            assert_eq!(outcome, Outcome::Done(200));
            Ok(())
        })
        .run()
}

/// A transaction reads another daemon's commit.
pub(crate) fn read_in_a_transaction() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<u64>| {
            let peer = daemon.peer::<u64>("peer")?;
            let until = std::time::Instant::now() + Duration::from_secs(10);
            loop {
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    *state = tx.read(&peer, Duration::from_secs(5), |theirs| *theirs)?;
                    Ok(*state)
                })?;
                if outcome == Outcome::Done(42) {
                    return Ok(());
                }
                assert!(std::time::Instant::now() < until, "{outcome:?}");
            }
        })
        .daemon("peer", MIB, |daemon: &mut Daemon<u64>| {
            daemon.transaction(CheckpointResume, |_, state| {
                *state = 42;
                Ok(())
            })?;
            Ok(())
        })
        .run()
}
