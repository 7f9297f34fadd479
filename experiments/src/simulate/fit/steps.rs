//! How long an operation and a commit take.

use super::FitError;
use crate::record::{Level, Measurement, Trial};
use crate::statistics::{self, slope};
use std::collections::BTreeMap;

/// The rows of measure `steady` about a mechanism.
pub(super) struct Steady<'a> {
    pub(super) measurements: &'a [Measurement],
    pub(super) mechanism: &'a str,
}

impl Steady<'_> {
    /// The steps; `None` where they were not measured.
    pub(super) fn steps(&self, commit_every: u64) -> Option<Steps> {
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
        let (bare_ns, pace_ns) = (1e9 / never, 1e9 / rate);
        let commit = match pace_ns > bare_ns {
            true => ((pace_ns - bare_ns) * every as f64, "measure `steady`, with commits".to_owned()),
            false => (0.0, "measure `steady`, which was no slower with commits".to_owned()),
        };
        Some(Steps { operation: (bare_ns, "measure `steady`, without commits".to_owned()), commit })
    }
}

/// What the steps of the work take, each with where it is from.
pub(super) struct Steps {
    pub(super) operation: (f64, String),
    pub(super) commit: (f64, String),
}

/// The steps by the trials alone. What operations take together with their commits is known well, what they take by
/// themselves less so: a successor's first operations find each page cold, so that a few that were done again say only by
/// how much more of them take longer. Where that does not set them apart from the commits, the commits stay in them.
pub(super) fn of_trials(trials: &[&Trial], commit_every: u64) -> Result<Steps, FitError> {
    let (pace_ns, of) = pace(trials)?;
    let few =
        redone(trials.iter().filter(|trial| trial.levels.policy != FROM_ZERO && trial.lost_operations <= commit_every));
    let bare = slope(&few).filter(|bare| bare.interval.0 > 0.0 && bare.interval.1 < pace_ns);
    Ok(match bare {
        Some(bare) => Steps {
            operation: (bare.each, "`redo_ns` of trials, with no commit in it".to_owned()),
            commit: ((pace_ns - bare.each) * commit_every as f64, format!("{of}, less the operations")),
        },
        None => Steps {
            operation: (pace_ns, format!("{of}, commits included")),
            commit: (
                0.0,
                "the same: the trials do not set a commit apart from the operations before it, which hold its time \
                 (measure `steady` would)"
                    .to_owned(),
            ),
        },
    })
}

/// The policy that does all of its work again.
const FROM_ZERO: &str = "zero-state";

/// The time of an operation with its share of a commit, and where it is from.
fn pace(trials: &[&Trial]) -> Result<(f64, &'static str), FitError> {
    let whole = trials.iter().filter(|trial| trial.is_crash_free());
    let each = whole.filter_map(|trial| trial.took_ns?.checked_div(trial.script_operations?));
    if let Some(each_ns) = statistics::median(each.collect()) {
        return Ok((each_ns, "`took_ns` of trials without a crash"));
    }
    let many = redone(trials.iter().filter(|trial| trial.levels.policy == FROM_ZERO));
    match slope(&many).filter(|slope| slope.interval.0 > 0.0) {
        Some(slope) => Ok((slope.each, "`redo_ns` of trials under `zero-state`")),
        None => Err(FitError::Missing {
            parameter: "operation_ns",
            missing: "measurements.json has no measure `steady`, row `throughput` of the mechanism, for workload `kv`, and \
                      trials.jsonl neither a trial of fault `none` with its `took_ns` nor trials under `zero-state` whose \
                      `redo_ns` grows with the operations beyond chance"
                .to_owned(),
        }),
    }
}

/// How many operations were done again after the first one, and how long they took, in trials with one crash.
fn redone<'a>(trials: impl Iterator<Item = &'a &'a Trial>) -> Vec<(u64, u64)> {
    let crashed = trials.filter(|trial| trial.crashes == 1 && trial.lost_operations >= 2);
    crashed.filter_map(|trial| Some((trial.lost_operations - 1, trial.phases.redo_ns?))).collect()
}
