//! The fleet: shards, threads that live through them, and one answer of all.

use super::YEAR_NS;
use super::answer::Simulated;
use super::parameters::Parameters;
use super::rhythm::Rhythm;
use super::shard::{Model, Shard};
use super::tally::Tally;
use crashbed::RestartPolicy;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many processes, for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fleet {
    /// Processes, at least 1.
    pub processes: u32,
    /// Simulated time in years of 365.25 days: above 0 and up to [`Fleet::MOST_YEARS`].
    pub years: f64,
    /// Where every random choice comes from.
    pub seed: u64,
    /// Threads that compute; the answer does not depend on it.
    pub threads: usize,
}

impl Fleet {
    /// The longest time that is simulated.
    pub const MOST_YEARS: f64 = 100.0;

    /// The fewest shards that the error is told from, where there are as many processes.
    const SHARDS: u32 = 256;

    /// The most processes of a shard: with their queue they fit into the cache of one processor.
    const SHARD: u32 = 4096;

    fn shards(&self) -> u32 {
        self.processes.div_ceil(Self::SHARD).max(Self::SHARDS).min(self.processes)
    }

    /// Processes in shard number `shard`: no two shards differ by more than one.
    fn in_shard(&self, shard: u32) -> u32 {
        let shards = self.shards();
        self.processes / shards + u32::from(shard < self.processes % shards)
    }

    fn end_ns(&self) -> u64 {
        // From 0 to a century, which is less than 2⁶² ns.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let end = (self.years * YEAR_NS as f64) as u64;
        end.max(1)
    }
}

/// Simulates `fleet` under `policy`.
///
/// # Panics
/// Where a transaction would take longer than is ever simulated, which [`Parameters::parse`] and
/// [`fit`](super::fit) rule out, or the fleet has no process or a time out of range.
pub fn simulate(parameters: &Parameters, policy: &dyn RestartPolicy, fleet: Fleet) -> Simulated {
    assert!(fleet.processes > 0 && fleet.years > 0.0 && fleet.years <= Fleet::MOST_YEARS, "no such fleet: {fleet:?}");
    let shards = shards(&Model::new(parameters, policy, fleet), fleet);
    Simulated::of(parameters, policy.name(), fleet, &shards)
}

impl<'a> Model<'a> {
    fn new(parameters: &'a Parameters, policy: &'a dyn RestartPolicy, fleet: Fleet) -> Self {
        let rhythm = Rhythm::new(parameters).expect("a transaction that ends within a century");
        Self { parameters, rhythm, policy, intensity: parameters.intensity.into(), end_ns: fleet.end_ns() }
    }
}

/// The tallies of all shards, in their order.
fn shards(model: &Model<'_>, fleet: Fleet) -> Vec<Tally> {
    let next = AtomicU32::new(0);
    let done = Mutex::new(vec![Tally::default(); fleet.shards() as usize]);
    let work = || {
        loop {
            let shard = next.fetch_add(1, Ordering::Relaxed);
            if shard >= fleet.shards() {
                return;
            }
            let mut rng = ChaCha8Rng::seed_from_u64(fleet.seed);
            rng.set_stream(shard.into());
            let tally = Shard::run(model, fleet.in_shard(shard), rng);
            // A thread that panicked takes the whole simulation with it.
            done.lock().unwrap_or_else(|error| error.into_inner())[shard as usize] = tally;
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..fleet.threads.clamp(1, fleet.shards() as usize) {
            scope.spawn(work);
        }
        work();
    });
    done.into_inner().unwrap_or_else(|error| error.into_inner())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The tallies of a fleet's shards.
    pub(in crate::simulate) fn tallies(
        parameters: &Parameters,
        policy: &dyn RestartPolicy,
        fleet: Fleet,
    ) -> Vec<Tally> {
        shards(&Model::new(parameters, policy, fleet), fleet)
    }

    proptest! {
        #[test]
        fn shards_hold_all_processes_and_are_of_one_size(processes in 1..5_000_000_u32) {
            let fleet = Fleet { processes, years: 1.0, seed: 1, threads: 1 };
            let sizes: Vec<_> = (0..fleet.shards()).map(|shard| fleet.in_shard(shard)).collect();
            prop_assert_eq!(sizes.iter().map(|size| u64::from(*size)).sum::<u64>(), u64::from(processes));
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            prop_assert!(*least >= 1 && most - least <= 1 && *most <= Fleet::SHARD);
        }
    }
}
