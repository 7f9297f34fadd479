//! What a plan must be whatever the suite: whole, even, the same from the same seed.
use super::*;
use crate::catalog;
use crate::size::Size;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

/// The quick suite with only the first of its levels, as many as given, and two mechanisms.
fn suite(policies: usize, workloads: usize, faults: usize, trials: u64) -> Suite {
    let mut suite = catalog::load("quick").unwrap();
    let block = &mut suite.factors[0];
    block.policy.truncate(policies);
    block.mechanism.truncate(2);
    block.workload.truncate(workloads);
    block.fault.truncate(faults);
    block.trials = trials;
    suite
}

/// A suite of one block for each pair of trials and batch, told apart by the region's size.
fn blocks(sizes: &[(u64, u64)]) -> Suite {
    let mut suite = suite(2, 1, 2, 1);
    let block = suite.factors.remove(0);
    suite.factors = sizes
        .iter()
        .zip(8..)
        .map(|(&(trials, batch), mib)| Factors {
            region: vec![Size::at_least(mib << 20)],
            trials,
            batch,
            touch: batch > 7,
            ..block.clone()
        })
        .collect();
    suite
}

proptest! {
    #[test]
    fn each_cell_gets_its_trials_in_every_round(
        policies in 1_usize..4, workloads in 1_usize..3, faults in 1_usize..8, trials in 1_u64..12, seed: u64,
    ) {
        let suite = suite(policies, workloads, faults, trials);
        let plan = Plan::new(&suite, seed);
        let cells: HashSet<_> = plan.cells.iter().collect();
        prop_assert_eq!(cells.len(), policies * workloads * faults * 2);
        prop_assert_eq!(plan.cells.len(), cells.len());
        prop_assert_eq!(suite.cells(), cells.len() as u64);
        prop_assert_eq!(suite.trials(), cells.len() as u64 * trials);
        let planned: Vec<&Planned> = plan.trials().collect();
        prop_assert_eq!(planned.len() as u64, suite.trials());
        for round in planned.chunks(cells.len()) {
            let in_round: HashSet<_> = round.iter().map(|planned| &planned.levels).collect();
            prop_assert_eq!(&in_round, &cells);
        }
        prop_assert!(planned.iter().zip(0..).all(|(planned, n)| planned.trial == n));
        prop_assert!(planned.iter().all(|planned| planned.seed <= LARGEST_SEED));
    }

    #[test]
    fn each_block_gets_its_own_trials_in_batches_spread_over_the_run(
        sizes in prop::collection::vec((1_u64..60, 1_u64..20), 1..5), seed: u64,
    ) {
        let suite = blocks(&sizes);
        let plan = Plan::new(&suite, seed);
        prop_assert_eq!(plan.trials().count() as u64, suite.trials());
        prop_assert!(plan.trials().zip(0..).all(|(planned, n)| planned.trial == n));
        for (block, &(trials, batch)) in suite.factors.iter().zip(&sizes) {
            let way = if batch == 1 { Way::Alone } else { Way::Resident { touch: batch > 7 } };
            for cell in block.levels() {
                let own: Vec<(usize, &Batch)> =
                    plan.batches.iter().enumerate().filter(|(_, own)| own.trials[0].levels == cell).collect();
                prop_assert!(own.iter().all(|(_, own)| own.way == way));
                // Whole batches, then what is left; the seeds in the order of the cell's trials.
                let lengths: Vec<u64> = own.iter().map(|(_, own)| own.trials.len() as u64).collect();
                let mut expected = vec![batch; usize::try_from(trials / batch).unwrap()];
                expected.extend((trials % batch != 0).then_some(trials % batch));
                prop_assert_eq!(lengths, expected);
                let seeds: Vec<u64> = own.iter().flat_map(|(_, own)| own.trials.iter().map(|t| t.seed)).collect();
                prop_assert_eq!(seeds, (0..trials).map(|index| trial_seed(seed, &cell, index)).collect::<Vec<_>>());
                prop_assert!(own.iter().all(|(_, own)| own.trials.iter().all(|planned| planned.levels == cell)));
                // No two neighbours of a cell are further apart than its share of the run, and a round each way.
                let share = plan.batches.len().div_ceil(own.len()) + 2 * plan.cells.len();
                prop_assert!(own.is_sorted_by(|a, b| a.0 < b.0 && b.0 - a.0 <= share), "{:?}", own.len());
            }
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_plan_and_another_does_not(seed: u64) {
        let suite = suite(3, 2, 5, 3);
        let plan = Plan::new(&suite, seed);
        prop_assert_eq!(&plan, &Plan::new(&suite, seed));
        let other = Plan::new(&suite, seed ^ 1);
        let order = |plan: &Plan| plan.trials().map(|t| t.levels.clone()).collect::<Vec<_>>();
        prop_assert_ne!(order(&plan), order(&other));
        prop_assert_ne!(plan.batches[0].trials[0].seed, other.batches[0].trials[0].seed);
    }

    #[test]
    fn narrowing_keeps_the_seeds(seed: u64) {
        let seeds = |plan: Plan| {
            let mut seeds = HashMap::<Levels, Vec<u64>>::new();
            for planned in plan.trials() {
                seeds.entry(planned.levels.clone()).or_default().push(planned.seed);
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
fn no_two_trials_have_the_same_seed_and_rounds_differ() {
    let plan = Plan::new(&catalog::load("quick").unwrap(), 1);
    let seeds: HashSet<_> = plan.trials().map(|planned| planned.seed).collect();
    assert_eq!(seeds.len(), plan.trials().count());
    let order: Vec<&Levels> = plan.trials().map(|planned| &planned.levels).collect();
    let rounds: Vec<&[&Levels]> = order.chunks(plan.cells.len()).collect();
    assert_ne!(rounds[0], rounds[1]);
}

fn levels(spare: &str, load: &str) -> Levels {
    Levels {
        policy: "checkpoint-resume".into(),
        mechanism: "copy-on-write".into(),
        workload: "kv".into(),
        fault: "kill".into(),
        spare: spare.into(),
        region_bytes: 64 << 20,
        load: load.into(),
    }
}

#[test]
fn a_seed_means_the_same_for_ever() {
    assert_eq!(trial_seed(1, &levels("cold", "none"), 0), 4_750_072_136_696_775);
}

#[test]
fn a_load_and_a_spare_have_seeds_of_their_own() {
    let seeds: HashSet<u64> = ["cold", "hot"]
        .into_iter()
        .flat_map(|spare| ["none", "busy"].map(|load| trial_seed(1, &levels(spare, load), 0)))
        .collect();
    assert_eq!(seeds.len(), 4);
}

#[test]
fn one_trial_is_made_as_in_its_suite() {
    for (batch, way) in [(1, Way::Alone), (3, Way::Resident { touch: false }), (8, Way::Resident { touch: true })] {
        let suite = blocks(&[(9, batch)]);
        let planned = Plan::new(&suite, 5).batches[1].trials[0].clone();
        let one = Plan::of_one(&suite, planned.clone());
        assert_eq!(one.batches, [Batch { trials: vec![planned.clone()], way }]);
        assert_eq!(one.cells, [planned.levels]);
    }
}

/// Under a mix of faults each policy gets the same seeds, and so the same faults; else each its own.
#[test]
fn policies_meet_the_same_faults_under_a_mix() {
    let suite = catalog::load("policies").unwrap();
    let plan = Plan::new(&suite, 5);
    let seeds = |policy: &str, fault: &str| {
        let of_cell = |planned: &&Planned| planned.levels.policy == policy && planned.levels.fault == fault;
        plan.trials().filter(of_cell).map(|planned| planned.seed).collect::<Vec<_>>()
    };
    let base = seeds("checkpoint-resume", "mix:mixed");
    assert_eq!(base, seeds("zero-state", "mix:mixed"));
    assert_ne!(base, seeds("checkpoint-resume", "mix:transient"));
    // Policies that wait have fewer trials: the first of them.
    let waiting = seeds("circuit-breaker", "mix:mixed");
    assert_eq!(waiting, base[..waiting.len()]);
    let faults = |workload: &str, policy: &str| {
        let levels = Levels { policy: policy.to_owned(), workload: workload.to_owned(), ..plan.cells[0].clone() };
        trial_seed(5, &Levels { fault: "kill".to_owned(), ..levels }, 0)
    };
    assert_ne!(faults("kv", "checkpoint-resume"), faults("kv", "zero-state"));
}
