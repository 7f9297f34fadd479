//! `quarantine`: skips the input that keeps crashing.

use crashbed::{Action, Crash, Decision, Entry, History, Phase, RestartPolicy};

/// The successor resumes the last commit, and skips the operation that has crashed [`crashes`](Self::crashes) times.
///
/// Only crashes in the program's own code ([`Phase::Running`]) speak against an operation: one that strikes before the
/// program's code, or in a commit, is not the fault of whatever operation is next. An operation that crashes although it
/// was to be skipped is given up on: the program does not ask [`Tx::skips`](crashbed::Tx::skips).
///
/// **What for.** An input that always crashes costs a few restarts and itself, and the work goes on behind it.
///
/// **When.** For work on inputs that are independent of each other and that nobody has vetted. Not where each operation
/// builds on the one before: skipping a withdrawal that was paid out is no recovery. An operation is the unit: a program
/// that counts a thousand inputs as one loses a thousand. Where the program itself should say what is skipped, there is
/// [`ProcessDecides`](crate::ProcessDecides). As the policy of a daemon it resumes.
///
/// **Source.** The "poison message" of message queues: a dead-letter queue takes what was received more than
/// `maxReceiveCount` times without being done (Amazon SQS), or a message is backed out at its backout threshold (IBM
/// MQ). Hadoop's `SkipBadRecords` does it for records, after two crashes by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// How many crashes of an operation are enough to skip it.
    pub crashes: usize,
}

impl Default for Quarantine {
    /// Two: the first crash may have been an accident.
    fn default() -> Self {
        Self { crashes: 2 }
    }
}

impl RestartPolicy for Quarantine {
    fn name(&self) -> &str {
        "quarantine"
    }

    fn decide(&self, crash: &Crash, history: &History) -> Decision {
        let of_it = |entry: &&Entry| entry.crash.operation == crash.operation && entry.crash.phase == Phase::Running;
        let of_it = || history.entries().iter().filter(of_it);
        let was_skipped = |entry: &Entry| entry.decision.is_some_and(|decision| decision.action == Action::Skip);
        Decision::now(if crash.phase != Phase::Running {
            Action::Resume
        } else if of_it().any(was_skipped) {
            Action::GiveUp
        } else if of_it().count() >= self.crashes {
            Action::Skip
        } else {
            Action::Resume
        })
    }
}
