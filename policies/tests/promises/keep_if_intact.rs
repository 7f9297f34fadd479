//! `keep-if-intact` keeps, but not in a loop.

use crate::strategies::{crash_in, play, progress, sequences};
use crashbed::{Action, Decision};
use crashbed_policies::KeepIfIntact;
use proptest::prelude::*;

proptest! {
    /// Never more than so many times in a row without progress, after which it resumes until there is some.
    #[test]
    fn it_keeps_so_often_and_then_resumes(crashes in sequences(), keeps in 0..4_usize) {
        let played = play(&KeepIfIntact { keeps }, &crashes);
        let mut left = keeps;
        for ((_, decision), progressed) in played.iter().zip(progress(&played)) {
            if progressed {
                left = keeps;
            }
            let expected = if left > 0 { Action::KeepIfIntact } else { Action::Resume };
            prop_assert_eq!(*decision, Decision::now(expected));
            left = left.saturating_sub(1);
        }
    }
}

/// The state that was kept holds the cause of the crash; so does the commit. Then the work goes on.
#[test]
fn a_kept_state_that_crashes_again_is_given_up() {
    let crashes = [crash_in(8), crash_in(8), crash_in(8), crash_in(9)];
    let actions: Vec<Action> = play(&KeepIfIntact::default(), &crashes).iter().map(|(_, d)| d.action).collect();
    use Action::{KeepIfIntact as Keep, Resume};
    assert_eq!(actions, [Keep, Resume, Resume, Keep]);
}
