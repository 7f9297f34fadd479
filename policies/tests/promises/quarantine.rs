//! `quarantine` skips what crashed so often in the program's own code, once.

use crate::strategies::{play, sequences};
use crashbed::{Action, Decision, Phase};
use crashbed_policies::Quarantine;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

proptest! {
    #[test]
    fn it_skips_at_the_last_crash_that_it_lets_pass(crashes in sequences(), limit in 0..5_usize) {
        let (mut counts, mut skipped) = (HashMap::<u64, usize>::new(), HashSet::new());
        for (crash, decision) in play(&Quarantine { crashes: limit }, &crashes) {
            let mut expected = Action::Resume;
            if crash.phase == Phase::Running {
                let count = counts.entry(crash.operation).or_default();
                *count += 1;
                if *count >= limit {
                    expected = if skipped.insert(crash.operation) { Action::Skip } else { Action::GiveUp };
                }
            }
            prop_assert_eq!(decision, Decision::now(expected));
        }
    }
}
