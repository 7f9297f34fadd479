//! `older-commit` goes further back with each crash without progress, to the beginning.

use crate::strategies::{crash_in, play, progress, sequences};
use crashbed::{Action, Decision};
use crashbed_policies::OlderCommit;
use proptest::prelude::*;

proptest! {
    #[test]
    fn each_crash_without_progress_goes_further_back(crashes in sequences(), resumes in 0..4_usize, furthest in 0..9_u8) {
        let played = play(&OlderCommit { resumes, furthest }, &crashes);
        let mut steps = vec![Action::Resume; resumes];
        steps.extend((1..=furthest).map(Action::Older));
        steps.extend([Action::Zero, Action::GiveUp]);
        let mut left = steps.clone().into_iter();
        for ((_, decision), progressed) in played.iter().zip(progress(&played)) {
            if progressed {
                left = steps.clone().into_iter();
            }
            prop_assert_eq!(Some(*decision), left.next().map(Decision::now));
        }
    }
}

/// As far back as a number of commits goes.
#[test]
fn the_furthest_is_255_commits_back() {
    let policy = OlderCommit { resumes: 0, furthest: u8::MAX };
    let played = play(&policy, &[crash_in(1); 64]);
    assert_eq!(played.last().map(|(_, decision)| decision.action), Some(Action::Older(64)));
}
