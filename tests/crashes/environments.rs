//! Changed environments: bugs that do no harm in one.

use crate::decisions::Script;
use crate::support::declaration;
use crate::support::fault::Fault;
use crashbed::{Action, Daemon, Decision, Environment, Error, Outcome, RestartPolicy, Root};
use crashbed_policies::ChangedEnvironment;
use std::arch::asm;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// The environments of the newest transaction's recoveries.
fn environments<S: crashbed::Recoverable + Default>(daemon: &Daemon<S>) -> Vec<Environment> {
    daemon.report().recoveries.iter().map(|recovery| recovery.decision.environment).collect()
}

const NOTHING: ChangedEnvironment = ChangedEnvironment { padding: 0, zeroed: false, fewer_threads: 0 };

/// Writes `count` bytes from `address` on, whatever lies there.
fn overflow(address: usize, count: usize) {
    // SAFETY: of the program's memory it hits what the tests below give up with a crash, or room that nobody uses.
    unsafe { asm!("rep stosb", inout("rdi") address => _, inout("rcx") count => _, in("al") 0xee_u8) };
}

/// A write past the end of a block breaks the next one and is found out; with room behind new blocks it hits nothing.
/// The next crash, which comes after progress, finds the usual environment.
pub(crate) fn padding() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Vec<Box<[u8]>>>| {
            let policy = ChangedEnvironment { padding: 256, ..NOTHING };
            let outcome = daemon.transaction(policy, |tx, state| {
                while tx.operations() < 10 {
                    let n = tx.operations();
                    state.extend([vec![1; 1000].into(), vec![2; 1000].into()]);
                    let [.., first, second] = state.as_slice() else { panic!("two blocks") };
                    let apart = (second.as_ptr() as usize).abs_diff(first.as_ptr() as usize);
                    match n {
                        5 => {
                            overflow(first.as_ptr() as usize + 1000, 200);
                            if second.iter().any(|byte| *byte != 2) {
                                Fault::Abort.strike();
                            }
                            assert!(apart >= 1256, "{apart}");
                        }
                        8 if tx.crashes() < 3 => Fault::Kill.strike(),
                        _ => assert_eq!(apart > 1200, matches!(tx.crashes(), 2), "{apart} bytes in operation {n}"),
                    }
                    tx.done();
                    if n % 3 == 2 {
                        tx.commit()?;
                    }
                }
                Ok(tx.crashes())
            })?;
            assert_eq!(outcome, Outcome::Done(3));
            let padded = Environment { padding: 256, ..Environment::USUAL };
            assert_eq!(environments(daemon), [Environment::USUAL, padded, Environment::USUAL]);
            let whole = |(i, block): (usize, &[u8])| block.iter().all(|byte| usize::from(*byte) == 1 + i % 2);
            assert!(daemon.state().iter().map(Box::as_ref).enumerate().all(whole) && daemon.state().len() == 20);
            Ok(())
        })
        .run()
}

/// What reads memory that it has not written finds what was there before, and zeros where new blocks hold zeros; in
/// scratch as in the region, and in a block that was made larger.
pub(crate) fn zeroed() -> crashbed::Result<()> {
    /// Whether a new block of as many bytes as one that was just released holds anything.
    fn reads_rubbish() -> bool {
        drop(std::hint::black_box(vec![0xaa_u8; 5000]));
        let fresh = Vec::<u8>::with_capacity(5000);
        let mut grown = Vec::<u8>::with_capacity(10);
        grown.reserve_exact(4000);
        let rubbish = |at: usize| {
            let byte: u8;
            // SAFETY: the byte is mapped memory of a live block; what it holds is any number to the processor.
            unsafe { asm!("mov {0}, byte ptr [{1}]", out(reg_byte) byte, in(reg) at, options(readonly)) };
            byte != 0
        };
        let of = |block: &Vec<u8>| (block.as_ptr() as usize..).take(block.capacity()).any(rubbish);
        of(&fresh) || of(&grown)
    }
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<u64>| {
            let policy = ChangedEnvironment { zeroed: true, ..NOTHING };
            let zeros = Environment { zeroed: true, ..Environment::USUAL };
            for scratch in [false, true] {
                let outcome = daemon.transaction(policy, |tx, _| {
                    if if scratch { tx.scratch(reads_rubbish) } else { reads_rubbish() } {
                        Fault::Illegal.strike();
                    }
                    Ok(())
                })?;
                assert_eq!(outcome, Outcome::Done(()));
                assert_eq!(environments(daemon), [Environment::USUAL, zeros]);
            }
            Ok(())
        })
        .run()
}

/// A bug that takes several threads does not come with one, and one is what is left at least. When nothing is left to be
/// changed, the policy gives up.
pub(crate) fn threads() -> crashbed::Result<()> {
    let declaration = declaration().threads(3, 128 * crashbed::KIB);
    Root::new()
        .declare(declaration, |daemon: &mut Daemon<u64>| {
            let mut crashes_above_one = |policy: &dyn RestartPolicy| {
                let outcome = daemon.transaction(policy, |tx, _| {
                    let (count, ran) = (tx.thread_count(), AtomicUsize::new(0));
                    tx.threads(|scope| {
                        (0..count).try_for_each(|_| {
                            scope.spawn(|| {
                                ran.fetch_add(1, SeqCst);
                            })
                        })
                    })??;
                    assert_eq!(ran.into_inner(), count);
                    if count > 1 {
                        Fault::NullWrite.strike();
                    }
                    Ok(())
                })?;
                let fewer: Vec<u16> = environments(daemon).iter().map(|e| e.fewer_threads).collect();
                Ok::<_, Error>((matches!(outcome, Outcome::Done(())), fewer))
            };
            let policy = |fewer_threads| ChangedEnvironment { fewer_threads, ..NOTHING };
            assert_eq!(crashes_above_one(&policy(2))?, (true, vec![0, 1, 2]));
            assert_eq!(crashes_above_one(&policy(1))?, (false, vec![0, 1, 0]));
            let none = Environment { fewer_threads: 9, ..Environment::USUAL };
            let at_once = Script(vec![Decision::now(Action::Resume).within(none)]);
            assert_eq!(crashes_above_one(&at_once)?, (true, vec![9]));
            Ok(())
        })
        .run()
}
