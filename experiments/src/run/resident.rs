//! A batch: one resident transaction that is crashed again and again, each crash a trial of its own.
//!
//! ```text
//! incarnation 0   ── load ── commit ── operation ── pause ── operations, commits … ── fault 0
//! incarnation 1   ── first operation ── lost work again ── pause ── operations, commits … ── fault 1
//! …
//! incarnation n   ── first operation ── … to the end of the script, and done
//! ```
//!
//! So a trial costs a crash, a recovery and a pause, and neither a fresh state nor a fresh tree. The operations are cut
//! into as many equal parts as there are trials; in each part a trial's own seed draws the operation that its fault
//! strikes, and the pause before. The pause is there for a successor to be made ready again, which a transaction cannot
//! ask about, and drawn so that crashes do not fall in step with whatever wakes up regularly.

use super::work::{Tested, Work};
use crate::faults::memory::load;
use crate::faults::trigger::monotonic_ns;
use crate::faults::{Fault, Injector, Plan, PlanError, Trigger};
use crashbed::{Failure, Tx};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// A fault of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blow {
    /// The operation that it strikes.
    at: u64,
    /// How long the incarnation works on, after its first operation and all lost work, before it goes on to that one.
    pause_ns: u64,
}

/// What the transaction of a batch goes by, made before it is forked.
pub(super) struct Batch<'a, W: Work> {
    pub(super) script: &'a W::Script,
    pub(super) commit_every: u64,
    pub(super) blows: &'a [Blow],
    pub(super) injector: &'static Injector,
    /// Bytes of the region to read in each incarnation, besides what the operations need.
    pub(super) ballast: usize,
}

/// The faults of the trials with these seeds, among `operations` operations, of which there are more than trials.
pub(super) fn blows(seeds: &[u64], operations: u64, pause_us: u64) -> Vec<Blow> {
    let parts = seeds.len() as u64;
    // Operation 0 is never struck: every incarnation does one at least.
    let part = |number: u64| 1 + number * (operations - 1) / parts;
    let blow = |(&seed, number): (&u64, u64)| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let at = rng.random_range(part(number)..part(number + 1));
        Blow { at, pause_ns: rng.random_range(pause_us * 500..=pause_us * 1_500) }
    };
    seeds.iter().zip(0..).map(blow).collect()
}

/// The injector's plan for all of them.
pub(super) fn plan(fault: Fault, blows: &[Blow], seed: u64) -> Result<Plan, PlanError> {
    let first = blows.first().map_or(0, |blow| blow.at);
    Plan::new(fault, Trigger::Operation(first), seed)?.times(blows.len() as u64)
}

/// What each incarnation does.
pub(super) fn pass<W: Work>(tx: &mut Tx<'_>, state: &mut Tested<W>, batch: &Batch<'_, W>) -> Result<(), Failure> {
    let Batch { script, commit_every, blows, injector, ballast } = *batch;
    if !state.work.is_loaded() {
        state.work.load(script);
        state.ballast.reserve_exact(ballast);
        tx.commit()?;
    }
    let crashes = tx.crashes();
    // Told by the page that no crash takes back, not by the engine, whose word is what is on trial.
    let struck = usize::try_from(injector.struck()).map_err(Failure::new)?;
    let next = blows.get(struck);
    if let Some(blow) = next {
        injector.put_off(blow.at);
    }
    let reached = struck.checked_sub(1).map_or(0, |last| blows[last].at);
    let redone = reached.max(tx.operations() + 1);
    for index in tx.operations()..W::total(script) {
        injector.before(index, state)?;
        state.work.operate(tx, script, index, || ())?;
        tx.done();
        let done = index + 1;
        if let Some(blow) = next.filter(|_| done == redone) {
            read_all(tx, &state.ballast);
            work_on(tx, blow.pause_ns);
        }
        // The last commit of all follows by itself.
        if done % commit_every == 0 && done < W::total(script) {
            tx.commit()?;
        }
        if tx.crashes() > crashes {
            // It has returned from that commit as a successor, which asks anew what is to strike it.
            return pass(tx, state, batch);
        }
    }
    state.work.check().map_err(Failure::new)
}

/// Reads a byte of each page of the ballast, which was reserved and never written.
fn read_all(tx: &Tx<'_>, ballast: &Vec<u8>) {
    const PAGE: usize = 4096;
    /// Pages between two signs of life.
    const STRETCH: usize = 1024;
    let start = ballast.as_ptr().addr();
    for (page, address) in (start..start + ballast.capacity()).step_by(PAGE).enumerate() {
        load(address);
        if page % STRETCH == 0 {
            tx.beat();
        }
    }
}

/// Keeps the processor for so long, as a transaction does that has work, and shows that it lives.
fn work_on(tx: &Tx<'_>, pause_ns: u64) {
    let until = monotonic_ns() + pause_ns;
    while monotonic_ns() < until {
        tx.beat();
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_trial_strikes_once_in_its_own_part_after_its_own_pause(
            seeds in prop::collection::vec(any::<u64>(), 1..=50), more in 1_u64..2_000, pause_us in 0_u64..1_000_000,
        ) {
            let operations = seeds.len() as u64 + more;
            let all = blows(&seeds, operations, pause_us);
            prop_assert_eq!(all.len(), seeds.len());
            // Ascending: the successor of each does one operation at least before the next.
            prop_assert!(all.is_sorted_by(|a, b| a.at < b.at));
            prop_assert!(all[0].at >= 1 && all[all.len() - 1].at < operations);
            prop_assert!(all.iter().all(|blow| (pause_us * 500..=pause_us * 1_500).contains(&blow.pause_ns)));
            prop_assert_eq!(&all, &blows(&seeds, operations, pause_us));
            // A trial's draw is its own: another neighbour changes nothing.
            let mut others = seeds.clone();
            others[0] ^= 1;
            prop_assert_eq!(&all[1..], &blows(&others, operations, pause_us)[1..]);
        }
    }

    #[test]
    fn pauses_are_not_all_the_same() {
        let pauses: std::collections::HashSet<u64> =
            blows(&[1, 2, 3, 4], 100, 500).iter().map(|blow| blow.pause_ns).collect();
        assert_eq!(pauses.len(), 4);
    }
}
