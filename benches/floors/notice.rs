//! From the last instruction before a fault until the parent knows.
//!
//! `known` is when the daemon has seen the notice: the crash handler gives it before the process is gone, so it may
//! come before `waitpid` could return. `reaped` is when the process is gone, which is what the floor measures.

use crate::tree;
use crashbed::{Daemon, Declaration, MIB};
use criterion::Criterion;
use nix::sys::signal::{SigHandler, Signal, signal};
use std::sync::atomic::Ordering;

pub(crate) fn bench(criterion: &mut Criterion) {
    for death in ["signal", "kill"] {
        let mut group = criterion.benchmark_group(format!("notice/{death}"));
        for what in ["known", "reaped", "floor"] {
            tree::add(&mut group, "notice", what, &format!("{what} {death}"));
        }
        group.finish();
    }
}

pub(crate) fn answer(what: &[&str], iterations: u64) {
    let [what, death] = what else { panic!("notice: WHAT DEATH") };
    let die = if *death == "kill" { tree::stamp_and_kill } else { tree::stamp_and_fault };
    tree::in_daemon(Declaration::new("notice", 16 * MIB), |daemon: &mut Daemon<u64>| {
        let mut total = 0;
        for _ in 0..iterations {
            let noticed_ns = if *what == "floor" { bare(die) } else { crashed(daemon, die, *what == "known")? };
            total += noticed_ns - tree::stamp().load(Ordering::Relaxed);
        }
        Ok(total)
    });
}

/// Crashes a bare child, and answers when `waitpid` has returned.
fn bare(die: fn()) -> u64 {
    tree::fork_and_wait(|| {
        // SAFETY: the default action runs no code.
        let _ = unsafe { signal(Signal::SIGSEGV, SigHandler::SigDfl) };
        // The least leaves no core file behind.
        let _ = nix::sys::prctl::set_dumpable(false);
        die();
    });
    tree::now_ns()
}

/// Crashes a transaction, and answers when its daemon knew, or had reaped it.
fn crashed(daemon: &mut Daemon<u64>, die: fn(), known: bool) -> crashbed::Result<u64> {
    tree::done(daemon, |tx, _| {
        if tx.crash().is_none() {
            die();
        }
        Ok(())
    })?;
    let recovery = &daemon.report().recoveries[0];
    Ok(if known { recovery.crash.noticed_ns } else { recovery.gone_ns })
}
