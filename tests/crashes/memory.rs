//! What a transaction allocates: results, temporaries, and more than there is.

use crate::support::board::Board;
use crate::support::declaration;
use crate::support::fault::Fault;
use crate::support::state::mix;
use crashbed::{Daemon, FailureKind, Intensity, KIB, Outcome, Root};
use crashbed_policies::CheckpointResume;
use std::sync::atomic::Ordering::SeqCst;

/// A result is cloned out and dropped by the next transaction: a thousand of them, of changing type, with crashes and
/// failures in between, leave as many live bytes as one.
pub(crate) fn results() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Vec<String>>| {
            let mut live = Vec::new();
            for round in 0..1000usize {
                let texts = daemon.transaction(CheckpointResume, |tx, state| {
                    if round % 10 == 3 && tx.crash().is_none() {
                        Fault::Kill.strike();
                    }
                    *state = vec!["state".to_owned(); 10];
                    Ok(vec![format!("{round:040}"); 20])
                })?;
                assert_eq!(texts, Outcome::Done(vec![format!("{round:040}"); 20]));
                let failed: Outcome<String> = daemon.transaction(CheckpointResume, |_, state| {
                    state.push("gone".repeat(100));
                    Err("nothing".parse::<u64>().expect_err("no number"))?
                })?;
                assert!(matches!(failed, Outcome::Failed(_)));
                let number = daemon.transaction(CheckpointResume, |_, _| Ok(Box::new(round)))?;
                assert_eq!(number, Outcome::Done(Box::new(round)));
                assert_eq!(daemon.transaction(CheckpointResume, |_, _| Ok(()))?, Outcome::Done(()));
                live.push(daemon.live_bytes());
            }
            assert!(live.iter().all(|bytes| *bytes == live[0]), "live bytes: {:?} … {:?}", live[0], live.last());
            // The count counts: what is kept is seen.
            daemon.transaction(CheckpointResume, |_, state| {
                state.push("kept".repeat(25));
                Ok(())
            })?;
            assert!(daemon.live_bytes() >= live[0] + 100);
            Ok(())
        })
        .run()
}

/// No room in the region or in scratch: a failure with figures, the last commit stands, the daemon goes on.
pub(crate) fn exhausted() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration().scratch(256 * KIB).threads(1, 256 * KIB), |daemon: &mut Daemon<Vec<u8>>| {
            let grow = daemon.transaction(CheckpointResume, |tx, state| {
                state.resize(1000, 7);
                tx.commit()?;
                loop {
                    state.extend([1; 4096]);
                }
                #[allow(unreachable_code)] // The closure's type.
                Ok(())
            })?;
            let in_scratch = daemon.transaction(CheckpointResume, |tx, state| {
                state.push(1);
                Ok(tx.scratch(|| vec![1u8; 300 * KIB].len()))
            })?;
            let in_a_thread = daemon.transaction(CheckpointResume, |tx, state| {
                state.push(1);
                tx.threads(|scope| scope.spawn(|| drop(std::hint::black_box(vec![1u8; 4096 * KIB]))))??;
                Ok(())
            })?;
            let failures = [
                (grow.map_failure(), "the region"),
                (in_scratch.map_failure(), "scratch"),
                (in_a_thread.map_failure(), "the region"),
            ];
            for (failure, place) in failures {
                assert_eq!(failure.kind(), FailureKind::Exhausted, "{failure}");
                assert!(failure.message().contains(&format!("bytes in {place}")), "{failure}");
            }
            assert_eq!(*daemon.state(), vec![7; 1000]);
            assert_eq!(daemon.transaction(CheckpointResume, |_, state| Ok(state.len()))?, Outcome::Done(1000));
            Ok(())
        })
        .run()
}

/// The failure of an outcome that must be one.
trait MapFailure {
    fn map_failure(self) -> crashbed::Failure;
}

impl<T: std::fmt::Debug> MapFailure for Outcome<T> {
    fn map_failure(self) -> crashbed::Failure {
        match self {
            Outcome::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }
}

/// Temporaries in scratch leave no byte in the region; what is handed out lives there and survives.
pub(crate) fn scratch() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Vec<String>>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                if tx.crash().is_none() {
                    for round in 0..50 {
                        let text = tx.scratch(|| {
                            // Ten times what the region has, over all rounds.
                            let all: Vec<String> = (0..4000).map(|n| format!("{n:0100}")).collect();
                            format!("round {round}: {}", all.len())
                        });
                        state.push(text);
                    }
                    tx.commit()?;
                    Fault::Kill.strike();
                }
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            let expected: Vec<String> = (0..50).map(|round| format!("round {round}: 4000")).collect();
            assert_eq!(*daemon.state(), expected);
            assert!(daemon.live_bytes() < 5000, "{} bytes live", daemon.live_bytes());
            Ok(())
        })
        .run()
}

/// A page far inside of a block.
const DEEP: usize = 480 * KIB;

fn deep_inside(block: &[u8]) -> u64 {
    block[DEEP..].as_ptr() as u64
}

/// The byte at an address of the state, whether anything lives there or not.
fn byte_at(address: u64) -> u8 {
    // SAFETY: the state is mapped, and as a byte any is valid.
    unsafe { (address as *const u8).read_volatile() }
}

/// Pages that hold nothing at a commit are not saved: what was in them does not come back. Those that do, do.
pub(crate) fn free_pages() -> crashbed::Result<()> {
    let board = Board::new();
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Vec<Vec<u8>>>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                let [held, freed] = [&board[0], &board[1]];
                if tx.crash().is_none() {
                    state.push(vec![0xaa; 512 * KIB]);
                    let block = vec![0xaa; 512 * KIB];
                    held.store(deep_inside(&state[0]), SeqCst);
                    freed.store(deep_inside(&block), SeqCst);
                    drop(block);
                    tx.commit()?;
                    state[0].fill(0x55);
                    let block = vec![0x55; 512 * KIB];
                    assert_eq!(deep_inside(&block), freed.load(SeqCst), "the same block again");
                    std::hint::black_box(&block);
                    Fault::NullWrite.strike();
                }
                assert_eq!(byte_at(held.load(SeqCst)), 0xaa);
                assert_ne!(byte_at(freed.load(SeqCst)), 0xaa, "it was saved");
                state.push(vec![0x77; 512 * KIB]);
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            assert_eq!(*daemon.state(), [vec![0xaa; 512 * KIB], vec![0x77; 512 * KIB]]);
            Ok(())
        })
        .run()
}

/// The block that is in place `n % 12` after operation `n`: up to 24 pages, of bytes that follow from `n`.
fn block(n: u64) -> Vec<u8> {
    let len = usize::try_from(mix(n) % 100_000).unwrap_or(0);
    (mix(n ^ 7)..).take(len).map(|byte| byte.to_le_bytes()[0]).collect()
}

/// Blocks of many pages come and go, over many commits and crashes, beside holes that no commit saves.
pub(crate) fn holes() -> crashbed::Result<()> {
    const OPERATIONS: u64 = 400;
    let board = Board::new();
    Root::new()
        .declare(declaration().intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<Vec<Vec<u8>>>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                state.resize(12, Vec::new());
                for n in tx.operations()..OPERATIONS {
                    let i = usize::try_from(n % 12)?;
                    // Nothing but the state lives at a commit: what a crash takes the owner of would leak.
                    assert!(
                        state[i] == n.checked_sub(12).map_or_else(Vec::new, block),
                        "what operation {n} overwrites"
                    );
                    state[i] = Vec::new();
                    let temporary = block(n + 1000);
                    state[i] = block(n);
                    drop(temporary);
                    // Each place crashes once.
                    if mix(n).is_multiple_of(9) && board[usize::try_from(n)?].swap(1, SeqCst) == 0 {
                        [Fault::NullWrite, Fault::Kill, Fault::Abort][usize::try_from(n % 3)?].strike();
                    }
                    tx.done();
                    if mix(n).is_multiple_of(4) {
                        tx.commit()?;
                    }
                }
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            assert!(daemon.report().recoveries.len() > 20, "{} crashes", daemon.report().recoveries.len());
            let expected: Vec<_> = (0..12).map(|i| block(OPERATIONS - 1 - (OPERATIONS - 1 - i) % 12)).collect();
            assert!(*daemon.state() == expected);
            Ok(())
        })
        .run()
}
