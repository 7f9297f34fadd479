//! The engine's points, by the names that a plan gives them.
//!
//! Which of them is passed how often depends on the mechanism; a plan that names only `commit` or `restore` and a pass
//! finds them all, one after the other.

use super::{Injector, InjectorError};
use crashbed::point::{Point, set_hook};
use std::sync::OnceLock;

/// The injector of this process and of those forked from it: a hook has no other way to find it.
static LISTENING: OnceLock<Injector> = OnceLock::new();

impl Injector {
    /// The one injector of this process tree that also strikes at the engine's points. Call it before any fork.
    ///
    /// # Errors
    /// If it could not be made.
    pub fn listening() -> Result<&'static Self, InjectorError> {
        if let Some(injector) = LISTENING.get() {
            return Ok(injector);
        }
        let fresh = Self::new()?;
        let injector = LISTENING.get_or_init(|| fresh);
        set_hook(pass);
        Ok(injector)
    }
}

/// Runs in the process that passes the point, in the middle of the engine's work: it allocates nothing.
fn pass(point: Point) {
    if let Some(injector) = LISTENING.get() {
        injector.point(point_name(point));
    }
}

/// A point's name in a plan: `commit-…` where it is a step of a commit by what works, `restore-…` of a restore.
pub fn point_name(point: Point) -> &'static str {
    match point {
        Point::Restore => "restore-transaction",
        Point::Stage => "commit-stage",
        Point::Staged => "commit-staged",
        Point::Log => "commit-log",
        Point::Apply => "commit-apply",
        Point::Flipped => "commit-flipped",
        Point::Acknowledge => "commit-acknowledge",
        Point::DaemonRestore => "restore-daemon",
        Point::Switch => "switch-under-way",
        Point::Switched => "switch-done",
        Point::Released => "hand-over-released",
        Point::Forked => "commit-forked",
        Point::Freeze => "freeze",
        Point::Named(name) => name,
    }
}
