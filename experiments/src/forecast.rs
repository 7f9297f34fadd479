//! What a replay and a simulation would have said of a run's policies under its mixes of faults, to be held against what was
//! measured.
//!
//! Both know the base policy's trials only, as one would who has that policy at work and asks which other to take: a replay
//! asks each policy about the crashes that the base policy's transactions had (`replay.rs`); a simulation gets its shares of
//! poison and of propagated faults from them, the times of recoveries from all crashes that the run recorded under the mix, and
//! those of operations and commits from all of the run's trials (`simulation.rs`).
//!
//! What a policy is foretold it is foretold for the faults that it met: of the base policy's trials those count that have the
//! seeds of its own, as a policy that waits has fewer.

mod replay;
mod simulation;

use crate::record::{Levels, RecordedCrash, Trial};
use crate::results::Results;
use crate::simulate::{Fitted, Wanted, fit};
use crate::size::Size;
use crate::suite::{Suite, mix_of};
use crate::summary::{Forecast, name_of_setting, struck};
use crashbed::RestartPolicy;
use std::collections::{BTreeMap, BTreeSet};

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
        let mut skip = |of: &str, why: String| {
            let setting = name_of_setting(&levels);
            skipped
                .push(format!("replay and simulation of {of}{} under {setting}: skipped, because {why}", levels.fault));
        };
        let group = match Group::of(&levels, &trials, results, crashes) {
            Ok(group) => group,
            Err(why) => {
                skip("", why);
                continue;
            }
        };
        let names: BTreeSet<&str> = trials.iter().map(|trial| trial.levels.policy.as_str()).collect();
        for policy in names.into_iter().filter_map(crashbed_policies::by_name) {
            match group.forecasts(&policy, &trials, suite) {
                Ok(mut made) => forecasts.append(&mut made),
                Err(why) => skip(&format!("{} under ", policy.name()), why),
            }
        }
    }
    (forecasts, skipped)
}

/// The same levels under the base policy.
fn of_base(levels: &Levels) -> Levels {
    Levels { policy: BASE.to_owned(), ..levels.clone() }
}

/// One mix in one setting.
struct Group<'a> {
    levels: &'a Levels,
    /// The base policy's trials, each with its crashes.
    base: Vec<(&'a Trial, Vec<&'a RecordedCrash>)>,
    /// What was fitted.
    fitted: Fitted,
}

impl<'a> Group<'a> {
    fn of(
        levels: &'a Levels,
        trials: &[&'a Trial],
        results: &Results,
        crashes: &'a [RecordedCrash],
    ) -> Result<Self, String> {
        let base = trials.iter().filter(|trial| trial.levels == *levels && struck(trial));
        let mut by_trial: BTreeMap<u64, Vec<&RecordedCrash>> = BTreeMap::new();
        for crash in crashes.iter().filter(|crash| crash.levels == *levels) {
            by_trial.entry(crash.trial).or_default().push(crash);
        }
        let base: Vec<_> = base.map(|trial| (*trial, by_trial.remove(&trial.trial).unwrap_or_default())).collect();
        if base.is_empty() {
            return Err(format!("the run has no trial of it under {BASE}"));
        }
        let own: Vec<RecordedCrash> =
            crashes.iter().filter(|crash| of_base(&crash.levels) == *levels).cloned().collect();
        if own.is_empty() {
            return Err("no crash of it was recorded".to_owned());
        }
        let fitted = fit(results, &own, &wanted(levels), MTBF_NS).map_err(|error| error.to_string())?;
        Ok(Self { levels, base, fitted })
    }

    /// What is foretold of a policy, for the faults that it met in `trials`.
    fn forecasts(&self, policy: &dyn RestartPolicy, trials: &[&Trial], suite: &Suite) -> Result<Vec<Forecast>, String> {
        let its = trials.iter().filter(|trial| trial.levels.policy == policy.name() && struck(trial));
        let seeds: BTreeSet<u64> = its.map(|trial| trial.seed).collect();
        let met = self.base.iter().filter(|(trial, _)| seeds.contains(&trial.seed));
        let known = Known { levels: self.levels, base: met.cloned().collect(), fitted: &self.fitted };
        if known.base.is_empty() {
            return Err(format!("none of its faults was met by {BASE}"));
        }
        let [to_difference, of_all] = replay::forecasts(&known, policy);
        Ok(vec![to_difference, of_all, simulation::forecast(&known, policy, suite)?])
    }
}

/// What a forecast of one policy is made from.
struct Known<'a> {
    levels: &'a Levels,
    /// The base policy's trials with the faults that the policy met, each with its crashes; at least one.
    base: Vec<(&'a Trial, Vec<&'a RecordedCrash>)>,
    /// What was fitted.
    fitted: &'a Fitted,
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
        self.base.iter().filter_map(|(trial, _)| trial.script_operations).max().unwrap_or_default()
    }

    fn levels_of(&self, policy: &str) -> Levels {
        Levels { policy: policy.to_owned(), ..self.levels.clone() }
    }
}

#[cfg(test)]
mod tests;
