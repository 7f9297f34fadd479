//! The policy of a run's daemons: that of the trial under way, as it is declared for a daemon by whoever wants all of an
//! escalation.
//!
//! A daemon is declared before the first trial, and the root, which asks about its crashes, keeps one history of it for all
//! of them. So the trial's policy is looked up in the witness's page, and is shown the crashes of its own trial. Where that
//! or the limit gives the daemon up, its trial is over, and the daemon is made again all the same: it has to say so, and the
//! next trial needs it.

use super::witness::Witness;
use crashbed::{Action, Crash, Decision, History, Intensity, RestartPolicy, policy};

/// The policy of whichever trial is under way.
pub(super) struct OfTrial {
    pub(super) witness: &'static Witness,
    /// The limit on a daemon's restarts in a trial.
    pub(super) intensity: Intensity,
}

impl RestartPolicy for OfTrial {
    fn name(&self) -> &str {
        "of-trial"
    }

    fn decide(&self, crash: &Crash, history: &History) -> Decision {
        const GO_ON: Decision = Decision::now(Action::Resume);
        let Self { witness, intensity } = self;
        let Some((row, since_ns)) = witness.trial() else { return GO_ON };
        let mut own = History::new();
        for entry in history.entries().iter().filter(|entry| entry.crash.noticed_ns >= since_ns) {
            own.push(entry.crash);
            entry.decision.into_iter().for_each(|decision| own.decided(decision));
        }
        let decision = policy::decide(&row.policy(), crash, &own);
        let by_policy = decision.action == Action::GiveUp;
        if by_policy || intensity.exceeded(&own) {
            witness.give_up_daemon(by_policy);
            return GO_ON;
        }
        witness.decided_of_daemon(decision);
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::GaveUpBy;
    use crashbed::{Cause, Notice, Phase, Text};
    use std::time::Duration;

    fn crash(noticed_ns: u64) -> Crash {
        Crash {
            cause: Cause::Exited { status: 75 },
            notice: Notice::Pidfd,
            phase: Phase::Running,
            incarnation: 1,
            operation: 0,
            commit: 1,
            committed_operations: 40,
            thread: 0,
            place: None,
            heap_locked: None,
            changing: false,
            happened_ns: noticed_ns,
            noticed_ns,
            note: Text::EMPTY,
        }
    }

    /// What is answered to crash after crash of one daemon, as the root asks.
    struct Root {
        policy: OfTrial,
        history: History,
    }

    impl Root {
        fn new(restarts: usize) -> Self {
            let witness = Box::leak(Box::new(Witness::new().unwrap()));
            let intensity = Intensity { restarts, within: Duration::from_secs(60) };
            Self { policy: OfTrial { witness, intensity }, history: History::new() }
        }

        fn crash(&mut self) -> Action {
            let crash = crash(crate::faults::trigger::monotonic_ns());
            self.history.push(crash);
            let decision = self.policy.decide(&crash, &self.history);
            self.history.decided(decision);
            decision.action
        }
    }

    #[test]
    fn each_trial_has_its_own_policy_and_history() {
        use Action::{Older, RestartDaemon, Resume, Zero};
        let mut root = Root::new(10);
        let witness = root.policy.witness;
        // Before the first trial, and in a batch.
        assert_eq!(root.crash(), Resume);
        for _ in 0..2 {
            witness.begin(Some("escalation"));
            let ladder = [Resume, Resume, Older(1), Older(2), Zero, RestartDaemon];
            assert_eq!(ladder.map(|_| root.crash()), ladder);
            assert_eq!(witness.daemon_given_up(), None);
            // It is made again to say that it is given up.
            assert_eq!((root.crash(), witness.daemon_given_up()), (Resume, Some(GaveUpBy::Policy)));
            assert_eq!((witness.seen().zeros, witness.seen().decisions), (1, 0));
        }
        witness.begin(Some("zero-state"));
        assert_eq!((root.crash(), witness.daemon_given_up()), (Zero, None));
        witness.begin(None);
        assert_eq!((root.crash(), witness.seen().zeros), (Resume, 0));
    }

    #[test]
    fn the_limit_on_restarts_gives_a_daemon_up() {
        let mut root = Root::new(3);
        let witness = root.policy.witness;
        witness.begin(Some("checkpoint-resume"));
        for _ in 0..3 {
            assert_eq!((root.crash(), witness.daemon_given_up()), (Action::Resume, None));
        }
        assert_eq!((root.crash(), witness.daemon_given_up()), (Action::Resume, Some(GaveUpBy::Limit)));
    }
}
