//! `checkpoint-resume`: the successor goes on from the last commit.

use crashbed::{Action, Crash, Decision, History, RestartPolicy};

/// The successor finds the last commit and starts at the operation that the commit's counter names.
///
/// **What for.** At most the work since the last commit is lost, whatever crashed. How much that is depends on how
/// often the program commits.
///
/// **When.** For work whose next attempt is likely to succeed: a fault of timing, of the machine, of a resource that
/// is there again later. It answers the same to every crash, so an input that always crashes is met again and again,
/// until the limit on restarts ([`Intensity`](crashbed::Intensity)) gives up; let the process decide
/// ([`ProcessDecides`](crate::ProcessDecides)) where such an input must be skipped. And a fault that had damaged the
/// state before the last commit comes back with it: Lowell, Chandra and Chen ("Exploring Failure Transparency and
/// the Limits of Generic Recovery", OSDI 2000) found that most application faults do so.
///
/// **Source.** The second answer to the question that Crashbed began with: "Should the state up to a certain
/// checkpoint be preserved, i.e. should the process resume from that checkpoint?" Related: Rio Vista (Lowell and
/// Chen, "Free Transactions with Rio Vista", SOSP 1997) commits a process's memory to memory that outlives the
/// crash, and rolls it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointResume;

impl RestartPolicy for CheckpointResume {
    fn name(&self) -> &str {
        "checkpoint-resume"
    }

    fn decide(&self, _crash: &Crash, _history: &History) -> Decision {
        Decision::now(Action::Resume)
    }
}
