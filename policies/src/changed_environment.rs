//! `changed-environment`: resumes in an environment in which many bugs do no harm.

use crashbed::{Action, Crash, Decision, Environment, History, RestartPolicy};

/// The successor resumes the last commit: first as it was, and then, with each crash without progress
/// ([`History::crashes_since_progress`]), with one change more around it: room behind new blocks of memory, new blocks
/// full of zeros, one thread fewer, another thread fewer. When all changes together have brought no progress, it gives up.
///
/// A change holds for one incarnation. So the one that gets past the bug keeps its changes until it crashes again, and
/// after progress the next crash begins as it was.
///
/// **What for.** An overflow that hits nothing, a read of memory that was never written, a race without a second thread:
/// the bug is there still, and the work is done all the same.
///
/// **When.** For bugs of memory and of timing, in native code above all. The changes reach the region's heap and
/// [`Tx::thread_count`](crashbed::Tx::thread_count); what a C library takes from the C library's own heap is not
/// changed. Blocks that the last commit holds are as they were made: a commit that is already damaged is for
/// [`OlderCommit`](crate::OlderCommit). As the policy of a daemon it resumes, and gives up.
///
/// **Source.** Rx (Qin, Tucek, Sundaresan and Zhou, "Rx: Treating Bugs as Allergies", SOSP 2005): on a failure, roll back
/// to a checkpoint and run again in a changed environment, with memory padded, filled with zeros, moved, or with
/// messages and threads in another order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedEnvironment {
    /// Bytes of room behind new blocks; 0 leaves out this change.
    pub padding: u16,
    /// Whether new blocks are filled with zeros.
    pub zeroed: bool,
    /// How many threads fewer there are in the end.
    pub fewer_threads: u16,
}

impl Default for ChangedEnvironment {
    /// 256 bytes, zeros, and up to two threads fewer.
    fn default() -> Self {
        Self { padding: 256, zeroed: true, fewer_threads: 2 }
    }
}

impl ChangedEnvironment {
    /// The environment with the first `changes` changes; `None` where there are not so many.
    fn with(&self, changes: usize) -> Option<Environment> {
        let mut left = changes;
        let mut environment = Environment::USUAL;
        if self.padding > 0 && left > 0 {
            environment.padding = self.padding;
            left -= 1;
        }
        if self.zeroed && left > 0 {
            environment.zeroed = true;
            left -= 1;
        }
        environment.fewer_threads = u16::try_from(left).ok().filter(|fewer| *fewer <= self.fewer_threads)?;
        Some(environment)
    }
}

impl RestartPolicy for ChangedEnvironment {
    fn name(&self) -> &str {
        "changed-environment"
    }

    fn decide(&self, _crash: &Crash, history: &History) -> Decision {
        match self.with(history.crashes_since_progress().saturating_sub(1)) {
            Some(environment) => Decision::now(Action::Resume).within(environment),
            None => Decision::now(Action::GiveUp),
        }
    }
}
