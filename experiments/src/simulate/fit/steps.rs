//! How long an operation and a commit take.

use super::FitError;
use crate::record::{Level, Measurement, Trial};
use crate::statistics;
use std::collections::BTreeMap;

/// The rows of measure `steady` about a mechanism.
pub(super) struct Steady<'a> {
    pub(super) measurements: &'a [Measurement],
    pub(super) mechanism: &'a str,
}

impl Steady<'_> {
    /// The time of an operation and of a commit; `None` where it was not measured.
    pub(super) fn operation_and_commit(&self, commit_every: u64) -> Option<(f64, f64)> {
        let rows = self.measurements.iter().filter(|row| row.measure == "steady" && row.row == "throughput");
        let of_mechanism = rows.filter(|row| row.levels.get("mechanism") == Some(&Level::from(self.mechanism)));
        let (mut never, mut rates) = (None, BTreeMap::new());
        for row in of_mechanism {
            let rate = row.distribution.p50;
            match row.levels.get("commit-every") {
                Some(Level::Number(every)) => drop(rates.insert(*every, rate)),
                Some(Level::Text(text)) if text == "never" => never = Some(rate),
                _ => {}
            }
        }
        let never = never.filter(|rate| *rate > 0.0)?;
        let apart = |every: u64| (every as f64 / commit_every as f64).ln().abs();
        let nearest = rates.into_iter().min_by(|(a, _), (b, _)| apart(*a).total_cmp(&apart(*b)));
        let (every, rate) = nearest.filter(|(_, rate)| *rate > 0.0)?;
        Some((1e9 / never, (1e9 / rate - 1e9 / never).max(0.0) * every as f64))
    }
}

/// The median time of an operation that was done again.
pub(super) fn redone_operation(trials: &[&Trial], commit_every: u64) -> Result<f64, FitError> {
    let times = trials.iter().filter(|trial| (2..=commit_every).contains(&trial.lost_operations)).filter_map(|trial| {
        let redo_ns = trial.phases.redo_ns.filter(|_| trial.crashes == 1 && trial.levels.policy != "zero-state")?;
        Some(redo_ns / (trial.lost_operations - 1))
    });
    statistics::median(times.collect()).ok_or_else(|| FitError::Missing {
        parameter: "operation_ns",
        missing: "neither measurements.json has measure `steady`, row `throughput` of the mechanism, for workload `kv`, nor has \
                  trials.jsonl a `redo_ns` of two lost operations or more, up to a commit"
            .to_owned(),
    })
}

/// The median time of a commit among operations that were done again from the beginning.
pub(super) fn redone_commit(trials: &[&Trial], commit_every: u64, operation_ns: u64) -> Result<f64, FitError> {
    let times = trials.iter().filter_map(|trial| {
        let redo_ns = trial.phases.redo_ns.filter(|_| trial.crashes == 1 && trial.levels.policy == "zero-state")?;
        let commits = trial.lost_operations / commit_every;
        let work_ns = trial.lost_operations.saturating_sub(1) * operation_ns;
        redo_ns.saturating_sub(work_ns).checked_div(commits)
    });
    statistics::median(times.collect()).ok_or_else(|| FitError::Missing {
        parameter: "commit_ns",
        missing: "neither measurements.json has measure `steady`, row `throughput` of the mechanism, for workload `kv`, nor has \
                  trials.jsonl a `redo_ns` under `zero-state` with a commit in it"
            .to_owned(),
    })
}
