//! From trials to `summary.json`: one cell a combination of levels, each latency beside its floor, and the suite's
//! answer in plain sentences.
//!
//! A pure function of the trials and the floors, so that a summary can be made again from what a run left.

use crate::record::{Cell, Distribution, FORMAT, Floor, Levels, Measurement, Outcome, Phases, Summary, Trial, Verdict};
use answer::answer;
use std::collections::BTreeMap;

mod answer;
mod targets;

/// What the summary is of.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// The suite's name.
    pub suite: &'a str,
    /// The trials made, in any order.
    pub trials: &'a [Trial],
    /// How many trials the plan had; fewer made ones leave the summary incomplete.
    pub planned_trials: u64,
    /// Rounds of measures that were planned and not made; they leave it incomplete too.
    pub missing_rounds: u64,
    /// The floors measured in the same run.
    pub floors: Vec<Floor>,
    /// What was measured beside the trials.
    pub measurements: Vec<Measurement>,
    /// What was left out before the trials were made, each with its reason.
    pub skipped: Vec<String>,
}

/// Summarizes a run. `is_memory_fault` tells the faults that change memory behind the program's back, which may
/// corrupt silently, from those that stop it, which must not.
pub fn summarize(run: Run<'_>, is_memory_fault: impl Fn(&str) -> bool) -> Summary {
    let mut groups: BTreeMap<&Levels, Vec<&Trial>> = BTreeMap::new();
    for trial in run.trials {
        groups.entry(&trial.levels).or_default().push(trial);
    }
    let mut skipped = run.skipped;
    let cells: Vec<Cell> =
        groups.into_iter().map(|(levels, trials)| cell(levels, &trials, &run.floors, &mut skipped)).collect();
    let trials = run.trials.len() as u64;
    let mut summary = Summary {
        format: FORMAT,
        suite: run.suite.to_owned(),
        complete: trials >= run.planned_trials && run.missing_rounds == 0,
        trials,
        crashes: run.trials.iter().map(|trial| trial.crashes).sum(),
        answer: Vec::new(),
        targets: Vec::new(),
        skipped,
        floors: run.floors,
        measurements: run.measurements,
        cells,
    };
    summary.targets = targets::targets(&summary);
    let planned = answer::Planned { trials: run.planned_trials, missing_rounds: run.missing_rounds };
    summary.answer = answer(&summary, run.trials, planned, &is_memory_fault);
    summary
}

/// A trial's notice by the floor that it is held against: `signal` where the dying process itself gave it, `kill`
/// where only its end was seen, `heartbeat` where its silence was; `None` where there was no crash.
pub fn notice_class(trial: &Trial) -> Option<&'static str> {
    match trial.notice.as_deref()? {
        "handler" | "torn" => Some("signal"),
        "pidfd" => Some("kill"),
        "heartbeat" => Some("heartbeat"),
        _ => None,
    }
}

/// Whether a trial's fault struck, so that the trial says something.
pub fn struck(trial: &Trial) -> bool {
    (trial.activated > 0 || trial.crashes > 0) && trial.verdict != Verdict::Inconclusive
}

/// The start by which the trials of a cell are held against a floor: the one that it declares, or, where the engine
/// picks, the one that most of them had.
fn start_of<'a>(levels: &'a Levels, started_by: &'a BTreeMap<String, u64>) -> Option<&'a str> {
    match levels.spare.as_str() {
        "auto" => started_by.iter().max_by_key(|(_, trials)| **trials).map(|(start, _)| start.as_str()),
        declared => Some(declared),
    }
}

/// The fastest floor for the levels, the notice and the start.
fn floor_of<'a>(floors: &'a [Floor], levels: &Levels, notice: &str, start: &str) -> Option<&'a Floor> {
    floors
        .iter()
        .filter(|floor| {
            floor.spare == start
                && floor.load == levels.load
                && floor.notice == notice
                && floor.mechanism == levels.mechanism
                && floor.workload == levels.workload
                && floor.region_bytes == levels.region_bytes
        })
        .min_by(|a, b| a.recovery_ns.p50.total_cmp(&b.recovery_ns.p50))
}

fn cell(levels: &Levels, trials: &[&Trial], floors: &[Floor], skipped: &mut Vec<String>) -> Cell {
    let sum = |field: fn(&Trial) -> u64| trials.iter().map(|trial| field(trial)).sum::<u64>();
    let distribution = |field: fn(&Phases) -> Option<u64>| {
        Distribution::of(trials.iter().filter_map(|trial| field(&trial.phases)).collect())
    };
    let recovery_ns = distribution(|phases| phases.recovery_ns);
    let hand_over_ns = distribution(|phases| phases.hand_over_ns);

    let started_by = tally(trials.iter().filter_map(|trial| trial.started_by.clone()));
    let floor = prevailing(trials.iter().filter(|trial| trial.phases.recovery_ns.is_some()).map(|t| notice_class(t)))
        .flatten()
        .and_then(|notice| floor_of(floors, levels, notice, start_of(levels, &started_by)?));
    let over = |measured: &Option<Distribution>, floor: Option<f64>| {
        measured.as_ref().zip(floor.filter(|floor| *floor > 0.0)).map(|(measured, floor)| measured.p50 / floor)
    };
    let (planned, activated) = (sum(|trial| trial.planned), sum(|trial| trial.activated));

    Cell {
        trials: trials.len() as u64,
        planned,
        injected: sum(|trial| trial.injected),
        activated,
        noticed: sum(|trial| trial.noticed),
        crashes: sum(|trial| trial.crashes),
        conclusive: planned == 0 || activated > 0,
        outcomes: tally(trials.iter().map(|trial| trial.outcome)),
        verdicts: tally(trials.iter().map(|trial| trial.verdict)),
        phases: phases(trials),
        lost_operations: Distribution::of(
            trials.iter().filter(|trial| trial.crashes > 0).map(|trial| trial.lost_operations).collect(),
        ),
        floor_p50_ns: floor.map(|floor| floor.recovery_ns.p50),
        recovery_over_floor_p50: over(&recovery_ns, floor.map(|floor| floor.recovery_ns.p50)),
        hand_over_over_floor_p50: over(&hand_over_ns, floor.map(|floor| floor.hand_over_ns.p50)),
        p99_over_p50: recovery_ns.as_ref().and_then(p99_over_p50),
        floor_p99_over_p50: floor.and_then(|floor| p99_over_p50(&floor.recovery_ns)),
        take_over_faults: distribution(|phases| phases.take_over_faults),
        started_by,
        spare_processor_ns: Distribution::of(trials.iter().filter_map(|trial| trial.spare_processor_ns).collect()),
        daemon_private_bytes: trials.iter().filter_map(|trial| trial.daemon_private_bytes).max(),
        spare_memory_bytes: Distribution::of(trials.iter().filter_map(|trial| trial.spare_memory_bytes).collect()),
        recovery_ns,
        hand_over_ns,
        counts: counts(levels, trials, skipped),
        quarantined_files: agreed(trials.iter().map(|trial| &trial.quarantined_files)).cloned().unwrap_or_default(),
        digest: agreed(trials.iter().map(|trial| &trial.digest)).cloned().flatten(),
        levels: levels.clone(),
    }
}

/// The tail beside the median; `None` where the samples do not carry it.
fn p99_over_p50(distribution: &Distribution) -> Option<f64> {
    distribution.p99.filter(|_| distribution.p50 > 0.0).map(|p99| p99 / distribution.p50)
}

/// The distribution of each phase that was measured, by its name in `trials.jsonl`.
fn phases(trials: &[&Trial]) -> BTreeMap<String, Distribution> {
    let mut samples: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for trial in trials {
        let parts = trial.phases.parts().map(|(name, ns)| (format!("{}_ns", name.replace(' ', "_")), ns));
        let redo = ("redo_ns".to_owned(), trial.phases.redo_ns);
        let undetected = ("undetected_operations".to_owned(), trial.phases.undetected_operations);
        let teardown = ("teardown_ns".to_owned(), trial.phases.teardown_ns);
        for (name, value) in parts.into_iter().chain([redo, teardown, undetected]) {
            samples.entry(name).or_default().extend(value);
        }
    }
    samples.into_iter().filter_map(|(name, samples)| Some((name, Distribution::of(samples)?))).collect()
}

/// The workload's own figures over one pass, where all trials agree; what they disagree on is left out and named. A
/// pass that a fault ended counts as far as it came, which is nobody's figure.
fn counts(levels: &Levels, trials: &[&Trial], skipped: &mut Vec<String>) -> BTreeMap<String, u64> {
    if levels.fault != "none" && trials.iter().any(|trial| trial.outcome != Outcome::Done) {
        return BTreeMap::new();
    }
    let names: std::collections::BTreeSet<&String> = trials.iter().flat_map(|trial| trial.counts.keys()).collect();
    let mut counts = BTreeMap::new();
    for name in names {
        match agreed(trials.iter().map(|trial| trial.counts.get(name))).flatten() {
            Some(value) => {
                counts.insert(name.clone(), *value);
            }
            None => skipped.push(format!(
                "`{name}` of the cell {}: skipped, because its {} trials disagree on it",
                name_of(levels),
                trials.len()
            )),
        }
    }
    counts
}

/// A combination of levels in one line; those that every suite used to have are left out.
pub fn name_of(levels: &Levels) -> String {
    let Levels { policy, mechanism, workload, fault, spare, load, .. } = levels;
    let mut name = format!("{policy} · {mechanism} · {workload} · {fault}");
    if spare != "cold" {
        name += &format!(" · {spare}");
    }
    if load != "none" {
        name += &format!(" · {load}");
    }
    name
}

/// The value that all items are; `None` where they differ or there are none.
fn agreed<T: PartialEq>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.all(|item| item == first).then_some(first)
}

/// The value that 99 % of the items are at least, so that one odd trial in thousands does not leave a cell without its
/// floor; `None` where they differ more, or there are none.
fn prevailing<T: Ord>(items: impl Iterator<Item = T>) -> Option<T> {
    let counts = tally(items);
    let all: u64 = counts.values().sum();
    counts.into_iter().find(|(_, n)| n * 100 >= all * 99).map(|(item, _)| item)
}

/// How often each item occurs.
pub(crate) fn tally<T: Ord>(items: impl Iterator<Item = T>) -> BTreeMap<T, u64> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests;
