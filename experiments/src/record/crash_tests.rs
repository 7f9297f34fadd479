//! What is written of a crash is what is read back, and what is wrong in a line is named.
use super::*;
use crate::jsonl;
use proptest::prelude::*;
use std::path::Path;

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

fn crashes() -> impl Strategy<Value = Crash> {
    let place = (any::<u64>(), any::<u64>(), any::<Option<u64>>())
        .prop_map(|(instruction, stack, image_offset)| Place { instruction, stack, image_offset });
    let phases = vec![Phase::Starting, Phase::Deciding, Phase::Running, Phase::Committing, Phase::Ending];
    let notices = vec![Notice::Handler, Notice::Torn, Notice::Pidfd, Notice::Heartbeat];
    let how = (causes(), prop::sample::select(notices), prop::sample::select(phases), prop::option::of(place));
    let rest = (any::<Option<bool>>(), any::<bool>(), "\\PC{0,20}", any::<i32>());
    (how, rest, any::<[u64; 6]>()).prop_map(
        |((cause, notice, phase, place), (heap_locked, changing, note, thread), numbers)| {
            let [incarnation, operation, committed_operations, commit, happened_ns, noticed_ns] = numbers;
            Crash {
                cause,
                notice,
                phase,
                incarnation,
                operation,
                committed_operations,
                commit,
                thread,
                place,
                heap_locked,
                changing,
                happened_ns,
                noticed_ns,
                note: Text::new(&note),
            }
        },
    )
}

fn actions() -> impl Strategy<Value = Action> {
    use Action::{GiveUp, KeepIfIntact, ProcessDecides, RestartDaemon, Resume, Skip, Zero};
    let plain = vec![Zero, Resume, Skip, ProcessDecides, KeepIfIntact, RestartDaemon, GiveUp];
    prop_oneof![prop::sample::select(plain), any::<u8>().prop_map(Action::Older)]
}

fn decisions() -> impl Strategy<Value = Decision> {
    (actions(), any::<u64>(), any::<u16>(), any::<bool>(), any::<u16>()).prop_map(
        |(action, delay, padding, zeroed, fewer_threads)| {
            let environment = Environment { padding, zeroed, fewer_threads };
            Decision::after(Duration::from_nanos(delay), action).within(environment)
        },
    )
}

fn line(crash: Crash, decision: Option<Decision>) -> RecordedCrash {
    RecordedCrash {
        trial: 7,
        transaction: 5,
        levels: Levels {
            policy: "checkpoint-resume".into(),
            mechanism: "copy-on-write".into(),
            workload: "kv".into(),
            fault: "null-read".into(),
            spare: "cold".into(),
            region_bytes: 64 << 20,
            load: "none".into(),
        },
        recovered: Recovered { of: Victim::Transaction, number: 2, crash, decision, then: None },
    }
}

proptest! {
    #[test]
    fn a_crash_is_read_back_as_it_was_written(crash in crashes(), decision in prop::option::of(decisions())) {
        let line = line(crash, decision);
        let text = serde_json::to_string(&line).unwrap();
        prop_assert!(!text.contains('\n'));
        let (read, torn) = jsonl::read::<RecordedCrash>(Path::new("x"), text.as_bytes(), "a crash").unwrap();
        prop_assert_eq!((read, torn), (vec![line], None));
    }

    #[test]
    fn an_action_is_found_by_its_name_only(chosen in actions(), more in "[ a-z0-9-]{1,4}") {
        let name = chosen.to_string();
        prop_assert_eq!(action(&name), Some(chosen));
        prop_assume!(!more.bytes().all(|byte| byte.is_ascii_digit()));
        prop_assert_eq!(action(&(name + &more)), None);
    }
}

/// A line as it stands in the file, and what is said of it where a piece of it is another.
#[test]
fn what_is_wrong_in_a_line_is_named_with_its_key() {
    let crash = Crash {
        cause: Cause::Signal { signal: libc::SIGSEGV, code: 1, address: 0 },
        notice: Notice::Handler,
        phase: Phase::Running,
        incarnation: 3,
        operation: 17,
        committed_operations: 10,
        commit: 1,
        thread: 4242,
        place: Some(Place { instruction: 0x55_0000_1000, stack: 0x7fff_0000, image_offset: Some(0x1000) }),
        heap_locked: None,
        changing: false,
        happened_ns: 1_000,
        noticed_ns: 2_000,
        note: Text::EMPTY,
    };
    let text = serde_json::to_string(&line(crash, Some(Decision::now(Action::Older(2))))).unwrap();
    let cases = [
        (r#""address":"0x0""#, r#""address":"0""#, "`recovered.crash.cause.signal.address`: `0` is not an address"),
        (r#""signal":"SIGSEGV""#, r#""signal":"SIGFOO""#, "`SIGFOO` is not a signal"),
        (r#""action":"older-2""#, r#""action":"older""#, "`recovered.decision.action`: `older` is not an action"),
        (r#""operation":17"#, r#""operation":-1"#, "`recovered.crash.operation`: invalid value"),
        (r#""phase":"running""#, r#""phase":"walking""#, "`recovered.crash.phase`: unknown variant `walking`"),
        (r#""incarnation":3,"#, "", "missing field `incarnation`"),
    ];
    for (was, by, words) in cases {
        assert!(text.contains(was), "{text}");
        let lines = format!("{text}\n{}\n", text.replace(was, by));
        let error = jsonl::read::<RecordedCrash>(Path::new("x/crashes.jsonl"), lines.as_bytes(), "a crash");
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("x/crashes.jsonl, line 2: not a crash: ") && error.contains(words), "{error}");
    }
}
