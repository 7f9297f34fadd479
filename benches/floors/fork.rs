//! A transaction that does nothing (forked, committed, reaped) beside a bare `fork` and `waitpid` in the same daemon.

use crate::tree;
use crashbed::{Daemon, Declaration, MIB};
use criterion::Criterion;
use std::time::Instant;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fork");
    tree::add(&mut group, "fork", "transaction", "transaction");
    tree::add(&mut group, "fork", "floor", "floor");
    group.finish();
}

pub(crate) fn answer(what: &[&str], iterations: u64) {
    tree::in_daemon(Declaration::new("fork", 64 * MIB), |daemon: &mut Daemon<u64>| {
        let bare = what == ["floor"];
        let start = Instant::now();
        for _ in 0..iterations {
            if bare {
                tree::fork_and_wait(|| ());
            } else {
                tree::done(daemon, |_, _| Ok(()))?;
            }
        }
        Ok(tree::nanoseconds(start))
    });
}
