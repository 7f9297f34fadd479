//! What is chosen, and what the report says of it.

use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::mask::Without;
use crashbed::{
    Action, ChoiceGrounds, Crash, Daemon, Decision, Declaration, History, Intensity, MIB, MechanismKind, Outcome, Peer,
    RestartPolicy, Root,
};
use crashbed_policies::CheckpointResume;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const PAGE: usize = 4096;
/// Pages that the state has: half of the region.
const PAGES: usize = 1024;

fn declaration() -> Declaration {
    Declaration::new("d", 2 * PAGES * PAGE).mechanism(MechanismKind::Auto).scratch(MIB)
}

/// Pages of bytes that a transaction writes to.
fn write(daemon: &mut Daemon<Vec<u8>>, pages: usize) -> crashbed::Result<()> {
    let outcome = daemon.transaction(CheckpointResume, |tx, bytes| {
        bytes.resize(PAGES * PAGE, 0);
        for page in bytes.chunks_mut(PAGE).take(pages) {
            page[17] = page[17].wrapping_add(1);
        }
        tx.done();
        Ok(())
    })?;
    assert_eq!(outcome, Outcome::Done(()));
    Ok(())
}

/// Transactions that write to so many pages each, until a switch; answers how many there were.
fn until_a_switch(daemon: &mut Daemon<Vec<u8>>, pages: usize) -> crashbed::Result<usize> {
    for n in 1..=100 {
        write(daemon, pages)?;
        if let [switch] = daemon.report().switches[..] {
            println!("{switch}");
            assert_eq!((switch.grounds, Some(switch.mechanism)), (ChoiceGrounds::Cheaper, used(daemon)));
            // What is in use is what it says to be the cheapest.
            let cheapest = switch.costs.into_iter().flatten().min();
            let cost = |kind| {
                switch.costs[[MechanismKind::CopyOnWrite, MechanismKind::FullCopy, MechanismKind::DirtyPages]
                    .iter()
                    .position(|k| *k == kind)
                    .expect("a candidate")]
            };
            assert_eq!(cost(switch.mechanism), cheapest, "{switch}");
            return Ok(n);
        }
    }
    panic!("no switch: {}", daemon.report().choice.expect("a choice"));
}

fn used(daemon: &Daemon<Vec<u8>>) -> Option<MechanismKind> {
    Some(daemon.report().mechanism)
}

fn follows() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Vec<u8>>| {
            write(daemon, 1)?;
            let first = daemon.report().choice.expect("a choice");
            println!("{first}");
            assert_eq!(first.grounds, ChoiceGrounds::RegionSize);
            // A copy of the whole region is not what one begins with.
            assert_ne!(first.mechanism, MechanismKind::FullCopy);

            until_a_switch(daemon, PAGES)?;
            assert_eq!(used(daemon), Some(MechanismKind::FullCopy));
            // The next switch takes longer: twice as many commits.
            let commits = until_a_switch(daemon, 3)?;
            assert!(commits >= 16, "{commits}");
            assert_ne!(used(daemon), Some(MechanismKind::FullCopy));
            let said = daemon.report().switches[0].to_string();
            assert!(said.contains("instead of full-copy: it is cheaper"), "{said}");

            // Nothing changes: neither does the mechanism.
            let used: BTreeSet<_> = (0..200)
                .map(|_| write(daemon, 3).map(|()| daemon.report().mechanism))
                .collect::<crashbed::Result<_>>()?;
            assert_eq!(used.len(), 1, "{used:?}");
            Ok(())
        })
        .run()
}

/// A state of 4 MiB in a region of 8: all of it written by each commit, then three pages.
pub(crate) fn follows_the_writes() -> crashbed::Result<()> {
    follows()
}

/// The same where the kernel tracks nothing: dirty pages is no choice.
pub(crate) fn follows_without_tracking() -> crashbed::Result<()> {
    Without::Tracking.apply();
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Vec<u8>>| {
            write(daemon, 1)?;
            let choice = daemon.report().choice.expect("a choice");
            assert!(
                choice.costs[2].is_none() && choice.to_string().contains("nothing known under dirty-pages"),
                "{choice}"
            );
            Ok(())
        })
        .run()?;
    follows()
}

/// Where older commits are kept it goes on with what it has, and a policy finds them.
pub(crate) fn keeps_older_commits() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration().kept_commits(2), |daemon: &mut Daemon<Vec<u8>>| {
            for _ in 0..30 {
                write(daemon, PAGES)?;
                assert!(daemon.report().switches.is_empty());
            }
            let choice = daemon.report().choice.expect("a choice");
            assert_eq!((choice.grounds, choice.instead_of), (ChoiceGrounds::OlderCommits, None));
            assert!(choice.to_string().contains("older commits"), "{choice}");

            let outcome = daemon.transaction(Older, |tx, bytes| {
                if tx.crash().is_none() {
                    Fault::NullWrite.strike();
                }
                Ok(u64::from(bytes[17]))
            })?;
            assert_eq!(outcome, Outcome::Done(28), "the commit before the one before the last");
            Ok(())
        })
        .run()
}

struct Older;

impl RestartPolicy for Older {
    fn name(&self) -> &str {
        "older"
    }
    fn decide(&self, _: &Crash, _: &History) -> Decision {
        Decision::now(Action::Older(2))
    }
}

/// One transaction that commits again and again: the successor of a crash has what is cheaper.
pub(crate) fn switches_at_a_crash() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration().intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<Vec<u8>>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, bytes| {
                bytes.resize(PAGES * PAGE, 0);
                for n in tx.operations()..40 {
                    if n == 20 && tx.crash().is_none() {
                        Fault::NullWrite.strike();
                    }
                    assert!(bytes.chunks(PAGE).all(|page| u64::from(page[17]) == n), "the state is no commit");
                    bytes.chunks_mut(PAGE).for_each(|page| page[17] += 1);
                    tx.done();
                    tx.commit()?;
                }
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            let report = daemon.report();
            let [switch] = report.switches[..] else { panic!("{:?}", report.switches) };
            assert_eq!(switch.instead_of.is_some(), report.mechanism == MechanismKind::FullCopy, "{switch}");
            assert!(switch.commits >= 20, "{switch}");
            Ok(())
        })
        .run()
}

/// Between two transactions others can read, whichever mechanism one began with, and the other that it ended with.
pub(crate) fn is_read_after_a_switch() -> crashbed::Result<()> {
    const LAST: u64 = 12;
    let board = Board::new();
    let [written, read] = [&board[0], &board[1]];
    let wait = |count: &AtomicU64, n| {
        while count.load(SeqCst) < n {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    Root::new()
        .declare(declaration().switches_always(true), |daemon: &mut Daemon<u64>| {
            let mut used = BTreeSet::new();
            for n in 1..=LAST {
                let outcome = daemon.transaction(CheckpointResume, |tx, number| {
                    *number = n;
                    if tx.crash().is_none() {
                        // One commit or two: what is switched to goes by their number.
                        (0..n % 3).try_for_each(|_| tx.commit())?;
                        Fault::NullWrite.strike();
                    }
                    Ok(())
                })?;
                assert_eq!(outcome, Outcome::Done(()));
                let [before, after] = daemon.report().switches[..] else { panic!("{:?}", daemon.report().switches) };
                used.insert((before.mechanism, after.mechanism));
                written.store(n, SeqCst);
                wait(read, n);
            }
            assert!(used.len() >= 3, "{used:?}");
            Ok(())
        })
        .daemon("reader", MIB, |daemon: &mut Daemon<u64>| {
            let peer: Peer<u64> = daemon.peer("d")?;
            for n in 1..=LAST {
                wait(written, n);
                let number = daemon.read(&peer, Duration::from_secs(1), |number| *number);
                // The writer would wait for good.
                read.store(if number.is_ok() { n } else { LAST }, SeqCst);
                assert_eq!(number?, n);
            }
            Ok(())
        })
        .run()
}
