//! What the engine says of a trial's recoveries, in the words of a reply.

use super::message::{CrashReply, Times, TrialReply};
use crate::record::{GaveUpBy, Recovered};
use crashbed::{Action, Answered, Crash, Recovery, Report};

/// Adds to `end` what the recoveries of a trial were, among those of the whole `report`.
pub(super) fn account(own: &[Recovery], report: &Report, end: TrialReply) -> TrialReply {
    let first = own.first();
    let spares = report.spares;
    TrialReply {
        first: first.map(|first| crash_reply(&first.crash, resumed(own))),
        further: own.iter().skip(1).map(|own| own.crash.to_string()).collect(),
        times: first.map(times),
        started_by: first.filter(|first| first.started_ns != 0).map(|first| first.started_by.name().to_owned()),
        mechanism_in_use: Some(report.mechanism.name().to_owned()),
        take_over_faults: first.filter(|first| first.first_operation_ns != 0).map(|first| first.faults),
        spare_processor_ns: (spares.forked > 0).then(|| spares.processor_ns / report.crashes.max(1)),
        spare_memory_bytes: (spares.memory_bytes > 0).then_some(spares.memory_bytes),
        first_operation_ns: report.first_operation_ns,
        lost_operations: lost(own),
        kept: own.iter().filter(|recovery| recovery.kept).count() as u64,
        answered_zero: own.iter().filter(|recovery| recovery.answered == Some(Answered::Zero)).count() as u64,
        ..end
    }
}

/// The crashes in `report` that are `wanted`, in full, each with its number in the transaction.
pub(super) fn in_full(report: &Report, wanted: impl Fn(&Recovery) -> bool) -> Vec<Recovered> {
    // A report keeps the first crash, and the newest ones.
    let dropped = report.crashes - report.recoveries.len() as u64;
    let numbers = (0..).map(|place| if place == 0 { 0 } else { place + dropped });
    let numbered = numbers.zip(&report.recoveries).filter(|(_, recovery)| wanted(recovery));
    numbered.map(|(number, recovery)| Recovered::of_transaction(number, recovery)).collect()
}

/// A crash, and how many operations the state held that was found after it.
pub(super) fn crash_reply(crash: &Crash, resumed_operations: Option<u64>) -> CrashReply {
    CrashReply {
        signal: crash.cause.signal().map(crashbed::crash::signal_name),
        notice: crash.notice.to_string(),
        words: crash.to_string(),
        image_offset: crash.place.and_then(|place| place.image_offset),
        operation: crash.operation,
        committed_operations: crash.committed_operations,
        resumed_operations,
    }
}

/// Operations that the state held that was found after the first crash: by its successor, or, where that crashed in
/// the restore, by a later one.
fn resumed(recoveries: &[Recovery]) -> Option<u64> {
    recoveries.iter().find_map(|recovery| recovery.resumed_operations)
}

/// Operations that were done and had to be done again, over all recoveries.
fn lost(recoveries: &[Recovery]) -> u64 {
    let (mut reached, mut lost) = (0, 0);
    for recovery in recoveries {
        reached = recovery.crash.operation.max(reached);
        if let Some(resumed) = recovery.resumed_operations {
            lost += reached.saturating_sub(resumed);
            reached = resumed;
        }
    }
    lost
}

fn times(recovery: &Recovery) -> Times {
    Times {
        happened_ns: recovery.crash.happened_ns,
        noticed_ns: recovery.crash.noticed_ns,
        gone_ns: recovery.gone_ns,
        decided_ns: recovery.decided_ns,
        restored_ns: recovery.restored_ns,
        started_ns: recovery.started_ns,
        first_operation_ns: recovery.first_operation_ns,
        redone_ns: recovery.redone_ns,
    }
}

/// Who gave up on a transaction, by its newest recovery.
pub(super) fn who_gave_up(newest: Option<&Recovery>) -> GaveUpBy {
    match newest {
        Some(Recovery { decision, .. }) if decision.action == Action::GiveUp => GaveUpBy::Policy,
        Some(Recovery { answered: Some(Answered::GiveUp), .. }) => GaveUpBy::Program,
        _ => GaveUpBy::Limit,
    }
}
