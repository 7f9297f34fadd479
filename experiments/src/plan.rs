//! The trials of a run in their order, all random choices made before the first of them.
//!
//! The order is random in rounds: each cell's batches are spread evenly over all rounds, and each round has an order of
//! its own, so that a machine that drifts hits all cells alike. Cells with as many batches as any are in every round. A
//! trial's seed comes from the run's seed, its levels and its number in the cell alone: it stays the same when a suite
//! is narrowed. Under a mix of faults the policy is left out.

use crate::levels::LARGEST_SEED;
use crate::record::Levels;
use crate::suite::{Factors, Suite, mix_of};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What a run will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The run's seed.
    pub seed: u64,
    /// Every combination of levels.
    pub cells: Vec<Levels>,
    /// Every batch, in order.
    pub batches: Vec<Batch>,
}

/// Trials of one cell that are made in one go: one alone, or several by one resident transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The trials; at least one.
    pub trials: Vec<Planned>,
    /// How they are made.
    pub way: Way,
}

/// How a batch is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One trial, which is one transaction.
    Alone,
    /// One transaction that goes through all trials, as it is crashed again and again.
    Resident {
        /// Whether each incarnation reads all of its region.
        touch: bool,
    },
}

/// One trial to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Its number in the run's order, from 0.
    pub trial: u64,
    /// Its cell's levels.
    pub levels: Levels,
    /// The seed of this trial alone.
    pub seed: u64,
}

impl Plan {
    /// The plan of `suite` from `seed`.
    pub fn new(suite: &Suite, seed: u64) -> Self {
        let cells: Vec<(&Factors, Levels)> =
            suite.factors.iter().flat_map(|block| block.levels().into_iter().map(move |cell| (block, cell))).collect();
        let rounds = suite.factors.iter().map(batches).max().unwrap_or_default();
        // ChaCha is a fixed algorithm: a seed means the same order in every version of this program.
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut plan = Self { seed, cells: cells.iter().map(|(_, cell)| cell.clone()).collect(), batches: Vec::new() };
        let mut trials = 0..;
        for round in 0..rounds {
            // Of a cell's batches this one comes now: as many are over as the share of rounds that are.
            let due = |block: &Factors| {
                let before = |rounds_over: u64| rounds_over * batches(block) / rounds;
                (before(round) < before(round + 1)).then(|| before(round))
            };
            let mut in_round: Vec<(&Factors, &Levels, u64)> =
                cells.iter().filter_map(|(block, cell)| Some((*block, cell, due(block)?))).collect();
            in_round.shuffle(&mut rng);
            for (block, cell, number) in in_round {
                let first = number * block.batch;
                let seeds = (first..block.trials.min(first + block.batch)).map(|index| trial_seed(seed, cell, index));
                let planned = seeds.zip(&mut trials).map(|(seed, trial)| Planned { trial, levels: cell.clone(), seed });
                plan.batches.push(Batch { trials: planned.collect(), way: Way::of(block) });
            }
        }
        plan
    }

    /// A plan of nothing but one trial, which belongs to a run of `suite` and is made as it is there; in a batch, it is
    /// the only one.
    pub fn of_one(suite: &Suite, planned: Planned) -> Self {
        let way = suite.block_of(&planned.levels).map_or(Way::Alone, Way::of);
        let batch = Batch { trials: vec![planned.clone()], way };
        Self { seed: planned.seed, cells: vec![planned.levels], batches: vec![batch] }
    }

    /// Every trial, in order.
    pub fn trials(&self) -> impl Iterator<Item = &Planned> {
        self.batches.iter().flat_map(|batch| &batch.trials)
    }
}

impl Way {
    fn of(block: &Factors) -> Self {
        if block.batch == 1 { Self::Alone } else { Self::Resident { touch: block.touch } }
    }
}

/// Batches of each cell of a block; the last one may be smaller.
fn batches(block: &Factors) -> u64 {
    block.trials.div_ceil(block.batch)
}

/// A seed that no one chose.
///
/// # Panics
/// If the kernel has no random numbers to give (`getrandom(2)`).
pub fn fresh_seed() -> u64 {
    let mut rng = rand::rngs::SysRng;
    rand::TryRng::try_next_u64(&mut rng).expect("getrandom(2) works") & LARGEST_SEED
}

/// The seed of the trial number `index`, from 0, of the cell with these levels.
pub fn trial_seed(run_seed: u64, levels: &Levels, index: u64) -> u64 {
    let Levels { policy, mechanism, workload, fault, spare, region_bytes, load } = levels;
    // What a mix draws is the same for each policy, so that policies can be held against each other trial by trial.
    let policy = if mix_of(fault).is_some() { "any" } else { policy };
    // No name has a line break in it, so no two cells have the same text.
    let mut text = format!("{policy}\n{mechanism}\n{workload}\n{fault}\n{spare}\n{region_bytes}\n{index}");
    // Seeds are older than loads: without one they are what they were.
    if load != "none" {
        text = format!("{text}\n{load}");
    }
    xxh3_64_with_seed(text.as_bytes(), run_seed) & LARGEST_SEED
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
