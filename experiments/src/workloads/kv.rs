//! Workload `kv`: an ordered map of records under a YCSB [`Plan`].
//!
//! The state can tell damage: a record's checksum is checked whenever the record is read, also before it is changed (an
//! update that did not look would sign the damage). Each change has two parts, the record and then the running total
//! of all checksums, so that a fault between the two leaves a state that [`KvState::verify`] calls torn. Every
//! operation, a read too, leaves its mark in the state, so that the digests after `n` and `n + 1` operations differ.

use super::digest::{Digest, Digester};
use super::ycsb::{FIELD_BYTES, Operation, Plan, RECORD_BYTES, fill, key_name};
use crate::faults::Live;
use crashbed::Recoverable;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The map and what is kept about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Recoverable)]
pub struct KvState {
    records: BTreeMap<String, Record>,
    /// The sum of all records' checksums: the second part of every change.
    total: u64,
    /// The checksums of all that was read, folded in order.
    answers: u64,
    /// Operations that were left out because they crash the program.
    skipped: Vec<u64>,
}

/// A record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Recoverable)]
pub struct Record {
    value: Vec<u8>,
    /// How often it was changed: an update that is done twice shows.
    version: u64,
    /// CRC-32 of name, version and value.
    checksum: u32,
}

/// What is wrong with the state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// A record that must be there is not.
    #[error("record {name} is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A record that must not be there yet is.
    #[error("record {name} is to be inserted, but is there already")]
    Exists {
        /// Its name.
        name: String,
    },
    /// A record is not what was written.
    #[error("record {name} is damaged: checksum {found:08x}, but {stored:08x} was stored with it")]
    Damaged {
        /// Its name.
        name: String,
        /// The checksum in the record.
        stored: u32,
        /// The checksum of what is there.
        found: u32,
    },
    /// The two parts of a change do not go together.
    #[error("the state is torn: its records' checksums add up to {sum}, but its total says {total}")]
    Torn {
        /// The total in the state.
        total: u64,
        /// The sum of its records' checksums.
        sum: u64,
    },
}

impl KvState {
    /// Whether records were loaded.
    pub fn is_loaded(&self) -> bool {
        !self.records.is_empty()
    }

    /// How much of a region the plan's records take at most, after its last operation; for a declaration to be checked.
    ///
    /// A record costs its value and its name, a block header for each, and its share of the map's nodes: a node of the
    /// standard library's B-tree has 11 places, of which at least 5 are taken.
    pub fn bytes(plan: &Plan) -> u64 {
        const BLOCK: usize = 32;
        const NAME: usize = 24;
        const PLACES: usize = 3 * (size_of::<String>() + size_of::<Record>());
        let record = RECORD_BYTES + BLOCK + NAME + BLOCK + PLACES;
        plan.records_before(plan.operations()).saturating_mul(record as u64)
    }

    /// Fills an empty map with the plan's records.
    pub fn load(&mut self, plan: &Plan) {
        for key in 0..plan.records() {
            let record = Record::filled(key_name(key).as_str(), plan.loaded_content(key));
            self.total = self.total.wrapping_add(u64::from(record.checksum));
            self.records.insert(key_name(key).as_str().to_owned(), record);
        }
    }

    /// Does the plan's operation at `index`; `between` is called between the two parts of a change.
    ///
    /// # Errors
    /// What is wrong with a record that it met. A missing or damaged one is not changed.
    ///
    /// # Panics
    /// Where the plan has no such operation.
    pub fn apply(&mut self, plan: &Plan, index: u64, between: impl Fn()) -> Result<(), KvError> {
        match plan.operation(index) {
            Operation::Read { key } => {
                let name = key_name(key);
                let checksum = read(&self.records, name.as_str())?.checksum;
                self.answer(checksum);
            }
            Operation::Scan { key, length } => {
                let name = key_name(key);
                read(&self.records, name.as_str())?;
                let mut answers = self.answers;
                let from = (Bound::Included(name.as_str()), Bound::Unbounded);
                for (name, record) in self.records.range::<str, _>(from).take(length as usize) {
                    record.check(name)?;
                    answers = fold(answers, record.checksum);
                }
                self.answers = answers;
            }
            Operation::Update { key, field, content } => self.change(key, field, content, between)?,
            Operation::ReadModifyWrite { key, field, content } => {
                let checksum = read(&self.records, key_name(key).as_str())?.checksum;
                self.answer(checksum);
                self.change(key, field, content ^ u64::from(checksum), between)?;
            }
            Operation::Insert { key, content } => {
                let name = key_name(key);
                let name = name.as_str();
                if self.records.contains_key(name) {
                    return Err(KvError::Exists { name: name.to_owned() });
                }
                let record = Record::filled(name, content);
                let checksum = record.checksum;
                self.records.insert(name.to_owned(), record);
                between();
                self.total = self.total.wrapping_add(u64::from(checksum));
            }
        }
        Ok(())
    }

    /// Notes that the operation at `index` is left out.
    pub fn skip(&mut self, index: u64) {
        self.skipped.push(index);
    }

    /// Operations that were left out.
    pub fn skipped(&self) -> &[u64] {
        &self.skipped
    }

    /// The program's own check of its state: every record is what was written, and they add up to the total.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self) -> Result<(), KvError> {
        let mut sum = 0_u64;
        for (name, record) in &self.records {
            // Found by its name too: a damaged name may stand in the wrong place.
            read(&self.records, name)?;
            sum = sum.wrapping_add(u64::from(record.checksum));
        }
        if sum == self.total { Ok(()) } else { Err(KvError::Torn { total: self.total, sum }) }
    }

    /// The data that a memory fault may hit: values, versions, checksums, the total.
    pub fn live(&self, visit: &mut dyn FnMut(Live)) {
        for record in self.records.values() {
            visit(Live::of(record.value.as_slice()));
            visit(Live::of(&record.version));
            visit(Live::of(&record.checksum));
        }
        visit(Live::of(&self.total));
    }

    /// The digest of all records, checksums included, and of what was read. It does not see operations that were left out:
    /// it equals that of a plan without them.
    pub fn digest(&self) -> Digest {
        let mut digester = Digester::new();
        for (name, record) in &self.records {
            digester.bytes(name.as_bytes());
            digester.number(record.version);
            digester.number(u64::from(record.checksum));
            digester.bytes(&record.value);
        }
        digester.number(self.total);
        digester.number(self.answers);
        digester.finish()
    }

    fn answer(&mut self, checksum: u32) {
        self.answers = fold(self.answers, checksum);
    }

    fn change(&mut self, key: u64, field: u8, content: u64, between: impl Fn()) -> Result<(), KvError> {
        let name = key_name(key);
        let name = name.as_str();
        let record = self.records.get_mut(name).ok_or_else(|| KvError::Missing { name: name.to_owned() })?;
        record.check(name)?;
        let before = record.checksum;
        let start = usize::from(field) * FIELD_BYTES;
        fill(content, &mut record.value[start..start + FIELD_BYTES]);
        record.version += 1;
        record.checksum = record.sum(name);
        let after = record.checksum;
        between();
        self.total = self.total.wrapping_sub(u64::from(before)).wrapping_add(u64::from(after));
        Ok(())
    }
}

impl Record {
    fn filled(name: &str, content: u64) -> Self {
        let mut record = Self { value: vec![0; RECORD_BYTES], version: 0, checksum: 0 };
        fill(content, &mut record.value);
        record.checksum = record.sum(name);
        record
    }

    fn sum(&self, name: &str) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(name.as_bytes());
        hasher.update(&self.version.to_le_bytes());
        hasher.update(&self.value);
        hasher.finalize()
    }

    fn check(&self, name: &str) -> Result<(), KvError> {
        let found = self.sum(name);
        if found == self.checksum && self.value.len() == RECORD_BYTES {
            Ok(())
        } else {
            Err(KvError::Damaged { name: name.to_owned(), stored: self.checksum, found })
        }
    }
}

fn read<'a>(records: &'a BTreeMap<String, Record>, name: &str) -> Result<&'a Record, KvError> {
    let record = records.get(name).ok_or_else(|| KvError::Missing { name: name.to_owned() })?;
    record.check(name)?;
    Ok(record)
}

/// One step of FNV-1a with a whole checksum in place of a byte: what was read, and in which order.
fn fold(answers: u64, checksum: u32) -> u64 {
    (answers ^ u64::from(checksum)).wrapping_mul(0x0100_0000_01b3)
}

#[cfg(test)]
#[path = "kv_tests.rs"]
mod tests;
