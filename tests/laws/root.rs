//! Law 1: the root never crashes because something below it crashed, and has one thread.

use crate::support::board::Board;
use crate::support::fault::{self, Fault};
use crate::support::{mechanism_and_spare, state::Linked};
use crashbed::{Daemon, Declaration, Error, Heap, Intensity, MIB, Outcome, Root};
use crashbed_policies::CheckpointResume;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// A daemon whose transaction crashes in every way, and which then crashes in every way itself.
pub(crate) fn every_crash() -> crashbed::Result<()> {
    fault::prepare();
    let board = Board::new();
    let root = std::process::id();
    let declaration = Declaration::new("crashes", 2 * MIB)
        .mechanism(mechanism_and_spare().0)
        .spare(mechanism_and_spare().1)
        .heartbeat(Duration::from_millis(300))
        .intensity(Intensity::UNLIMITED);
    Root::new()
        .declare(declaration, |daemon: &mut Daemon<Linked>| {
            for (i, fault) in Fault::ALL.into_iter().enumerate() {
                if daemon.operations() > i as u64 {
                    continue;
                }
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    if tx.crash().is_none() {
                        fault.strike();
                    }
                    state.operate(tx.operations());
                    tx.done();
                    Ok(())
                })?;
                assert_eq!(outcome, Outcome::Done(()), "{fault:?}");
                assert!(daemon.report().crashes >= 1, "{fault:?} did not crash");
                assert_eq!(*daemon.state(), Linked::after(i as u64 + 1), "{fault:?}");
                // Nothing watches a daemon's heartbeat.
                if fault.ends_by_itself() && fault != Fault::ExitEarly && fault != Fault::DoublePanic {
                    board[0].fetch_add(1, SeqCst);
                    fault.strike();
                }
            }
            assert_eq!(daemon.restarts(), board[0].load(SeqCst));
            assert!(daemon.restarts() >= 12);
            Ok(())
        })
        .run()?;
    assert_eq!(root, std::process::id());
    println!("the root lives");
    Ok(())
}

/// What would happen to a root that did the work itself.
pub(crate) fn crash_without_a_tree() -> crashbed::Result<()> {
    Fault::NullWrite.strike();
    Ok(())
}

/// A process with several threads is refused as a root, and accepted when it has one again.
pub(crate) fn a_second_thread() -> crashbed::Result<()> {
    let run = || Root::new().daemon("d", MIB, |_: &mut Daemon<u64>| Ok(())).run();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    match run() {
        Err(Error::Threads { threads: 2 }) => {}
        other => panic!("a root with two threads: {other:?}"),
    }
    drop(done);
    let _ = thread.join();
    // The kernel may list a joined thread for a moment.
    let until = std::time::Instant::now() + Duration::from_secs(5);
    while std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count) > 1 && std::time::Instant::now() < until {
        std::thread::yield_now();
    }
    run()
}

/// A daemon and a transaction are refused as a root, and as a process with a heap by itself.
pub(crate) fn part_of_a_tree() -> crashbed::Result<()> {
    let refused = || {
        assert!(matches!(Root::new().run(), Err(Error::NotPlain)));
        assert!(matches!(Heap::by_itself(MIB), Err(Error::NotPlain)));
    };
    let main = |daemon: &mut Daemon<u64>| {
        refused();
        let outcome = daemon.transaction(CheckpointResume, |_, _| {
            refused();
            Ok(())
        })?;
        assert_eq!(outcome, Outcome::Done(()));
        Ok(())
    };
    Root::new().daemon("d", MIB, main).run()?;
    // When the tree has ended, the process is a plain one again.
    Root::new().daemon("d", MIB, |_: &mut Daemon<u64>| Ok(())).run()
}

/// A process with a heap by itself has its values there, gives back what it had before, and is no root any more.
pub(crate) fn a_heap_by_itself() -> crashbed::Result<()> {
    let mut before = vec![7u8; 1000];
    Heap::by_itself(MIB)?;
    let far = |bytes: &[u8]| bytes.as_ptr().addr() >> 32;
    let after = vec![8u8; 1000];
    assert_ne!(far(&before), far(&after));
    before.resize(2000, 9);
    assert_eq!(far(&before), far(&after), "what grows moves there");
    assert_eq!((before[999], before[1999], after[999]), (7, 9, 8));
    for _ in 0..10_000 {
        // More than the arena has, if nothing came back.
        std::hint::black_box(vec![1u8; 1000]);
    }
    assert!(matches!(Heap::by_itself(MIB), Err(Error::NotPlain)));
    assert!(matches!(Root::new().run(), Err(Error::NotPlain)));
    Ok(())
}
