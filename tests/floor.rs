//! The floor leaves no trace: the state stays as committed, and nothing stays running.
//!
//! Its own `main`, since a root has one thread and the test harness has several.

use crashbed::{BareNotice, Daemon, Declaration, Error, Heap, MIB, MechanismKind, Outcome, Recoverable, Root};
use crashbed_policies::CheckpointResume;
use std::time::Duration;

// SAFETY: this program takes nothing owned out of a static or a lock that was filled before a fork.
#[global_allocator]
static HEAP: Heap = unsafe { Heap::new() };

const DEADLINE: Duration = Duration::from_millis(20);
const NOTICES: [BareNotice; 3] = [BareNotice::Signal, BareNotice::Kill, BareNotice::Heartbeat(DEADLINE)];

#[derive(Default, Recoverable)]
struct Words {
    all: Vec<String>,
}

fn main() -> crashbed::Result<()> {
    for mechanism in MechanismKind::ALL {
        let declaration = Declaration::new("words", 2 * MIB).mechanism(mechanism);
        Root::new().declare(declaration, walk).run()?;
        assert!(!has_children(), "{mechanism}: the root has children left");
    }
    println!("the floor leaves the state alone and nothing running");
    Ok(())
}

/// All laps of one daemon, between two transactions.
fn walk(daemon: &mut Daemon<Words>) -> crashbed::Result<()> {
    add(daemon, "first")?;
    let live_bytes = daemon.live_bytes();
    for notice in NOTICES.into_iter().cycle().take(30) {
        let lap = daemon.floor(notice, |words| {
            assert_eq!(words.all, ["first"], "the successor did not find the last commit");
            words.all[0].push_str(" changed");
            words.all.push("added".repeat(1000));
        })?;
        let least = if let BareNotice::Heartbeat(deadline) = notice { deadline } else { Duration::ZERO };
        assert!(lap.hand_over_ns > 0 && u128::from(lap.hand_over_ns) >= least.as_nanos(), "{notice:?}: {lap:?}");
        assert!(lap.recovery_ns >= lap.hand_over_ns, "{notice:?}: {lap:?}");
        assert!(lap.recovery_ns < 5_000_000_000, "{notice:?}: {lap:?}");
        assert!(daemon.state().all == ["first"], "{notice:?}: the state has changed");
        assert_eq!(daemon.live_bytes(), live_bytes, "{notice:?}: the heap has changed");
        assert!(!has_children(), "{notice:?}: a child is left");
    }
    let panicked = daemon.floor(BareNotice::Kill, |words| {
        words.all.clear();
        panic!("on purpose");
    });
    assert!(matches!(panicked, Err(Error::Floor { process: "successor", .. })), "{panicked:?}");
    let crashed = daemon.floor(BareNotice::Signal, |words| {
        words.all.clear();
        std::process::abort();
    });
    let Err(error @ Error::Floor { .. }) = crashed else { panic!("{crashed:?}") };
    assert!(error.to_string().contains("SIGABRT"), "{error}");
    assert!(!has_children(), "a child is left after a failed lap");

    add(daemon, "second")?;
    assert_eq!(daemon.state().all, ["first", "second"]);
    Ok(())
}

fn add(daemon: &mut Daemon<Words>, word: &str) -> crashbed::Result<()> {
    let outcome = daemon.transaction(CheckpointResume, |tx, words| {
        words.all.push(word.to_owned());
        tx.done();
        Ok(())
    })?;
    assert_eq!(outcome, Outcome::Done(()));
    Ok(())
}

/// Whether this process has children, running or not yet waited for.
fn has_children() -> bool {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT).is_ok()
}
