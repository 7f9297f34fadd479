//! `KeepIfIntact`: when the crashed state is kept, and what speaks against it.

use crate::answers::kill_by_timer;
use crate::decisions::Script;
use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::state::Linked;
use crate::support::{declaration, mechanism_and_spare};
use crashbed::{
    Action, Daemon, Decision, Guarded, Intensity, KIB, MechanismKind, Outcome, Recoverable, Recovery, Root,
};
use crashbed_policies::KeepIfIntact;
use std::arch::asm;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

#[derive(Default, Debug, PartialEq, Recoverable)]
struct Book(Linked);

// SAFETY: each change below is made under a guard.
unsafe impl Guarded for Book {}

/// Whether the mechanism leaves the crashed state where a successor can go on with it, now and then at least.
pub(crate) fn keeps() -> bool {
    !matches!(mechanism_and_spare().0, MechanismKind::CopyOnWrite | MechanismKind::Fork)
}

/// Where in operation 13 it crashes.
#[derive(Clone, Copy, PartialEq)]
enum Where {
    BeforeTheChange,
    InTheChange,
    AfterABrokenBlock,
}

/// Twenty operations, each under a guard, with a commit after ten; number 13 crashes `crashes` times.
fn work(daemon: &mut Daemon<Book>, at: Where, crashes: u64, promised: bool) -> crashbed::Result<Recovery> {
    daemon.zero()?;
    let prepared = daemon.prepare(KeepIfIntact::default());
    let prepared = if promised { prepared.keep_if_intact() } else { prepared };
    let outcome = prepared.run(|tx, Book(state)| {
        while tx.operations() < 20 {
            let n = tx.operations();
            let strikes = n == 13 && tx.crashes() < crashes;
            match at {
                Where::BeforeTheChange if strikes => Fault::NullWrite.strike(),
                Where::AfterABrokenBlock if strikes => {
                    // The word before a block's content is its header's: a stray write, by an index below zero.
                    let header = Box::into_raw(Box::new(13_u64)) as usize - 16;
                    // SAFETY: it is mapped memory of this process; what the write breaks is given up with the crash.
                    unsafe { asm!("mov qword ptr [{0}], -1", in(reg) header) };
                    Fault::Kill.strike();
                }
                _ => {}
            }
            let change = tx.change();
            state.first_half(n);
            if strikes && at == Where::InTheChange {
                Fault::NullWrite.strike();
            }
            state.second_half(n);
            change.done();
            if n == 9 {
                tx.commit()?;
            }
        }
        Ok(())
    })?;
    assert_eq!(outcome, Outcome::Done(()));
    assert_eq!(daemon.state().0, Linked::after(20));
    let recoveries = &daemon.report().recoveries;
    assert_eq!(recoveries.len() as u64, crashes);
    let last = recoveries[recoveries.len() - 1];
    let first = recoveries[0];
    assert_eq!((first.decision.action, first.crash.committed_operations), (Action::KeepIfIntact, 10));
    Ok(if crashes == 1 { first } else { last })
}

/// Outside of a change the crashed state is gone on with, and becomes a commit; a second crash in the same place
/// resumes that one. Where the mechanism has nothing to keep, the last commit is resumed, and the report says so.
pub(crate) fn outside_of_a_change() -> crashbed::Result<()> {
    if mechanism_and_spare().0 == MechanismKind::Auto {
        // As the one does that is in use.
        return Ok(());
    }
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Book>| {
            let expected = if keeps() { (true, Some(13)) } else { (false, Some(10)) };
            let once = work(daemon, Where::BeforeTheChange, 1, true)?;
            assert_eq!((once.kept, once.resumed_operations), expected);
            assert!(!once.crash.changing);

            let twice = work(daemon, Where::BeforeTheChange, 2, true)?;
            assert_eq!((twice.decision.action, twice.kept), (Action::Resume, false));
            assert_eq!(twice.resumed_operations, expected.1);
            assert_eq!(twice.crash.committed_operations, if keeps() { 13 } else { 10 });
            Ok(())
        })
        .run()
}

/// In a change, with a broken block, or of a type without the promise, the last commit is resumed.
pub(crate) fn refused() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Book>| {
            let inside = work(daemon, Where::InTheChange, 1, true)?;
            assert_eq!((inside.crash.changing, inside.kept, inside.resumed_operations), (true, false, Some(10)));
            let broken = work(daemon, Where::AfterABrokenBlock, 1, true)?;
            assert_eq!((broken.crash.changing, broken.kept, broken.resumed_operations), (false, false, Some(10)));
            let unpromised = work(daemon, Where::BeforeTheChange, 1, false)?;
            assert_eq!((unpromised.kept, unpromised.resumed_operations), (false, Some(10)));
            Ok(())
        })
        .run()
}

/// Killed again and again at any instruction of a loop that allocates: what is kept was not caught in the allocator,
/// and what was is not kept.
pub(crate) fn in_the_allocator() -> crashbed::Result<()> {
    const KEPT: usize = 0;
    const LOCKED: usize = 1;
    let board = Board::new();
    Root::new()
        .declare(declaration().intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<Book>| {
            let policy = Script(vec![Decision::now(Action::KeepIfIntact); 400]);
            let outcome = daemon.prepare(policy).keep_if_intact().run(|tx, _| {
                if let Some(crash) = tx.crash() {
                    let kept = tx.operations() == crash.operation;
                    assert!(kept || tx.operations() == crash.committed_operations);
                    assert_eq!(kept, crash.heap_locked == Some(false), "{crash:?}");
                    board[if kept { KEPT } else { LOCKED }].fetch_add(1, SeqCst);
                }
                let enough = board[KEPT].load(SeqCst) >= 5 && board[LOCKED].load(SeqCst) >= 5;
                if tx.crashes() == 400 || enough || !keeps() && tx.crashes() == 3 {
                    return Ok(());
                }
                tx.done();
                kill_by_timer(50 + tx.crashes() * 7);
                loop {
                    std::hint::black_box(vec![1u8; 100]);
                }
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            let (kept, locked) = (board[KEPT].load(SeqCst), board[LOCKED].load(SeqCst));
            let expected = if keeps() { kept >= 5 && locked >= 5 } else { kept == 0 && locked == 3 };
            assert!(expected, "{kept} kept, {locked} caught with the lock held");
            Ok(())
        })
        .run()
}

/// While threads run in a scope a change is under way, whichever thread crashes: what they have half done is not kept. Behind
/// the scope the state is kept again.
pub(crate) fn in_threads() -> crashbed::Result<()> {
    if mechanism_and_spare().0 == MechanismKind::Auto {
        // As the one does that is in use.
        return Ok(());
    }
    Root::new()
        .declare(declaration().threads(1, 64 * KIB), |daemon: &mut Daemon<Book>| {
            let policy = Script(vec![Decision::now(Action::KeepIfIntact); 3]);
            let outcome = daemon.prepare(policy).keep_if_intact().run(|tx, Book(state)| {
                if tx.operations() == 0 {
                    state.operate(0);
                    tx.done();
                    tx.commit()?;
                }
                let n = tx.operations();
                assert_eq!(*state, Linked::after(n), "after {} crashes", tx.crashes());
                let is_half_done = AtomicBool::new(false);
                match tx.crashes() {
                    0 => tx.threads(|scope| {
                        scope.spawn(|| {
                            state.first_half(n);
                            Fault::NullWrite.strike();
                        })
                    })?,
                    1 => tx.threads(|scope| {
                        scope.spawn(|| {
                            state.first_half(n);
                            is_half_done.store(true, SeqCst);
                            std::thread::sleep(Duration::from_secs(10));
                        })?;
                        while !is_half_done.load(SeqCst) {
                            std::hint::spin_loop();
                        }
                        Fault::Kill.strike();
                        Ok(())
                    })?,
                    2 => {
                        tx.threads(|scope| scope.spawn(|| state.operate(n)))??;
                        tx.done();
                        Fault::NullWrite.strike();
                        Ok(())
                    }
                    _ => Ok(()),
                }
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            let told = |recovery: &Recovery| (recovery.crash.changing, recovery.kept, recovery.resumed_operations);
            let told: Vec<_> = daemon.report().recoveries.iter().map(told).collect();
            let outside = (false, keeps(), Some(1 + u64::from(keeps())));
            assert_eq!(told, [(true, false, Some(1)), (true, false, Some(1)), outside]);
            Ok(())
        })
        .run()
}

#[derive(Default, Recoverable)]
struct Tally {
    operations: u64,
}

// SAFETY: its one change is made under a guard.
unsafe impl Guarded for Tally {}

/// Killed at any instruction, however often, each operation is in the state that is kept exactly once: the guard counts
/// the operation before the change is over.
pub(crate) fn exactly_once() -> crashbed::Result<()> {
    const CRASHES: u64 = 200;
    let board = Board::new();
    Root::new()
        .declare(declaration().intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<Tally>| {
            let policy = Script(vec![Decision::now(Action::KeepIfIntact); 200]);
            let outcome = daemon.prepare(policy).keep_if_intact().run(|tx, tally| {
                if let Some(crash) = tx.crash() {
                    let uncommitted = crash.operation > crash.committed_operations;
                    let kept = uncommitted && tx.operations() == crash.operation;
                    board[usize::from(crash.changing)].fetch_add(1, SeqCst);
                    board[2].fetch_add(u64::from(kept), SeqCst);
                }
                assert_eq!(tally.operations, tx.operations(), "after {} crashes", tx.crashes());
                if tx.crashes() == CRASHES {
                    return Ok(());
                }
                kill_by_timer(20 + tx.crashes());
                loop {
                    let change = tx.change();
                    tally.operations += 1;
                    change.done();
                    // What it only computes takes longer than what it changes.
                    std::hint::black_box((0..50_u64).sum::<u64>());
                }
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            let [outside, inside, kept] = [0, 1, 2].map(|i| board[i].load(SeqCst));
            assert!(
                outside > 0 && inside > 0 && (kept > 0) == keeps(),
                "{outside} outside, {inside} inside, {kept} kept"
            );
            Ok(())
        })
        .run()
}
