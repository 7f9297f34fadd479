//! `circuit-breaker` is closed, open or half-open, as in the book.

use crate::strategies::{crash_in, play, progress, sequences};
use crashbed::{Action, Decision};
use crashbed_policies::CircuitBreaker;
use proptest::prelude::*;
use std::time::Duration;

enum State {
    /// The times of the crashes that are counted.
    Closed(Vec<u64>),
    /// Trials that have failed.
    HalfOpen(usize),
}

fn breakers() -> impl Strategy<Value = CircuitBreaker> {
    (0..6_usize, 0..20_000_u64, 1..5_000_u64, 0..5_usize).prop_map(|(crashes, window_ms, cool_down_ms, trials)| {
        let (window, cool_down) = (Duration::from_millis(window_ms), Duration::from_millis(cool_down_ms));
        CircuitBreaker { crashes, window, cool_down, trials }
    })
}

proptest! {
    /// Nygard's three states, one after the other, forwards.
    #[test]
    fn it_opens_tries_and_closes(crashes in sequences(), breaker in breakers()) {
        let played = play(&breaker, &crashes);
        let opens = Decision::after(breaker.cool_down, Action::Resume);
        let mut state = State::Closed(Vec::new());
        for ((crash, decision), progressed) in played.iter().zip(progress(&played)) {
            let expected = match &mut state {
                State::HalfOpen(failed) if !progressed => {
                    *failed += 1;
                    if *failed >= breaker.trials { Decision::now(Action::GiveUp) } else { opens }
                }
                State::HalfOpen(_) => {
                    state = State::Closed(vec![crash.noticed_ns]);
                    if breaker.crashes == 0 { opens } else { Decision::now(Action::Resume) }
                }
                State::Closed(times) => {
                    times.push(crash.noticed_ns);
                    times.retain(|time| Duration::from_nanos(crash.noticed_ns - time) <= breaker.window);
                    if times.len() > breaker.crashes { opens } else { Decision::now(Action::Resume) }
                }
            };
            if expected == opens && matches!(state, State::Closed(_)) {
                state = State::HalfOpen(0);
            }
            prop_assert_eq!(*decision, expected);
        }
    }
}

/// Each crash opens this one. A trial that got further has not failed, however often the breaker opens after it.
#[test]
fn trials_with_progress_are_not_counted() {
    let breaker = CircuitBreaker { crashes: 0, trials: 2, ..CircuitBreaker::default() };
    let played = play(&breaker, &[1, 2, 3, 4, 4, 5, 5, 5, 5].map(crash_in));
    let ends = played.iter().position(|(_, decision)| decision.action == Action::GiveUp);
    assert_eq!(ends, Some(7));
}
