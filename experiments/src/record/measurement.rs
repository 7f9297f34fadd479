//! What is measured beside the trials: one [`Measurement`] a row of a measure, all of them in `measurements.json` and in
//! `summary.json`.

use super::Distribution;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// `measurements.json`: what was measured beside the trials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurements {
    /// One object a row of a measure.
    pub measurements: Vec<Measurement>,
    /// What was left out, each with its reason: `skipped, because …`.
    pub skipped: Vec<String>,
    /// Rounds that the suite asked for and the run did not come to; `None` where an older version did not say.
    #[serde(default)]
    pub missing_rounds: Option<u64>,
}

/// One row of a measure, over all of its rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The measure, as `pool`.
    pub measure: String,
    /// The row, as `failover`.
    pub row: String,
    /// What was varied within the row, by name.
    pub levels: BTreeMap<String, Level>,
    /// What the figures count.
    pub unit: Unit,
    /// The figures.
    pub distribution: Distribution,
    /// What was measured from where to where, in words.
    pub note: String,
}

/// A level of a measurement: a plain string or number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Level {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
}

/// What figures count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Nanoseconds on `CLOCK_MONOTONIC`.
    Ns,
    /// Operations in a second.
    #[serde(rename = "operations/s")]
    OperationsPerSecond,
    /// A plain number.
    Count,
    /// Bytes.
    Bytes,
    /// A ratio in millionths: 1,020,000 is 1.02.
    Millionths,
}

impl Measurement {
    /// Its levels in one line, as `records 1000, wait told`.
    pub fn levels_in_words(&self) -> String {
        let levels = self.levels.iter().map(|(name, level)| format!("{name} {level}"));
        levels.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl From<u64> for Level {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Level {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
