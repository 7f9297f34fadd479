//! YCSB's core workloads A to F as a plan: which operation has which index.
//!
//! After Cooper et al., *Benchmarking Cloud Serving Systems with YCSB* (SoCC 2010), with the parameters of the files
//! `workloada` to `workloadf` and `CoreWorkload`'s defaults that come with the released benchmark.
//!
//! **Any operation can be made from its index alone**, in time that does not grow with it: a transaction that resumes
//! after a crash goes on at an arbitrary index, and an oracle must see the same operations. The numbers of operation
//! `i` are stream `i` of the ChaCha8 generator that the plan's seed keys (a named algorithm, unlike rand's `StdRng`,
//! and so the same on every machine), and how many records were inserted before it is looked up in a list.

use super::zipfian::{Scrambled, Zipfian, fnv_hash, zeta, zeta_term};
use crashbed::Text;
use rand::rngs::{ChaCha8Rng, Xoshiro256PlusPlus};
use rand::{Rng, RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Fields of a record (YCSB's `fieldcount`).
pub const FIELDS: u8 = 10;
/// Bytes of a field (YCSB's `fieldlength`).
pub const FIELD_BYTES: usize = 100;
/// Bytes of a record's value.
pub const RECORD_BYTES: usize = FIELDS as usize * FIELD_BYTES;
/// The most records that a scan reads (YCSB's `maxscanlength`).
pub const MAX_SCAN: u32 = 100;

/// A mix of operations and the distribution of the keys that they ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mix {
    /// Update heavy: 50 % read, 50 % update; zipfian.
    A,
    /// Read mostly: 95 % read, 5 % update; zipfian.
    B,
    /// Read only; zipfian.
    C,
    /// Read latest: 95 % read, 5 % insert; the newest records are the most popular.
    D,
    /// Short ranges: 95 % scan of 1 to 100 records, uniform, 5 % insert; zipfian.
    E,
    /// Read-modify-write: 50 % read, 50 % read-modify-write; zipfian.
    F,
}

impl Mix {
    /// All mixes.
    pub const ALL: [Self; 6] = [Self::A, Self::B, Self::C, Self::D, Self::E, Self::F];

    /// The mix's name in suites and on the command line, `a` to `f`.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
            Self::D => "d",
            Self::E => "e",
            Self::F => "f",
        }
    }

    /// The share of reads or, in mix E, scans; the rest is the mix's other operation.
    fn reads(self) -> f64 {
        match self {
            Self::A | Self::F => 0.5,
            Self::B | Self::D | Self::E => 0.95,
            Self::C => 1.0,
        }
    }

    /// The share of inserts.
    fn inserts(self) -> f64 {
        match self {
            Self::D | Self::E => 1.0 - self.reads(),
            Self::A | Self::B | Self::C | Self::F => 0.0,
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mix {
    type Err = PlanError;

    fn from_str(name: &str) -> Result<Self, PlanError> {
        Self::ALL
            .into_iter()
            .find(|mix| mix.name() == name)
            .ok_or_else(|| PlanError::UnknownMix { name: name.to_owned() })
    }
}

/// Why there is no such plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No mix has this name.
    #[error("there is no YCSB mix `{name}`: it must be one of a, b, c, d, e, f")]
    UnknownMix {
        /// The name.
        name: String,
    },
    /// Operations need a record to ask for.
    #[error("a workload of 0 records has nothing to read: give at least 1")]
    NoRecords,
}

/// One operation. Keys are record numbers, named by [`key_name`]; contents are seeds of [`fill`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Read a whole record.
    Read {
        /// Which.
        key: u64,
    },
    /// Overwrite one field.
    Update {
        /// In which record.
        key: u64,
        /// Which field, below [`FIELDS`].
        field: u8,
        /// Its new content.
        content: u64,
    },
    /// Add a record.
    Insert {
        /// Its number, one above the last.
        key: u64,
        /// The content of all its fields.
        content: u64,
    },
    /// Read records in the order of their names.
    Scan {
        /// The first.
        key: u64,
        /// How many, 1 to [`MAX_SCAN`]; fewer where the map ends.
        length: u32,
    },
    /// Read a record, then overwrite one field with what depends on both.
    ReadModifyWrite {
        /// Which record.
        key: u64,
        /// Which field, below [`FIELDS`].
        field: u8,
        /// Its new content, before what was read is mixed in.
        content: u64,
    },
}

impl Operation {
    /// Whether it changes a record, in two parts.
    pub fn writes(&self) -> bool {
        match self {
            Self::Read { .. } | Self::Scan { .. } => false,
            Self::Update { .. } | Self::Insert { .. } | Self::ReadModifyWrite { .. } => true,
        }
    }
}

/// Which operation has which index. Made once, before any crash; small, and only read afterwards.
#[derive(Clone, Debug)]
pub struct Plan {
    mix: Mix,
    records: u64,
    operations: u64,
    seed: u64,
    scrambled: Scrambled,
    /// The indices of the operations that insert, ascending.
    inserts: Vec<u64>,
    /// For mix D, the zeta of all records after as many inserts as the place in the list.
    zetas: Vec<f64>,
}

impl Plan {
    /// The plan of `operations` operations of `mix` over `records` loaded ones.
    ///
    /// # Errors
    /// [`PlanError::NoRecords`] where `records` is zero.
    pub fn new(seed: u64, mix: Mix, records: u64, operations: u64) -> Result<Self, PlanError> {
        if records == 0 {
            return Err(PlanError::NoRecords);
        }
        // As CoreWorkload does: keys that are yet to be inserted count from the start, twice as many as are expected,
        // so that the popular keys stay popular; one drawn before it exists is drawn again.
        let expected = (operations as f64 * mix.inserts() * 2.0).ceil();
        // Positive, and no more than a fifth of `operations`.
        #[allow(clippy::cast_possible_truncation)]
        let scrambled = Scrambled::new(records + expected as u64);
        let mut plan = Self { mix, records, operations, seed, scrambled, inserts: Vec::new(), zetas: Vec::new() };
        if mix.inserts() > 0.0 {
            plan.inserts = (0..operations).filter(|&index| !plan.is_read(&mut plan.numbers_of(index))).collect();
        }
        if mix == Mix::D {
            plan.zetas.push(zeta(records));
            for inserted in 1..=plan.inserts.len() as u64 {
                plan.zetas.push(plan.zetas[plan.zetas.len() - 1] + zeta_term(records + inserted));
            }
        }
        Ok(plan)
    }

    /// The mix.
    pub fn mix(&self) -> Mix {
        self.mix
    }

    /// Records that are loaded before the first operation.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Operations of the plan; their indices are below it.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Records that are there before the operation at `index`.
    pub fn records_before(&self, index: u64) -> u64 {
        self.records + self.inserts.partition_point(|&insert| insert < index) as u64
    }

    /// The operation at `index`.
    ///
    /// # Panics
    /// Where the plan has no such operation.
    pub fn operation(&self, index: u64) -> Operation {
        assert!(index < self.operations, "the plan has {} operations, none at {index}", self.operations);
        let mut numbers = self.numbers_of(index);
        let read = self.is_read(&mut numbers);
        let present = self.records_before(index);
        if !read && self.mix.inserts() > 0.0 {
            return Operation::Insert { key: present, content: numbers.random() };
        }
        let key = self.key(&mut numbers, present);
        match self.mix {
            Mix::E => Operation::Scan { key, length: numbers.random_range(1..=MAX_SCAN) },
            _ if read => Operation::Read { key },
            Mix::F => {
                Operation::ReadModifyWrite { key, field: numbers.random_range(0..FIELDS), content: numbers.random() }
            }
            _ => Operation::Update { key, field: numbers.random_range(0..FIELDS), content: numbers.random() },
        }
    }

    /// The first operation at or after `index` that changes a record; none in the rest of a plan that only reads.
    pub fn next_write(&self, index: u64) -> Option<u64> {
        (index..self.operations).find(|&index| self.operation(index).writes())
    }

    /// The content of a loaded record.
    pub fn loaded_content(&self, key: u64) -> u64 {
        // Operations use the streams from 0 up, loading those from the top down.
        self.numbers_of(u64::MAX - key).random()
    }

    fn numbers_of(&self, stream: u64) -> ChaCha8Rng {
        let mut numbers = ChaCha8Rng::seed_from_u64(self.seed);
        numbers.set_stream(stream);
        numbers
    }

    fn is_read(&self, numbers: &mut ChaCha8Rng) -> bool {
        numbers.random::<f64>() < self.mix.reads()
    }

    fn key(&self, numbers: &mut ChaCha8Rng, present: u64) -> u64 {
        if self.mix == Mix::D {
            // The list has an entry for every number of inserts, and so its length is that of an index.
            #[allow(clippy::cast_possible_truncation)]
            let zeta = self.zetas[(present - self.records) as usize];
            return present - 1 - Zipfian::new(present, zeta).rank(numbers.random());
        }
        loop {
            let key = self.scrambled.key(numbers.random());
            if key < present {
                return key;
            }
        }
    }
}

/// The name of the operation at `index`, by which it is said to have been left out.
pub fn operation_name(index: u64) -> String {
    format!("operation-{index:04}")
}

/// The name of a record, as YCSB builds it for hashed insert order: `user` and the hash of its number.
pub fn key_name(key: u64) -> Text {
    Text::display(&format_args!("user{}", fnv_hash(key)))
}

/// Fills `bytes` with the content of this seed. (YCSB fills with unseeded random bytes; nothing depends on which.)
pub fn fill(content: u64, bytes: &mut [u8]) {
    Xoshiro256PlusPlus::seed_from_u64(content).fill_bytes(bytes);
}

#[cfg(test)]
#[path = "ycsb_tests.rs"]
mod tests;
