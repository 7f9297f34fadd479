//! What a transaction cost: its recoveries, phase by phase, and its memory.

use crate::crash::Crash;
use crate::mailbox::Mailbox;
use crate::policy::Decision;
use crate::scene::Answered;
use crate::spare::{SpareCost, Start};
use std::sync::atomic::Ordering;

/// One recovery: from a crash to the successor's first operation. Times are `CLOCK_MONOTONIC`, in nanoseconds; 0 is
/// "not reached".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recovery {
    /// The crash.
    pub crash: Crash,
    /// What the policy decided.
    pub decision: Decision,
    /// What the program's own code answered, where it was asked.
    pub answered: Option<Answered>,
    /// When no thread of the crashed process could run any more.
    pub gone_ns: u64,
    /// When the policy had decided (its delay comes after).
    pub decided_ns: u64,
    /// When the delay was over and the daemon's part of the restore done.
    pub restored_ns: u64,
    /// The successor's first instruction.
    pub started_ns: u64,
    /// The successor's first operation was done.
    pub first_operation_ns: u64,
    /// All lost work was done again.
    pub redone_ns: u64,
    /// Operations that the state held with which the successor began; `None` where it crashed before it had a state.
    pub resumed_operations: Option<u64>,
    /// How the successor really started.
    pub started_by: Start,
    /// Page faults from the take-over to the first operation done.
    pub faults: u64,
}

/// What the newest transaction of a daemon went through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The recoveries, oldest first: the first and newest of them, [`Report::CAPACITY`] in all.
    pub recoveries: Vec<Recovery>,
    /// Crashes in all.
    pub crashes: u64,
    /// When the newest incarnation's first operation was done; 0 where it did none.
    pub first_operation_ns: u64,
    /// Bytes of the region in use, before and after.
    pub live_bytes: (u64, u64),
    /// Commits made, the first one of a fresh state included.
    pub commits: u64,
    /// What its spares cost.
    pub spares: SpareCost,
}

impl Report {
    /// The most recoveries that are kept.
    pub const CAPACITY: usize = 64;

    pub(crate) fn add(&mut self, recovery: Recovery) {
        self.crashes += 1;
        if self.recoveries.len() == Self::CAPACITY {
            // The first crash is what an experiment planned; it stays.
            self.recoveries.remove(1);
        }
        self.recoveries.push(recovery);
    }

    /// Completes the newest recovery from what its successor left.
    pub(crate) fn complete(&mut self, successor: &Mailbox) {
        self.first_operation_ns = successor.first_operation_ns.load(Ordering::Relaxed);
        let Some(newest) = self.recoveries.last_mut() else { return };
        newest.started_ns = successor.started_ns.load(Ordering::Relaxed);
        newest.first_operation_ns = successor.first_operation_ns.load(Ordering::Relaxed);
        newest.redone_ns = successor.redone_ns.load(Ordering::Relaxed);
        newest.resumed_operations = successor.resumed();
        newest.answered = Answered::from_word(successor.answered.load(Ordering::Relaxed));
    }
}
