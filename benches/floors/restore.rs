//! From the last instruction before a null write to the successor's first instruction (`hand-over`) and to the end of
//! its first operation (`recovery`), beside [`Daemon::floor`]: the same by bare system calls.

use crate::tree;
use crashbed::{BareNotice, Daemon, Declaration, MIB, MechanismKind};
use criterion::Criterion;
use std::sync::atomic::Ordering;

/// Mechanisms, and MiB of the region.
const REGIONS: [(MechanismKind, usize); 4] = [
    (MechanismKind::CopyOnWrite, 1),
    (MechanismKind::CopyOnWrite, 64),
    (MechanismKind::FullCopy, 1),
    (MechanismKind::FullCopy, 16),
];

pub(crate) fn bench(criterion: &mut Criterion) {
    for (mechanism, mib) in REGIONS {
        for until in ["hand-over", "recovery"] {
            let mut group = criterion.benchmark_group(format!("restore/{mechanism}/{mib}-MiB/{until}"));
            for what in ["engine", "floor"] {
                tree::add(&mut group, "restore", what, &format!("{what} {until} {mechanism} {mib}"));
            }
            group.finish();
        }
    }
}

pub(crate) fn answer(what: &[&str], iterations: u64) {
    let [what, until, mechanism, mib] = what else { panic!("restore: WHAT UNTIL MECHANISM MIB") };
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
            let (hand_over_ns, recovery_ns) = if *what == "floor" { bare(daemon)? } else { crashed(daemon)? };
            total += if *until == "hand-over" { hand_over_ns } else { recovery_ns };
        }
        Ok(total)
    });
}

/// The operation that the successor begins with, in both ways.
fn first_operation(numbers: &mut Vec<u64>) {
    *numbers = numbers.iter().map(|number| number + 1).collect();
}

fn bare(daemon: &mut Daemon<Vec<u64>>) -> crashbed::Result<(u64, u64)> {
    let lap = daemon.floor(BareNotice::Signal, first_operation)?;
    Ok((lap.hand_over_ns, lap.recovery_ns))
}

fn crashed(daemon: &mut Daemon<Vec<u64>>) -> crashbed::Result<(u64, u64)> {
    tree::done(daemon, |tx, numbers| {
        if tx.crash().is_none() {
            tree::stamp_and_fault();
        }
        first_operation(numbers);
        tx.done();
        Ok(())
    })?;
    let stamp = tree::stamp().load(Ordering::Relaxed);
    let recovery = &daemon.report().recoveries[0];
    Ok((recovery.started_ns - stamp, recovery.first_operation_ns - stamp))
}
