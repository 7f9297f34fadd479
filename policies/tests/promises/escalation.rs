//! `escalation` climbs its ladder, rung by rung, and comes down with progress or after a quiet time.

use crate::strategies::{crash_in, play, progress, sequences};
use crashbed::{Action, Decision};
use crashbed_policies::Escalation;
use proptest::prelude::*;
use std::time::Duration;

fn ladders() -> impl Strategy<Value = Escalation> {
    (0..4_usize, 0..4_u8, 0..3_usize, 0..3_usize, 1..10_000_u64).prop_map(|(resumes, older, zeros, daemons, seconds)| {
        Escalation { resumes, older, zeros, daemons, period: Duration::from_secs(seconds) }
    })
}

/// The ladder, written out.
fn rungs(ladder: &Escalation) -> Vec<Action> {
    let mut rungs = vec![Action::Resume; ladder.resumes];
    rungs.extend((1..=ladder.older).map(Action::Older));
    rungs.resize(rungs.len() + ladder.zeros, Action::Zero);
    rungs.resize(rungs.len() + ladder.daemons, Action::RestartDaemon);
    rungs.push(Action::GiveUp);
    rungs
}

proptest! {
    #[test]
    fn each_crash_of_a_trouble_is_a_rung_higher(crashes in sequences(), ladder in ladders()) {
        let rungs = rungs(&ladder);
        let played = play(&ladder, &crashes);
        let mut rung = 0;
        for (i, progressed) in progress(&played).into_iter().enumerate() {
            let quiet = i > 0 && {
                let apart_ns = played[i].0.noticed_ns - played[i - 1].0.noticed_ns;
                Duration::from_nanos(apart_ns) > ladder.period
            };
            rung = if i == 0 || progressed || quiet { 0 } else { rung + 1 };
            prop_assert_eq!(played[i].1, Decision::now(rungs[rung]), "crash {} on rung {}", i, rung);
        }
    }
}

/// The defaults, on an input that always crashes: it ends.
#[test]
fn the_default_ladder_ends() {
    use Action::{GiveUp, Older, RestartDaemon, Resume, Zero};
    let played = play(&Escalation::default(), &[crash_in(8); 20]);
    let actions: Vec<Action> = played.iter().map(|(_, decision)| decision.action).collect();
    assert_eq!(actions, [Resume, Resume, Older(1), Older(2), Zero, RestartDaemon, GiveUp]);
}
