//! What a measure's process says of a round: JSON, one row a line.

use crate::record::{Level, Unit};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Said {
    /// What a row measured in this round.
    Row(Sampled),
    /// A row, or all of them, could not be measured.
    Skipped {
        /// Why: `skipped, because …`.
        skipped: String,
    },
}

impl Said {
    /// That something is skipped, and why.
    pub(super) fn skipped(because: impl std::fmt::Display) -> Self {
        Self::Skipped { skipped: format!("skipped, because {because}") }
    }
}

/// A row with the samples of a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sampled {
    /// The row's name in the measure.
    pub(super) row: String,
    /// What is varied within the row.
    pub(super) levels: BTreeMap<String, Level>,
    /// What the samples count.
    pub(super) unit: Unit,
    /// The samples.
    pub(super) samples: Vec<u64>,
    /// What was measured, in words.
    pub(super) note: String,
}

impl Sampled {
    /// A row without levels and samples.
    pub(super) fn new(row: &str, unit: Unit, note: impl Into<String>) -> Self {
        Self { row: row.to_owned(), levels: BTreeMap::new(), unit, samples: Vec::new(), note: note.into() }
    }

    /// The row at a level.
    pub(super) fn at(mut self, name: &str, level: impl Into<Level>) -> Self {
        self.levels.insert(name.to_owned(), level.into());
        self
    }
}
