//! What a replay and a simulation would have said of a run's policies under its mixes of faults, to be held against what was
//! measured.
//!
//! Both know the base policy's trials only, as one would who has that policy at work and asks which other to take: a replay
//! asks each policy about the crashes that the base policy's transactions had (`replay.rs`); a simulation gets its shares of
//! poison and of propagated faults from them, and how long things take from all crashes that the run recorded under the mix
//! (`simulation.rs`).

mod replay;
mod simulation;

use crate::record::{Levels, RecordedCrash, Trial};
use crate::results::Results;
use crate::simulate::{Fitted, Wanted, fit};
use crate::size::Size;
use crate::suite::{Suite, mix_of};
use crate::summary::{Forecast, name_of_setting, struck};
use std::collections::BTreeMap;

/// The policy whose crashes everything is predicted from.
pub const BASE: &str = "checkpoint-resume";

/// The forecasts of a run, and what was left out, each with its reason.
pub fn forecasts(results: &Results, crashes: &[RecordedCrash], suite: &Suite) -> (Vec<Forecast>, Vec<String>) {
    let (mut forecasts, mut skipped) = (Vec::new(), Vec::new());
    // By the base policy's levels, so that a group is one mix in one setting.
    let mut groups: BTreeMap<Levels, Vec<&Trial>> = BTreeMap::new();
    for trial in results.trials.iter().filter(|trial| mix_of(&trial.levels.fault).is_some()) {
        groups.entry(of_base(&trial.levels)).or_default().push(trial);
    }
    for (levels, trials) in groups {
        match of_group(&levels, &trials, results, crashes, suite) {
            Ok(mut made) => forecasts.append(&mut made),
            Err(why) => skipped.push(format!(
                "replay and simulation of {} under {}: skipped, because {why}",
                levels.fault,
                name_of_setting(&levels)
            )),
        }
    }
    (forecasts, skipped)
}

/// The same levels under the base policy.
fn of_base(levels: &Levels) -> Levels {
    Levels { policy: BASE.to_owned(), ..levels.clone() }
}

/// One mix in one setting, as the base policy and the whole run know it.
struct Known<'a> {
    levels: &'a Levels,
    /// The base policy's trials with a crash, each with its crashes.
    traces: Vec<(&'a Trial, Vec<&'a RecordedCrash>)>,
    /// The base policy's trials.
    base: Vec<&'a Trial>,
    /// What was fitted.
    fitted: Fitted,
}

fn of_group(
    levels: &Levels,
    trials: &[&Trial],
    results: &Results,
    crashes: &[RecordedCrash],
    suite: &Suite,
) -> Result<Vec<Forecast>, String> {
    let base: Vec<&Trial> = trials.iter().filter(|trial| trial.levels == *levels && struck(trial)).copied().collect();
    if base.is_empty() {
        return Err(format!("the run has no trial of it under {BASE}"));
    }
    let own: Vec<RecordedCrash> = crashes.iter().filter(|crash| of_base(&crash.levels) == *levels).cloned().collect();
    if own.is_empty() {
        return Err("no crash of it was recorded".to_owned());
    }
    let fitted = fit(results, &own, &wanted(levels), MTBF_NS).map_err(|error| error.to_string())?;
    let mut by_trial: BTreeMap<u64, Vec<&RecordedCrash>> = BTreeMap::new();
    for crash in own.iter().filter(|crash| crash.levels.policy == BASE) {
        by_trial.entry(crash.trial).or_default().push(crash);
    }
    let crashed = base.iter().filter_map(|trial| Some((*trial, by_trial.remove(&trial.trial)?)));
    let known = Known { levels, traces: crashed.collect(), base: base.clone(), fitted };
    let policies: std::collections::BTreeSet<&str> = trials.iter().map(|trial| trial.levels.policy.as_str()).collect();
    let mut made = Vec::new();
    for policy in policies.into_iter().filter_map(crashbed_policies::by_name) {
        made.extend(replay::forecasts(&known, &policy));
        made.push(simulation::forecast(&known, &policy, suite)?);
    }
    Ok(made)
}

/// The time between faults, of which the simulation makes its own.
const MTBF_NS: u64 = 1_000_000_000_000;

fn wanted(levels: &Levels) -> Wanted {
    Wanted {
        mechanism: Some(levels.mechanism.clone()),
        workload: Some(levels.workload.clone()),
        spare: Some(levels.spare.clone()),
        region: Some(Size::at_least(levels.region_bytes)),
        load: Some(levels.load.clone()),
    }
}

impl Known<'_> {
    /// Operations of a script.
    fn operations(&self) -> u64 {
        self.base.iter().filter_map(|trial| trial.script_operations).max().unwrap_or_default()
    }

    fn levels_of(&self, policy: &str) -> Levels {
        Levels { policy: policy.to_owned(), ..self.levels.clone() }
    }
}

#[cfg(test)]
mod tests;
