//! How policies stand under mixes of faults: what each lost of work and of time, and which are on the front, that is, which
//! no other one beats in both.
//!
//! A figure here is a mean: what all trials lost, shared out, since a policy that waits is judged by its rare long waits.
//! Under a mix, trial number n of each policy has the same seed and so meets the same fault at the same operation. A policy
//! may have fewer trials than another; so the front is of the means over the faults that all policies have met.
//!
//! Means of skewed samples carry no claim by themselves. That one policy beats another is said only where it does so trial
//! by trial: a sign test over pairs with the same fault tells whether one loses less oftener than by chance.

use super::{name_of_setting, struck};
use crate::record::{Levels, Mean, Met, Outcome, Standing, Trial, Verdict};
use crate::statistics::{median, sign_test, student};
use crate::suite::mix_of;
use std::collections::{BTreeMap, BTreeSet};

/// A difference is said to be one where chance makes it so seldom, after all comparisons of a mix are counted (Bonferroni).
const BY_CHANCE: f64 = 0.05;

/// What one trial lost.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Lost {
    seed: u64,
    /// The share of operations.
    work: f64,
    time_ns: f64,
}

/// The standings of these trials; none where no level is a mix, or nothing says how long a crash-free trial takes.
pub(super) fn standings(trials: &[Trial]) -> Vec<Standing> {
    let mut groups: BTreeMap<(&str, String), BTreeMap<&str, Vec<&Trial>>> = BTreeMap::new();
    let mut crash_free: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for trial in trials {
        let setting = name_of_setting(&trial.levels);
        match mix_of(&trial.levels.fault) {
            Some(mix) if struck(trial) => {
                let policies = groups.entry((mix, setting)).or_default();
                policies.entry(&trial.levels.policy).or_default().push(trial);
            }
            None if trial.is_crash_free() => crash_free.entry(setting).or_default().extend(trial.took_ns),
            _ => {}
        }
    }
    let mut standings = Vec::new();
    for ((mix, setting), policies) in groups {
        let Some(base) = crash_free.get(&setting).and_then(|times| Some((median(times.clone())?, times.len()))) else {
            continue;
        };
        standings.extend(of_mix(mix, &setting, &policies, base));
    }
    standings
}

fn of_mix(mix: &str, setting: &str, policies: &BTreeMap<&str, Vec<&Trial>>, base: (f64, usize)) -> Vec<Standing> {
    let lost: BTreeMap<&str, Vec<Lost>> = policies
        .iter()
        .map(|(policy, trials)| (*policy, trials.iter().filter_map(|trial| lost(trial, base.0)).collect()))
        .collect();
    let mean = |lost: &[Lost], figure: fn(&Lost) -> f64| student(&lost.iter().map(figure).collect::<Vec<_>>());
    let met_by_all = met_by_all(&lost);
    let on_front = |policy: &str| {
        let Met { faults, work_lost, time_lost_ns } = met_by_all[policy];
        let (work, time) = (work_lost.mean, time_lost_ns.mean);
        let mut others = met_by_all.values().map(|other| (other.work_lost.mean, other.time_lost_ns.mean));
        faults > 0 && !others.any(|other| other.0 <= work && other.1 <= time && (other.0 < work || other.1 < time))
    };
    let front: Vec<&str> = policies.keys().copied().filter(|policy| on_front(policy)).collect();
    let comparisons = front.len() * policies.len().saturating_sub(1) * 2;
    let standing = |(policy, trials): (&&str, &Vec<&Trial>)| {
        let own = &lost[policy];
        let count = |is: &dyn Fn(&Trial) -> bool| trials.iter().filter(|trial| is(trial)).count() as u64;
        let course =
            |figure: &dyn Fn(&Trial) -> f64| student(&trials.iter().map(|trial| figure(trial)).collect::<Vec<_>>());
        let beats =
            |other: &&&str| *other != policy && beats(&lost[**other], own, BY_CHANCE / comparisons.max(1) as f64);
        Standing {
            mix: mix.to_owned(),
            policy: (*policy).to_owned(),
            setting: setting.to_owned(),
            trials: trials.len() as u64,
            complete: count(&|trial| right_operations(trial) == trial.script_operations),
            gave_up: count(&|trial| trial.outcome == Outcome::GaveUp),
            wrong: count(&|trial| is_wrong(trial)),
            work_lost: mean(own, |lost| lost.work),
            time_lost_ns: mean(own, |lost| lost.time_ns),
            met_by_all: met_by_all[policy],
            crash_free_ns: base.0,
            crash_free_trials: base.1 as u64,
            restarts: course(&|trial| trial.course.as_ref().map_or(0.0, |course| course.restarts as f64)),
            done_again: course(&|trial| trial.lost_operations as f64),
            on_front: front.contains(policy),
            beaten_by: front.iter().filter(beats).map(|other| (*other).to_owned()).collect(),
        }
    };
    policies.iter().map(standing).collect()
}

/// What each policy lost in the mean over the faults that all of them have met.
fn met_by_all<'a>(lost: &BTreeMap<&'a str, Vec<Lost>>) -> BTreeMap<&'a str, Met> {
    let seeds = |lost: &Vec<Lost>| lost.iter().map(|lost| lost.seed).collect::<BTreeSet<u64>>();
    let shared = lost.values().map(seeds).reduce(|shared, own| &shared & &own).unwrap_or_default();
    let of_policy = |lost: &Vec<Lost>| {
        let met = || lost.iter().filter(|lost| shared.contains(&lost.seed));
        let mean = |figure: fn(&Lost) -> f64| student(&met().map(figure).collect::<Vec<_>>());
        Met { faults: shared.len() as u64, work_lost: mean(|lost| lost.work), time_lost_ns: mean(|lost| lost.time_ns) }
    };
    lost.iter().map(|(policy, lost)| (*policy, of_policy(lost))).collect()
}

/// Whether `one` loses to `other` trial by trial: less in work or in time beyond chance, and more in neither beyond chance.
fn beats(other: &[Lost], one: &[Lost], by_chance: f64) -> bool {
    let others: BTreeMap<u64, &Lost> = other.iter().map(|lost| (lost.seed, lost)).collect();
    let pairs: Vec<(&Lost, &Lost)> = one.iter().filter_map(|lost| Some((lost, *others.get(&lost.seed)?))).collect();
    let test = |figure: fn(&Lost) -> f64| {
        let (more, less) = pairs.iter().fold((0, 0), |(more, less), (one, other)| match figure(one) - figure(other) {
            difference if difference > 0.0 => (more + 1, less),
            difference if difference < 0.0 => (more, less + 1),
            _ => (more, less),
        });
        match sign_test(more, less) < by_chance {
            true if more > less => 1,
            true => -1,
            false => 0,
        }
    };
    let (work, time) = (test(|lost| lost.work), test(|lost| lost.time_ns));
    work >= 0 && time >= 0 && work + time > 0
}

/// What a trial lost; `None` where its record does not say.
fn lost(trial: &Trial, crash_free_ns: f64) -> Option<Lost> {
    let there = right_operations(trial)? as f64 / trial.script_operations.filter(|all| *all > 0)? as f64;
    Some(Lost { seed: trial.seed, work: 1.0 - there, time_ns: trial.took_ns? as f64 - crash_free_ns * there })
}

fn is_wrong(trial: &Trial) -> bool {
    matches!(trial.verdict, Verdict::CorruptDetected | Verdict::CorruptSilent)
}

/// Operations that are there and right at the end: of a state that is wrong nothing can be relied on. One that was left out
/// is none of them, unless it crashes whenever it is met, so that nobody can do it.
fn right_operations(trial: &Trial) -> Option<u64> {
    trial.script_operations?;
    let left_out = trial.quarantined_files.len() as u64;
    let left_out = trial.poison.as_ref().map_or(left_out, |poison| poison.harmless_skipped);
    Some(match trial.verdict {
        Verdict::CorruptDetected | Verdict::CorruptSilent | Verdict::Unknown | Verdict::Hung => 0,
        _ => trial.operations.saturating_sub(left_out),
    })
}

impl Standing {
    /// Whether this is the standing of these levels.
    pub(crate) fn is_of(&self, levels: &Levels) -> bool {
        mix_of(&levels.fault) == Some(&self.mix)
            && levels.policy == self.policy
            && name_of_setting(levels) == self.setting
    }
}

impl Mean {
    /// The interval's ends; both the mean where there is none.
    pub(crate) fn interval(&self) -> (f64, f64) {
        let half = self.half.unwrap_or(0.0);
        (self.mean - half, self.mean + half)
    }
}
