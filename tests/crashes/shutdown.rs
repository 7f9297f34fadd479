//! How a tree ends when it is told to, and when its root is killed.

use crate::support::fault::Fault;
use crate::support::{LIMIT, start};
use crashbed::{Daemon, Declaration, Error, Intensity, KIB, MIB, Root};
use crashbed_policies::CheckpointResume;
use std::time::{Duration, Instant};

/// Two daemons with transactions that never end, one of them crashing all the time, with threads.
pub(crate) fn endless() -> crashbed::Result<()> {
    let threads = Declaration::new("threads", MIB).threads(2, 64 * KIB);
    let ended = Root::new()
        .declare(threads, |daemon: &mut Daemon<u64>| {
            println!("up");
            daemon.transaction(CheckpointResume, |tx, _| {
                tx.threads(|scope| {
                    scope.spawn(|| std::thread::sleep(Duration::from_secs(100)))?;
                    scope.spawn(|| {
                        loop {
                            std::hint::spin_loop();
                        }
                    })
                })??;
                Ok(())
            })?;
            Ok(())
        })
        .declare(Declaration::new("crashing", MIB).intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<u64>| {
            println!("up");
            daemon.transaction(CheckpointResume, |_, _| {
                Fault::NullWrite.strike();
                Ok(())
            })?;
            Ok(())
        })
        .run();
    told(ended)
}

/// A daemon that never looks up from its own work.
pub(crate) fn deaf() -> crashbed::Result<()> {
    let ended = Root::new()
        .daemon("deaf", MIB, |_: &mut Daemon<u64>| {
            println!("up\nup");
            std::thread::sleep(Duration::from_secs(100));
            Ok(())
        })
        .run();
    told(ended)
}

fn told(ended: crashbed::Result<()>) -> crashbed::Result<()> {
    if let Err(Error::Stopped { signal }) = ended {
        println!("stopped by {signal}");
        return Ok(());
    }
    ended
}

fn is_up(out: &str) -> bool {
    out.matches("up").count() == 2
}

pub(crate) fn a_killed_root_leaves_nothing_running() {
    for pause in [0, 1, 5, 20, 50] {
        let mut tree = start("endless", "");
        tree.wait_for("that both daemons are up", is_up);
        std::thread::sleep(Duration::from_millis(pause));
        tree.signal(libc::SIGKILL);
        let ended = tree.finish(LIMIT, Duration::from_secs(2));
        assert!(!ended.status.success());
    }
}

pub(crate) fn sigterm_ends_the_tree_in_order() {
    let mut tree = start("endless", "");
    tree.wait_for("that both daemons are up", is_up);
    let told = Instant::now();
    tree.signal(libc::SIGTERM);
    let ended = tree.finish(LIMIT, Duration::ZERO);
    assert!(ended.out.contains("stopped by 15"), "{ended:#?}");
    assert!(told.elapsed() < Duration::from_secs(3), "{:?}", told.elapsed());
}

pub(crate) fn sigint_ends_a_deaf_daemon_too() {
    let mut tree = start("deaf", "");
    tree.wait_for("that the daemon is up", is_up);
    let told = Instant::now();
    tree.signal(libc::SIGINT);
    let ended = tree.finish(LIMIT, Duration::ZERO);
    assert!(ended.out.contains("stopped by 2"), "{ended:#?}");
    assert!(told.elapsed() < Duration::from_secs(15), "{:?}", told.elapsed());
}
