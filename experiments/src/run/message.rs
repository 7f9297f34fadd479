//! What the program and its tree say to each other: one JSON object a line, orders down one pipe a daemon, replies up
//! one pipe for all.
//!
//! The program holds plan, oracle and files; the tree holds what crashes. One order is under way at a time.

use super::witness::Seen;
use crate::record::{GaveUpBy, Recovered};
use crate::suite::Suite;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The daemon that the fault `foreign-write` aims at.
pub(super) const NEIGHBOUR: &str = "neighbour";

/// What the tree is told before it forks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// The suite: settings of workloads, trigger, heartbeat and limits.
    pub suite: Suite,
    /// The corpus of workload `documents`, where a daemon runs it.
    pub corpus: Option<PathBuf>,
    /// The daemons.
    pub daemons: Vec<DaemonSetup>,
    /// The descriptor on which nothing ever comes, until the program closes its other end: the neighbour's.
    pub neighbour: i32,
    /// The descriptor that replies go to.
    pub replies: i32,
}

/// One daemon of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonSetup {
    /// Its workload.
    pub workload: String,
    /// Its mechanism.
    pub mechanism: String,
    /// Its region's size.
    pub region_bytes: u64,
    /// The descriptor that its orders come from.
    pub orders: i32,
}

impl DaemonSetup {
    /// The daemon's name in the tree.
    pub fn name(&self) -> String {
        format!("{}-{}-{}", self.workload, self.mechanism, self.region_bytes)
    }
}

/// What a daemon is told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Make a trial.
    Trial {
        /// The restart policy.
        policy: String,
        /// The fault, or `none`.
        fault: String,
        /// How successors are made ready.
        spare: String,
        /// The trial's seed.
        seed: u64,
        /// Whether the daemon itself has crashed in the trial, which it goes on with then.
        resumes: bool,
    },
    /// Make trials by one resident transaction.
    Batch {
        /// The restart policy.
        policy: String,
        /// The fault.
        fault: String,
        /// How successors are made ready.
        spare: String,
        /// The trials' seeds; the first makes the script too.
        seeds: Vec<u64>,
        /// Whether each incarnation reads all of its region.
        touch: bool,
    },
    /// Measure the floor.
    Floor {
        /// How the death becomes known: `signal` (by a handler), `waitpid`, `kill`, `heartbeat`.
        notice: String,
        /// How the successor is started: `cold`, `warm`, `hot`.
        start: String,
        /// How often.
        laps: u64,
    },
}

/// What a daemon answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// The daemon has made its state and waits for orders. Whatever strikes at a commit must wait for all of them: a state
    /// is made by a commit, too.
    Ready,
    /// A trial is over.
    Trial(Box<TrialReply>),
    /// A batch is over: its trials in order. What is said of the end is said of the one end that they have.
    Batch(Vec<TrialReply>),
    /// The daemon crashed in a trial and was made again; it waits for an order to resume.
    Restarted {
        /// Its crash.
        crash: CrashReply,
        /// The same in full.
        in_full: Box<Recovered>,
        /// When the root knew of it.
        noticed_ns: u64,
    },
    /// The floor: hand-over and recovery of each lap, in nanoseconds, and its page faults; empty where there is no state
    /// yet to work on.
    Floor(Vec<(u64, u64, u64)>),
    /// The order could not be carried out.
    Refused(String),
}

/// A trial as the tree saw it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TrialReply {
    /// How the transaction ended.
    pub ended: Ended,
    /// Why it failed, in words.
    pub failure: Option<String>,
    /// Whether the failure is the injected one.
    pub failed_as_injected: bool,
    /// The first crash.
    pub first: Option<CrashReply>,
    /// Crashes of transactions in all.
    pub crashes: u64,
    /// The first recovery's times (`CLOCK_MONOTONIC`, ns; 0 not reached).
    pub times: Option<Times>,
    /// How the first successor really started; `None` where there was none.
    pub started_by: Option<String>,
    /// The mechanism in use in the end; `None` where there was no transaction.
    pub mechanism_in_use: Option<String>,
    /// Its page faults from the take-over to its first operation done; `None` where it did none.
    pub take_over_faults: Option<u64>,
    /// Processor time of spares for each recovery of the transaction; `None` where none was forked.
    pub spare_processor_ns: Option<u64>,
    /// Memory that one spare has for itself; `None` where none was weighed.
    pub spare_memory_bytes: Option<u64>,
    /// The crashes after the first one, in words.
    pub further: Vec<String>,
    /// All crashes in full, where the suite wants them recorded; at most [`Report::CAPACITY`](crashbed::Report::CAPACITY).
    pub recovered: Vec<Recovered>,
    /// Private memory of the daemon afterwards.
    pub daemon_private_bytes: Option<u64>,
    /// When the newest incarnation's first operation was done.
    pub first_operation_ns: u64,
    /// Operations done again, over all recoveries.
    pub lost_operations: u64,
    /// Faults asked for, struck, and with an effect.
    pub planned: u64,
    /// See `planned`.
    pub injected: u64,
    /// See `planned`.
    pub activated: u64,
    /// The first strike: the instant before the faulting instruction, and the operation.
    pub strike: Option<(u64, u64)>,
    /// Operations that the final state counts.
    pub operations: u64,
    /// The final state's digest.
    pub digest: String,
    /// What the program's own check of the final state found wrong.
    pub complaint: Option<String>,
    /// The digest when all lost work had been done again, and the number of operations then.
    pub redone: Option<(u64, String)>,
    /// Operations of the script; `None` of a trial that hung.
    pub script_operations: Option<u64>,
    /// Who gave up, where somebody did.
    pub gave_up_by: Option<GaveUpBy>,
    /// Whether it was the daemon that was given up, which was made again to say so.
    pub daemon_given_up: bool,
    /// What was seen of all of the trial; nothing of one in a batch.
    pub seen: Seen,
    /// How many crashed states were kept, and how often the program's own code answered by a state anew.
    pub kept: u64,
    /// See `kept`.
    pub answered_zero: u64,
    /// Why none can be kept, where that is so.
    pub keeps_nothing: Option<String>,
    /// The workload's own figures.
    pub counts: BTreeMap<String, u64>,
    /// Names of quarantined inputs.
    pub quarantined: Vec<String>,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// Done.
    #[default]
    Done,
    /// By an error or a panic.
    Failed,
    /// Given up.
    GaveUp,
}

/// A crash in a reply.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CrashReply {
    /// The signal's name.
    pub signal: Option<String>,
    /// How it became known.
    pub notice: String,
    /// In words.
    pub words: String,
    /// Where in the program's image.
    pub image_offset: Option<u64>,
    /// The operation in flight.
    pub operation: u64,
    /// Operations that the last commit held.
    pub committed_operations: u64,
    /// Operations that the state held with which the successor began; `None` where there was none.
    pub resumed_operations: Option<u64>,
}

/// The times of a recovery.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Times {
    /// The crash itself, or the last sign of life.
    pub happened_ns: u64,
    /// Known.
    pub noticed_ns: u64,
    /// No thread could run any more.
    pub gone_ns: u64,
    /// Decided.
    pub decided_ns: u64,
    /// Restored.
    pub restored_ns: u64,
    /// The successor's first instruction.
    pub started_ns: u64,
    /// Its first operation done.
    pub first_operation_ns: u64,
    /// Lost work done again.
    pub redone_ns: u64,
}
