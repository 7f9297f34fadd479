//! Measure `goodput`: useful work of workload `stencil` against the time between crashes and the interval of commits.
//!
//! A lap is a plate that is computed while its process is killed at exponentially distributed times; a crash costs the
//! steps since the last commit, and a commit costs time. What is left is held against what a step takes by itself, which
//! each lap measures first. Every lap of a round with the same mean time between crashes has them at the same times, so
//! that intervals and mechanisms differ by themselves alone. Beside the goodput stand what Daly's formula asks for, and
//! where the rest of the time went.

mod bed;
mod entry;
mod ledger;

use super::said::{Said, Sampled};
use super::{Measure, MeasureError, Round};
use crate::levels;
use crate::record::Unit;
use crate::workloads::stencil::{Grids, Heat};
use bed::{Bed, Lap};
use crashbed::MechanismKind;
use ledger::Ledger;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Deserializer, de};
use std::num::NonZeroU64;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const MILLION: u128 = 1_000_000;

/// Its settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Goodput {
    /// Mechanisms of the transactions.
    #[serde(deserialize_with = "mechanisms")]
    mechanism: Vec<String>,
    /// Mean times between two crashes, in milliseconds.
    #[serde(deserialize_with = "levels::one_or_many")]
    mtbf_ms: Vec<NonZeroU64>,
    /// Steps between two commits.
    #[serde(deserialize_with = "levels::one_or_many")]
    commit_every: Vec<NonZeroU64>,
    /// Cells along a side of the plate; its state is two grids of them.
    #[serde(deserialize_with = "levels::side")]
    size: u32,
    /// How long a lap is, in mean times between crashes: it has about so many crashes. But no shorter than so many
    /// milliseconds, so that laps with many crashes scatter less where that is cheap.
    #[serde(deserialize_with = "levels::positive")]
    crashes: u64,
    least_ms: u64,
}

impl Default for Goodput {
    fn default() -> Self {
        let many = |numbers: &[u64]| numbers.iter().copied().filter_map(NonZeroU64::new).collect();
        Self {
            mechanism: ["full-copy", "copy-on-write", "dirty-pages"].map(str::to_owned).to_vec(),
            mtbf_ms: many(&[25, 100, 400]),
            commit_every: many(&[2, 4, 8, 16, 32, 64, 128]),
            // Two grids of 8 MiB.
            size: 1_022,
            crashes: 7,
            least_ms: 1_000,
        }
    }
}

/// Reads mechanisms that a plate can be kept by, and whose successors begin the transaction's function anew.
fn mechanisms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = levels::mechanisms(deserializer)?;
    for (name, mechanism) in names.iter().filter_map(|name| Some((name, name.parse::<MechanismKind>().ok()?))) {
        let why = match mechanism {
            _ if mechanism.needs_declared_writes() => {
                "the workload `stencil` does not declare what it writes, as it must under"
            }
            _ if mechanism.returns_from_commits() => "a lap counts on successors that begin anew, as they do not under",
            _ => continue,
        };
        return Err(de::Error::custom(format!("{why} `{name}`: leave that out")));
    }
    Ok(names)
}

/// A combination of levels, by the places of mechanism, time between crashes and interval in their lists.
#[derive(Clone, Copy)]
struct Cell {
    mechanism: usize,
    mtbf: NonZeroU64,
    every: NonZeroU64,
}

impl Measure for Goodput {
    fn round(&self, round: Round) -> Result<Vec<Said>, MeasureError> {
        let heat = Heat::new(round.seed, self.size);
        let mut beds = Vec::new();
        for name in &self.mechanism {
            let mechanism =
                name.parse().map_err(|error: crashbed::UnknownMechanism| MeasureError::Unplanned(error.to_string()))?;
            beds.push(Bed::start(mechanism, heat)?);
        }
        let mut cells = self.cells();
        let mut rows: Vec<Rows> = cells.iter().map(|(cell, _)| self.rows(*cell)).collect();
        let mut numbers = ChaCha8Rng::seed_from_u64(round.seed);
        for lap in 0..round.laps {
            cells.shuffle(&mut numbers);
            for &(cell, place) in &cells {
                let mtbf_ns = cell.mtbf.get().saturating_mul(1_000_000);
                let asked = Lap {
                    commit_every: cell.every.get(),
                    mtbf_ns,
                    lasts_ns: mtbf_ns.saturating_mul(self.crashes).max(self.least_ms.saturating_mul(1_000_000)),
                    seed: xxh3_64_with_seed(&lap.to_le_bytes(), round.seed ^ mtbf_ns),
                };
                rows[place].note(beds[cell.mechanism].lap(asked)?);
            }
        }
        for bed in beds {
            bed.end()?;
        }
        Ok(rows.into_iter().flat_map(Rows::said).collect())
    }
}

impl Goodput {
    /// All combinations of levels, each with its number.
    fn cells(&self) -> Vec<(Cell, usize)> {
        let mut cells = Vec::new();
        for mechanism in 0..self.mechanism.len() {
            for &mtbf in &self.mtbf_ms {
                for &every in &self.commit_every {
                    cells.push((Cell { mechanism, mtbf, every }, cells.len()));
                }
            }
        }
        cells
    }

    fn rows(&self, cell: Cell) -> Rows {
        let row = |name, unit, note| {
            Sampled::new(name, unit, note)
                .at("mechanism", self.mechanism[cell.mechanism].as_str())
                .at("mtbf-ms", cell.mtbf.get())
                .at("commit-every", cell.every.get())
                .at("state-bytes", Grids::bytes(self.size))
        };
        let share = |name, note| row(name, Unit::Millionths, note);
        Rows {
            goodput: share("goodput", "steps kept times the time of one by itself, over the time of the lap"),
            kept: share("kept", "share of the lap in steps that were kept, but for what they were slower at first"),
            commits: share("commits", "share of the lap in commits that became true, and in slower steps after them"),
            restarts: share(
                "restarts",
                "share of the lap from a crash to its successor, and in steps that are slower than after a commit",
            ),
            lost: share("lost", "share of the lap in work that was lost, commits that did not become true included"),
            step: row("step", Unit::Ns, "a step by itself: the mean of 60 before the lap, without commit and crash"),
            commit: row("commit", Unit::Ns, "a commit, as the transaction waits for it"),
            commit_mean: row("commit-mean", Unit::Ns, "the mean of the commits of a lap"),
            commit_cost: row(
                "commit-cost",
                Unit::Ns,
                "that mean, and by how much longer the two steps after a commit take in the mean of a lap",
            ),
            restart: row("restart", Unit::Ns, "from a crash to its successor's first instruction"),
            restart_mean: row("restart-mean", Unit::Ns, "the mean of the restarts of a lap"),
            restart_cost: row(
                "restart-cost",
                Unit::Ns,
                "that mean, and by how much longer the two steps after a restart take than those after a commit, in the mean",
            ),
            between: row("between-crashes", Unit::Ns, "time of a lap over its crashes"),
            crashes: row("crashes", Unit::Count, "crashes in a lap"),
            again: row("steps-again", Unit::Count, "steps of a lap that were done and lost"),
        }
    }
}

/// The rows of one cell.
struct Rows {
    goodput: Sampled,
    kept: Sampled,
    commits: Sampled,
    restarts: Sampled,
    lost: Sampled,
    step: Sampled,
    commit: Sampled,
    commit_mean: Sampled,
    commit_cost: Sampled,
    restart: Sampled,
    restart_mean: Sampled,
    restart_cost: Sampled,
    between: Sampled,
    crashes: Sampled,
    again: Sampled,
}

impl Rows {
    /// Writes down a lap.
    fn note(&mut self, ledger: &Ledger) {
        let entry = ledger.entry();
        let lap_ns = entry.lap_ns().max(1);
        let share = |ns: u128| u64::try_from(ns * MILLION / u128::from(lap_ns)).unwrap_or(u64::MAX);
        self.goodput.samples.push(share(u128::from(entry.kept_steps) * u128::from(ledger.step_ns())));
        let rows = [&mut self.kept, &mut self.commits, &mut self.restarts, &mut self.lost];
        for (row, ns) in rows.into_iter().zip(entry.spent_ns()) {
            row.samples.push(share(ns.into()));
        }
        self.step.samples.push(ledger.step_ns());
        self.commit.samples.extend(ledger.commits_ns());
        if let Some((mean, cost)) = entry.commit_ns() {
            self.commit_mean.samples.push(mean);
            self.commit_cost.samples.push(cost);
        }
        self.restart.samples.extend(ledger.restarts_ns());
        if let Some((mean, cost)) = entry.restart_ns() {
            self.restart_mean.samples.push(mean);
            self.restart_cost.samples.push(cost);
        }
        self.between.samples.extend(lap_ns.checked_div(entry.crashes));
        self.crashes.samples.push(entry.crashes);
        self.again.samples.push(entry.lost_steps);
    }

    fn said(self) -> Vec<Said> {
        let Self { goodput, kept, commits, restarts, lost, step, between, crashes, again, .. } = self;
        let Self { commit, commit_mean, commit_cost, restart, restart_mean, restart_cost, .. } = self;
        let shares = [goodput, kept, commits, restarts, lost];
        let costs = [step, commit, commit_mean, commit_cost, restart, restart_mean, restart_cost];
        let rows = shares.into_iter().chain(costs).chain([between, crashes, again]);
        rows.filter(|row| !row.samples.is_empty()).map(Said::Row).collect()
    }
}
