//! What measure `mechanisms` measured, asked for by row, mechanism, size of the region and bytes written.

use crate::record::{Distribution, Level, Measurement, Summary};
use std::collections::{BTreeMap, BTreeSet};

/// A page of memory.
pub(crate) const PAGE: u64 = 4096;

/// The costs of mechanisms that a run has measured.
#[derive(Clone, Copy)]
pub(crate) struct Costs<'a>(&'a [Measurement]);

/// What a row has at each number of written bytes.
pub(crate) type Curve<'a> = BTreeMap<u64, &'a Distribution>;

fn number(row: &Measurement, level: &str) -> Option<u64> {
    match row.levels.get(level)? {
        Level::Number(number) => Some(*number),
        Level::Text(_) => None,
    }
}

fn mechanism(row: &Measurement) -> Option<&str> {
    match row.levels.get("mechanism")? {
        Level::Text(name) => Some(name),
        Level::Number(_) => None,
    }
}

impl<'a> Costs<'a> {
    pub(crate) fn of(summary: &'a Summary) -> Self {
        Self(&summary.measurements)
    }

    fn rows(self) -> impl Iterator<Item = &'a Measurement> {
        self.0.iter().filter(|row| row.measure == "mechanisms")
    }

    /// Whether nothing of it was measured.
    pub(crate) fn is_empty(self) -> bool {
        self.rows().next().is_none()
    }

    /// The mechanisms that were measured, in the order in which they were; plain memory is none.
    pub(crate) fn mechanisms(self) -> Vec<&'a str> {
        let mut names = Vec::new();
        for name in self.rows().filter_map(mechanism).filter(|name| *name != "none") {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The sizes of the regions, in bytes.
    pub(crate) fn regions(self) -> BTreeSet<u64> {
        self.rows().filter_map(|row| number(row, "region-bytes")).collect()
    }

    /// A row of a mechanism, or, without one, of the bare path, at a size.
    pub(crate) fn curve(self, row: &str, under: Option<&str>, region_bytes: u64) -> Curve<'a> {
        let is_asked = |found: &&Measurement| {
            found.row == row && mechanism(found) == under && number(found, "region-bytes") == Some(region_bytes)
        };
        let rows = self.rows().filter(is_asked);
        rows.filter_map(|row| Some((number(row, "written-bytes")?, &row.distribution))).collect()
    }

    /// The same at one number of written bytes.
    pub(crate) fn at(
        self,
        row: &str,
        under: Option<&str>,
        region_bytes: u64,
        written_bytes: u64,
    ) -> Option<&'a Distribution> {
        self.curve(row, under, region_bytes).remove(&written_bytes)
    }
}

/// Costs made up for tests.
#[cfg(test)]
pub(crate) mod made_up {
    use super::*;
    use crate::record::Unit;

    /// A row of 30 like samples.
    pub(crate) fn row(name: &str, under: &str, region_bytes: u64, written_bytes: u64, figure: u64) -> Measurement {
        let mut levels = BTreeMap::from([
            ("region-bytes".to_owned(), Level::Number(region_bytes)),
            ("written-bytes".to_owned(), Level::Number(written_bytes)),
        ]);
        if !name.starts_with("bare-") {
            levels.insert("mechanism".to_owned(), under.into());
        }
        Measurement {
            measure: "mechanisms".to_owned(),
            row: name.to_owned(),
            levels,
            unit: if name == "beside-state" { Unit::Bytes } else { Unit::Ns },
            distribution: Distribution::of(vec![figure; 30]).unwrap(),
            note: String::new(),
        }
    }
}
