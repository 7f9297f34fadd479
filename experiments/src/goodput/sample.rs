//! Rows of measure `goodput` for tests: what Daly's model gives, or what it gives and something more.

use super::MEASURE;
use crate::daly::Costs;
use crate::record::{Distribution, Level, Measurement, Unit};

/// What is to come out of a made-up run.
#[derive(Clone, Copy)]
pub(crate) struct Made {
    pub(crate) mechanism: &'static str,
    pub(crate) mtbf_ms: u64,
    /// The mean time between crashes that there is; commits and restarts.
    pub(crate) costs: Costs,
    /// A step by itself.
    pub(crate) step_ns: f64,
    /// How many times longer a step takes in a lap.
    pub(crate) slower: f64,
    /// How many times longer commits take at the longest of the intervals, which are otherwise all alike.
    pub(crate) last_commit: f64,
    pub(crate) laps: u64,
}

/// Commits of 2 ms, restarts of 1 ms, steps of 1 ms, a crash every 80 ms: as the model has it.
pub(crate) const AS_MODELLED: Made = Made {
    mechanism: "full-copy",
    mtbf_ms: 80,
    costs: Costs { mtbf_ns: 80e6, commit_ns: 2e6, restart_ns: 1e6 },
    step_ns: 1e6,
    slower: 1.0,
    last_commit: 1.0,
    laps: 8,
};

impl Made {
    /// Its rows, at commits every so many steps.
    pub(crate) fn rows(self, intervals: &[u64]) -> Vec<Measurement> {
        intervals.iter().flat_map(|every| self.of(*every, Some(every) == intervals.last())).collect()
    }

    fn of(self, every: u64, is_last: bool) -> Vec<Measurement> {
        let Costs { mtbf_ns, restart_ns, .. } = self.costs;
        let commit_ns = self.costs.commit_ns * if is_last { self.last_commit } else { 1.0 };
        let shares = Costs { commit_ns, ..self.costs }.shares(every as f64 * self.step_ns * self.slower);
        let million = |share: f64| share * 1e6;
        let row = |row: &str, unit, figure: f64| Measurement {
            measure: MEASURE.to_owned(),
            row: row.to_owned(),
            levels: [
                ("mechanism", Level::from(self.mechanism)),
                ("mtbf-ms", self.mtbf_ms.into()),
                ("commit-every", every.into()),
                ("state-bytes", (16_u64 << 20).into()),
            ]
            .map(|(name, level)| (name.to_owned(), level))
            .into(),
            unit,
            // Laps scatter by some parts in a thousand around the median.
            distribution: scattered(figure, self.laps),
            note: String::new(),
        };
        vec![
            row("goodput", Unit::Millionths, million(shares.useful / self.slower)),
            row("kept", Unit::Millionths, million(shares.useful)),
            row("commits", Unit::Millionths, million(shares.commits)),
            row("restarts", Unit::Millionths, million(shares.restarts)),
            row("lost", Unit::Millionths, million(shares.lost)),
            row("step", Unit::Ns, self.step_ns),
            row("commit-mean", Unit::Ns, commit_ns * 0.75),
            row("commit-cost", Unit::Ns, commit_ns),
            row("restart-mean", Unit::Ns, restart_ns * 0.5),
            row("restart-cost", Unit::Ns, restart_ns),
            row("between-crashes", Unit::Ns, mtbf_ns),
            row("crashes", Unit::Count, 10.0),
        ]
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures below a second in nanoseconds")]
fn scattered(figure: f64, laps: u64) -> Distribution {
    let middle = (laps - 1) as f64 / 2.0;
    let lap = |number: u64| (figure * (1.0 + (number as f64 - middle) * 0.001)).round() as u64;
    Distribution::of((0..laps).map(lap).collect()).expect("there is a lap")
}
