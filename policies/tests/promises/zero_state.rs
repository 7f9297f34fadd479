//! `zero-state` starts over, whatever crashed.

use crate::strategies::{histories, newest};
use crashbed::{Action, Decision, RestartPolicy};
use crashbed_policies::ZeroState;
use proptest::prelude::*;

proptest! {
    #[test]
    fn it_answers_every_crash_by_zero(history in histories()) {
        prop_assert_eq!(ZeroState.decide(&newest(&history), &history), Decision::now(Action::Zero));
    }
}
