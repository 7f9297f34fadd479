//! Suites: what an experiment asks, varies and keeps fixed, read from TOML.
//!
//! Whatever is wrong with a suite is found here, before anything runs, and named with file, line, key and the nearest
//! valid name. A suite is written back as TOML into the manifest, so that a trial can be made again from a run's folder
//! alone.

use crate::levels;
use crate::record::Levels;
use crate::size::Size;
use crate::when::Trigger;
use crate::workloads::ycsb::Mix;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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
    /// What is varied: a grid, or several of which no two have a cell in common.
    #[serde(with = "levels::blocks")]
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

    /// The block that a cell is in.
    pub fn block_of(&self, levels: &Levels) -> Option<&Factors> {
        self.factors.iter().find(|block| block.levels().contains(levels))
    }
}

/// A grid: the levels of each factor. Every combination is a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factors {
    /// Restart policies.
    #[serde(deserialize_with = "levels::policies")]
    pub policy: Vec<String>,
    /// Mechanisms.
    #[serde(deserialize_with = "levels::mechanisms")]
    pub mechanism: Vec<String>,
    /// Workloads.
    #[serde(deserialize_with = "levels::workloads")]
    pub workload: Vec<String>,
    /// Faults.
    #[serde(deserialize_with = "levels::faults")]
    pub fault: Vec<String>,
    /// Sizes of the region.
    #[serde(deserialize_with = "levels::one_or_many")]
    pub region: Vec<Size>,
    /// How successors are made ready.
    #[serde(default = "cold", deserialize_with = "levels::spares")]
    pub spare: Vec<String>,
    /// What else runs on the machine.
    #[serde(default = "unloaded", deserialize_with = "levels::loads")]
    pub load: Vec<String>,
    /// Trials of each cell.
    #[serde(deserialize_with = "levels::positive")]
    pub trials: u64,
    /// Trials that one transaction goes through, as it is crashed again and again; 1 gives each trial its own.
    #[serde(default = "one", deserialize_with = "levels::positive")]
    pub batch: u64,
    /// Whether each incarnation of such a transaction reads all of its region before it is crashed.
    #[serde(default)]
    pub touch: bool,
}

impl Factors {
    /// How many combinations of levels there are.
    pub fn cells(&self) -> u64 {
        let Self { policy, mechanism, workload, fault, spare, load, .. } = self;
        let names = [policy, mechanism, workload, fault, spare, load];
        let levels = names.map(Vec::len).into_iter().chain([self.region.len()]);
        levels.map(|count| count as u64).product()
    }

    /// Every combination of levels.
    pub fn levels(&self) -> Vec<Levels> {
        let mut cells = Vec::new();
        for region in &self.region {
            for workload in &self.workload {
                for load in &self.load {
                    for fault in &self.fault {
                        for mechanism in &self.mechanism {
                            for policy in &self.policy {
                                for spare in &self.spare {
                                    cells.push(Levels {
                                        policy: policy.clone(),
                                        mechanism: mechanism.clone(),
                                        workload: workload.clone(),
                                        fault: fault.clone(),
                                        spare: spare.clone(),
                                        region_bytes: region.bytes(),
                                        load: load.clone(),
                                    });
                                }
                            }
                        }
                    }
                }
            }
        }
        cells
    }
}

fn cold() -> Vec<String> {
    vec!["cold".to_owned()]
}

fn unloaded() -> Vec<String> {
    vec!["none".to_owned()]
}

fn one() -> u64 {
    1
}

/// The workloads' settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workloads {
    /// Of `kv`.
    pub kv: Kv,
    /// Of `documents`.
    pub documents: Documents,
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

/// How trials are made that share a transaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// How long each incarnation works on after its first operation before the next fault may strike, in microseconds:
    /// the mean of what is drawn for each trial, from half of it to one and a half.
    #[serde(deserialize_with = "levels::pause")]
    pub pause_us: u64,
}

impl Batch {
    /// The most trials that one transaction goes through: the engine reports so many recoveries in full, with room for
    /// crashes that nobody planned.
    pub const MOST: u64 = 50;
}

impl Default for Batch {
    fn default() -> Self {
        Self { pause_us: 500 }
    }
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

impl Default for Floor {
    fn default() -> Self {
        Self { trials: 30 }
    }
}
