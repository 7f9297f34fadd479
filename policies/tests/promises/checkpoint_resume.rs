//! `checkpoint-resume` resumes the last commit, whatever crashed.

use crate::strategies::{histories, newest};
use crashbed::{Action, Decision, RestartPolicy};
use crashbed_policies::CheckpointResume;
use proptest::prelude::*;

proptest! {
    #[test]
    fn it_answers_every_crash_by_the_last_commit(history in histories()) {
        prop_assert_eq!(CheckpointResume.decide(&newest(&history), &history), Decision::now(Action::Resume));
    }
}
