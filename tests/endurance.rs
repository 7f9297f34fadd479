//! Thousands of crashes in a row leave the tree as it was: no process, descriptor or memory more.
//!
//! What is held after 1,000 crashes is compared with what is held after 10,000 (of daemons: 2,000), some 20 s on two
//! processors. Ten (five) times as many by `cargo test --test endurance -- --ignored`.

mod support;

use crashbed::{Daemon, Intensity, Outcome, Root};
use crashbed_policies::CheckpointResume;
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use support::board::Board;
use support::fault::{self, Fault};
use support::held::{DYING, Held, compare, held};
use support::state::Linked;
use support::{SPARES, declaration, fails, numbers, start};

fn main() -> ExitCode {
    let scenarios: &[support::Scenario] = &[("crashes", crashes), ("daemon-crashes", daemon_crashes), ("leaks", leaks)];
    let tests: &[support::Test] = &[
        ("ten_thousand_crashes_leave_no_trace", || each("crashes", &SPARES, 10_000)),
        ("two_thousand_crashes_of_daemons_leave_no_trace", || each("daemon-crashes", &["cold", "warm"], 2_000)),
        ("a_leak_is_seen", a_leak_is_seen),
    ];
    let ignored: &[support::Test] = &[
        ("a_hundred_thousand_crashes_leave_no_trace", || each("crashes", &SPARES, 100_000)),
        ("ten_thousand_crashes_of_daemons_leave_no_trace", || each("daemon-crashes", &["cold", "warm"], 10_000)),
    ];
    support::main(scenarios, tests, ignored)
}

fn each(scenario: &str, spares: &[&str], crashes: u64) {
    for (mechanism, spare) in support::mechanisms().flat_map(|m| spares.iter().map(move |spare| (m, spare))) {
        let tree = start(scenario, &format!("{mechanism} {spare} {crashes}"));
        let ended = tree.finish(Duration::from_secs(600), Duration::ZERO);
        assert!(ended.status.success(), "{ended:#?}");
    }
}

fn a_leak_is_seen() {
    fails("leaks", "copy-on-write cold 0", "grew");
}

fn planned() -> (crashbed::Declaration, u64) {
    (declaration().intensity(Intensity::UNLIMITED), numbers()[0])
}

/// One transaction crashes so many times, each time in another way.
fn crashes() -> crashbed::Result<()> {
    fault::prepare();
    let (declaration, crashes) = planned();
    let faults: Vec<Fault> =
        Fault::ALL.into_iter().filter(|f| f.ends_by_itself() && *f != Fault::DoublePanic).collect();
    let root = std::process::id();
    let early = Board::new();
    Root::new()
        .declare(declaration, |daemon: &mut Daemon<Linked>| {
            let me = std::process::id();
            let mut before = (Held::default(), Held::default());
            let batch = 200;
            for round in 0..crashes / batch {
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    for _ in 0..3 {
                        let n = tx.operations();
                        state.operate(n);
                        tx.done();
                    }
                    if tx.crashes() < batch {
                        let which = usize::try_from(tx.crashes()).unwrap_or(0) % faults.len();
                        early[0].fetch_add(1, SeqCst);
                        faults[which].strike();
                    }
                    Ok(())
                })?;
                assert_eq!(outcome, Outcome::Done(()));
                assert_eq!(*daemon.state(), Linked::after(daemon.operations()));
                if round == 4 {
                    before = (held(root), held(me));
                }
            }
            assert_eq!(early[0].load(SeqCst), crashes);
            compare("the root", before.0, held(root));
            compare("the daemon", before.1, held(me));
            Ok(())
        })
        .run()
}

/// A daemon crashes so many times, with a transaction under way.
fn daemon_crashes() -> crashbed::Result<()> {
    let (declaration, crashes) = planned();
    let root = std::process::id();
    let board = Board::new();
    let store = |held: Held| {
        for (slot, value) in [held.descriptors, held.mapped, held.resident_kib, held.processes].into_iter().enumerate()
        {
            board[slot].store(value, SeqCst);
        }
    };
    Root::new()
        .declare(declaration, |daemon: &mut Daemon<Linked>| {
            if daemon.restarts() == 1000 {
                store(held(root));
            }
            if daemon.restarts() == crashes {
                let [descriptors, mapped, resident_kib, processes] =
                    [0, 1, 2, 3].map(|slot: usize| board[slot].load(SeqCst));
                compare("the root", Held { descriptors, mapped, resident_kib, processes }, held(root));
                assert_eq!(*daemon.state(), Linked::after(daemon.operations()));
                return Ok(());
            }
            let me = std::process::id().cast_signed();
            daemon.transaction(CheckpointResume, |tx, state| {
                let n = tx.operations();
                state.operate(n);
                tx.done();
                tx.commit()?;
                // SAFETY: no pointer is passed; the daemon is this process's parent, and takes it along.
                unsafe { libc::kill(me, libc::SIGKILL) };
                std::thread::sleep(std::time::Duration::from_secs(10));
                Ok(())
            })?;
            Ok(())
        })
        .run()
}

/// The check can fail: a daemon that opens descriptors and never closes them.
fn leaks() -> crashbed::Result<()> {
    let (declaration, _) = planned();
    Root::new()
        .declare(declaration, |_: &mut Daemon<u64>| {
            let before = held(std::process::id());
            for _ in 0..=DYING {
                std::mem::forget(std::fs::File::open("/proc/self/stat").map_err(crashbed::Error::program)?);
            }
            compare("the daemon", before, held(std::process::id()));
            Ok(())
        })
        .run()
}
