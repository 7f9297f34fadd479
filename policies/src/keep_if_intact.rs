//! `keep-if-intact`: the successor goes on with the crashed state itself, where nothing speaks against that.

use crashbed::{Action, Crash, Decision, History, RestartPolicy};

/// The successor goes on with the state as the crash left it, where the engine finds it intact, else from the last
/// commit. It falls back to the last commit, too, when a state that was kept has crashed again without progress.
///
/// What "intact" asks for is the engine's to check ([`Action::KeepIfIntact`]): the state's type made the promise, the
/// mechanism works in place, no change guard was held, the heap's lock was free and its blocks are whole. A kept state
/// may hold the cause of the crash all the same. So after [`keeps`](Self::keeps) crashes without progress
/// ([`History::crashes_since_progress`]) the last commit is resumed, until the work has passed the furthest crash.
///
/// **What for.** No work is lost, however long ago the last commit was: a program that keeps its state can commit as
/// seldom as it likes.
///
/// **When.** For large states that change by small, guarded steps (a cache, an index), where the crash is likely in code
/// that only reads or computes. Where commits are frequent and cheap, [`CheckpointResume`](crate::CheckpointResume)
/// loses little and asks for no promise. As the policy of a daemon it resumes.
///
/// **Source.** PHOENIX (SOSP 2025), in which a restarted process keeps the part of its memory that the application
/// names, unless the crash fell into an *unsafe region*, in the middle of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepIfIntact {
    /// How many crashes in a row, without progress, are answered by keeping.
    pub keeps: usize,
}

impl Default for KeepIfIntact {
    /// One.
    fn default() -> Self {
        Self { keeps: 1 }
    }
}

impl RestartPolicy for KeepIfIntact {
    fn name(&self) -> &str {
        "keep-if-intact"
    }

    fn decide(&self, _crash: &Crash, history: &History) -> Decision {
        let keeps = history.crashes_since_progress() <= self.keeps;
        Decision::now(if keeps { Action::KeepIfIntact } else { Action::Resume })
    }
}
