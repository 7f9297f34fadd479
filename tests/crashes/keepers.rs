//! Keepers: the processes that hold a dying transaction's memory. They change nothing but the time of a notice.

use crate::support::board::Board;
use crate::support::declaration;
use crate::support::fault::Fault;
use crate::support::state::Linked;
use crashbed::{Daemon, Intensity, Notice, Outcome, Root};
use crashbed_policies::CheckpointResume;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// The keepers among the processes of this group that have not ended: those that share an address space and are called so.
fn keepers() -> usize {
    // SAFETY: no pointer is passed.
    let group = unsafe { libc::getpgrp() }.to_string();
    let is_keeper = |entry: &std::fs::DirEntry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let mut rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        let alive = rest.next().is_some_and(|state| state != "Z");
        alive && stat.contains("(keeper)") && rest.nth(1) == Some(group.as_str())
    };
    std::fs::read_dir("/proc").expect("/proc").flatten().filter(is_keeper).count()
}

/// Waits until there is a keeper: that of the transaction, or that of its spare.
fn wait_for_a_keeper() {
    wait_until("there is none", || keepers() > 0);
}

fn wait_for_no_keeper() {
    wait_until("there is one still", || keepers() == 0);
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(3);
    while !holds() {
        assert!(Instant::now() < until, "keepers: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills, faults and orderly ends of transactions that have a keeper: each crash is told as without one, and no keeper
/// outlives its transaction for long.
pub(crate) fn keeper() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration().keeper(true).intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<Linked>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                for life in tx.operations()..6 {
                    std::thread::sleep(Duration::from_millis(2));
                    state.operate(life);
                    tx.done();
                    tx.commit()?;
                    wait_for_a_keeper();
                    let fault = if life % 2 == 0 { Fault::Kill } else { Fault::NullWrite };
                    if life < 5 {
                        fault.strike();
                    }
                }
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            let report = daemon.report();
            assert_eq!(report.crashes, 5);
            for (life, recovery) in report.recoveries.iter().enumerate() {
                let notice = if life % 2 == 0 { Notice::Pidfd } else { Notice::Handler };
                assert_eq!((recovery.crash.notice, recovery.resumed_operations), (notice, Some(life as u64 + 1)));
            }
            assert_eq!(*daemon.state(), Linked::after(6));
            wait_for_no_keeper();
            Ok(())
        })
        .run()
}

/// A transaction writes all over what it can write, the word included that tells of its keeper; and one without a
/// keeper, as declared, has none.
pub(crate) fn keeper_unknown() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration().keeper(true).intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<u64>| {
            for round in 0..3u64 {
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    if tx.crash().is_none() {
                        std::thread::sleep(Duration::from_millis(2));
                        tx.beat();
                        wait_for_a_keeper();
                        spoil_seats();
                        Fault::Kill.strike();
                    }
                    *state += 1;
                    Ok(())
                })?;
                assert_eq!((outcome, *daemon.state()), (Outcome::Done(()), round + 1));
            }
            wait_for_no_keeper();
            Ok(())
        })
        .run()?;
    Root::new()
        .declare(declaration().keeper(false), |daemon: &mut Daemon<u64>| {
            daemon.transaction(CheckpointResume, |tx, _| {
                std::thread::sleep(Duration::from_millis(2));
                tx.beat();
                std::thread::sleep(Duration::from_millis(2));
                assert_eq!(keepers(), 0);
                Ok(())
            })?;
            Ok(())
        })
        .run()
}

/// Writes ones over the first words of the mailboxes: incarnation and keeper among them.
fn spoil_seats() {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the maps");
    let line = maps.lines().find(|line| line.contains("crashbed-d-seats")).expect("the seats");
    let start = line.split_once('-').and_then(|(start, _)| usize::from_str_radix(start, 16).ok()).expect("an address");
    for seat in 0..5 {
        let at = (start + seat * 4096 + 8) as *mut i32;
        // SAFETY: the mailbox's second word is mapped and writable; that it is spoilt is what the test is about.
        unsafe { at.write_volatile(1) };
    }
}

/// Daemons that die again and again, each with a transaction that has a keeper: nothing is left of any.
pub(crate) fn keeper_of_a_dead_daemon() -> crashbed::Result<()> {
    let board = Board::new();
    Root::new()
        .declare(declaration().keeper(true).intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<u64>| {
            if board[0].fetch_add(1, SeqCst) == 5 {
                return Ok(());
            }
            let me = std::process::id().cast_signed();
            daemon.transaction(CheckpointResume, |tx, _| {
                std::thread::sleep(Duration::from_millis(2));
                tx.beat();
                wait_for_a_keeper();
                // SAFETY: no pointer is passed; the daemon is this process's parent, and takes it along.
                unsafe { libc::kill(me, libc::SIGKILL) };
                std::thread::sleep(Duration::from_secs(10));
                Ok(())
            })?;
            Ok(())
        })
        .run()
}
