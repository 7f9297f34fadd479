//! The trials of a run in their order, all random choices made before the first of them.
//!
//! The order is random in blocks: each block has one trial of every cell, in an order of its own, so that a machine that
//! drifts hits all cells alike. A trial's seed comes from the run's seed, its levels and its number in the cell alone:
//! it stays the same when a suite is narrowed.

use crate::levels::LARGEST_SEED;
use crate::record::Levels;
use crate::suite::Suite;
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
    /// Every trial, in order.
    pub trials: Vec<Planned>,
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
        let cells = cells(suite);
        // ChaCha is a fixed algorithm: a seed means the same order in every version of this program.
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut trials = Vec::new();
        for index in 0..suite.factors.trials {
            let mut block: Vec<&Levels> = cells.iter().collect();
            block.shuffle(&mut rng);
            for levels in block {
                let trial = trials.len() as u64;
                trials.push(Planned { trial, levels: levels.clone(), seed: trial_seed(seed, levels, index) });
            }
        }
        Self { seed, cells, trials }
    }
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
    let Levels { policy, mechanism, workload, fault, spare, region_bytes } = levels;
    // No name has a line break in it, so no two cells have the same text.
    let text = format!("{policy}\n{mechanism}\n{workload}\n{fault}\n{spare}\n{region_bytes}\n{index}");
    xxh3_64_with_seed(text.as_bytes(), run_seed) & LARGEST_SEED
}

/// Every combination of the suite's levels.
fn cells(suite: &Suite) -> Vec<Levels> {
    let factors = &suite.factors;
    let mut cells = Vec::new();
    for region in &factors.region {
        for workload in &factors.workload {
            for fault in &factors.fault {
                for mechanism in &factors.mechanism {
                    for policy in &factors.policy {
                        cells.push(Levels {
                            policy: policy.clone(),
                            mechanism: mechanism.clone(),
                            workload: workload.clone(),
                            fault: fault.clone(),
                            spare: "cold".to_owned(),
                            region_bytes: region.bytes(),
                        });
                    }
                }
            }
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    /// The quick suite with only the first of its levels, as many as given.
    fn suite(policies: usize, workloads: usize, faults: usize, trials: u64) -> Suite {
        let mut suite = catalog::load("quick").unwrap();
        suite.factors.policy.truncate(policies);
        suite.factors.workload.truncate(workloads);
        suite.factors.fault.truncate(faults);
        suite.factors.trials = trials;
        suite
    }

    proptest! {
        #[test]
        fn each_cell_gets_its_trials_in_every_block(
            policies in 1_usize..4, workloads in 1_usize..3, faults in 1_usize..8, trials in 1_u64..12, seed: u64,
        ) {
            let plan = Plan::new(&suite(policies, workloads, faults, trials), seed);
            let cells: HashSet<_> = plan.cells.iter().collect();
            prop_assert_eq!(cells.len(), policies * workloads * faults * 2);
            prop_assert_eq!(plan.cells.len(), cells.len());
            prop_assert_eq!(suite(policies, workloads, faults, trials).factors.cells(), cells.len() as u64);
            prop_assert_eq!(plan.trials.len() as u64, cells.len() as u64 * trials);
            for block in plan.trials.chunks(cells.len()) {
                let in_block: HashSet<_> = block.iter().map(|planned| &planned.levels).collect();
                prop_assert_eq!(&in_block, &cells);
            }
            prop_assert!(plan.trials.iter().zip(0..).all(|(planned, n)| planned.trial == n));
            prop_assert!(plan.trials.iter().all(|planned| planned.seed <= LARGEST_SEED));
        }

        #[test]
        fn the_same_seed_makes_the_same_plan_and_another_does_not(seed: u64) {
            let suite = suite(3, 2, 5, 3);
            let plan = Plan::new(&suite, seed);
            prop_assert_eq!(&plan, &Plan::new(&suite, seed));
            let other = Plan::new(&suite, seed ^ 1);
            let order = |plan: &Plan| plan.trials.iter().map(|t| t.levels.clone()).collect::<Vec<_>>();
            prop_assert_ne!(order(&plan), order(&other));
            prop_assert_ne!(plan.trials[0].seed, other.trials[0].seed);
        }

        #[test]
        fn narrowing_keeps_the_seeds(seed: u64) {
            let seeds = |plan: Plan| {
                let mut seeds = HashMap::<Levels, Vec<u64>>::new();
                for planned in plan.trials {
                    seeds.entry(planned.levels).or_default().push(planned.seed);
                }
                seeds
            };
            let all = seeds(Plan::new(&suite(3, 2, 5, 4), seed));
            for (levels, few) in seeds(Plan::new(&suite(1, 2, 3, 2), seed)) {
                prop_assert_eq!(&few[..], &all[&levels][..2]);
            }
        }
    }

    #[test]
    fn no_two_trials_have_the_same_seed_and_blocks_differ() {
        let plan = Plan::new(&catalog::load("quick").unwrap(), 1);
        let seeds: HashSet<_> = plan.trials.iter().map(|planned| planned.seed).collect();
        assert_eq!(seeds.len(), plan.trials.len());
        let blocks: Vec<Vec<_>> =
            plan.trials.chunks(plan.cells.len()).map(|block| block.iter().map(|t| &t.levels).collect()).collect();
        assert_ne!(blocks[0], blocks[1]);
    }

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let levels = Levels {
            policy: "checkpoint-resume".into(),
            mechanism: "copy-on-write".into(),
            workload: "kv".into(),
            fault: "kill".into(),
            spare: "cold".into(),
            region_bytes: 64 << 20,
        };
        assert_eq!(trial_seed(1, &levels, 0), 4_750_072_136_696_775);
    }
}
