//! `changed-environment` changes one thing more with each crash without progress.

use crate::strategies::{crash_in, play, progress, sequences};
use crashbed::{Action, Decision, Environment};
use crashbed_policies::ChangedEnvironment;
use proptest::prelude::*;

/// How much is changed.
fn changes(environment: Environment) -> u32 {
    u32::from(environment.padding > 0) + u32::from(environment.zeroed) + u32::from(environment.fewer_threads)
}

proptest! {
    #[test]
    fn it_changes_one_thing_more_each_time(
        crashes in sequences(), padding in 0..3_u16, zeroed: bool, fewer_threads in 0..4_u16,
    ) {
        let all = Environment { padding, zeroed, fewer_threads };
        let played = play(&ChangedEnvironment { padding, zeroed, fewer_threads }, &crashes);
        let mut before = Environment::USUAL;
        for (i, progressed) in progress(&played).into_iter().enumerate() {
            let Decision { action, delay, environment } = played[i].1;
            prop_assert!(delay.is_zero());
            if progressed {
                prop_assert_eq!((action, environment), (Action::Resume, Environment::USUAL));
            } else if before == all {
                prop_assert_eq!(action, Action::GiveUp);
            } else {
                prop_assert_eq!((action, changes(environment)), (Action::Resume, changes(before) + 1));
                // What was changed stays so, as it is declared.
                prop_assert!(environment.padding == before.padding || environment.padding == padding);
                prop_assert!(environment.zeroed >= before.zeroed && environment.zeroed <= zeroed);
                prop_assert!(environment.fewer_threads >= before.fewer_threads);
            }
            before = environment;
        }
    }
}

/// The order of the defaults.
#[test]
fn first_as_it_was_then_padded_then_zeroed_then_with_fewer_threads() {
    let played = play(&ChangedEnvironment::default(), &[crash_in(8); 9]);
    let environment = |padding, zeroed, fewer_threads| Environment { padding, zeroed, fewer_threads };
    let expected = [(0, false, 0), (256, false, 0), (256, true, 0), (256, true, 1), (256, true, 2)]
        .map(|(padding, zeroed, fewer)| Decision::now(Action::Resume).within(environment(padding, zeroed, fewer)));
    let decisions: Vec<Decision> = played.iter().map(|(_, decision)| *decision).collect();
    assert_eq!(decisions[..5], expected);
    assert_eq!(decisions[5..], [Decision::now(Action::GiveUp)]);
}
