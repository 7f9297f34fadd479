//! `process-decides`: the program's own code says what the successor finds.

use crashbed::{Action, Crash, Decision, History, Phase, RestartPolicy};

/// The successor finds the last commit and asks the program's own code, which sees the crash, before it goes on.
///
/// A crash of that code itself ([`Phase::Deciding`]) resumes the last commit without asking: an answer that crashes
/// must not keep a sound commit from being used. The next crash elsewhere is put to the program again.
///
/// **What for.** Only the program knows what its state means: whether a half-made change can be repaired, whether
/// the input in flight is the culprit and may be skipped, whether a cache may be dropped and the rest be kept.
///
/// **When.** For work on inputs that nobody has vetted (parsers, plug-ins), where one of them may crash every
/// attempt, and for state with an invariant of its own to check. The program has to bring that code; where it only
/// ever resumes, [`CheckpointResume`](crate::CheckpointResume) is the same and simpler.
///
/// **Source.** The third answer to the question that Crashbed began with: "Should the process be allowed to decide
/// what to do with the state (which may be corrupt)?" Related: PHOENIX (SOSP 2025), where an application names the
/// part of its memory that a restarted process keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessDecides;

impl RestartPolicy for ProcessDecides {
    fn name(&self) -> &str {
        "process-decides"
    }

    fn decide(&self, crash: &Crash, _history: &History) -> Decision {
        match crash.phase {
            Phase::Deciding => Decision::now(Action::Resume),
            Phase::Starting | Phase::Running | Phase::Committing | Phase::Ending => {
                Decision::now(Action::ProcessDecides)
            }
        }
    }
}
