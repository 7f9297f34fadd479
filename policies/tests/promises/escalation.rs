//! `escalation` climbs its ladder, rung by rung, as an Erlang supervisor counts restarts, and comes down with progress.

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

/// An Erlang supervisor's count: it notes when it restarted, forgets what is more than a period ago, and counts the rest.
#[derive(Default)]
struct Supervisor {
    restarts_ns: Vec<u64>,
}

impl Supervisor {
    fn restart(&mut self, now_ns: u64, period: Duration) -> usize {
        self.restarts_ns.push(now_ns);
        self.restarts_ns.retain(|then_ns| u128::from(now_ns - then_ns) <= period.as_nanos());
        self.restarts_ns.len()
    }
}

proptest! {
    #[test]
    fn each_restart_in_a_period_is_a_rung_higher(crashes in sequences(), ladder in ladders()) {
        let rungs = rungs(&ladder);
        let played = play(&ladder, &crashes);
        let mut supervisor = Supervisor::default();
        for (i, progressed) in progress(&played).into_iter().enumerate() {
            if progressed {
                supervisor = Supervisor::default();
            }
            let restarts = supervisor.restart(played[i].0.noticed_ns, ladder.period);
            prop_assert_eq!(played[i].1, Decision::now(rungs[restarts - 1]), "crash {}, restart {}", i, restarts);
        }
    }
}

/// Crashes that follow each other faster than a period, but never so many within one, are retried for ever.
#[test]
fn what_comes_seldom_enough_stays_on_its_rung() {
    let ladder = Escalation { resumes: 2, period: Duration::from_secs(10), ..Escalation::default() };
    let every = |seconds: u64| {
        let crash = |n: u64| crashbed::Crash { noticed_ns: n * seconds * 1_000_000_000, ..crash_in(8) };
        let crashes: Vec<_> = (1..=20).map(crash).collect();
        play(&ladder, &crashes).into_iter().map(|(_, decision)| decision.action).collect::<Vec<_>>()
    };
    assert_eq!(every(6), [Action::Resume; 20]);
    // Three within ten seconds are one too many.
    assert_eq!(every(5)[..5], [Action::Resume, Action::Resume, Action::Older(1), Action::Older(1), Action::Older(1)]);
}

/// The defaults, on an input that always crashes: it ends.
#[test]
fn the_default_ladder_ends() {
    use Action::{GiveUp, Older, RestartDaemon, Resume, Zero};
    let played = play(&Escalation::default(), &[crash_in(8); 20]);
    let actions: Vec<Action> = played.iter().map(|(_, decision)| decision.action).collect();
    assert_eq!(actions, [Resume, Resume, Older(1), Older(2), Zero, RestartDaemon, GiveUp]);
}
