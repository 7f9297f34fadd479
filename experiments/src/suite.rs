//! Suites: what an experiment asks, varies and keeps fixed, read from TOML.
//!
//! Whatever is wrong with a suite is found here, before anything runs, and named with file, line, key and the nearest
//! valid name. A suite is written back as TOML into the manifest, so that a trial can be made again from a run's folder
//! alone.

use crate::levels;
use crate::record::Levels;
use crate::when::Trigger;
use crate::workloads::native::corpus::{Bug, Corpus};
use crate::workloads::ycsb::Mix;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use toml::Table;

mod factors;

pub use factors::{Batch, Factors};

/// A suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Its name in kebab-case; it names the run's folder.
    #[serde(deserialize_with = "levels::kebab_case")]
    pub name: String,
    /// The question that it answers.
    pub question: String,
    /// What it does, in a sentence or two.
    #[serde(default)]
    pub description: String,
    /// The seed of every random choice; drawn afresh for each run where missing.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "levels::seed")]
    pub seed: Option<u64>,
    /// What is varied: a grid, or several of which no two have a cell in common. A suite of measures alone has none, and
    /// makes no trials.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "levels::blocks")]
    pub factors: Vec<Factors>,
    /// The workloads' settings.
    #[serde(default)]
    pub workload: Workloads,
    /// When a transaction counts as hung.
    #[serde(default)]
    pub heartbeat: Heartbeat,
    /// When a fault strikes.
    #[serde(default)]
    pub trigger: Trigger,
    /// The limit on restarts.
    #[serde(default)]
    pub intensity: Intensity,
    /// How often the floor is measured.
    #[serde(default)]
    pub floor: Floor,
    /// How trials are made that share a transaction.
    #[serde(default)]
    pub batch: Batch,
    /// How much hot spares may spin.
    #[serde(default)]
    pub spin: Spin,
    /// What is written down beside the trials.
    #[serde(default, skip_serializing_if = "Output::is_as_usual")]
    pub output: Output,
    /// What is measured beside the trials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measure: Vec<Measure>,
}

impl Suite {
    /// How many cells there are.
    pub fn cells(&self) -> u64 {
        self.factors.iter().map(Factors::cells).sum()
    }

    /// How many trials there are in all.
    pub fn trials(&self) -> u64 {
        self.factors.iter().fold(0, |sum, block| block.trials.saturating_mul(block.cells()).saturating_add(sum))
    }

    /// Whether some cell has this workload.
    pub fn has_workload(&self, workload: &str) -> bool {
        self.factors.iter().any(|block| block.workload.iter().any(|level| level == workload))
    }

    /// Whether every crash is recorded in full.
    pub fn records_crashes(&self) -> bool {
        self.output.crashes.unwrap_or((1..=Output::FEW_TRIALS).contains(&self.trials()))
    }

    /// How many rounds there are of all measures together.
    pub fn rounds(&self) -> u64 {
        self.measure.iter().fold(0, |sum, measure| measure.rounds.saturating_add(sum))
    }

    /// The block that a cell is in.
    pub fn block_of(&self, levels: &Levels) -> Option<&Factors> {
        self.factors.iter().find(|block| block.levels().contains(levels))
    }
}

/// The workloads' settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workloads {
    /// Of `kv`.
    pub kv: Kv,
    /// Of `documents`.
    pub documents: Documents,
    /// Of `stencil`.
    pub stencil: Stencil,
    /// Of `native`.
    pub native: Native,
}

impl Workloads {
    /// How many operations a script of this workload has; `None` where the settings alone do not say.
    pub fn operations(&self, workload: &str) -> Option<u64> {
        match workload {
            "kv" => Some(self.kv.operations),
            "stencil" => Some(self.stencil.steps),
            "native" => Some(self.native.inputs),
            _ => None,
        }
    }

    /// Operations between two commits of this workload.
    pub fn commit_every(&self, workload: &str) -> u64 {
        match workload {
            "kv" => self.kv.commit_every,
            "stencil" => self.stencil.commit_every,
            "native" => self.native.commit_every,
            _ => self.documents.commit_every,
        }
    }
}

/// Settings of the workload `kv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kv {
    /// YCSB's mix.
    pub mix: Mix,
    /// Records that are loaded first.
    #[serde(deserialize_with = "levels::positive")]
    pub records: u64,
    /// Operations after the load.
    #[serde(deserialize_with = "levels::positive")]
    pub operations: u64,
    /// Operations between two commits.
    #[serde(deserialize_with = "levels::positive")]
    pub commit_every: u64,
}

/// Settings of the workload `documents`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Documents {
    /// A folder of JSON documents; where missing, the run makes a corpus of its own from the two figures below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corpus: Option<PathBuf>,
    /// Sound documents in the corpus that the run makes.
    #[serde(deserialize_with = "levels::positive")]
    pub documents: u32,
    /// Hostile documents in the corpus that the run makes.
    pub hostile: u32,
    /// Documents between two commits.
    #[serde(deserialize_with = "levels::positive")]
    pub commit_every: u64,
}

/// Settings of the workload `stencil`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stencil {
    /// Cells along a side of the plate; its two grids take 16 bytes a cell.
    #[serde(deserialize_with = "levels::side")]
    pub size: u32,
    /// Steps, each of which is an operation.
    #[serde(deserialize_with = "levels::positive")]
    pub steps: u64,
    /// Steps between two commits.
    #[serde(deserialize_with = "levels::positive")]
    pub commit_every: u64,
    /// Threads that compute a step; 0 leaves it to the transaction's main one.
    #[serde(deserialize_with = "levels::threads")]
    pub threads: usize,
}

/// Settings of the workload `native`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Native {
    /// Inputs to read, each of which is an operation.
    #[serde(deserialize_with = "levels::positive")]
    pub inputs: u64,
    /// Every so many inputs is a poisoned one, which crashes the parser whenever it is read; 0 poisons none.
    pub poison_every: u64,
    /// The parser's bugs that poisoned inputs reach, by turns.
    #[serde(deserialize_with = "levels::one_or_many")]
    pub bugs: Vec<Bug>,
    /// Inputs between two commits.
    #[serde(deserialize_with = "levels::positive")]
    pub commit_every: u64,
}

impl Native {
    /// The inputs of the trial with this seed.
    pub fn corpus(&self, seed: u64) -> Corpus {
        let Self { inputs, poison_every, bugs, .. } = self;
        Corpus { seed, inputs: *inputs, poison_every: *poison_every, bugs: bugs.clone() }
    }
}

/// When a transaction counts as hung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// The longest that it may give no sign of life, in milliseconds.
    #[serde(deserialize_with = "levels::positive")]
    pub deadline_ms: u64,
}

/// The limit on restarts: one more within the window, and the engine gives up, whatever the policy says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Intensity {
    /// The most restarts within the window.
    #[serde(deserialize_with = "levels::positive")]
    pub restarts: u32,
    /// The window in milliseconds.
    #[serde(deserialize_with = "levels::positive")]
    pub within_ms: u64,
}

/// How often the floor is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// Trials of each floor; 0 measures none.
    pub trials: u64,
}

/// How much hot spares may spin; as the engine has it unless the suite says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spin {
    /// The longest that one spins, in milliseconds.
    #[serde(deserialize_with = "levels::positive")]
    pub most_ms: u64,
    /// The share of one processor that they may spin away, in percent.
    #[serde(deserialize_with = "levels::percent")]
    pub percent: u8,
}

impl Spin {
    /// The spare of this name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn spare(self, name: &str) -> Result<crashbed::Spare, crashbed::UnknownSpare> {
        let spin = crashbed::Spin { most: Duration::from_millis(self.most_ms), percent: self.percent };
        name.parse().map(|spare| match spare {
            crashbed::Spare::Hot(_) => crashbed::Spare::Hot(spin),
            other => other,
        })
    }
}

/// What is written down beside the trials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Whether `crashes.jsonl` is written; where missing, it is for suites of few trials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crashes: Option<bool>,
}

impl Output {
    /// The most trials of a suite whose crashes are recorded unless it says otherwise. A crash takes about as many bytes
    /// as a trial, so that this is some 10 MB.
    pub const FEW_TRIALS: u64 = 10_000;

    fn is_as_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// A measure: what is measured beside the trials, in rounds that are spread over the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Which one.
    #[serde(deserialize_with = "levels::measure")]
    pub name: String,
    /// How often it is started.
    #[serde(deserialize_with = "levels::positive")]
    pub rounds: u64,
    /// Laps of each of its rows in a round.
    #[serde(deserialize_with = "levels::positive")]
    pub laps: u64,
    /// Its own settings; `catalog` checks them where they stand.
    #[serde(flatten)]
    pub settings: Table,
}

impl Default for Kv {
    fn default() -> Self {
        Self { mix: Mix::A, records: 1_000, operations: 200, commit_every: 10 }
    }
}

impl Default for Documents {
    fn default() -> Self {
        Self { corpus: None, documents: 40, hostile: 4, commit_every: 4 }
    }
}

impl Default for Stencil {
    fn default() -> Self {
        Self { size: 256, steps: 200, commit_every: 10, threads: 2 }
    }
}

impl Default for Native {
    fn default() -> Self {
        Self { inputs: 60, poison_every: 10, bugs: Bug::ALL.to_vec(), commit_every: 4 }
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { deadline_ms: 100 }
    }
}

impl Default for Intensity {
    fn default() -> Self {
        Self { restarts: 20, within_ms: 5_000 }
    }
}

impl Default for Spin {
    fn default() -> Self {
        let crashbed::Spin { most, percent } = crashbed::Spin::default();
        Self { most_ms: u64::try_from(most.as_millis()).unwrap_or(u64::MAX), percent }
    }
}

impl Default for Floor {
    fn default() -> Self {
        Self { trials: 30 }
    }
}
