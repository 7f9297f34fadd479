//! Random crashes and histories, for every test of this crate.

// Each test target uses its own part of this.
#![allow(dead_code)]

use crashbed::{Action, Cause, Crash, Decision, Environment, History, Notice, Phase, Place, RestartPolicy, Text};
use proptest::prelude::*;
use std::time::Duration;

fn causes() -> impl Strategy<Value = Cause> {
    prop_oneof![
        (1..=64_i32, any::<i32>(), any::<u64>()).prop_map(|(signal, code, address)| Cause::Signal {
            signal,
            code,
            address
        }),
        (0..=255_i32).prop_map(|status| Cause::Exited { status }),
        (any::<u64>(), any::<bool>())
            .prop_map(|(silent, stopped)| Cause::Hung { silent: Duration::from_nanos(silent), stopped }),
    ]
}

fn places() -> impl Strategy<Value = Place> {
    (any::<u64>(), any::<u64>(), any::<Option<u64>>()).prop_map(|(instruction, stack, image_offset)| Place {
        instruction,
        stack,
        image_offset,
    })
}

fn phases() -> impl Strategy<Value = Phase> {
    use Phase::{Committing, Deciding, Ending, Running, Starting};
    prop::sample::select(vec![Running, Running, Running, Running, Starting, Deciding, Committing, Ending])
}

/// Any crash at all.
pub(crate) fn crashes() -> impl Strategy<Value = Crash> {
    let how = (
        causes(),
        prop::sample::select(vec![Notice::Handler, Notice::Torn, Notice::Pidfd, Notice::Heartbeat]),
        phases(),
        prop::option::of(places()),
        (any::<Option<bool>>(), any::<bool>()),
        "\\PC{0,20}",
    );
    // Few operations, so that histories hold several crashes of one.
    let when = (any::<u64>(), 0..6_u64, 0..6_u64, any::<i32>(), any::<u64>(), any::<u64>());
    (how, when).prop_map(|((cause, notice, phase, place, (heap_locked, changing), note), when)| {
        let (incarnation, operation, committed_operations, thread, happened_ns, noticed_ns) = when;
        Crash {
            cause,
            notice,
            phase,
            incarnation,
            operation,
            committed_operations,
            commit: 1,
            thread,
            place,
            heap_locked,
            changing,
            happened_ns,
            noticed_ns,
            note: Text::new(&note),
        }
    })
}

/// A plain crash in `operation`, with a quarter of the work committed.
pub(crate) fn crash_in(operation: u64) -> Crash {
    Crash {
        cause: Cause::Signal { signal: 11, code: 1, address: 8 },
        notice: Notice::Handler,
        phase: Phase::Running,
        incarnation: 1,
        operation,
        committed_operations: operation / 4,
        commit: 1,
        thread: 1,
        place: None,
        heap_locked: None,
        changing: false,
        happened_ns: 0,
        noticed_ns: 0,
        note: Text::EMPTY,
    }
}

/// The crashes of one transaction as they follow one another in time, no more than a history holds: of few kinds, in
/// few operations, from a millisecond to two hours apart.
pub(crate) fn sequences() -> impl Strategy<Value = Vec<Crash>> {
    let gap_ms = prop_oneof![4 => 1..3_000_u64, 1 => 3_000..20_000_u64, 1 => 3_000_000..7_200_000_u64];
    let kinds = (10..13_i32, prop::option::of(0..3_u64));
    let crash = (gap_ms, kinds, phases(), 0..12_u64, 0..6_u64, any::<Option<bool>>(), any::<bool>());
    prop::collection::vec(crash, 1..=History::CAPACITY).prop_map(|crashes| {
        let (mut noticed_ns, mut incarnation) = (0, 0);
        let crashes = crashes.into_iter().map(|crash| {
            let (gap_ms, (signal, offset), phase, operation, uncommitted, heap_locked, changing) = crash;
            noticed_ns += gap_ms * 1_000_000;
            incarnation += 1;
            Crash {
                cause: Cause::Signal { signal, code: 1, address: 8 },
                phase,
                incarnation,
                committed_operations: operation.saturating_sub(uncommitted),
                place: offset.map(|offset| Place { instruction: noticed_ns, stack: 0, image_offset: Some(offset) }),
                heap_locked,
                changing,
                happened_ns: noticed_ns - 1000,
                noticed_ns,
                ..crash_in(operation)
            }
        });
        crashes.collect()
    })
}

fn actions() -> impl Strategy<Value = Action> {
    use Action::{GiveUp, KeepIfIntact, Older, ProcessDecides, RestartDaemon, Resume, Skip, Zero};
    let plain = vec![Zero, Resume, Skip, ProcessDecides, KeepIfIntact, RestartDaemon, GiveUp];
    prop_oneof![7 => prop::sample::select(plain), 1 => any::<u8>().prop_map(Older)]
}

fn decisions() -> impl Strategy<Value = Decision> {
    (any::<u32>(), actions(), any::<(u16, bool, u16)>()).prop_map(
        |(delay, action, (padding, zeroed, fewer_threads))| {
            let environment = Environment { padding, zeroed, fewer_threads };
            Decision::after(Duration::from_micros(delay.into()), action).within(environment)
        },
    )
}

/// One crash or more, past the history's capacity too, each before the newest one with some answer, whoever gave it.
pub(crate) fn histories() -> impl Strategy<Value = History> {
    prop::collection::vec((crashes(), decisions()), 1..=History::CAPACITY + 8).prop_map(|crashes| {
        let mut history = History::new();
        for (crash, answer) in crashes {
            history.decided(answer);
            history.push(crash);
        }
        history
    })
}

/// The present crash of a history.
pub(crate) fn newest(history: &History) -> Crash {
    history.entries().last().expect("a history in these tests has a crash").crash
}

/// What `policy` answers to crash after crash of one transaction, to each in the knowledge of its own answers before.
/// Ends where it gives up: nothing follows on that.
pub(crate) fn play(policy: &dyn RestartPolicy, crashes: &[Crash]) -> Vec<(Crash, Decision)> {
    let mut history = History::new();
    let mut played = Vec::new();
    for crash in crashes {
        history.push(*crash);
        let decision = policy.decide(crash, &history);
        history.decided(decision);
        played.push((*crash, decision));
        if decision.action == Action::GiveUp {
            break;
        }
    }
    played
}

/// For each crash whether it came further than all before it, by the words of the documentation: the operation in
/// flight, or the first that the last commit does not hold.
pub(crate) fn progress(crashes: &[(Crash, Decision)]) -> Vec<bool> {
    let reached = |crash: &Crash| std::cmp::max(crash.operation, crash.committed_operations);
    (0..crashes.len())
        .map(|i| crashes[..i].iter().all(|(before, _)| reached(before) < reached(&crashes[i].0)))
        .collect()
}
