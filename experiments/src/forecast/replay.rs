//! What a policy would have come to over the crashes of the base policy's transactions.
//!
//! Up to the first decision that differs, the trace knows what happened; what would have followed on another decision it
//! does not. So there are two forecasts: that nothing crashes any more after the first difference, and that all of the
//! recorded crashes come whatever was decided. Each decision costs the operations that it takes back, the time that a
//! recovery by it takes in the mean (as fitted), and its delay.

use super::Known;
use crate::record::{Outcome, Predictor, RecordedCrash, Trial, Verdict};
use crate::simulate::{Parameters, Quantiles};
use crate::summary::Forecast;
use crashbed::{Action, Crash, Decision, History, RestartPolicy, policy};

/// What one transaction comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Come {
    restarts: u64,
    time_lost_ns: f64,
    /// Operations that are not there at the end.
    missing: u64,
}

pub(super) fn forecasts(known: &Known<'_>, policy: &dyn RestartPolicy) -> [Forecast; 2] {
    [Predictor::ReplayToDifference, Predictor::ReplayOfAll].map(|by| {
        let to_difference = by == Predictor::ReplayToDifference;
        // A trial without a crash loses nothing by one.
        let come = known.base.iter().map(|(trial, crashes)| of_trial(known, trial, crashes, policy, to_difference));
        let all = come.fold(Come::default(), |all, one| Come {
            restarts: all.restarts + one.restarts,
            time_lost_ns: all.time_lost_ns + one.time_lost_ns,
            missing: all.missing + one.missing,
        });
        let trials = known.base.len() as f64;
        Forecast {
            levels: known.levels_of(policy.name()),
            by,
            restarts: all.restarts as f64 / trials,
            time_lost_ns: all.time_lost_ns / trials,
            work_lost: all.missing as f64 / (trials * known.operations().max(1) as f64),
        }
    })
}

fn of_trial(
    known: &Known<'_>,
    trial: &Trial,
    crashes: &[&RecordedCrash],
    policy: &dyn RestartPolicy,
    to_difference: bool,
) -> Come {
    let parameters = &known.fitted.parameters;
    let (total, operation_ns) = (known.operations(), parameters.operation_ns as f64);
    // What a transaction leaves that is given up with a damaged state is of no use.
    let is_wrong = matches!(trial.verdict, Verdict::CorruptDetected | Verdict::CorruptSilent);
    let (mut come, mut history, mut skipped) = (Come::default(), History::new(), 0);
    for recorded in crashes {
        let Some(then) = recorded.recovered.decision else { continue };
        let crash = recorded.recovered.crash;
        history.push(crash);
        let decision = policy::decide(policy, &crash, &history);
        history.decided(decision);
        if decision.action == Action::GiveUp {
            // What was done since the last commit is lost, and what was not done yet is missing.
            let there = if is_wrong { 0 } else { crash.committed_operations };
            come.time_lost_ns += crash.reached().saturating_sub(there) as f64 * operation_ns;
            come.missing = total.saturating_sub(there).max(skipped);
            return come;
        }
        // With its daemon a transaction's history ends.
        if decision.action == Action::RestartDaemon {
            history.clear();
        }
        come.restarts += 1;
        come.time_lost_ns += cost_ns(parameters, decision, &crash);
        // What crashes whenever it is met nobody can do.
        skipped += u64::from(decision.action == Action::Skip && trial.poison.is_none());
        if to_difference && decision != then {
            come.missing = skipped;
            return come;
        }
    }
    // The end that was recorded: where the limit gave up, what the last commit did not hold is missing, and the last of the
    // crashes had no successor.
    if trial.outcome == Outcome::GaveUp {
        come.restarts = come.restarts.saturating_sub(1);
        let there = if is_wrong { 0 } else { trial.operations };
        come.time_lost_ns += (trial.operations - there) as f64 * operation_ns;
        come.missing = total.saturating_sub(there);
    }
    come.missing = come.missing.max(skipped);
    come
}

/// The mean of a distribution that is known by its quantiles.
fn mean_of(times: &Quantiles) -> f64 {
    const STEPS: u32 = 1_000;
    (0..STEPS).map(|step| times.value((f64::from(step) + 0.5) / f64::from(STEPS)) as f64).sum::<f64>()
        / f64::from(STEPS)
}

/// The time that a decision costs: the work that it takes back, the recovery, the delay.
fn cost_ns(parameters: &Parameters, decision: Decision, crash: &Crash) -> f64 {
    let uncommitted = crash.reached().saturating_sub(crash.committed_operations);
    let taken_back = match decision.action {
        Action::Zero => crash.reached(),
        Action::Older(back) => uncommitted + u64::from(back) * parameters.commit_every,
        Action::KeepIfIntact if crash.heap_locked == Some(false) && !crash.changing && parameters.intact > 0.0 => 0,
        _ => uncommitted,
    };
    let taken_back = taken_back.min(crash.reached()) as f64 * parameters.operation_ns as f64;
    let times = &parameters.recovery_ns;
    let recovery = times.get(Parameters::name_of(decision.action)).or_else(|| times.get("resume"));
    taken_back + recovery.map_or(0.0, mean_of) + decision.delay.as_nanos() as f64
}
