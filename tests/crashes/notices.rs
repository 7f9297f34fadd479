//! How a crash becomes known, in the cases in which that is hard.

use crate::support::board::Board;
use crate::support::declaration;
use crate::support::fault::Fault;
use crashbed::{Cause, Crash, Daemon, Failure, Intensity, MIB, Notice, Outcome, Phase, Root, Tx};
use crashbed_policies::CheckpointResume;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Lets a transaction crash by `crash` once and answers what was noticed.
fn crash_of(daemon: &mut Daemon<u64>, crash: fn(&mut Tx<'_>) -> Result<(), Failure>) -> crashbed::Result<Crash> {
    let outcome = daemon.transaction(CheckpointResume, |tx, state| {
        if tx.crash().is_none() {
            tx.done();
            crash(tx)?;
        }
        *state += 1;
        tx.done();
        Ok(())
    })?;
    assert_eq!(outcome, Outcome::Done(()));
    assert_eq!(daemon.report().crashes, 1);
    Ok(daemon.report().recoveries[0].crash)
}

/// Runs a tree of one daemon that makes one crash and looks at it.
fn look_at(crash: fn(&mut Tx<'_>) -> Result<(), Failure>, look: fn(&Crash)) -> crashbed::Result<()> {
    let declaration =
        declaration().threads(4, MIB).heartbeat(Duration::from_millis(500)).intensity(Intensity::UNLIMITED);
    Root::new()
        .declare(declaration, move |daemon: &mut Daemon<u64>| {
            let pid = std::process::id();
            for round in 0..3 {
                let crash = crash_of(daemon, crash)?;
                look(&crash);
                assert_eq!(crash.phase, Phase::Running, "{crash:?}");
                assert_eq!((crash.committed_operations, crash.operation), (round, round + 1), "{crash:?}");
                assert!(crash.happened_ns <= crash.noticed_ns && crash.happened_ns > 0, "{crash:?}");
                assert!(crash.thread.cast_unsigned() != pid, "{crash:?}");
            }
            assert_eq!(*daemon.state(), 3);
            Ok(())
        })
        .run()
}

fn is_overflow(crash: &Crash) {
    assert_eq!(crash.notice, Notice::Handler, "{crash:?}");
    assert!(crash.is_stack_overflow(), "{crash:?}");
    assert!(crash.to_string().contains("stack overflow"), "{crash}");
    assert!(crash.place.is_some_and(|place| place.image_offset.is_some()), "{crash:?}");
    assert!(crash.thread > 0, "{crash:?}");
}

pub(crate) fn stack_overflow() -> crashbed::Result<()> {
    let overflow = |_: &mut Tx<'_>| {
        Fault::Overflow.strike();
        Ok(())
    };
    look_at(overflow, is_overflow)?;
    // A fault elsewhere is not taken for one.
    let null = |_: &mut Tx<'_>| {
        Fault::NullWrite.strike();
        Ok(())
    };
    look_at(null, |crash| {
        assert!(!crash.is_stack_overflow(), "{crash:?}");
        assert!(matches!(crash.cause, Cause::Signal { signal: libc::SIGSEGV, address: 8, code: 1 }), "{crash:?}");
    })
}

pub(crate) fn stack_overflow_in_a_thread() -> crashbed::Result<()> {
    let overflow = |tx: &mut Tx<'_>| {
        tx.threads(|scope| {
            scope.spawn(|| std::thread::sleep(Duration::from_secs(30)))?;
            scope.spawn(|| Fault::Overflow.strike())
        })?
    };
    look_at(overflow, is_overflow)
}

/// All threads fault at the same time: one record, of one of them, and whole.
pub(crate) fn two_threads_at_once() -> crashbed::Result<()> {
    let together = |tx: &mut Tx<'_>| {
        let ready = std::sync::atomic::AtomicU32::new(0);
        tx.threads(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    ready.fetch_add(1, SeqCst);
                    while ready.load(SeqCst) < 4 {
                        std::hint::spin_loop();
                    }
                    Fault::NullWrite.strike();
                })?;
            }
            Ok(())
        })?
    };
    look_at(together, |crash| {
        assert_eq!(crash.notice, Notice::Handler, "{crash:?}");
        assert!(matches!(crash.cause, Cause::Signal { signal: libc::SIGSEGV, address: 8, .. }), "{crash:?}");
    })
}

/// The span of this thread's alternate signal stack.
fn signal_stack() -> libc::stack_t {
    // SAFETY: all-zero is a valid stack_t, which is plain data.
    let mut stack: libc::stack_t = unsafe { std::mem::zeroed() };
    // SAFETY: asks for the present one, into writable memory.
    assert_eq!(unsafe { libc::sigaltstack(std::ptr::null(), &raw mut stack) }, 0);
    stack
}

/// The kernel cannot even start the handler: it ends the process, and the pidfd tells.
pub(crate) fn handler_without_a_stack() -> crashbed::Result<()> {
    let crash = |_: &mut Tx<'_>| {
        let stack = signal_stack();
        // SAFETY: nothing lives on the signal stack now.
        assert_eq!(unsafe { libc::mprotect(stack.ss_sp, stack.ss_size, libc::PROT_NONE) }, 0);
        Fault::Divide.strike();
        Ok(())
    };
    look_at(crash, |crash| {
        assert_eq!(crash.notice, Notice::Pidfd, "{crash:?}");
        // Not the fault's own signal: the kernel says what it did.
        assert_eq!(crash.cause.signal(), Some(libc::SIGSEGV), "{crash:?}");
        assert!(crash.place.is_none() && crash.thread == 0, "{crash:?}");
    })
}

/// The handler starts and faults in turn: the program took the mailbox away that it writes to.
pub(crate) fn handler_that_faults() -> crashbed::Result<()> {
    let crash = |_: &mut Tx<'_>| {
        let maps = std::fs::read_to_string("/proc/self/maps")?;
        let line = maps.lines().find(|line| line.contains("crashbed-d-seats")).ok_or_else(|| Failure::new("none"))?;
        let (start, rest) = line.split_once('-').ok_or_else(|| Failure::new("no range"))?;
        let end = rest.split(' ').next().unwrap_or("");
        let (start, end) = (usize::from_str_radix(start, 16)?, usize::from_str_radix(end, 16)?);
        // SAFETY: the mapping is shared memory that this process needs no more: it crashes in the next instruction.
        assert_eq!(unsafe { libc::mprotect(start as *mut _, end - start, libc::PROT_READ) }, 0);
        Fault::Divide.strike();
        Ok(())
    };
    look_at(crash, |crash| {
        assert!(matches!(crash.notice, Notice::Pidfd | Notice::Torn), "{crash:?}");
        assert!(crash.cause.signal().is_some(), "{crash:?}");
    })
}

/// A process of nobody's family kills the transaction through a pidfd.
pub(crate) fn killed_through_a_pidfd() -> crashbed::Result<()> {
    let board = Board::new();
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<u64>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                if tx.crash().is_none() {
                    board[0].store(u64::from(std::process::id()), SeqCst);
                    std::thread::sleep(Duration::from_secs(30));
                }
                *state = 1;
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            let crash = &daemon.report().recoveries[0].crash;
            assert_eq!((crash.cause.signal(), crash.notice), (Some(libc::SIGKILL), Notice::Pidfd), "{crash:?}");
            Ok(())
        })
        .daemon("killer", MIB, |_: &mut Daemon<u64>| {
            while board[0].load(SeqCst) == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            // SAFETY: no pointer is passed.
            let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, board[0].load(SeqCst), 0) };
            let none = std::ptr::null::<libc::siginfo_t>();
            // SAFETY: a null siginfo is what the man page asks for when there is none.
            let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, libc::SIGKILL, none, 0) };
            assert_eq!(sent, 0);
            Ok(())
        })
        .run()
}

/// Stopped, asleep, and busy without end: the heartbeat's deadline passes, and says which it was.
pub(crate) fn silent() -> crashbed::Result<()> {
    fn hung(crash: &Crash, expect_stopped: bool) {
        let Cause::Hung { silent, stopped } = crash.cause else { panic!("{crash:?}") };
        assert_eq!((crash.notice, stopped), (Notice::Heartbeat, expect_stopped), "{crash:?}");
        assert!(silent >= Duration::from_millis(500) && silent < Duration::from_secs(5), "{crash:?}");
        assert!(crash.undetected() >= Duration::from_millis(490), "{crash:?}");
    }
    let stop = |_: &mut Tx<'_>| {
        Fault::Stop.strike();
        Ok(())
    };
    look_at(stop, |crash| hung(crash, true))?;
    let sleep = |_: &mut Tx<'_>| {
        Fault::Hang.strike();
        Ok(())
    };
    look_at(sleep, |crash| hung(crash, false))?;
    let spin = |_: &mut Tx<'_>| {
        while std::hint::black_box(true) {
            std::hint::spin_loop();
        }
        Ok(())
    };
    look_at(spin, |crash| hung(crash, false))?;
    // One that gives signs of life is left alone for longer than its deadline.
    let lively = |tx: &mut Tx<'_>| {
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(40));
            tx.beat();
        }
        Fault::Kill.strike();
        Ok(())
    };
    look_at(lively, |crash| assert_eq!(crash.cause.signal(), Some(libc::SIGKILL), "{crash:?}"))
}

/// What `panic = "abort"` would do to every panic: the process aborts, and the crash carries the message.
pub(crate) fn panic_while_panicking() -> crashbed::Result<()> {
    let crash = |_: &mut Tx<'_>| {
        Fault::DoublePanic.strike();
        Ok(())
    };
    look_at(crash, |crash| {
        assert_eq!((crash.cause.signal(), crash.notice), (Some(libc::SIGABRT), Notice::Handler), "{crash:?}");
        assert!(crash.note.as_str().contains("panic"), "{crash:?}");
    })
}
