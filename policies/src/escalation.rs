//! `escalation`: a stronger remedy with each crash that brings no progress.

use crashbed::{Action, Crash, Decision, History, RestartPolicy};
use std::time::Duration;

/// Climbs a ladder of remedies: the last commit again, older commits, the state as it was made, the daemon made again,
/// and at last nobody.
///
/// What counts is how many restarts there were within the last [`period`](Self::period), the one in question included, as
/// Erlang counts them: up to [`resumes`](Self::resumes), its intensity, and the last commit is tried again; each one more is
/// a rung higher. Crashes that are more than a period ago no longer count, so that a trouble that comes back more seldom than
/// so many times in a period is retried for ever. Nor do those before the work last made progress
/// ([`History::crashes_since_progress`]), which leads back to the lowest rung. A ladder of more than [`History::CAPACITY`]
/// rungs is never climbed to its end.
///
/// **How it ends.** A transaction's history ends with its daemon's process: after [`Action::RestartDaemon`] the closure
/// is called anew, and its transactions begin on the lowest rung. What bounds that is the daemon's own supervision, as in
/// Erlang, where a supervisor that has restarted too often ends and leaves it to its own supervisor: declare
/// `Escalation` for the daemon too ([`Declaration::policy`](crashbed::Declaration::policy)). The root counts each
/// restart of the daemon as a crash, without progress while the last commit does not grow, and climbs the same ladder
/// with it: it resumes (a daemon has nothing else to be done on the rungs of older commits and of the daemon itself),
/// makes the state anew, and gives the daemon up. A daemon that is declared without it has its
/// [`Intensity`](crashbed::Intensity) alone. With [`daemons`](Self::daemons) at 0 a transaction gives up by itself.
///
/// **What for.** Most troubles are over after a retry, which costs least, and the rest is not retried for ever: each
/// rung gives up more, work first, then state, then the service.
///
/// **When.** For services that nobody watches, with faults of every kind. An input that always crashes is not skipped
/// by it: it is met again from every rung. [`Quarantine`](crate::Quarantine) skips it.
///
/// **Source.** Erlang/OTP's supervisors and their "maximum restart intensity": where "more than `MaxR` number of restarts
/// occur in the last `MaxT` seconds", a supervisor ends, and the trouble goes up the supervision tree (Erlang/OTP, "OTP Design
/// Principles", section "Supervisor Behaviour"; Armstrong, "Making reliable distributed systems in the presence of software
/// errors", 2003). Erlang counts restarts alone; progress and the rungs in between are Crashbed's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// How many restarts within a period find the last commit: Erlang's intensity, `MaxR`.
    pub resumes: usize,
    /// So many further ones by an older commit: the one before the last, the one before that, and so on.
    pub older: u8,
    /// So many further ones by the state as it was made.
    pub zeros: usize,
    /// So many further ones by making the daemon again; then nobody goes on. More than one matters in the policy of a
    /// daemon alone.
    pub daemons: usize,
    /// How far back restarts count: Erlang's period, `MaxT`.
    pub period: Duration,
}

impl Default for Escalation {
    /// Two resumes, two older commits, one zero, one daemon; all within an hour.
    fn default() -> Self {
        Self { resumes: 2, older: 2, zeros: 1, daemons: 1, period: Duration::from_secs(3600) }
    }
}

impl Escalation {
    /// The restarts that count, the one that is being decided about included.
    fn restarts(&self, history: &History) -> usize {
        // Either is so many of the newest crashes.
        history.crashes_within(self.period).min(history.crashes_since_progress())
    }
}

impl RestartPolicy for Escalation {
    fn name(&self) -> &str {
        "escalation"
    }

    fn decide(&self, _crash: &Crash, history: &History) -> Decision {
        let older = usize::from(self.older);
        let after_resumes = self.restarts(history).saturating_sub(self.resumes);
        let after_older = after_resumes.saturating_sub(older);
        let after_zeros = after_older.saturating_sub(self.zeros);
        Decision::now(match u8::try_from(after_resumes) {
            Ok(0) => Action::Resume,
            Ok(back) if after_older == 0 => Action::Older(back),
            _ if after_zeros == 0 => Action::Zero,
            _ if after_zeros <= self.daemons => Action::RestartDaemon,
            _ => Action::GiveUp,
        })
    }
}
