//! What measure `goodput` has said, beside Daly's model of it.
//!
//! A [`Series`] is one mechanism under one mean time between crashes: a point for each interval of commits, and the
//! costs that the model asks for, as the same laps measured them. One cost of each kind holds for all of a series, as
//! whoever uses the formula has one: the median over its points of the median over a point's laps of a lap's mean. The
//! formula is about the mean of all times between crashes, which a row, being a distribution of laps, does not have.

mod why;

pub use why::{CLOSE, why};

use crate::daly::{Costs, Shares};
use crate::record::{Distribution, Level, Measurement, Summary};
use crate::units::three_digits;
use std::collections::BTreeMap;

/// The measure's name.
pub const MEASURE: &str = "goodput";

/// One mechanism under one mean time between crashes.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// The mechanism.
    pub mechanism: &'a str,
    /// The mean time between crashes that was asked for, in milliseconds.
    pub mtbf_ms: u64,
    /// The size of the plate's grids.
    pub state_bytes: u64,
    /// What the model asks for, as measured: a commit and a restart with the slower steps after them.
    pub costs: Costs,
    /// What a commit makes the transaction wait for, and the time from a crash to its successor: the means without these
    /// steps.
    pub waits_ns: (f64, f64),
    /// A step without commits and crashes.
    pub step_ns: f64,
    /// A point for each interval, shortest first.
    pub points: Vec<Point<'a>>,
}

/// One interval of commits.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// Steps between two commits.
    pub commit_every: u64,
    /// Useful work over time, in millionths, a sample a lap.
    pub goodput: &'a Distribution,
    /// Crashes in a lap.
    pub crashes: &'a Distribution,
    /// Where the time of a lap went.
    pub spent: Spent,
    /// What a commit and a restart cost in the mean at this interval, the slower steps after them included; `None` where
    /// there was none.
    pub commit_ns: Option<f64>,
    /// As above.
    pub restart_ns: Option<f64>,
    /// The mean time between crashes at this interval; `None` where there was none.
    pub between_ns: Option<f64>,
}

/// Where the time of laps went, in shares of it: medians over the laps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// In steps that were kept: the goodput, and by how much they were slower than a step by itself.
    pub kept: f64,
    /// In commits that became true, and the slower steps after them.
    pub commits: f64,
    /// Between a crash and its successor's first instruction, and in the slower steps after that.
    pub restarts: f64,
    /// In work that was lost.
    pub lost: f64,
}

impl Point<'_> {
    /// The median of the goodput, as a share.
    pub fn share(&self) -> f64 {
        self.goodput.p50 / 1e6
    }

    /// How many times longer than by itself a step took, but for the first ones after a commit or restart.
    pub fn slower(&self) -> f64 {
        self.spent.kept / self.share()
    }
}

impl<'a> Series<'a> {
    /// The series that a run has measured, in the order of mechanisms and times between crashes.
    pub fn all(summary: &'a Summary) -> Vec<Self> {
        // Rows by series, then by interval, then by name.
        type Rows<'a> = BTreeMap<&'a str, &'a Distribution>;
        let mut series: BTreeMap<(&str, u64, u64), BTreeMap<u64, Rows<'a>>> = BTreeMap::new();
        for Measurement { row, levels, distribution, .. } in
            summary.measurements.iter().filter(|found| found.measure == MEASURE)
        {
            let number = |level: &str| match levels.get(level) {
                Some(Level::Number(number)) => Some(*number),
                _ => None,
            };
            let (Some(Level::Text(mechanism)), Some(mtbf_ms), Some(state_bytes), Some(commit_every)) =
                (levels.get("mechanism"), number("mtbf-ms"), number("state-bytes"), number("commit-every"))
            else {
                continue;
            };
            let points = series.entry((mechanism, mtbf_ms, state_bytes)).or_default();
            points.entry(commit_every).or_default().insert(row, distribution);
        }
        let of = |((mechanism, mtbf_ms, state_bytes), rows): (_, BTreeMap<u64, Rows<'a>>)| {
            let median = |row: &str| middle(rows.values().filter_map(|rows| Some(rows.get(row)?.p50)).collect());
            let points: Vec<Point<'a>> = rows.iter().filter_map(|(every, rows)| point(*every, rows)).collect();
            let series = Self {
                mechanism,
                mtbf_ms,
                state_bytes,
                costs: Costs {
                    mtbf_ns: median("between-crashes")?,
                    commit_ns: median("commit-cost")?,
                    restart_ns: median("restart-cost")?,
                },
                waits_ns: (median("commit-mean")?, median("restart-mean")?),
                step_ns: median("step")?,
                points,
            };
            Some(series)
        };
        series.into_iter().filter_map(of).collect()
    }

    /// The point with the most goodput in the median. Being the best of several it is likelier above its true median than
    /// below it.
    pub fn best(&self) -> Option<&Point<'a>> {
        self.points.iter().max_by(|a, b| a.share().total_cmp(&b.share()))
    }

    /// The points that the run does not tell apart from the best one: those whose median's interval overlaps with its own,
    /// and those without one.
    pub fn like(&self, best: &Point<'_>) -> Vec<&Point<'a>> {
        let overlaps = |other: &&Point<'_>| match (best.goodput.p50_ci, other.goodput.p50_ci) {
            (Some((low, _)), Some((_, high))) => high >= low,
            _ => true,
        };
        self.points.iter().filter(|other| other.commit_every != best.commit_every).filter(overlaps).collect()
    }

    /// How long the steps between two commits take without commits and crashes.
    pub fn interval_ns(&self, commit_every: u64) -> f64 {
        commit_every as f64 * self.step_ns
    }

    /// The useful share that the model gives for a point with its own steps, commits, restarts and crashes in the place of
    /// the series'; `None` where some of these are not known.
    pub fn model_of(&self, point: &Point<'_>) -> Option<f64> {
        let costs = Costs { mtbf_ns: point.between_ns?, commit_ns: point.commit_ns?, restart_ns: point.restart_ns? };
        let slower = point.slower();
        (slower.is_finite() && slower > 0.0)
            .then(|| costs.useful_fraction(self.interval_ns(point.commit_every) * slower) / slower)
    }

    /// What the model says of an interval.
    pub fn model(&self, commit_every: u64) -> Shares {
        self.costs.shares(self.interval_ns(commit_every))
    }
}

/// A share in percent with three digits, as intervals differ by little.
pub fn percent(share: f64) -> String {
    format!("{} %", three_digits(share * 100.0))
}

/// The median of figures.
fn middle(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let half = figures.len() / 2;
    let upper = *figures.get(half)?;
    Some(if figures.len().is_multiple_of(2) { upper.midpoint(figures[half - 1]) } else { upper })
}

fn point<'a>(commit_every: u64, rows: &BTreeMap<&str, &'a Distribution>) -> Option<Point<'a>> {
    let share = |row: &str| Some(rows.get(row)?.p50 / 1e6);
    Some(Point {
        commit_every,
        goodput: rows.get("goodput")?,
        crashes: rows.get("crashes")?,
        spent: Spent {
            kept: share("kept")?,
            commits: share("commits")?,
            restarts: share("restarts")?,
            lost: share("lost")?,
        },
        commit_ns: rows.get("commit-cost").map(|mean| mean.p50),
        restart_ns: rows.get("restart-cost").map(|mean| mean.p50),
        between_ns: rows.get("between-crashes").map(|mean| mean.p50),
    })
}

#[cfg(test)]
pub(crate) mod sample;

#[cfg(test)]
#[path = "goodput_tests.rs"]
mod tests;
