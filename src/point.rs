//! Named points on the engine's and the program's paths, where a fault may strike.
//!
//! A point costs one relaxed load while nobody listens. A fault injector listens by [`set_hook`], before the root
//! forks; the hook runs in the process that passes the point, so that a crash in it is a crash just there.

use crate::here::{self, Source};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A place that a process passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// Transaction: about to put the last commit in place, before the program's code runs.
    Restore,
    /// Transaction: a commit begins, nothing is staged yet.
    Stage,
    /// Transaction: the commit is staged whole, the daemon has not been asked yet.
    Staged,
    /// Transaction: it has made the commit true by itself (undo log), and has not gone on yet.
    Flipped,
    /// Daemon: the commit was asked for, nothing is logged yet.
    Log,
    /// Daemon: in the middle of making the commit true.
    Apply,
    /// Daemon: the commit is true, the transaction has not been told yet.
    Acknowledge,
    /// Daemon: about to restore the last commit after a crash.
    DaemonRestore,
    /// Daemon: in a switch of mechanism (`auto`): before the last commit is laid where the new one looks for it, in the
    /// middle of that, and after it.
    Switch,
    /// Daemon: after a switch, the new mechanism is in use.
    Switched,
    /// Transaction, in its crash handler: a spare has been released, and the daemon cannot see yet that this is all that
    /// the handler does about a successor. The hook must be async-signal-safe.
    Released,
    /// Transaction, where a commit forks: in the process that goes on, before the program's code does.
    Forked,
    /// Transaction, where a commit forks: in the process that was forked from, before it freezes.
    Freeze,
    /// A point that the program named itself, by [`Tx::point`](crate::Tx::point).
    Named(&'static str),
}

/// What listens: called in the process that passes the point. It may end the process, else it returns.
pub type Hook = fn(Point);

/// 0, or a [`Hook`].
static HOOK: AtomicUsize = AtomicUsize::new(0);

/// Calls `hook` at every point from now on, in this process and in those that it forks later.
///
/// The hook runs at places where the engine is in the middle of its work: it must not allocate and not call the
/// engine.
pub fn set_hook(hook: Hook) {
    HOOK.store(hook as usize, Ordering::Release);
}

/// Passes `point`.
#[inline]
pub(crate) fn pass(point: Point) {
    let hook = HOOK.load(Ordering::Acquire);
    if hook != 0 {
        // SAFETY: only `set_hook` stores here, and only a `Hook`; forks keep the program's addresses.
        let hook = unsafe { std::mem::transmute::<usize, Hook>(hook) };
        // What the hook allocates must not change a state that is being committed or restored.
        let before = here::set_source(Source::Private);
        hook(point);
        here::set_source(before);
    }
}
