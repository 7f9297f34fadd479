//! What the undo log refuses, and what it says then.

use crate::declaration;
use crate::support::board::Board;
use crate::support::fault::Fault;
use crashbed::{
    Answer, Answered, BareNotice, BareStart, Daemon, Declaration, Error, Failure, FailureKind, KIB, Logged, LoggedVec,
    MIB, MechanismKind, Outcome, Recoverable, Root, Scene,
};
use crashbed_policies::{CheckpointResume, ProcessDecides};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

#[derive(Default, Recoverable)]
struct State {
    list: LoggedVec<u64>,
    count: Logged<u64>,
    plain: [u64; 4],
}

fn with_log(bytes: usize) -> Declaration {
    // SAFETY: as in `declaration`.
    unsafe { declaration().undo_log(bytes) }
}

/// More declared than fits: a failure with the figures, the last commit stands, and smaller commits go on. Declared again
/// and again, a piece takes its place once.
pub(crate) fn full_log() -> crashbed::Result<()> {
    Root::new()
        .declare(with_log(64 * KIB), |daemon: &mut Daemon<State>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                state.list.replace(tx, (0..20_000).collect());
                tx.commit()?;
                for _ in 0..100_000 {
                    *state.count.write(tx) += 1;
                    state.list.write(tx, 5..1000).fill(7);
                }
                tx.commit()?;
                state.list.write(tx, ..).fill(1);
                Ok(())
            })?;
            let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
            assert_eq!(failure.kind(), FailureKind::Exhausted);
            let wanted = "no room for 160000 bytes in the undo log: 0 of 65536 bytes";
            assert!(failure.message().starts_with(wanted), "{failure}");
            assert!(failure.message().contains("Declaration::undo_log"), "{failure}");
            assert_eq!(
                (*daemon.state().count, daemon.state().list[999], daemon.state().list[1000]),
                (100_000, 7, 1000)
            );
            // The one that makes a state has nothing to go back to; the last commit of a transaction is one, too.
            assert_eq!(daemon.report().commits, 2);
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                for from in (0..20_000).step_by(1000) {
                    state.list.write(tx, from..from + 1000).fill(1);
                    tx.commit()?;
                }
                Ok(())
            })?;
            assert_eq!((outcome, daemon.report().commits), (Outcome::Done(()), 21));
            assert!(daemon.state().list.iter().all(|word| *word == 1));
            Ok(())
        })
        .run()
}

/// What was released stays as it is until the commit: the failure says so, and after a commit there is room.
pub(crate) fn full_heap() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<State>| {
            let most = 70_000;
            for commits in [false, true] {
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    state.list.replace(tx, vec![1; most]);
                    tx.commit()?;
                    state.list.replace(tx, Vec::new());
                    if commits {
                        tx.commit()?;
                    }
                    // Once it fits, whatever was allocated and released again in between.
                    for _ in 0..10 {
                        drop(std::hint::black_box(vec![2u64; most]));
                    }
                    Ok(())
                })?;
                if commits {
                    assert_eq!(outcome, Outcome::Done(()));
                } else {
                    let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
                    assert_eq!(failure.kind(), FailureKind::Exhausted);
                    assert!(failure.message().contains("560000 bytes that were released"), "{failure}");
                    assert_eq!(daemon.state().list.len(), most);
                }
                daemon.zero()?;
            }
            Ok(())
        })
        .run()
}

/// In check mode a commit finds what was not declared, names it, and is taken back whole.
pub(crate) fn undeclared() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration().check_declared(true), |daemon: &mut Daemon<State>| {
            let set = |daemon: &mut Daemon<State>, declares: bool, value: u64| {
                daemon.transaction(CheckpointResume, move |tx, state| {
                    *state.count.write(tx) = value;
                    let plain = if declares { tx.declare(&mut state.plain) } else { &mut state.plain };
                    plain[1] = value;
                    Ok(())
                })
            };
            assert_eq!(set(daemon, true, 5)?, Outcome::Done(()));
            let outcome = set(daemon, false, 6)?;
            let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
            assert_eq!(failure.kind(), FailureKind::CommitRefused);
            let offset = std::mem::offset_of!(State, plain) + 8;
            let wanted = format!("(byte {offset} of the state itself) have changed and were not declared (1 such");
            assert!(failure.message().contains(&wanted), "{failure}");
            let at = format!("{:#x}", &raw const daemon.state().plain[1] as usize);
            assert!(failure.message().contains(&at), "{failure}, not {at}");
            assert_eq!((*daemon.state().count, daemon.state().plain[1]), (5, 5));
            // An assignment of the whole is such a write, too.
            let outcome = daemon.transaction(CheckpointResume, |_, state| {
                state.count = Logged::new(7);
                Ok(())
            })?;
            assert!(matches!(outcome, Outcome::Failed(_)) && *daemon.state().count == 5, "{outcome:?}");
            // What lies in a block is told by the block.
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                state.list.replace(tx, vec![1; 100]);
                tx.commit()?;
                let third = &raw const state.list[2];
                // SAFETY: the list is this transaction's, and nothing borrows from it.
                unsafe { third.cast_mut().write(9) };
                Ok(())
            })?;
            let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
            assert!(failure.message().contains("(byte 32 of the block of 832 bytes at 0x"), "{failure}");
            assert_eq!(daemon.state().list[2], 1);
            daemon.zero()?;
            assert_eq!(set(daemon, true, 8)?, Outcome::Done(()));
            Ok(())
        })
        .run()
}

pub(crate) fn refused() -> crashbed::Result<()> {
    let refusal = |declaration| {
        let ended = Root::new().declare(declaration, |_: &mut Daemon<u64>| Ok(())).run();
        ended.expect_err("a refusal").to_string()
    };
    let small = refusal(with_log(4096));
    assert!(small.contains("4096 bytes is too small") && small.contains("65536 are the least"), "{small}");
    let unpromised = refusal(Declaration::new("d", MIB).mechanism(MechanismKind::UndoLog));
    assert!(unpromised.contains("the unsafe `Declaration::undo_log(bytes)`"), "{unpromised}");
    let unchecked = refusal(Declaration::new("d", MIB).mechanism(MechanismKind::FullCopy).check_declared(true));
    assert!(unchecked.contains("under full-copy nothing is declared"), "{unchecked}");
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<u64>| {
            let floor = daemon.floor(BareNotice::Signal, BareStart::Cold, Duration::ZERO, |_, _| ());
            let Err(Error::Declaration { what, .. }) = floor else { panic!("{floor:?}") };
            assert!(what.contains("none under undo-log"), "{what}");
            Ok(())
        })
        .run()
}

/// A repair cannot declare what it changes: the answer is refused before it is made. A function can, as it begins again.
pub(crate) fn repairs() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<State>| {
            let mut repaired = |answer: fn() -> Answer<State>| {
                let decide = |_: &Scene<'_, State>| answer();
                let outcome = daemon.prepare(ProcessDecides).on_crash(&decide).run(|tx, state| {
                    if tx.crash().is_none() {
                        tx.declare(&mut state.plain)[0] = 1;
                        tx.commit()?;
                        Fault::NullWrite.strike();
                    }
                    tx.declare(&mut state.plain)[1] += 1;
                    Ok(())
                })?;
                let answered = daemon.report().recoveries[0].answered;
                crashbed::Result::Ok((outcome, answered, daemon.state().plain))
            };
            let (outcome, answered, plain) = repaired(|| Answer::Repair(|state, _| state.plain = [9; 4]))?;
            let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
            assert!(failure.message().contains("`Answer::Repair` cannot declare what it changes"), "{failure}");
            assert!(failure.message().contains("`Answer::Resume`"), "{failure}");
            assert_eq!((answered, plain), (Some(Answered::Repair), [1, 0, 0, 0]));
            assert_eq!(repaired(|| Answer::Resume)?, (Outcome::Done(()), Some(Answered::Resume), [1, 1, 0, 0]));
            Ok(())
        })
        .run()
}

/// A reader in another daemon sees the commits that end transactions, and waits while one runs.
pub(crate) fn readers() -> crashbed::Result<()> {
    const SEEN: usize = 0;
    let board = Board::new();
    let until = Instant::now() + Duration::from_secs(20);
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<State>| {
            while board[SEEN].load(SeqCst) < 20 {
                assert!(Instant::now() < until, "only {} commits were seen", board[SEEN].load(SeqCst));
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    for i in 0..10 {
                        let n = *state.count + 1;
                        state.list.resize(tx, 3000, 0);
                        state.list.write(tx, ..1500).fill(n);
                        if i == 7 && tx.crash().is_none() {
                            Fault::NullWrite.strike();
                        }
                        state.list.write(tx, 1500..).fill(n);
                        state.count.set(tx, n);
                        tx.commit()?;
                    }
                    Ok(())
                })?;
                assert_eq!(outcome, Outcome::Done(()));
                std::thread::sleep(Duration::from_millis(2));
            }
            Ok(())
        })
        .daemon("reader", MIB, |daemon: &mut Daemon<u64>| {
            let (peer, mut last) = (daemon.peer::<State>("d")?, 0);
            while board[SEEN].load(SeqCst) < 20 {
                let read = daemon.read(&peer, Duration::from_secs(2), |state| {
                    assert!(state.list.iter().all(|word| *word == *state.count), "a torn state");
                    *state.count
                });
                match read {
                    Ok(count) => {
                        board[SEEN].fetch_add(u64::from(count != last), SeqCst);
                        last = count;
                    }
                    Err(Error::Busy { .. }) => {}
                    Err(other) => return Err(other),
                }
            }
            Ok(())
        })
        .run()
}

/// Threads write pieces of what their scope declared, and allocate and release at once; a crash takes all of it back.
pub(crate) fn threads() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration().threads(4, 64 * KIB), |daemon: &mut Daemon<State>| {
            for round in 1..=20u64 {
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    assert!(state.list.iter().all(|word| *word == round - 1), "not the last commit");
                    state.list.resize(tx, 4000, 0);
                    let crashes = tx.crash().is_none();
                    let list = &mut state.list;
                    tx.threads(|scope| {
                        for piece in list.write(scope, ..).chunks_mut(1000) {
                            scope.spawn(move || {
                                for i in 0..200usize {
                                    let block = std::hint::black_box(vec![round; 1 + i % 50]);
                                    piece[i * 5..i * 5 + 5].fill(block[i % block.len()]);
                                }
                                if crashes {
                                    Fault::NullWrite.strike();
                                }
                            })?;
                        }
                        Ok::<(), Failure>(())
                    })??;
                    Ok(state.list.len())
                })?;
                assert_eq!(outcome, Outcome::Done(4000));
                assert_eq!(daemon.report().crashes, 1);
                assert!(daemon.state().list.iter().all(|word| *word == round));
            }
            Ok(())
        })
        .run()
}
