//! Process decides: each answer, and what cannot be answered.

use crate::support::declaration;
use crate::support::fault::Fault;
use crate::support::state::Linked;
use crashbed::{Answer, Answered, Daemon, Damaged, Intensity, MechanismKind, Outcome, Root, Scene};
use crashbed_policies::ProcessDecides;
use std::sync::atomic::Ordering::SeqCst;

/// Commits ten operations, changes the state on, crashes; then `answer` is asked, and the successor goes on to 20
/// operations. Answers the outcome and what was answered.
fn ask(
    daemon: &mut Daemon<Linked>,
    answer: &(dyn Fn(&Scene<'_, Linked>) -> Answer<Linked> + Sync),
) -> crashbed::Result<(Outcome<u64>, Option<Answered>)> {
    daemon.zero()?;
    let outcome = daemon.prepare(ProcessDecides).on_crash(answer).run(|tx, state| {
        let began = tx.operations();
        while tx.operations() < 20 {
            let n = tx.operations();
            if tx.skips(n) {
                tx.done();
                continue;
            }
            if n == 13 && tx.crash().is_none() {
                Fault::NullWrite.strike();
            }
            state.operate(n);
            tx.done();
            if n == 9 {
                tx.commit()?;
            }
        }
        Ok(began)
    })?;
    let answered = daemon.report().recoveries.first().and_then(|recovery| recovery.answered);
    Ok((outcome, answered))
}

pub(crate) fn answers() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Linked>| {
            let (outcome, answered) = ask(daemon, &|scene| {
                assert_eq!((scene.crash().operation, scene.crash().committed_operations), (13, 10));
                assert_eq!((scene.history().total(), scene.operations()), (1, 10));
                assert_eq!(*scene.commit(), Linked::after(10));
                Answer::Resume
            })?;
            assert_eq!((outcome, answered), (Outcome::Done(10), Some(Answered::Resume)));
            assert_eq!(*daemon.state(), Linked::after(20));

            assert_eq!(ask(daemon, &|_| Answer::Zero)?, (Outcome::Done(0), Some(Answered::Zero)));
            assert_eq!(*daemon.state(), Linked::after(20));

            let repair =
                |_: &Scene<'_, Linked>| Answer::Repair(|state: &mut Linked, crash| state.sum += crash.operation);
            assert_eq!(ask(daemon, &repair)?, (Outcome::Done(10), Some(Answered::Repair)));
            let mut repaired = Linked::after(20);
            repaired.sum = repaired.sum.wrapping_add(13);
            assert_eq!(*daemon.state(), repaired);

            assert_eq!(ask(daemon, &|_| Answer::Skip)?, (Outcome::Done(10), Some(Answered::Skip)));
            let mut skipped = Linked::default();
            (0..20).filter(|n| *n != 13).for_each(|n| skipped.operate(n));
            assert_eq!(*daemon.state(), skipped);

            let (outcome, answered) = ask(daemon, &|_| Answer::GiveUp)?;
            let Outcome::GaveUp(crash) = outcome else { panic!("{outcome:?}") };
            assert_eq!((crash.operation, answered), (13, Some(Answered::GiveUp)));
            assert_eq!(*daemon.state(), Linked::after(10));

            // A crash of the deciding code is a crash, and is not asked about.
            let (outcome, _) = ask(daemon, &|_| {
                Fault::Kill.strike();
                Answer::GiveUp
            })?;
            assert_eq!(outcome, Outcome::Done(10));
            assert_eq!(daemon.report().crashes, 2);
            assert_eq!(*daemon.state(), Linked::after(20));
            Ok(())
        })
        .run()
}

/// Kept where the mechanism works in place; under copy on write there is nothing to keep.
pub(crate) fn keep() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Linked>| {
            let (outcome, answered) = ask(daemon, &|scene| {
                let Some(crashed) = scene.crashed() else { return Answer::Resume };
                assert_eq!(crashed.operations(), 13);
                assert_eq!(scene.crash().heap_locked, Some(false));
                // SAFETY: the crash struck between two operations, and nothing wrote over the state.
                match unsafe { crashed.assume_intact() } {
                    Ok(intact) => Answer::Keep(intact),
                    Err(damaged) => panic!("{damaged}"),
                }
            })?;
            let keeps = match crate::support::mechanism_and_spare().0 {
                // It is one of those that keep it, or is not.
                MechanismKind::Auto => answered == Some(Answered::Keep),
                _ => crate::kept::keeps(),
            };
            let expected =
                if keeps { (Outcome::Done(13), Answered::Keep) } else { (Outcome::Done(10), Answered::Resume) };
            assert_eq!((outcome, answered), (expected.0, Some(expected.1)));
            assert_eq!(*daemon.state(), Linked::after(20));
            Ok(())
        })
        .run()
}

/// Killed again and again in the middle of allocations: whenever the lock was held, nobody can vouch for the state.
pub(crate) fn keep_a_locked_heap() -> crashbed::Result<()> {
    if !crate::kept::keeps() || crate::support::mechanism_and_spare().0 == MechanismKind::Auto {
        // There is nothing to keep, or not always.
        return Ok(());
    }
    let board = crate::support::board::Board::new();
    Root::new()
        .declare(declaration().intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<Vec<u64>>| {
            let decide = |scene: &Scene<'_, Vec<u64>>| {
                let crashed = scene.crashed().expect("what works in place keeps it");
                // SAFETY: the answer is not used to keep anything.
                let intact = unsafe { crashed.assume_intact() };
                if scene.crash().heap_locked == Some(true) {
                    assert_eq!(intact.err(), Some(Damaged::HeapLocked));
                    board[0].fetch_add(1, SeqCst);
                } else {
                    board[1].fetch_add(1, SeqCst);
                }
                Answer::Resume
            };
            let outcome = daemon.prepare(ProcessDecides).on_crash(&decide).run(|tx, _| {
                if tx.crashes() == 300 || board[0].load(SeqCst) >= 5 && board[1].load(SeqCst) >= 5 {
                    return Ok(());
                }
                kill_by_timer(50 + tx.crashes() * 7);
                loop {
                    std::hint::black_box(vec![1u8; 100]);
                }
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            let (locked, free) = (board[0].load(SeqCst), board[1].load(SeqCst));
            assert!(locked >= 5 && free >= 5, "{locked} with the lock held, {free} without");
            Ok(())
        })
        .run()
}

/// SIGALRM, which nobody handles, ends this process in so many microseconds.
pub(crate) fn kill_by_timer(microseconds: u64) {
    let value = libc::timeval { tv_sec: 0, tv_usec: i64::try_from(microseconds).unwrap_or(1000) };
    let timer = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: value };
    // SAFETY: the new timer is readable, and the old one is not asked for.
    unsafe {
        libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut::<libc::itimerval>())
    };
}

/// 64 operations can be skipped between two commits of the program's own; the 65th gives up with the crash.
pub(crate) fn too_many_skips() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration().intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<u64>| {
            let outcome = daemon.prepare(ProcessDecides).on_crash(&|_| Answer::Skip).run(|tx, state| {
                while tx.operations() < 200 {
                    if !tx.skips(tx.operations()) {
                        Fault::Kill.strike();
                    }
                    *state += 1;
                    tx.done();
                }
                Ok(())
            })?;
            let Outcome::GaveUp(crash) = outcome else { panic!("{outcome:?}") };
            assert_eq!((crash.operation, *daemon.state(), daemon.operations()), (64, 0, 0));
            Ok(())
        })
        .run()
}
