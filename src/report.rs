//! What a transaction cost: its recoveries, phase by phase, and its memory.

use crate::crash::Crash;
use crate::mailbox::Mailbox;
use crate::mechanism::choice::Choice;
use crate::mechanism_kind::MechanismKind;
use crate::policy::Decision;
use crate::prefault;
use crate::scene::Answered;
use crate::spare::{Picked, Start};
use std::sync::atomic::Ordering;

/// One recovery: from a crash to the successor's first operation. Times are `CLOCK_MONOTONIC`, in nanoseconds; 0 is
/// "not reached". They are not always ascending: a spare that decides by itself has started, and knows that its
/// predecessor is stopped, before it has decided. So subtract them by `saturating_sub`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recovery {
    /// The crash.
    pub crash: Crash,
    /// What the policy decided.
    pub decision: Decision,
    /// What the program's own code answered, where it was asked.
    pub answered: Option<Answered>,
    /// When no thread of the crashed process could write any more: all were stopped, or it was gone.
    pub gone_ns: u64,
    /// When the policy had decided (its delay comes after).
    pub decided_ns: u64,
    /// When the delay was over and the daemon's part of the restore done.
    pub restored_ns: u64,
    /// How the successor was started.
    pub started_by: Start,
    /// The successor's first instruction; of a spare, the first after its release. A spare that decides by itself has
    /// started before it has decided.
    pub started_ns: u64,
    /// The successor's first operation was done.
    pub first_operation_ns: u64,
    /// All lost work was done again.
    pub redone_ns: u64,
    /// Page faults of the successor from its start to its first operation done.
    pub faults: u64,
    /// Whether the successor began with the crashed state, kept as it was.
    pub kept: bool,
    /// Operations that the state held with which the successor began; `None` where it crashed before it had a state.
    pub resumed_operations: Option<u64>,
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
    /// Whether a commit found that segmentation faults lead to a handler that is not the engine's: some library has put
    /// its own there. Where that one calls the handler that it found, crashes are noticed as ever; else the pidfd tells
    /// of them, later and with less.
    pub foreign_handler: bool,
    /// What spares cost.
    pub spares: SpareCost,
    /// The mechanism in use, in the end: the declared one, or what [`MechanismKind::Auto`] has chosen.
    pub mechanism: MechanismKind,
    /// What [`MechanismKind::Auto`] has found when it could choose last: before the transaction, or after a crash.
    pub choice: Option<Choice>,
    /// Those of its choices that were switches, oldest first.
    pub switches: Vec<Choice>,
    /// What [`Spare::Auto`](crate::Spare::Auto) picked last, where it was asked to.
    pub picked: Option<Picked>,
}

/// What the spares of a transaction cost, used or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpareCost {
    /// Spares that were forked.
    pub forked: u64,
    /// Spares that ended by themselves.
    pub lost: u64,
    /// Time that the daemon spent forking them, in nanoseconds.
    pub fork_ns: u64,
    /// Processor time that they took to get ready and to spin, in nanoseconds.
    pub processor_ns: u64,
    /// Memory that one of them has for itself, page tables included, in bytes; 0 before one was weighed.
    pub memory_bytes: u64,
}

impl Report {
    /// The most recoveries that are kept.
    pub const CAPACITY: usize = 64;

    /// Forgets the transaction before.
    pub(crate) fn clear(&mut self) {
        let recoveries = std::mem::take(&mut self.recoveries);
        *self = Self { recoveries, mechanism: self.mechanism, ..Self::default() };
        self.recoveries.clear();
    }

    /// Takes note of what `auto` has chosen, where it was asked to.
    pub(crate) fn add_choice(&mut self, choice: Option<Choice>) {
        if let Some(choice) = choice {
            self.choice = Some(choice);
            self.switches.extend(choice.instead_of.map(|_| choice));
        }
    }

    pub(crate) fn add(&mut self, recovery: Recovery) {
        self.crashes += 1;
        if self.recoveries.len() == Self::CAPACITY {
            // The first crash is what an experiment planned; it stays.
            self.recoveries.remove(1);
        }
        self.recoveries.push(recovery);
    }

    /// Touches the memory that the next recovery is written to.
    pub(crate) fn make_writable(&mut self) {
        prefault::touch_room(&mut self.recoveries);
    }

    /// Completes the newest recovery from what its successor left.
    pub(crate) fn complete(&mut self, successor: &Mailbox) {
        self.foreign_handler |= successor.foreign_handler.load(Ordering::Relaxed) == 1;
        self.first_operation_ns = successor.first_operation_ns.load(Ordering::Relaxed);
        let Some(newest) = self.recoveries.last_mut() else { return };
        newest.started_by = Start::from_word(successor.standby.started_by.load(Ordering::Relaxed));
        newest.faults = successor.faults.load(Ordering::Relaxed);
        newest.started_ns = successor.started_ns.load(Ordering::Relaxed);
        newest.first_operation_ns = successor.first_operation_ns.load(Ordering::Relaxed);
        newest.redone_ns = successor.redone_ns.load(Ordering::Relaxed);
        newest.resumed_operations = successor.resumed();
        newest.answered = Answered::from_word(successor.answered.load(Ordering::Relaxed));
    }
}
