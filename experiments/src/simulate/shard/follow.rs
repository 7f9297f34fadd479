//! What is done about a crash: who gives up, what the successor finds, how long it takes.

use super::{Event, Model, Process, Shard};
use crate::simulate::fault::{self, Kind};
use crate::simulate::rhythm::Progress;
use crashbed::{Action, Decision, Environment, History, Phase, policy};
use rand::RngExt;

/// What is done about a crash.
pub(super) struct Followed {
    /// Operations of the state that the process goes on with.
    pub(super) base: u64,
    /// Nothing happens until then.
    pub(super) delay_ns: u64,
    /// From then on it takes so long until it works.
    pub(super) recovery_ns: u64,
    /// Whether its history is over.
    pub(super) is_afresh: bool,
}

impl Shard<'_> {
    /// Does what was decided.
    pub(super) fn follow(
        &mut self,
        decision: Decision,
        process: &mut Process,
        progress: &Progress,
        phase: Phase,
        history: &History,
        event: Event,
    ) -> Followed {
        let (now, Model { parameters, rhythm, intensity, .. }) = (event.at_ns, self.model);
        let operation = progress.base + progress.open;
        let action = match decision.action {
            Action::ProcessDecides => parameters.program.answer(operation, history),
            other => other,
        };
        let restarts_daemon = action == Action::RestartDaemon;
        let (of_daemon, is_one_too_many) = match restarts_daemon {
            true => self.ask_of_daemon(process, progress, event),
            false => (Decision::now(action), false),
        };
        let gave_up = &mut self.tally.gave_up;
        let given_up_by = if decision.action == Action::GiveUp {
            Some(&mut gave_up.by_policy)
        } else if intensity.exceeded(history) {
            Some(&mut gave_up.by_limit)
        } else if restarts_daemon && of_daemon.action == Action::GiveUp {
            Some(&mut gave_up.by_policy)
        } else if is_one_too_many {
            Some(&mut gave_up.by_limit)
        } else if action == Action::GiveUp {
            Some(&mut gave_up.by_program)
        } else if process.trouble.is_some_and(|trouble| now - trouble.since_ns > parameters.patience_ns) {
            Some(&mut gave_up.by_patience)
        } else {
            None
        };
        let delay_ns = u64::try_from(decision.delay.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = given_up_by {
            *count += 1;
            // A program is asked in a successor, which is started first, whatever it answers.
            let is_asked = decision.action == Action::ProcessDecides && action == Action::GiveUp;
            let asked_ns = if is_asked && !intensity.exceeded(history) {
                delay_ns.saturating_add(self.restart(decision.action, delay_ns, now))
            } else {
                0
            };
            let is_damaged = process.trouble.is_some_and(|trouble| matches!(trouble.kind, Kind::Damage { .. }));
            self.tally.given_up_operations += if is_damaged { 0 } else { progress.base };
            process.trouble = None;
            self.end_daemons_history(process, event.process);
            self.tally.take_back(rhythm.work_ns(progress.base));
            self.tally.lost_operations += operation;
            let delay_ns = asked_ns.saturating_add(parameters.repair_ns);
            return Followed { base: 0, delay_ns, recovery_ns: 0, is_afresh: true };
        }
        // Of a daemon's policy zero is followed; all else is a resume.
        let action = if of_daemon.action == Action::Zero { Action::Zero } else { action };
        let base = self.restore(action, process, progress, phase);
        self.tally.lost_operations += operation - base;
        if decision.environment != Environment::USUAL {
            process.trouble = process.trouble.filter(|trouble| trouble.kind != Kind::Poison { curable: true });
        }
        let delay_ns = delay_ns.saturating_add(u64::try_from(of_daemon.delay.as_nanos()).unwrap_or(u64::MAX));
        let recovery_ns = self.restart(decision.action, delay_ns, now);
        Followed { base, delay_ns, recovery_ns, is_afresh: restarts_daemon }
    }

    /// What the policy says of the crash that a daemon's restart is to the root, and whether that is one too many.
    fn ask_of_daemon(&mut self, process: &mut Process, progress: &Progress, event: Event) -> (Decision, bool) {
        let Event { at_ns, process: number } = event;
        let crash = fault::daemon_ended(at_ns, process.incarnation, progress.base);
        let has_history = std::mem::replace(&mut process.daemon_in_history, true);
        let mut history = if has_history { self.daemons.take(number) } else { self.daemons.fresh() };
        history.push(crash);
        let decision = policy::decide(self.model.policy, &crash, &history);
        history.decided(decision);
        let is_one_too_many = self.model.intensity.exceeded(&history);
        self.daemons.keep(number, history);
        (decision, is_one_too_many)
    }

    pub(super) fn end_daemons_history(&mut self, process: &mut Process, number: u32) {
        if std::mem::take(&mut process.daemon_in_history) {
            let history = self.daemons.take(number);
            self.daemons.end(history);
        }
    }

    /// Starts a successor after a delay; answers how long the recovery takes.
    fn restart(&mut self, action: Action, delay_ns: u64, now: u64) -> u64 {
        self.tally.restarts += 1;
        self.tally.delay_ns += u128::from(delay_ns.min(self.model.end_ns - now));
        self.model.recovery(action).value(self.rng.random())
    }

    /// Puts the state in place that `action` asks for; answers how many operations it holds.
    fn restore(&mut self, action: Action, process: &mut Process, progress: &Progress, phase: Phase) -> u64 {
        let Model { parameters, rhythm, .. } = self.model;
        let (last, operation) = (progress.base, progress.base + progress.open);
        let damage = process.trouble.as_mut().and_then(|trouble| match &mut trouble.kind {
            Kind::Damage { commits } => Some((commits, &mut trouble.at)),
            Kind::Poison { .. } => None,
        });
        match action {
            Action::Zero => {
                self.tally.take_back(rhythm.work_ns(last));
                if damage.is_some() {
                    process.trouble = None;
                }
                0
            }
            Action::Older(back) => {
                let there = rhythm.commits_before(last).min(parameters.kept_commits - 1);
                let back = u64::from(back).min(there);
                let base = rhythm.back(last, back);
                self.tally.take_back(rhythm.work_ns(last - base));
                match damage {
                    Some((commits, _)) if *commits > back => *commits -= back,
                    Some(_) => process.trouble = None,
                    None => {}
                }
                base
            }
            Action::Skip => {
                self.tally.skipped_operations += 1;
                match damage {
                    // The skip is committed, the damage with it, and the operation after it meets the damage.
                    Some((commits, at)) => {
                        *commits += 1;
                        *at = (*at + 1).min(rhythm.total() - 1);
                    }
                    None => process.trouble = process.trouble.filter(|trouble| trouble.at != operation),
                }
                last
            }
            Action::KeepIfIntact if phase == Phase::Running && self.rng.random::<f64>() < parameters.intact => {
                self.tally.kept_states += 1;
                self.tally.save(rhythm.work_ns(progress.open));
                if let Some((commits, _)) = damage {
                    *commits += 1;
                }
                operation
            }
            _ => last,
        }
    }
}
