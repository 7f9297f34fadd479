//! From the last instruction before a null write to the successor's first instruction (`hand-over`) and to the end of
//! its first operation (`recovery`), by how the successor is started. The floors are [`Daemon::floor`]: the same by bare
//! system calls.

use crate::tree;
use crashbed::{BareNotice, BareStart, Daemon, Declaration, MIB, MechanismKind, Outcome, Spare, Spin};
use crashbed_policies::CheckpointResume;
use criterion::Criterion;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Mechanisms, and MiB of the region.
const REGIONS: [(MechanismKind, usize); 3] =
    [(MechanismKind::CopyOnWrite, 1), (MechanismKind::CopyOnWrite, 64), (MechanismKind::FullCopy, 16)];

/// The ways, by name: each of the engine's with its floor behind it.
const WAYS: [(&str, Way); 6] = [
    ("cold", Way::Engine(Spare::Cold)),
    ("cold-floor", Way::Floor(BareStart::Cold)),
    ("warm", Way::Engine(Spare::Warm)),
    ("warm-floor", Way::Floor(BareStart::Warm)),
    ("hot", Way::Engine(Spare::Hot(HOT))),
    ("hot-floor", Way::Floor(BareStart::Hot)),
];

/// Enough for a spare to spin until the crash, lap after lap.
const HOT: Spin = Spin { most: Duration::from_secs(1), percent: 100 };
/// How long a transaction works before it crashes: its spare is ready then.
const WORK: Duration = Duration::from_millis(5);

#[derive(Clone, Copy)]
enum Way {
    Engine(Spare),
    Floor(BareStart),
}

pub(crate) fn bench(criterion: &mut Criterion) {
    for (mechanism, mib) in REGIONS {
        for until in ["hand-over", "recovery"] {
            let mut group = criterion.benchmark_group(format!("restore/{mechanism}/{mib}-MiB/{until}"));
            for (way, _) in WAYS {
                tree::add(&mut group, "restore", way, &format!("{way} {until} {mechanism} {mib}"));
            }
            group.finish();
        }
    }
}

pub(crate) fn answer(what: &[&str], iterations: u64) {
    let [way, until, mechanism, mib] = what else { panic!("restore: WAY UNTIL MECHANISM MIB") };
    let (_, way) = WAYS.into_iter().find(|(name, _)| name == way).expect("a way");
    let mechanism = mechanism.parse().expect("a mechanism");
    let bytes = mib.parse::<usize>().expect("a size") * MIB;
    let declaration = Declaration::new("restore", bytes).mechanism(mechanism);
    tree::in_daemon(declaration, |daemon: &mut Daemon<Vec<u64>>| {
        tree::done(daemon, |_, numbers| {
            *numbers = vec![1; 1000];
            Ok(())
        })?;
        let mut total = 0;
        for _ in 0..iterations {
            let (hand_over_ns, recovery_ns) = match way {
                Way::Floor(start) => bare(daemon, start)?,
                Way::Engine(spare) => crashed(daemon, spare)?,
            };
            total += if *until == "hand-over" { hand_over_ns } else { recovery_ns };
        }
        Ok(total)
    });
}

/// The operation that the successor begins with, in all ways.
fn first_operation(numbers: &mut Vec<u64>) {
    *numbers = numbers.iter().map(|number| number + 1).collect();
}

fn bare(daemon: &mut Daemon<Vec<u64>>, start: BareStart) -> crashbed::Result<(u64, u64)> {
    let lap = daemon.floor(BareNotice::Signal, start, WORK, |_, numbers| first_operation(numbers))?;
    Ok((lap.hand_over_ns, lap.recovery_ns))
}

fn crashed(daemon: &mut Daemon<Vec<u64>>, spare: Spare) -> crashbed::Result<(u64, u64)> {
    let outcome = daemon.prepare(CheckpointResume).spare(spare).run(|tx, numbers| {
        if tx.crash().is_none() {
            let began = Instant::now();
            while began.elapsed() < WORK {
                std::hint::spin_loop();
            }
            tree::stamp_and_fault();
        }
        first_operation(numbers);
        tx.done();
        Ok(())
    })?;
    assert_eq!(outcome, Outcome::Done(()));
    let stamp = tree::stamp().load(Ordering::Relaxed);
    let recovery = &daemon.report().recoveries[0];
    Ok((recovery.started_ns - stamp, recovery.first_operation_ns - stamp))
}
