//! `exponential-backoff` doubles the ceiling of its delays, and spreads them evenly below it.

use crate::strategies::{crash_in, play, progress, sequences};
use crashbed::{Action, Crash, Environment, History, RestartPolicy};
use crashbed_policies::ExponentialBackoff;
use proptest::prelude::*;
use std::time::Duration;

proptest! {
    /// Between zero and a ceiling that begins with the base, doubles without progress, and stops at the cap; then it
    /// gives up.
    #[test]
    fn delays_stay_below_a_ceiling_that_doubles(
        crashes in sequences(), base in 0..10_000_u64, cap in 0..1_000_000_u64, attempts in 0..40_usize,
    ) {
        let policy = ExponentialBackoff { base: Duration::from_nanos(base), cap: Duration::from_nanos(cap), attempts };
        let played = play(&policy, &crashes);
        let (mut ceiling, mut attempt) = (0, 0);
        for ((_, decision), progressed) in played.iter().zip(progress(&played)) {
            (ceiling, attempt) = if progressed { (base, 1) } else { (std::cmp::min(2 * ceiling, cap), attempt + 1) };
            let expected = if attempt > attempts { Action::GiveUp } else { Action::Resume };
            prop_assert_eq!((decision.action, decision.environment), (expected, Environment::USUAL));
            prop_assert!(decision.delay <= Duration::from_nanos(std::cmp::min(ceiling, cap)));
        }
    }

    /// The longest of durations neither overflow nor panic.
    #[test]
    fn it_is_total_in_its_parameters(crashes in sequences(), attempts: usize) {
        for (base, cap) in [(Duration::MAX, Duration::MAX), (Duration::from_nanos(1), Duration::MAX)] {
            play(&ExponentialBackoff { base, cap, attempts }, &crashes);
        }
    }
}

/// The delays of attempt `attempt` over many crashes, as shares of `ceiling`.
fn shares(attempt: usize, ceiling: Duration, incarnations: u64) -> Vec<f64> {
    let policy = ExponentialBackoff { attempts: 64, ..ExponentialBackoff::default() };
    let delay = |n: u64| {
        let mut history = History::new();
        let crash = Crash { incarnation: n % incarnations, happened_ns: n / incarnations, ..crash_in(3) };
        (0..attempt).for_each(|_| history.push(crash));
        policy.decide(&crash, &history).delay
    };
    (0..4000).map(|n| delay(n).as_secs_f64() / ceiling.as_secs_f64()).collect()
}

/// On average half of the ceiling, with as many in each tenth of it: "full" jitter, which doubles in expectation.
#[test]
fn delays_are_even_below_the_ceiling() {
    let ceilings_ms = [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000, 10_000];
    for (attempt, ceiling) in (1..).zip(ceilings_ms.map(Duration::from_millis)) {
        // All of one process, and of many processes at a time.
        for incarnations in [1, 1000] {
            let shares = shares(attempt, ceiling, incarnations);
            let mean = shares.iter().sum::<f64>() / 4000.0;
            assert!((0.48..0.52).contains(&mean), "attempt {attempt}: {mean}");
            for tenth in 0..10 {
                let (from, to) = (f64::from(tenth) / 10.0, f64::from(tenth + 1) / 10.0);
                let there = shares.iter().filter(|share| (from..to).contains(*share)).count();
                // Five standard deviations of a binomial of 4000 and one tenth.
                assert!((305..=495).contains(&there), "attempt {attempt}: {there} in tenth {tenth}");
            }
        }
    }
}
