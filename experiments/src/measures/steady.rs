//! Measure `steady`: what the engine costs where nothing crashes, as throughput of workload `kv`.
//!
//! Each contestant is a process that keeps the same records and does the same operations: a plain process on the
//! system's allocator, one on the engine's allocator in private memory ([`Heap::by_itself`]), and a transaction for each
//! mechanism and number of operations between two commits, none at all included. They sleep until it is their turn, so
//! one works at a time; a pass has a lap of each, in an order of its own, and a ratio is one of laps of the same pass.
//! The plain processes replace blocks as well, which is the allocator's cost alone.

use super::said::{Said, Sampled};
use super::{Measure, MeasureError, Round, contest};
use crate::levels;
use crate::record::{Level, Unit};
use crate::size::Size;
use crate::workloads::kv::KvState;
use crate::workloads::ycsb::{Mix, Plan};
use contest::{Asked, Contest, Contestant};
use crashbed::MechanismKind;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use serde::Deserialize;
use std::num::NonZeroU64;

/// Passes that are made first and not counted.
const WARM_UP: u64 = 2;
/// The most commits of a lap: a lap with dear ones is shorter.
const COMMITS_A_LAP: u64 = 50;
/// What ratios are multiplied by.
const MILLION: u128 = 1_000_000;

/// Its settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Steady {
    /// YCSB's mix.
    mix: Mix,
    /// Records that are loaded first.
    #[serde(deserialize_with = "levels::positive")]
    records: u64,
    /// Operations in a lap, at the most.
    #[serde(deserialize_with = "levels::positive")]
    operations: u64,
    /// Mechanisms of the transactions.
    #[serde(deserialize_with = "levels::mechanisms")]
    mechanism: Vec<String>,
    /// Operations between two commits.
    #[serde(deserialize_with = "levels::one_or_many")]
    commit_every: Vec<NonZeroU64>,
    /// The region of each transaction, and the arena of the plain process.
    region: Size,
}

impl Default for Steady {
    fn default() -> Self {
        let commit_every = [1, 10, 100, 1_000].into_iter().filter_map(NonZeroU64::new);
        Self {
            mix: Mix::A,
            records: 1_000,
            operations: 50_000,
            mechanism: MechanismKind::ALL
                .into_iter()
                .filter(|mechanism| !mechanism.needs_declared_writes())
                .map(|mechanism| mechanism.name().to_owned())
                .collect(),
            commit_every: commit_every.collect(),
            region: Size::at_least(16 << 20),
        }
    }
}

impl Steady {
    /// The contestants: the plain processes first, the one on the engine's allocator before all others.
    fn contestants(&self) -> Result<Vec<Contestant>, MeasureError> {
        let mut all = vec![Contestant::PlainOnEngine, Contestant::PlainOnSystem];
        for name in &self.mechanism {
            let mechanism: MechanismKind =
                name.parse().map_err(|error: crashbed::UnknownMechanism| MeasureError::Unplanned(error.to_string()))?;
            if mechanism.needs_declared_writes() {
                let what = format!("`kv` does not declare what it writes, as {mechanism} needs it: leave that out");
                return Err(MeasureError::Unplanned(what));
            }
            let every = self.commit_every.iter().map(|every| Some(every.get()));
            all.extend([None].into_iter().chain(every).map(|every| Contestant::Transaction { mechanism, every }));
        }
        Ok(all)
    }

    /// Operations in a lap of a contestant.
    fn operations_of(&self, contestant: Contestant) -> u64 {
        match contestant {
            Contestant::Transaction { every: Some(every), .. } => {
                self.operations.min(every.saturating_mul(COMMITS_A_LAP))
            }
            _ => self.operations,
        }
    }
}

/// The rows of one contestant.
struct Rows {
    throughput: Sampled,
    over_plain: Sampled,
    allocation: Sampled,
}

impl Rows {
    fn of(contestant: Contestant, settings: &Steady) -> Self {
        let levels = |row: Sampled| {
            let row = row.at("mix", settings.mix.name()).at("records", settings.records);
            match contestant {
                Contestant::PlainOnSystem => row.at("process", "plain").at("allocator", "system"),
                Contestant::PlainOnEngine => row.at("process", "plain").at("allocator", "engine"),
                Contestant::Transaction { mechanism, every } => {
                    let every = every.map_or(Level::from("never"), Level::Number);
                    row.at("process", "transaction").at("mechanism", mechanism.name()).at("commit-every", every)
                }
            }
        };
        let row = |name, unit, note| levels(Sampled::new(name, unit, note));
        Self {
            throughput: row("throughput", Unit::OperationsPerSecond, "operations of a lap over its time"),
            over_plain: row(
                "over-plain",
                Unit::Millionths,
                "time of an operation over that of the plain process on the engine's allocator, in the same pass",
            ),
            allocation: row(
                "allocation",
                Unit::Ns,
                "1,000 blocks of 16 to 1,015 bytes, each replaced by one of another size",
            ),
        }
    }
}

impl Measure for Steady {
    fn round(&self, round: Round) -> Result<Vec<Said>, MeasureError> {
        let contestants = self.contestants()?;
        let passes = WARM_UP + round.laps;
        let plan = Plan::new(round.seed, self.mix, self.records, self.operations.saturating_mul(passes))
            .map_err(|error| MeasureError::Unplanned(error.to_string()))?;
        let needed = KvState::bytes(&plan);
        if needed > self.region.bytes() {
            let what = format!(
                "{passes} laps of {} operations end with {needed} bytes of records, more than a region of {}: give a \
                 larger region, or fewer laps or operations",
                self.operations, self.region
            );
            return Err(MeasureError::Unplanned(what));
        }
        let mut rows: Vec<Rows> = contestants.iter().map(|contestant| Rows::of(*contestant, self)).collect();
        let (mut contest, mut processes) = Contest::start(&contestants, &plan, self.region)?;
        let mut order: Vec<usize> = (0..contestants.len()).collect();
        let mut numbers = ChaCha8Rng::seed_from_u64(round.seed);
        for pass in 0..passes {
            order.shuffle(&mut numbers);
            let mut times = vec![1; contestants.len()];
            for &number in &order {
                let operations = self.operations_of(contestants[number]);
                times[number] = contest.ask(number, Asked::Operations(operations))?.max(1);
                if pass >= WARM_UP && !matches!(contestants[number], Contestant::Transaction { .. }) {
                    rows[number].allocation.samples.push(contest.ask(number, Asked::Blocks)?);
                }
            }
            if pass >= WARM_UP {
                self.note(&contestants, &times, &mut rows);
            }
        }
        // What nobody asks any more ends.
        drop(contest);
        for process in &mut processes {
            process.wait().map_err(|how| MeasureError::Unplanned(format!("a contestant ended with {how}")))?;
        }
        let rows = rows.into_iter().flat_map(|rows| [rows.throughput, rows.over_plain, rows.allocation]);
        Ok(rows.filter(|row| !row.samples.is_empty()).map(Said::Row).collect())
    }
}

impl Steady {
    /// Writes down the times of a pass.
    fn note(&self, contestants: &[Contestant], times: &[u64], rows: &mut [Rows]) {
        let operations = |number: usize| u128::from(self.operations_of(contestants[number]));
        for (number, rows) in rows.iter_mut().enumerate() {
            let (ns, plain_ns) = (u128::from(times[number]), u128::from(times[0]));
            let per_second = operations(number) * 1_000_000_000 / ns;
            let ratio = ns * operations(0) * MILLION / (plain_ns * operations(number));
            rows.throughput.samples.push(u64::try_from(per_second).unwrap_or(u64::MAX));
            if number > 0 {
                rows.over_plain.samples.push(u64::try_from(ratio).unwrap_or(u64::MAX));
            }
        }
    }
}
