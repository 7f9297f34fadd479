//! `process-decides` asks the program, but for a crash of the very code that it asks.

use crate::strategies::{histories, newest};
use crashbed::{Action, Crash, Decision, Phase, RestartPolicy};
use crashbed_policies::ProcessDecides;
use proptest::prelude::*;

proptest! {
    #[test]
    fn it_asks_unless_asking_crashed(history in histories()) {
        let crash = newest(&history);
        let asks = |phase| ProcessDecides.decide(&Crash { phase, ..crash }, &history);
        for phase in [Phase::Starting, Phase::Running, Phase::Committing, Phase::Ending] {
            prop_assert_eq!(asks(phase), Decision::now(Action::ProcessDecides));
        }
        prop_assert_eq!(asks(Phase::Deciding), Decision::now(Action::Resume));
    }
}
