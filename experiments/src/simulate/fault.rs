//! Faults: which kind one is, what of it stays with a process, and the crash that it shows.

use super::parameters::Parameters;
use crashbed::{Cause, Crash, Notice, Phase, Place, Text};
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

/// What stays wrong with a process and makes it crash again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The operation that crashes.
    pub(super) at: u64,
    /// Where in the program.
    pub(super) site: u8,
    /// Since when.
    pub(super) since_ns: u64,
    /// What it is.
    pub(super) kind: Kind,
}

/// What stays wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The input of that operation.
    Poison {
        /// Whether it does no harm in a changed environment.
        curable: bool,
    },
    /// The state, in the last commit and those before it.
    Damage {
        /// How many of them.
        commits: u64,
    },
}

/// Places in the program where transient faults strike, each equally likely. Troubles have one of them too.
const SITES: u8 = 64;

/// What a fault is that strikes a sound process in `operation`: `None` where nothing of it stays.
pub(super) fn draw(parameters: &Parameters, rng: &mut ChaCha8Rng, operation: u64, now_ns: u64) -> Option<Trouble> {
    let Parameters { poison, propagated, damaged_commits, cured_by_environment, .. } = *parameters;
    let which: f64 = rng.random();
    let kind = if which < poison {
        Kind::Poison { curable: rng.random::<f64>() < cured_by_environment }
    } else if which < poison + propagated {
        Kind::Damage { commits: geometric(damaged_commits, rng) }
    } else {
        return None;
    };
    Some(Trouble { at: operation, site: site(rng), since_ns: now_ns, kind })
}

/// Where a fault strikes.
pub(super) fn site(rng: &mut ChaCha8Rng) -> u8 {
    rng.random_range(0..SITES)
}

/// A time until the next fault, with this mean.
pub(super) fn exponential(mean_ns: u64, rng: &mut ChaCha8Rng) -> u64 {
    // From 0 on, and below 1: so the logarithm is there.
    let share: f64 = rng.random();
    // Not negative; what is too large for a number of nanoseconds becomes the largest.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let time = (-(1.0 - share).ln() * mean_ns as f64) as u64;
    time
}

/// A number from 1 on with this mean.
fn geometric(mean: f64, rng: &mut ChaCha8Rng) -> u64 {
    if mean <= 1.0 {
        return 1;
    }
    let share: f64 = rng.random();
    // Not negative, and small.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let more = ((1.0 - share).ln() / (1.0 - 1.0 / mean).ln()) as u64;
    1 + more
}

/// A segmentation fault in this operation, noticed at once: what it takes to notice is part of the recovery.
pub(super) fn crash(
    now_ns: u64,
    phase: Phase,
    incarnation: u64,
    operation: u64,
    committed_operations: u64,
    site: u8,
) -> Crash {
    const IMAGE: u64 = 0x5555_5555_0000;
    let image_offset = 0x1000 + 16 * u64::from(site);
    Crash {
        // SEGV_MAPERR.
        cause: Cause::Signal { signal: libc::SIGSEGV, code: 1, address: 8 },
        notice: Notice::Handler,
        phase,
        incarnation,
        operation,
        committed_operations,
        // Commits are not counted over a simulated life: the operations that one holds tell it from another as well.
        commit: committed_operations,
        thread: 1,
        place: Some(Place {
            instruction: IMAGE + image_offset,
            stack: 0x7fff_ffff_0000,
            image_offset: Some(image_offset),
        }),
        heap_locked: None,
        changing: false,
        happened_ns: now_ns,
        noticed_ns: now_ns,
        note: Text::EMPTY,
    }
}

/// The end of a daemon whose transaction's policy restarts it, as the root sees it.
pub(super) fn daemon_ended(now_ns: u64, incarnation: u64, committed_operations: u64) -> Crash {
    /// The exit status of such a daemon.
    const STATUS: i32 = 75;
    let (cause, notice, place) = (Cause::Exited { status: STATUS }, Notice::Pidfd, None);
    Crash { cause, notice, place, ..crash(now_ns, Phase::Running, incarnation, 0, committed_operations, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn draws_have_the_means_that_were_asked_for() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let many = 200_000;
        let mut mean = |draw: &dyn Fn(&mut ChaCha8Rng) -> u64| {
            (0..many).map(|_| draw(&mut rng)).sum::<u64>() as f64 / f64::from(many)
        };
        // The deviation of a mean of so many is a 450th of the mean.
        let near = |mean: f64, wanted: f64| assert!((mean / wanted - 1.0).abs() < 0.01, "{mean} for {wanted}");
        near(mean(&|rng| exponential(1_000_000, rng)), 1e6);
        near(mean(&|rng| geometric(3.0, rng)), 3.0);
        near(mean(&|rng| geometric(1.0, rng)), 1.0);
    }

    #[test]
    fn kinds_come_in_their_shares() {
        let parameters = Parameters { poison: 0.2, propagated: 0.1, ..crate::simulate::tests::parameters() };
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let (mut poison, mut damage) = (0, 0);
        for _ in 0..10_000 {
            match draw(&parameters, &mut rng, 7, 9).map(|trouble| trouble.kind) {
                Some(Kind::Poison { .. }) => poison += 1,
                Some(Kind::Damage { .. }) => damage += 1,
                None => {}
            }
        }
        assert!((1_850..2_150).contains(&poison) && (880..1_120).contains(&damage), "{poison} and {damage}");
    }
}
