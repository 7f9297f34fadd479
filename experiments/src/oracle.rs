//! What the state must be, worked out again outside the tree and by other code than the workloads'.
//!
//! It shares with them the plan of operations, how a plate begins, the form of a digest and the JSON grammar, and nothing
//! else: `kv` is a list that is searched, with its sums made afresh for each digest; documents are read as a stream of
//! events, without ever building a value, on a stack that grows with the document, so that what crashes the workload does
//! not crash the oracle; a plate is computed cell by cell, by one thread, on rows without edges; settings files are read
//! by a parser in Rust.

mod plate;
mod settings;

pub use plate::stencil_digests;
pub use settings::native_digests;

use crate::workloads::digest::{Digest, Digester};
use crate::workloads::documents::Document;
use crate::workloads::ycsb::{FIELD_BYTES, Operation, Plan, RECORD_BYTES, fill, key_name, operation_name};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The digests of a `kv` state after each of these numbers of operations, in the order given, without the `excluded`
/// ones, which are given by name.
///
/// # Panics
/// Where the plan has fewer operations than asked for.
pub fn kv_digests(plan: &Plan, after: &[u64], excluded: &BTreeSet<String>) -> Vec<Digest> {
    let asked: BTreeSet<u64> = after.iter().copied().collect();
    let mut model = KvModel::new(plan);
    let mut done = 0;
    let mut digests = BTreeMap::new();
    for number in asked {
        let counted = (done..number).filter(|index| !excluded.contains(&operation_name(*index)));
        counted.for_each(|index| model.apply(plan.operation(index)));
        done = number;
        digests.insert(number, model.digest());
    }
    after.iter().map(|number| digests[number]).collect()
}

/// Records in the order of their names.
struct KvModel {
    records: Vec<KvRecord>,
    answers: u64,
}

struct KvRecord {
    name: String,
    value: Vec<u8>,
    version: u64,
}

impl KvRecord {
    fn new(key: u64, content: u64) -> Self {
        let mut value = vec![0; RECORD_BYTES];
        fill(content, &mut value);
        Self { name: key_name(key).to_string(), value, version: 0 }
    }

    fn checksum(&self) -> u32 {
        crc32fast::hash(&[self.name.as_bytes(), &self.version.to_le_bytes(), &self.value].concat())
    }
}

impl KvModel {
    fn new(plan: &Plan) -> Self {
        let mut records: Vec<KvRecord> =
            (0..plan.records()).map(|key| KvRecord::new(key, plan.loaded_content(key))).collect();
        records.sort_by(|one, other| one.name.cmp(&other.name));
        Self { records, answers: 0 }
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Read { key } => self.answer(key, 1),
            Operation::Scan { key, length } => self.answer(key, length as usize),
            Operation::Update { key, field, content } => self.write(key, field, content),
            Operation::ReadModifyWrite { key, field, content } => {
                let read = self.records[self.place(key)].checksum();
                self.answer(key, 1);
                self.write(key, field, content ^ u64::from(read));
            }
            Operation::Insert { key, content } => {
                let place = self.place(key);
                self.records.insert(place, KvRecord::new(key, content));
            }
        }
    }

    /// Where the record is, or would be.
    fn place(&self, key: u64) -> usize {
        let name = key_name(key);
        self.records.partition_point(|record| record.name.as_str() < name.as_str())
    }

    fn answer(&mut self, key: u64, length: usize) {
        let place = self.place(key);
        for record in self.records.iter().skip(place).take(length) {
            // The 64-bit FNV prime, as the workload's fold is specified.
            self.answers = (self.answers ^ u64::from(record.checksum())).wrapping_mul(1_099_511_628_211);
        }
    }

    fn write(&mut self, key: u64, field: u8, content: u64) {
        let place = self.place(key);
        let record = &mut self.records[place];
        if let Some(field) = record.value.chunks_exact_mut(FIELD_BYTES).nth(usize::from(field)) {
            fill(content, field);
        }
        record.version += 1;
    }

    fn digest(&self) -> Digest {
        let mut digester = Digester::new();
        for record in &self.records {
            digester.bytes(record.name.as_bytes());
            digester.number(record.version);
            digester.number(u64::from(record.checksum()));
            digester.bytes(&record.value);
        }
        digester.number(self.records.iter().map(|record| u64::from(record.checksum())).sum());
        digester.number(self.answers);
        digester.finish()
    }
}

/// What a pass over a corpus must end with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// The digest of the index.
    pub digest: Digest,
    /// Documents in it.
    pub indexed: u64,
    /// Names of the documents that are errors.
    pub failed: Vec<String>,
}

/// The index of all documents but the `excluded` ones, which are named as in the list.
pub fn index(documents: &[Document], excluded: &BTreeSet<String>) -> Indexed {
    let mut indexed = 0;
    let mut failed = Vec::new();
    let (mut words, mut paths) = (BTreeMap::new(), BTreeMap::new());
    for document in documents.iter().filter(|document| !excluded.contains(&document.name)) {
        let leaves = std::fs::read_to_string(&document.path).ok().and_then(|text| leaves(&text).ok());
        let Some(leaves) = leaves else {
            failed.push(document.name.clone());
            continue;
        };
        indexed += 1;
        for leaf in leaves {
            *paths.entry(leaf.path).or_insert(0) += 1;
            for word in words_of(&leaf.text) {
                *words.entry(word).or_insert(0) += 1;
            }
        }
    }
    let mut digester = Digester::new();
    for counts in [&words, &paths] {
        digester.counts(counts.iter().map(|(name, count): (&String, &u64)| (name.as_str(), *count)));
    }
    Indexed { digest: digester.finish(), indexed, failed }
}

fn words_of(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for character in text.chars() {
        match words.last_mut() {
            Some(word) if character.is_alphanumeric() => word.push(character),
            _ => words.push(String::new()),
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).map(|word| word.to_lowercase()).collect()
}

/// A value that is no object and no array; `text` is empty where it is no string.
struct Leaf {
    path: String,
    text: String,
}

fn leaves(text: &str) -> serde_json::Result<Vec<Leaf>> {
    // A reader counts lines as it goes; a slice would count them again at each level of a deep document that is wrong.
    let mut parser = serde_json::Deserializer::from_reader(text.as_bytes());
    parser.disable_recursion_limit();
    let mut path = Vec::new();
    let leaves = Leaves { path: &mut path }.deserialize(serde_stacker::Deserializer::new(&mut parser))?;
    parser.end()?;
    Ok(leaves)
}

/// Reads one value as a stream; `path` holds the steps that lead to it, `None` for an element of an array.
struct Leaves<'a> {
    path: &'a mut Vec<Option<String>>,
}

impl Leaves<'_> {
    fn leaf(&self, text: &str) -> Vec<Leaf> {
        let mut path = String::new();
        for step in self.path.iter() {
            match step {
                None => path += "[]",
                Some(name) if path.is_empty() => path += name,
                Some(name) => {
                    path.push('.');
                    path += name;
                }
            }
        }
        vec![Leaf { path, text: text.to_owned() }]
    }
}

impl<'de> DeserializeSeed<'de> for Leaves<'_> {
    type Value = Vec<Leaf>;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Vec<Leaf>, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Leaves<'_> {
    type Value = Vec<Leaf>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Vec<Leaf>, E> {
        Ok(self.leaf(""))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Vec<Leaf>, E> {
        Ok(self.leaf(""))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Vec<Leaf>, E> {
        Ok(self.leaf(""))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Vec<Leaf>, E> {
        Ok(self.leaf(""))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Vec<Leaf>, E> {
        Ok(self.leaf(""))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<Leaf>, E> {
        Ok(self.leaf(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<Leaf>, A::Error> {
        let mut all = Vec::new();
        self.path.push(None);
        while let Some(mut leaves) = elements.next_element_seed(Leaves { path: self.path })? {
            all.append(&mut leaves);
        }
        self.path.pop();
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Vec<Leaf>, A::Error> {
        // Of members with the same name the last one counts.
        let mut all = BTreeMap::new();
        while let Some(name) = members.next_key::<String>()? {
            self.path.push(Some(name.clone()));
            all.insert(name, members.next_value_seed(Leaves { path: self.path })?);
            self.path.pop();
        }
        Ok(all.into_values().flatten().collect())
    }
}

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod tests;
