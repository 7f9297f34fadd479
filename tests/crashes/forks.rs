//! The mechanism `fork`: a crash goes back into the middle of a function, over several levels, and no frozen process
//! outlives what it is a commit of.

use crate::decisions::Script;
use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::held::{compare, held};
use crate::support::mechanism_and_spare;
use crate::support::state::Linked;
use crashbed::point::{self, Point};
use crashbed::{
    Action, Answer, Daemon, Decision, Declaration, Intensity, KIB, MIB, MechanismKind, Outcome, Returns, Root,
};
use crashbed_policies::{CheckpointResume, ProcessDecides};
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

fn declaration(kept: u8) -> Declaration {
    let declaration = Declaration::new("d", 2 * MIB).mechanism(MechanismKind::Fork).kept_commits(kept);
    declaration.spare(mechanism_and_spare().1).intensity(Intensity::UNLIMITED)
}

/// How many children this process's parent, the daemon, has; keepers and the dying are among them.
fn siblings() -> usize {
    let daemon = std::os::unix::process::parent_id();
    let children = std::fs::read_to_string(format!("/proc/{daemon}/task/{daemon}/children")).expect("the children");
    children.split_whitespace().count()
}

/// Locals, an open loop, a file's place and a borrow of the stack's come back with the commit; what was done since does
/// not.
pub(crate) fn goes_on_in_the_middle() -> crashbed::Result<()> {
    const ROUNDS: u64 = 12;
    let board = Board::new();
    let mut file = tempfile();
    file.write_all(&(0..=255).collect::<Vec<u8>>()).map_err(crashbed::Error::program)?;
    Root::new()
        .declare(declaration(0).threads(3, 64 * KIB), |daemon: &mut Daemon<Linked>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                board[0].fetch_add(1, SeqCst);
                assert_eq!(tx.crash(), None, "nobody begins anew");
                let mut seen = [0u64; 64];
                let (mut sum, path) = (0, &mut seen[1..]);
                for round in 0..ROUNDS {
                    state.operate(round);
                    tx.done();
                    sum += round;
                    path[usize::try_from(round)?] = sum;
                    let crashes = tx.crashes();
                    tx.commit()?;
                    assert_eq!((tx.operations(), &*state), (round + 1, &Linked::after(round + 1)));
                    assert_eq!(sum, (0..=round).sum::<u64>(), "locals are those of the commit");
                    if tx.crashes() == crashes {
                        // Once for each commit, each time in another way; all of this is taken back.
                        state.first_half(99);
                        sum = 1_000_000;
                        path.fill(7);
                        let fault = [Fault::NullWrite, Fault::Kill, Fault::Abort, Fault::Overflow, Fault::ExitThree];
                        let fault = fault[usize::try_from(round)? % 5];
                        if round % 3 == 2 {
                            tx.threads(|scope| {
                                for _ in 0..2 {
                                    scope.spawn(|| std::thread::sleep(Duration::from_secs(10)))?;
                                }
                                scope.spawn(move || fault.strike())
                            })??;
                        }
                        std::hint::black_box((&sum, &path));
                        fault.strike();
                    }
                    let crash = tx.crash().expect("each commit is gone back to once");
                    assert_eq!((crash.operation, crash.committed_operations), (round + 1, round + 1));
                }
                assert_eq!(seen[usize::try_from(ROUNDS)?], sum);
                // The kernel's part of an open file is one for all processes: that is not taken back.
                let mut file = &file;
                file.seek(SeekFrom::Start(100))?;
                let mut byte = [0];
                file.read_exact(&mut byte)?;
                Ok(sum + u64::from(byte[0]))
            })?;
            assert_eq!(outcome, Outcome::Done((0..ROUNDS).sum::<u64>() + 100));
            assert_eq!((daemon.report().crashes, board[0].load(SeqCst)), (ROUNDS, 1));
            // The made state's is not this transaction's; the last one is through the daemon.
            assert_eq!(daemon.report().commits, ROUNDS + 1);
            assert_eq!(*daemon.state(), Linked::after(ROUNDS));
            Ok(())
        })
        .run()
}

fn tempfile() -> std::fs::File {
    nix::sys::memfd::memfd_create(c"file", nix::sys::memfd::MFdFlags::empty()).expect("a file").into()
}

/// Four levels: each crash goes back as far as the policy says, never beyond the oldest level; new levels push the oldest
/// out.
pub(crate) fn goes_back_by_levels() -> crashbed::Result<()> {
    let back = [0, 2, 1, 9, 0, 3];
    // Operations that the commits hold which are kept, as a crash finds them; and what it goes back to.
    let expected = [(6, 6), (6, 4), (5, 4), (8, 5), (6, 6), (9, 6)];
    Root::new()
        .declare(declaration(3), |daemon: &mut Daemon<Linked>| {
            let policy = Script(back.map(|back| Decision::now(Action::Older(back))).to_vec());
            let outcome = daemon.transaction(policy, |tx, state| {
                loop {
                    let n = tx.operations();
                    let crashes = usize::try_from(tx.crashes())?;
                    assert_eq!(*state, Linked::after(n));
                    if let Some(before) = crashes.checked_sub(1) {
                        let least = expected[before].1;
                        assert!(n >= least, "crash {before} went back to {n}, not to {least}");
                    }
                    match expected.get(crashes) {
                        Some((at, _)) if *at == n => {
                            state.first_half(99);
                            [Fault::NullWrite, Fault::Kill][crashes % 2].strike();
                        }
                        None => return Ok(()),
                        _ => {}
                    }
                    state.operate(n);
                    tx.done();
                    tx.commit()?;
                }
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            let resumed: Vec<_> = daemon.report().recoveries.iter().map(|r| r.resumed_operations).collect();
            assert_eq!(resumed, expected.map(|(_, resumed)| Some(resumed)));
            Ok(())
        })
        .run()
}

/// However many commits, there are the declared levels and what works; a level that is killed costs its commit alone.
pub(crate) fn a_level_may_be_lost() -> crashbed::Result<()> {
    const LEVELS: u64 = 3;
    let board = Board::new();
    Root::new()
        .declare(declaration(2).keeper(false), |daemon: &mut Daemon<Linked>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                for n in tx.operations()..40 {
                    state.operate(n);
                    tx.done();
                    let frozen = std::process::id();
                    tx.commit()?;
                    assert_eq!(*state, Linked::after(tx.operations()), "after {n}");
                    if n == 39 && tx.crashes() == 0 {
                        board[1].store(siblings() as u64, SeqCst);
                        // SAFETY: no pointer is passed; the daemon has not reaped it, since it is frozen.
                        unsafe { libc::kill(frozen.cast_signed(), libc::SIGKILL) };
                        let stat = || std::fs::read_to_string(format!("/proc/{frozen}/stat"));
                        while stat().is_ok_and(|stat| !stat.contains(") Z ")) {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                        state.first_half(99);
                        Fault::NullWrite.strike();
                    }
                    if tx.crashes() == 1 {
                        board[0].fetch_max(n, SeqCst);
                    }
                }
                Ok(tx.operations())
            })?;
            assert_eq!(outcome, Outcome::Done(40));
            assert_eq!(*daemon.state(), Linked::after(40));
            let recovery = &daemon.report().recoveries[0];
            assert_eq!((recovery.crash.operation, recovery.crash.committed_operations), (40, 39));
            Ok(())
        })
        .run()?;
    let most = board[1].load(SeqCst);
    // What works, the levels, and some that are about to be reaped.
    assert!((1 + LEVELS..=1 + LEVELS + 4).contains(&most), "{most} processes");
    Ok(())
}

/// What ends a transaction for good, or asks for code that a frozen process cannot run, finds the newest level's state.
pub(crate) fn hands_its_state_in() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(1), |daemon: &mut Daemon<Linked>| {
            // The program decides in a process that begins anew.
            let decide = |scene: &crashbed::Scene<'_, Linked>| {
                assert_eq!(*scene.commit(), Linked::after(5));
                Answer::Skip
            };
            let outcome = daemon.prepare(ProcessDecides).on_crash(&decide).run(|tx, state| {
                for n in tx.operations()..7 {
                    if !tx.skips(n) {
                        if n == 5 {
                            Fault::NullWrite.strike();
                        }
                        state.operate(n);
                    }
                    tx.done();
                    tx.commit()?;
                }
                Err::<(), _>(crashbed::Failure::new("after the last commit"))
            })?;
            assert!(matches!(&outcome, Outcome::Failed(failure) if failure.message() == "after the last commit"));
            let mut expected = Linked::after(5);
            expected.operate(6);
            assert_eq!((daemon.operations(), daemon.state()), (7, &expected));
            // A policy that gives up leaves the last commit.
            let outcome = daemon.transaction(Script(Vec::new()), |tx, state| {
                state.operate(7);
                tx.done();
                tx.commit()?;
                state.operate(8);
                Fault::Kill.strike();
                Ok(())
            })?;
            expected.operate(7);
            assert!(matches!(outcome, Outcome::GaveUp(_)), "{outcome:?}");
            assert_eq!((daemon.operations(), daemon.state()), (8, &expected));
            // A policy's skip is the frozen process's to note.
            let outcome = daemon.transaction(Script(vec![Decision::now(Action::Skip); 2]), |tx, state| {
                loop {
                    let n = tx.operations();
                    if n == 12 {
                        return Ok(());
                    }
                    if !tx.skips(n) {
                        if n == 9 || n == 10 {
                            Fault::Abort.strike();
                        }
                        state.operate(n);
                    }
                    tx.done();
                    if n == 8 {
                        tx.commit()?;
                    }
                }
            })?;
            expected.operate(8);
            expected.operate(11);
            assert_eq!((outcome, daemon.state()), (Outcome::Done(()), &expected));
            Ok(())
        })
        .run()
}

/// Where a process dies next, plus one, and how many passes to let by.
static KILLS: std::sync::OnceLock<Board> = std::sync::OnceLock::new();
const POINTS: [Point; 3] = [Point::Staged, Point::Forked, Point::Freeze];

fn kill_at(at: Point) {
    let Some(board) = KILLS.get() else { return };
    if POINTS.iter().position(|point| *point == at).is_some_and(|point| board[0].load(SeqCst) == point as u64 + 1)
        && board[1].fetch_sub(1, SeqCst) == 0
    {
        board[0].store(0, SeqCst);
        if board[2].load(SeqCst) == 1 {
            let daemon = std::os::unix::process::parent_id().cast_signed();
            // SAFETY: no pointer is passed; the daemon is this process's parent, and takes it along.
            unsafe { libc::kill(daemon, libc::SIGKILL) };
            std::thread::sleep(Duration::from_secs(10));
        }
        Fault::Kill.strike();
    }
}

/// Killed at each step of a commit, the process or its daemon: nobody is left of a daemon that dies, and of a process
/// that does its last commit or the one before it is found.
pub(crate) fn killed_in_a_fork() -> crashbed::Result<()> {
    let board = *KILLS.get_or_init(Board::new);
    point::set_hook(kill_at);
    let plans: Vec<_> =
        (0..2).flat_map(|whom| (1..=3).flat_map(move |at| [0, 3].map(|pass| (whom, at, pass)))).collect();
    const BEGUN: usize = 8;
    Root::new()
        .declare(declaration(1), |daemon: &mut Daemon<Linked>| {
            loop {
                let at = daemon.operations();
                assert_eq!((daemon.state().clone(), at % 10), (Linked::after(at), 0));
                let begun = usize::try_from(board[BEGUN].fetch_add(1, SeqCst)).unwrap_or(0);
                let Some(&(whom, place, passes)) = plans.get(begun) else { return Ok(()) };
                [place, passes, whom].iter().enumerate().for_each(|(i, word)| board[i].store(*word, SeqCst));
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    while tx.operations() < at + 10 {
                        let n = tx.operations();
                        assert_eq!(*state, Linked::after(n));
                        state.operate(n);
                        tx.done();
                        if n < at + 9 {
                            tx.commit()?;
                        }
                    }
                    Ok(())
                })?;
                assert_eq!(outcome, Outcome::Done(()));
                // One that is about to freeze may be let go before it has come to that.
                assert!(board[0].load(SeqCst) == 0 || place == 3, "{:?} was never passed", plans[begun]);
            }
        })
        .run()
}

/// A cache that comes back empty does so in the middle of a function too.
pub(crate) fn caches_of_levels() -> crashbed::Result<()> {
    let declaration = declaration(0).cache("kept", 4 * KIB, Returns::AsItWas).cache("empty", 4 * KIB, Returns::Empty);
    Root::new()
        .declare(declaration, |daemon: &mut Daemon<u64>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, _| {
                tx.cache::<u64>("empty")?[3] = 3;
                tx.cache::<u64>("kept")?[3] = 3;
                tx.commit()?;
                if tx.crash().is_none() {
                    assert_eq!(tx.cache::<u64>("empty")?[3], 3);
                    tx.cache::<u64>("kept")?[3] = 4;
                    Fault::Kill.strike();
                }
                Ok((tx.cache::<u64>("empty")?[3], tx.cache::<u64>("kept")?[3]))
            })?;
            assert_eq!(outcome, Outcome::Done((0, 4)));
            Ok(())
        })
        .run()
}

/// Thousands of commits and hundreds of crashes leave no process and no descriptor behind.
pub(crate) fn many_levels() -> crashbed::Result<()> {
    let root = std::process::id();
    Root::new()
        .declare(declaration(3), |daemon: &mut Daemon<u64>| {
            let me = std::process::id();
            let mut early = None;
            for round in 0..10 {
                let until = daemon.operations() + 200;
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    while tx.operations() < until {
                        let (n, crashes) = (tx.operations(), tx.crashes());
                        assert_eq!(*state, n);
                        *state += 1;
                        tx.done();
                        tx.commit()?;
                        if n % 5 == 4 && tx.crashes() == crashes {
                            [Fault::NullWrite, Fault::Kill][usize::try_from(n)? / 5 % 2].strike();
                        }
                    }
                    Ok(())
                })?;
                assert_eq!((outcome, daemon.report().crashes), (Outcome::Done(()), 40));
                assert_eq!(*daemon.state(), until);
                if round == 1 {
                    early = Some((held(root), held(me)));
                }
            }
            let (early_root, early_daemon) = early.expect("two rounds");
            compare("the root", early_root, held(root));
            compare("the daemon", early_daemon, held(me));
            Ok(())
        })
        .run()
}

/// Gives the calling thread descriptors of its own, which it has to close after it has let go of its memory: so it can be
/// joined long before it leaves its process.
fn leave_slowly() {
    // SAFETY: no pointer is passed; what the other threads have open stays open.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0);
    for _ in 0..900 {
        // SAFETY: no pointer is passed; nobody else uses the descriptor.
        unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    }
}

/// A thread that was joined is in its process for a moment more, as the kernel counts. The commit that follows is a level
/// all the same: however often, the crash behind it goes back into the middle of the function.
pub(crate) fn commits_after_threads() -> crashbed::Result<()> {
    const ROUNDS: u64 = 100;
    const THREADS: u64 = 2;
    Root::new()
        .declare(declaration(0).threads(2, 64 * KIB), |daemon: &mut Daemon<u64>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                assert_eq!(tx.crash(), None, "nobody begins anew");
                for round in 0..ROUNDS {
                    let sum = AtomicU64::new(0);
                    let count = || {
                        sum.fetch_add(1, SeqCst);
                        leave_slowly();
                    };
                    tx.threads(|scope| (0..THREADS).try_for_each(|_| scope.spawn(count)))??;
                    *state += sum.load(SeqCst);
                    tx.done();
                    let crashes = tx.crashes();
                    tx.commit()?;
                    if tx.crashes() == crashes {
                        *state = 0;
                        Fault::NullWrite.strike();
                    }
                    assert_eq!(*state, (round + 1) * THREADS);
                }
                Ok(*state)
            })?;
            assert_eq!(outcome, Outcome::Done(ROUNDS * THREADS));
            assert_eq!((daemon.report().crashes, daemon.report().commits), (ROUNDS, ROUNDS + 1));
            Ok(())
        })
        .run()
}
