//! Wild writes into the words by which a hand-over is made: they may cost a spare, a commit or the transaction, but never
//! the daemon, nor, under copy on write, the state. (Under full copy they can forge a request to commit: what the state
//! holds at that moment is then the commit.)

use crate::support::fault::Fault;
use crate::support::state::{Linked, mix};
use crate::support::{SPARES, declaration, passes};
use crashbed::{Daemon, Intensity, Outcome, Root};
use crashbed_policies::CheckpointResume;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// Transactions, each with a wild write of its own.
const ROUNDS: u64 = 300;

/// The memory of the mailboxes, as the kernel names it.
fn seats() -> std::ops::Range<usize> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the mappings");
    let line = maps.lines().find(|line| line.contains("crashbed-d-seats")).expect("the seats");
    let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
    let address = |text| usize::from_str_radix(text, 16).expect("an address");
    address(start)..address(end)
}

/// Writes a word of what a turn, a phase or a seat could be, or of nonsense, anywhere into the mailboxes.
fn write_wildly(round: u64) {
    let seats = seats();
    let words = (seats.len() / 4) as u64;
    let value = if round.is_multiple_of(2) {
        u32::try_from(mix(round) % 8).unwrap_or(0)
    } else {
        u32::try_from(mix(round) >> 32).unwrap_or(0)
    };
    // Half of them hit the first words of a mailbox, where the living ones stand.
    let page = mix(round + 1_000) % (words / 1024) * 1024;
    let word = page + mix(round + 2_000) % if round % 4 < 2 { 160 } else { 1024 };
    let address = seats.start + usize::try_from(word).unwrap_or(0) * 4;
    // SAFETY: mapped, writable and aligned; every word of it is an atomic one, and no value of it is believed unchecked.
    unsafe { &*(address as *const AtomicU32) }.store(value, Relaxed);
}

pub(crate) fn under_copy_on_write() {
    for spare in SPARES {
        passes("wild-writes", &format!("copy-on-write {spare}"));
    }
}

pub(crate) fn writes_into_the_mailboxes() -> crashbed::Result<()> {
    let declaration = declaration().intensity(Intensity::UNLIMITED).heartbeat(Duration::from_millis(300));
    Root::new()
        .declare(declaration, |daemon: &mut Daemon<Linked>| {
            assert_eq!(daemon.restarts(), 0, "the daemon has crashed: {:?}", daemon.crash());
            for round in 0..ROUNDS {
                let before = daemon.operations();
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    assert!(*state == Linked::after(tx.operations()), "the state is no commit");
                    let n = tx.operations();
                    if n == before {
                        state.operate(n);
                        tx.done();
                        tx.commit()?;
                        std::thread::sleep(Duration::from_micros(700));
                        write_wildly(round);
                        state.first_half(n + 1);
                        Fault::NullWrite.strike();
                    }
                    Ok(())
                })?;
                assert!(matches!(outcome, Outcome::Done(()) | Outcome::GaveUp(_) | Outcome::Failed(_)));
                assert!(*daemon.state() == Linked::after(daemon.operations()), "round {round}: the state is no commit");
                assert!(daemon.operations() <= before + 1, "round {round}: an operation was done twice");
            }
            Ok(())
        })
        .run()
}
