//! `exponential-backoff`: waits longer and longer before it resumes, each time for a different while.

use crashbed::{Action, Crash, Decision, History, RestartPolicy};
use std::time::Duration;

/// The successor resumes the last commit after a delay between zero and a ceiling that doubles with each crash without
/// progress ([`History::crashes_since_progress`]), up to [`cap`](Self::cap). After [`attempts`](Self::attempts) without
/// progress it gives up; progress begins anew.
///
/// Where between zero and the ceiling is drawn from the crash, by a hash of its incarnation and time: the same crash
/// always waits for the same while, and two processes that crashed together do not.
///
/// **What for.** A resource that is down or crowded (a disk, a peer, memory) gets time to come back, and is not met by
/// everybody at once when it does: with a fixed delay, those that crashed together would crash together again.
///
/// **When.** For crashes whose cause lies outside of the process and passes with time. A wild pointer does not mend by
/// waiting: [`CheckpointResume`](crate::CheckpointResume) recovers from it sooner. A delay needs the daemon, so a spare
/// does not take over by itself.
///
/// **Source.** Ethernet's truncated binary exponential backoff (Metcalfe and Boggs, "Ethernet: Distributed Packet
/// Switching for Local Computer Networks", CACM 1976; IEEE 802.3 gives up after 16 attempts), and "full jitter" (Brooker,
/// "Exponential Backoff And Jitter", AWS Architecture Blog, 2015): `random_between(0, min(cap, base * 2 ** attempt))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExponentialBackoff {
    /// The ceiling of the first delay.
    pub base: Duration,
    /// The highest ceiling.
    pub cap: Duration,
    /// How many crashes without progress are answered by a further attempt.
    pub attempts: usize,
}

impl Default for ExponentialBackoff {
    /// From 10 ms to 10 s, 16 attempts.
    fn default() -> Self {
        Self { base: Duration::from_millis(10), cap: Duration::from_secs(10), attempts: 16 }
    }
}

impl ExponentialBackoff {
    /// The most that attempt `attempt`, counted from 1, waits.
    fn ceiling(&self, attempt: usize) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }
}

/// A number that no two crashes share but by accident: the finalizer of splitmix64 (Steele, Lea, Flood, "Fast splittable
/// pseudorandom number generators", OOPSLA 2014), over incarnation and time.
fn scatter(crash: &Crash) -> u64 {
    let mut mixed = crash.happened_ns ^ crash.incarnation.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl RestartPolicy for ExponentialBackoff {
    fn name(&self) -> &str {
        "exponential-backoff"
    }

    fn decide(&self, crash: &Crash, history: &History) -> Decision {
        let attempt = history.crashes_since_progress();
        if attempt > self.attempts {
            return Decision::now(Action::GiveUp);
        }
        let ceiling_ns = u64::try_from(self.ceiling(attempt).as_nanos()).unwrap_or(u64::MAX);
        // The upper half of the product is even over 0 to the ceiling (Lemire, "Fast Random Integer Generation in an
        // Interval", 2019), and so fits.
        let delay_ns = (u128::from(scatter(crash)) * (u128::from(ceiling_ns) + 1)) >> 64;
        Decision::after(Duration::from_nanos(u64::try_from(delay_ns).unwrap_or(ceiling_ns)), Action::Resume)
    }
}
