//! `circuit-breaker`: after too many crashes in a time, waits, and then tries once.

use crashbed::{Action, Crash, Decision, Entry, History, RestartPolicy};
use std::time::Duration;

/// The successor resumes the last commit, at once while the breaker is closed.
///
/// ```text
///            more than `crashes` within `window`
///   closed ───────────────────────────────────────▶ open: nothing runs for `cool_down`
///     ▲                                               │            ▲
///     │ a crash after progress                        ▼            │ a crash without progress
///     └─────────────────────────────────────────── half-open: one successor tries
/// ```
///
/// Crashes before the breaker opened last are not counted again. When [`trials`](Self::trials) in a row have failed, it
/// gives up. Progress is as in [`History::crashes_since_progress`].
///
/// **What for.** A process that crashes as fast as it starts does nothing but harm: to the machine, to whatever it
/// calls, and to the log. It is stopped for a while, and asked now and then whether it is well.
///
/// **When.** For services that call others, and for crashes that come in bursts. Set it tighter than the daemon's
/// [`Intensity`](crashbed::Intensity), which gives up for good. A single crash is answered at once, unlike under
/// [`ExponentialBackoff`](crate::ExponentialBackoff).
///
/// **Source.** The "Circuit Breaker" of Nygard, "Release It!" (2007; second edition 2018).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// The most crashes within [`window`](Self::window) that leave the breaker closed.
    pub crashes: usize,
    /// The window, counted back from the newest crash.
    pub window: Duration,
    /// How long nothing runs; longer than zero, as the delay is what tells the breaker that it was open.
    pub cool_down: Duration,
    /// The most trials in a row that may fail.
    pub trials: usize,
}

impl Default for CircuitBreaker {
    /// Five crashes within ten seconds open it, for a second; five failed trials are the end.
    fn default() -> Self {
        Self { crashes: 5, window: Duration::from_secs(10), cool_down: Duration::from_secs(1), trials: 5 }
    }
}

/// Whether the breaker was opened by this crash.
fn opened(entry: &Entry) -> bool {
    entry.decision.is_some_and(|decision| !decision.delay.is_zero())
}

impl RestartPolicy for CircuitBreaker {
    fn name(&self) -> &str {
        "circuit-breaker"
    }

    fn decide(&self, crash: &Crash, history: &History) -> Decision {
        let past = history.entries().split_last().map_or(&[][..], |(_, past)| past);
        let open = Decision::after(self.cool_down, Action::Resume);
        let trials = past.iter().rev().take_while(|entry| opened(entry)).count();
        // The one with progress was none that failed.
        let failed = trials.min(history.crashes_since_progress().saturating_sub(1));
        if failed > 0 {
            return if failed < self.trials { open } else { Decision::now(Action::GiveUp) };
        }
        let since_ns = u128::from(crash.noticed_ns).saturating_sub(self.window.as_nanos());
        let is_counted = |entry: &&Entry| u128::from(entry.crash.noticed_ns) >= since_ns;
        let before = past.iter().rev().take_while(|entry| !opened(entry)).filter(is_counted).count();
        if before + 1 > self.crashes { open } else { Decision::now(Action::Resume) }
    }
}
