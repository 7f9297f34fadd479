//! What a suite varies: grids of levels, each with its own number of trials.

use crate::levels;
use crate::record::Levels;
use crate::size::Size;
use serde::{Deserialize, Serialize};

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
