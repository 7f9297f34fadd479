//! Who was drawn to the processor of a crash, or was lent one, gets those back that it had before: the successor before its
//! own code runs, the daemon once the successor has started, or the transaction is over.

use crate::support::fault::Fault;
use crate::support::{declaration, mechanism_and_spare};
use crashbed::{Daemon, Intensity, Outcome, Root, Spare};
use crashbed_policies::CheckpointResume;
use std::time::{Duration, Instant};

const CRASHES: u64 = 20;

/// The processors that `pid` may run on, this process where that is 0.
fn processors(pid: i32) -> Vec<usize> {
    // SAFETY: all-zero is a valid, empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is writable for its size.
    assert_eq!(unsafe { libc::sched_getaffinity(pid, size_of_val(&set), &raw mut set) }, 0);
    // SAFETY: the numbers are those of the set's bits.
    (0..8 * size_of_val(&set)).filter(|&processor| unsafe { libc::CPU_ISSET(processor, &set) }).collect()
}

/// Has this process run on `processors` only.
fn run_on(processors: &[usize]) {
    // SAFETY: all-zero is a valid, empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &processor in processors {
        // SAFETY: the number is that of one of the set's bits.
        unsafe { libc::CPU_SET(processor, &mut set) };
    }
    // SAFETY: the set is readable for its size.
    assert_eq!(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) }, 0);
}

/// Each life crashes on another processor, some of them outside of those that the daemon may use.
pub(crate) fn are_given_back() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration().intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<u64>| {
            let all = processors(0);
            for mine in [all.clone(), vec![all[0]], vec![all[all.len() - 1]]] {
                run_on(&mine);
                let outcome = daemon.transaction(CheckpointResume, |tx, _| {
                    assert_eq!(processors(0), mine, "a transaction's, after {} crashes", tx.crashes());
                    let began = Instant::now();
                    while processors(nix::unistd::getppid().as_raw()) != mine {
                        assert!(began.elapsed() < Duration::from_secs(10), "the daemon stays drawn");
                        std::thread::yield_now();
                    }
                    // A successor keeps its daemon off its processor from here on, until that has woken.
                    tx.done();
                    if tx.crashes() < CRASHES {
                        // Every third crashes at once, before its daemon has come back; of the others, some spares are
                        // asleep by then, and some get ready still.
                        if tx.crashes() % 3 > 0 {
                            std::thread::sleep(Duration::from_micros(tx.crashes() * 300));
                            let crash_on = usize::try_from(tx.crashes()).expect("a small number") % all.len();
                            run_on(&[all[crash_on]]);
                        }
                        Fault::NullWrite.strike();
                    }
                    Ok(())
                })?;
                assert_eq!(outcome, Outcome::Done(()));
                assert_eq!(daemon.report().crashes, CRASHES);
                assert_eq!(processors(0), mine, "the daemon's");
                if mechanism_and_spare().1 != Spare::Cold {
                    assert!(daemon.report().spares.forked > 0, "there were spares");
                }
            }
            Ok(())
        })
        .run()
}

/// A transaction that waits for its daemon lends it its processor, commit by commit, and the last time as it ends.
pub(crate) fn are_given_back_after_commits() -> crashbed::Result<()> {
    const TRANSACTIONS: u64 = 40;
    const COMMITS: u64 = 100;
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<u64>| {
            let all = processors(0);
            for _ in 0..TRANSACTIONS {
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    for _ in 0..COMMITS {
                        *state += 1;
                        tx.done();
                        tx.commit()?;
                    }
                    Ok(processors(0))
                })?;
                assert_eq!(outcome, Outcome::Done(all.clone()), "a transaction's");
                assert_eq!(processors(0), all, "the daemon's");
            }
            assert_eq!(*daemon.state(), TRANSACTIONS * COMMITS);
            Ok(())
        })
        .run()
}
