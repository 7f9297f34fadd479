//! How long recoveries take, by action.

use super::FitError;
use crate::record::{RecordedCrash, Trial};
use crate::simulate::fault;
use crate::simulate::parameters::Parameters;
use crate::simulate::quantiles::Quantiles;
use crashbed::{Action, History, Phase, policy};
use std::collections::BTreeMap;

/// Times of recoveries by action, from recorded crashes.
pub(super) fn of_crashes(crashes: &[&RecordedCrash], operation_ns: u64) -> BTreeMap<&'static str, Vec<u64>> {
    let mut times = BTreeMap::<_, Vec<u64>>::new();
    for crash in crashes {
        let recovered = &crash.recovered;
        let (Some(decision), Some(then)) = (recovered.decision, &recovered.then) else { continue };
        let Some(until) = then.first_operation_at_ns.filter(|_| decision.action != Action::GiveUp) else { continue };
        let delay_ns = u64::try_from(decision.delay.as_nanos()).unwrap_or(u64::MAX);
        let time =
            until.saturating_sub(recovered.crash.happened_ns).saturating_sub(delay_ns).saturating_sub(operation_ns);
        times.entry(Parameters::name_of(decision.action)).or_default().push(time);
    }
    times
}

/// Crashed states that were kept, of those that were to be.
pub(super) fn kept(crashes: &[&RecordedCrash]) -> (u64, u64) {
    let asked = crashes.iter().filter_map(|crash| {
        let decision = crash.recovered.decision?;
        (decision.action == Action::KeepIfIntact).then_some(crash.recovered.then.as_ref()?.kept)
    });
    asked.fold((0, 0), |(kept, asked), is_kept| (kept + u64::from(is_kept), asked + 1))
}

/// Times of recoveries by action, from trials.
pub(super) fn of_trials(trials: &[&Trial], operation_ns: u64) -> BTreeMap<&'static str, Vec<u64>> {
    let mut times = BTreeMap::<_, Vec<u64>>::new();
    for trial in trials {
        let Some(recovery_ns) = trial.phases.recovery_ns.filter(|_| trial.crashes > 0) else { continue };
        let Some(action) = first_answer(&trial.levels.policy).filter(|action| *action != Action::GiveUp) else {
            continue;
        };
        times.entry(Parameters::name_of(action)).or_default().push(recovery_ns.saturating_sub(operation_ns));
    }
    times
}

/// What the policy called `name` answers to the first crash of a transaction at work.
fn first_answer(name: &str) -> Option<Action> {
    let crash = fault::crash(1, Phase::Running, 1, 1, 0, 0);
    let mut history = History::new();
    history.push(crash);
    let policy = crashbed_policies::by_name(name)?;
    Some(policy::decide(&policy, &crash, &history).action)
}

/// The distributions; where there is none by `resume`, which others fall back on, that of all.
pub(super) fn with_resume(
    times: BTreeMap<&'static str, Vec<u64>>,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, Quantiles>, FitError> {
    let all = Quantiles::of(times.values().flatten().copied().collect()).ok_or_else(|| FitError::Missing {
        parameter: "recovery_ns",
        missing: "neither crashes.jsonl nor trials.jsonl has a recovery with its first operation done".to_owned(),
    })?;
    let of_each = times.into_iter().filter_map(|(action, times)| Some((action.to_owned(), Quantiles::of(times)?)));
    let mut recoveries: BTreeMap<String, Quantiles> = of_each.collect();
    if !recoveries.contains_key("resume") {
        notes.push("recovery_ns: no recovery by `resume`, so its times are those of all".to_owned());
        recoveries.insert("resume".to_owned(), all);
    }
    let missing: Vec<_> = Parameters::ACTIONS.into_iter().filter(|action| !recoveries.contains_key(*action)).collect();
    if !missing.is_empty() {
        notes.push(format!("recovery_ns: no recovery by {}, so those take as long as `resume`", missing.join(", ")));
    }
    Ok(recoveries)
}
