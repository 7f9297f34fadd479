//! `older-commit`: goes back further each time that there was no progress.

use crashbed::{Action, Crash, Decision, History, RestartPolicy};

/// The successor resumes the last commit; without progress ([`History::crashes_since_progress`]) the commit before it,
/// then the one before that, down to [`furthest`](Self::furthest); then the state as it was made. When that has brought no
/// progress either, there is nothing further back, and it gives up. Progress begins anew at the last commit.
///
/// How many commits are kept is declared for the daemon
/// ([`Declaration::kept_commits`](crashbed::Declaration::kept_commits)); where fewer are kept than are asked for, the
/// oldest is taken.
///
/// **What for.** The last commit may hold the cause of the crash already: memory that was damaged before it, a map
/// whose invariant was broken. An older one does not, and costs the work since.
///
/// **When.** For faults that are latent: they strike long after they were planted. Where states are committed seldom, or a
/// crash tells of its cause at once, [`CheckpointResume`](crate::CheckpointResume) loses less. Not for an input that
/// always crashes. As the policy of a daemon it resumes, makes the state anew, and gives up.
///
/// **Source.** Lowell, Chandra and Chen ("Exploring Failure Transparency and the Limits of Generic Recovery", OSDI
/// 2000): for more than nine of ten application faults, committing all that the user has seen commits what makes the
/// crash come again, too. Rx (Qin, Tucek, Sundaresan and Zhou, "Rx: Treating Bugs as Allergies", SOSP 2005) goes back to an
/// older checkpoint when the newest does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OlderCommit {
    /// How many crashes are answered by the last commit, before older ones are tried.
    pub resumes: usize,
    /// How far before the last commit it goes, before it starts over.
    pub furthest: u8,
}

impl Default for OlderCommit {
    /// One resume, then up to four commits back.
    fn default() -> Self {
        Self { resumes: 1, furthest: 4 }
    }
}

impl RestartPolicy for OlderCommit {
    fn name(&self) -> &str {
        "older-commit"
    }

    fn decide(&self, _crash: &Crash, history: &History) -> Decision {
        let steps = history.crashes_since_progress().saturating_sub(self.resumes);
        Decision::now(match u8::try_from(steps) {
            Ok(0) => Action::Resume,
            Ok(back) if back <= self.furthest => Action::Older(back),
            _ if steps == usize::from(self.furthest) + 1 => Action::Zero,
            _ => Action::GiveUp,
        })
    }
}
