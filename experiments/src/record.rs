//! What a run writes: one [`Trial`] a line in `trials.jsonl`, one [`RecordedCrash`] a line in `crashes.jsonl`, one
//! [`Cell`] a combination of levels in `summary.json`, one [`Manifest`] in `manifest.json`, and in `measurements.json`
//! what was measured beside the trials.
//!
//! The formats are versioned by [`FORMAT`]. Durations are nanoseconds on `CLOCK_MONOTONIC` and end in `_ns`; `null`
//! means that there was nothing to measure, never zero. Levels are plain strings and numbers under the same names in
//! all three files.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod course;
mod crash;
mod measurement;
mod standing;
mod target;

pub use course::{Course, GaveUpBy, Poison};
pub use crash::{RecordedCrash, Recovered, Then, Victim, action};
pub use measurement::{Level, Measurement, Measurements, Unit};
pub use standing::{Figure, Mean, Met, Prediction, Predictor, Standing};
pub use target::Target;

/// The version of the formats; raised when a field changes its meaning.
pub const FORMAT: u32 = 1;

/// The levels of the factors: what tells one cell from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Levels {
    /// Restart policy, as `checkpoint-resume`.
    pub policy: String,
    /// Mechanism, as `copy-on-write`.
    pub mechanism: String,
    /// Workload, as `kv`.
    pub workload: String,
    /// Fault, as `null-read`; `none` where none was planned.
    pub fault: String,
    /// How the successor is made ready, as `hot`.
    pub spare: String,
    /// The region's size in bytes.
    pub region_bytes: u64,
    /// What else runs on the machine, as `busy`.
    #[serde(default = "unloaded")]
    pub load: String,
}

/// The load of results that were written before there was one.
fn unloaded() -> String {
    "none".to_owned()
}

/// One planned fault (or one pass over a corpus) and all that followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The trial's number in the run's order, from 0.
    pub trial: u64,
    /// What was varied.
    #[serde(flatten)]
    pub levels: Levels,
    /// The seed of this trial alone: it makes the trial again.
    pub seed: u64,
    /// Faults that the plan asked for.
    pub planned: u64,
    /// Faults whose trigger was reached and whose code ran.
    pub injected: u64,
    /// Faults that had an effect: the kernel stopped the process, the bit changed, the write landed.
    pub activated: u64,
    /// Faults that the tree noticed.
    pub noticed: u64,
    /// The signal that ended the first crashed incarnation, as `SIGSEGV`; null where none did.
    pub signal: Option<String>,
    /// How the first crash became known: `handler`, `torn`, `pidfd`, `heartbeat`; null where there was no crash.
    pub notice: Option<String>,
    /// The first crash in words; null where there was none.
    pub crash: Option<String>,
    /// How the first successor really started: `cold`, `warm`, `hot`; null where there was none.
    #[serde(default)]
    pub started_by: Option<String>,
    /// The mechanism in use in the end: where the level is `auto`, what was chosen; null where there was no transaction.
    #[serde(default)]
    pub mechanism_in_use: Option<String>,
    /// Processor time that spares used before they took over, for each recovery of the transaction; null where no spare
    /// was forked.
    #[serde(default)]
    pub spare_processor_ns: Option<u64>,
    /// Memory that one spare has for itself, page tables included; null where none was weighed.
    #[serde(default)]
    pub spare_memory_bytes: Option<u64>,
    /// Private memory of the daemon afterwards, whose page tables every fork copies.
    #[serde(default)]
    pub daemon_private_bytes: Option<u64>,
    /// Crashes in this trial.
    pub crashes: u64,
    /// How the transaction ended.
    pub outcome: Outcome,
    /// What the oracle says of it.
    pub verdict: Verdict,
    /// Why, in words, where the verdict needs one.
    pub remark: Option<String>,
    /// Operations that had been done and had to be done again.
    pub lost_operations: u64,
    /// The operation in flight at the first crash: done, not done, unknown; null where none was in flight.
    pub in_flight: Option<InFlight>,
    /// Operations completed at the end.
    pub operations: u64,
    /// Operations that the last commit held at the first crash.
    pub committed_operations: u64,
    /// The phases of the first recovery.
    #[serde(flatten)]
    pub phases: Phases,
    /// The fault that was drawn, where the level is a mix of faults; else null.
    #[serde(default)]
    pub drawn_fault: Option<String>,
    /// Operations of the whole script; null in older results, and of a trial that hung.
    #[serde(default)]
    pub script_operations: Option<u64>,
    /// From the beginning of its work, on a state that is there, until its end; null where it shares a transaction with
    /// others, where it never began, or hung.
    #[serde(default)]
    pub took_ns: Option<u64>,
    /// What the policy did, over all recoveries; null in results that are older, and of a trial that hung.
    #[serde(default)]
    pub course: Option<Course>,
    /// What came of the operations that crash whenever they are met; null where none was met.
    #[serde(default)]
    pub poison: Option<Poison>,
    /// The workload's own figures (`indexed`, `failed`, `quarantined` …).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// Names of the inputs that were quarantined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined_files: Vec<String>,
    /// A digest of the final state, blind to the order of hash maps; null where it could not be read.
    pub digest: Option<String>,
}

impl Trial {
    /// Whether its time tells how long the work takes without a crash: no fault was planned, and none came.
    pub(crate) fn is_crash_free(&self) -> bool {
        self.levels.fault == "none" && self.crashes == 0 && self.outcome == Outcome::Done
    }

    /// The fault that was planned: the level, or what was drawn where that is a mix.
    pub fn fault(&self) -> &str {
        self.drawn_fault.as_deref().unwrap_or(&self.levels.fault)
    }
}

/// The phases of a recovery. They add up to [`recovery_ns`](Self::recovery_ns), whatever their order in time:
/// a mechanism may restore before or after the successor starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    /// From the last instant before the faulting instruction to the successor's first completed operation.
    pub recovery_ns: Option<u64>,
    /// From the fault to the daemon's knowledge of it.
    pub notice_ns: Option<u64>,
    /// How long the recovery waited until no thread of the crashed process could run any more; 0 where it did not.
    pub stop_ns: Option<u64>,
    /// The policy's decision.
    pub decide_ns: Option<u64>,
    /// Putting the state back.
    pub restore_ns: Option<u64>,
    /// From the state restored to the successor's first instruction, or the first after a spare's wait.
    pub start_ns: Option<u64>,
    /// From the successor's first instruction to its first completed operation.
    pub first_operation_ns: Option<u64>,
    /// From the fault to the successor's first instruction: the hand-over.
    pub hand_over_ns: Option<u64>,
    /// From the first completed operation until all lost work was done again.
    pub redo_ns: Option<u64>,
    /// From the notice until no thread of the crashed process could run any more, where the recovery did not wait for it.
    pub teardown_ns: Option<u64>,
    /// How long the fault was active before it was noticed, in operations.
    pub undetected_operations: Option<u64>,
    /// Page faults of the successor from its take-over to its first completed operation.
    pub take_over_faults: Option<u64>,
}

impl Phases {
    /// The phases that add up to the recovery, in the order of the path, each with its name.
    pub fn parts(&self) -> [(&'static str, Option<u64>); 6] {
        [
            ("notice", self.notice_ns),
            ("stop", self.stop_ns),
            ("decide", self.decide_ns),
            ("restore", self.restore_ns),
            ("start", self.start_ns),
            ("first operation", self.first_operation_ns),
        ]
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Done: its last commit holds all of its work.
    Done,
    /// An error or a panic ended it; the last commit stands.
    Failed,
    /// Policy, program or restart intensity gave up on it.
    GaveUp,
    /// The trial did not end within its time and was stopped.
    Hung,
}

/// What the oracle says of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The successor found the newest commit that was acknowledged or in flight, and the end is right.
    Exact,
    /// The successor found an older commit, and the end is right.
    OlderCommit,
    /// The successor started from zero, and the end is right.
    Zeroed,
    /// The state was wrong, and the program or the engine noticed.
    CorruptDetected,
    /// The state was wrong, and nobody noticed but the oracle.
    CorruptSilent,
    /// The transaction was given up.
    GaveUp,
    /// The trial did not end.
    Hung,
    /// The resumed successor crashed again, without a further fault.
    CrashedAgain,
    /// The oracle cannot tell.
    Unknown,
    /// The planned fault never struck: the trial says nothing.
    Inconclusive,
}

/// What became of the operation in flight at a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InFlight {
    /// The state that was resumed holds it.
    Done,
    /// The state that was resumed does not hold it.
    NotDone,
    /// It cannot be told.
    Unknown,
}

/// One combination of levels, over all of its trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The combination.
    #[serde(flatten)]
    pub levels: Levels,
    /// Trials in it.
    pub trials: u64,
    /// Faults planned.
    pub planned: u64,
    /// Faults injected.
    pub injected: u64,
    /// Faults activated.
    pub activated: u64,
    /// Faults noticed.
    pub noticed: u64,
    /// Crashes in all.
    pub crashes: u64,
    /// Whether a planned fault struck at all; false makes the cell inconclusive.
    pub conclusive: bool,
    /// Trials by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Trials by verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Recovery latency.
    pub recovery_ns: Option<Distribution>,
    /// Hand-over latency.
    pub hand_over_ns: Option<Distribution>,
    /// Each phase by its name, as `notice_ns`.
    pub phases: BTreeMap<String, Distribution>,
    /// Lost operations.
    pub lost_operations: Option<Distribution>,
    /// The p50 of the bare path with the same notice, mechanism, region size and first operation, in the same run.
    pub floor_p50_ns: Option<f64>,
    /// The p50 of `recovery_ns` over `floor_p50_ns`.
    pub recovery_over_floor_p50: Option<f64>,
    /// The p50 of `hand_over_ns` over the bare hand-over's p50 in the same run.
    pub hand_over_over_floor_p50: Option<f64>,
    /// The p99 of `recovery_ns` over its p50.
    pub p99_over_p50: Option<f64>,
    /// The same of the floor's `recovery_ns`.
    pub floor_p99_over_p50: Option<f64>,
    /// Page faults from the take-over to the first completed operation.
    pub take_over_faults: Option<Distribution>,
    /// Trials by how their first successor really started.
    #[serde(default)]
    pub started_by: BTreeMap<String, u64>,
    /// Processor time of spares for each recovery.
    pub spare_processor_ns: Option<Distribution>,
    /// Memory that one spare has for itself.
    pub spare_memory_bytes: Option<Distribution>,
    /// The most private memory that the daemon had.
    pub daemon_private_bytes: Option<u64>,
    /// Inputs indexed, over one pass (workload `documents`).
    #[serde(flatten)]
    pub counts: BTreeMap<String, u64>,
    /// Names of the inputs quarantined in one pass.
    #[serde(default)]
    pub quarantined_files: Vec<String>,
    /// The final state's digest, where all trials agree on it.
    pub digest: Option<String>,
}

/// A distribution by its quantiles; a tail quantile is there only where the trials carry it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Samples.
    pub n: u64,
    /// The least.
    pub min: u64,
    /// The median.
    pub p50: f64,
    /// A confidence interval of at least 95 % for the median, by order statistics; null below 6 samples.
    pub p50_ci: Option<(f64, f64)>,
    /// 90 % quantile; null below 50 samples.
    pub p90: Option<f64>,
    /// 99 % quantile; null below 500 samples.
    pub p99: Option<f64>,
    /// 99.9 % quantile; null below 10,000 samples.
    pub p999: Option<f64>,
    /// The most.
    pub max: u64,
}

/// `summary.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`FORMAT`].
    pub format: u32,
    /// The suite's name.
    pub suite: String,
    /// Whether every planned trial was made; false after an interruption or a full disk.
    pub complete: bool,
    /// Trials made.
    pub trials: u64,
    /// Crashes in all.
    pub crashes: u64,
    /// The answer to the suite's question, one sentence a line.
    pub answer: Vec<String>,
    /// What the run was to show, where it measured what that compares.
    #[serde(default)]
    pub targets: Vec<Target>,
    /// How each policy stands under each mix of faults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standings: Vec<Standing>,
    /// What a replay and a simulation predict of that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predictions: Vec<Prediction>,
    /// What was left out, each with its reason: `skipped, because …`.
    pub skipped: Vec<String>,
    /// The floors measured in this run.
    pub floors: Vec<Floor>,
    /// What was measured beside the trials.
    #[serde(default)]
    pub measurements: Vec<Measurement>,
    /// One object a combination of levels.
    pub cells: Vec<Cell>,
}

/// A floor measured in the run: the least that bare system calls need for a path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// Which path, as `waitpid + fork`.
    pub path: String,
    /// Its notice: `signal`, `kill` or `heartbeat`.
    pub notice: String,
    /// How its successor starts: `cold`, `warm` or `hot`.
    #[serde(default = "cold")]
    pub spare: String,
    /// Mechanism whose restore it includes.
    pub mechanism: String,
    /// Workload whose first operation it includes.
    pub workload: String,
    /// The region's size.
    pub region_bytes: u64,
    /// What else ran on the machine.
    #[serde(default = "unloaded")]
    pub load: String,
    /// Fault to the successor's first instruction.
    pub hand_over_ns: Distribution,
    /// Fault to the first operation done.
    pub recovery_ns: Distribution,
    /// Page faults of the successor between the two; null in results that are older than the figure.
    pub take_over_faults: Option<Distribution>,
}

/// The start of floors that were written before there was another.
fn cold() -> String {
    "cold".to_owned()
}

/// `manifest.json`: what was run where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The suite's name.
    pub suite: String,
    /// The suite's question.
    pub question: String,
    /// The suite as run, in TOML, narrowed by the command line.
    pub settings: String,
    /// The run's seed.
    pub seed: u64,
    /// When it began, UTC, ISO 8601.
    pub started: String,
    /// The program's version.
    pub version: String,
    /// The git revision it was built from; `unknown` outside a repository.
    pub revision: String,
    /// Machine and kernel facts by name: `kernel`, `cpu`, `cores`, `memory_bytes`, `governor`, `huge_pages`,
    /// `address_randomisation`, `core_pattern`, `limits` …
    pub machine: BTreeMap<String, String>,
}
