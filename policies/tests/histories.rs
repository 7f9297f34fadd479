//! Every policy of the table over random histories: it answers each crash, always the same to the same, and as its
//! documentation says.

use crashbed::{Action, Cause, Crash, Decision, History, Notice, Phase, Place, RestartPolicy, Text};
use crashbed_policies::{ALL, CheckpointResume, ProcessDecides, ZeroState, by_name};
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

fn crashes() -> impl Strategy<Value = Crash> {
    use Phase::{Committing, Deciding, Ending, Running, Starting};
    let how = (
        causes(),
        prop::sample::select(vec![Notice::Handler, Notice::Torn, Notice::Pidfd, Notice::Heartbeat]),
        prop::sample::select(vec![Starting, Deciding, Running, Committing, Ending]),
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

/// One crash or more, past the history's capacity too, each before the newest one with the answer it got.
fn histories() -> impl Strategy<Value = History> {
    let actions = vec![Action::Zero, Action::Resume, Action::ProcessDecides, Action::GiveUp];
    let answers = (any::<u32>(), prop::sample::select(actions))
        .prop_map(|(delay, action)| Decision::after(Duration::from_micros(delay.into()), action));
    prop::collection::vec((crashes(), answers), 1..=History::CAPACITY + 8).prop_map(|crashes| {
        let mut history = History::new();
        for (crash, answer) in crashes {
            history.decided(answer);
            history.push(crash);
        }
        history
    })
}

/// The present crash of a history.
fn newest(history: &History) -> Crash {
    history.entries().last().expect("a history in these tests has a crash").crash
}

/// What each policy's documentation promises; a new policy adds its line.
fn promised(policy: &str, crash: &Crash) -> Action {
    match policy {
        "zero-state" => Action::Zero,
        "checkpoint-resume" => Action::Resume,
        "process-decides" if crash.phase == Phase::Deciding => Action::Resume,
        "process-decides" => Action::ProcessDecides,
        other => panic!("{other}: write down here what its documentation promises"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Asked again, after other questions, by another instance: the answer depends on the arguments alone, and it
    /// leaves them as they were.
    #[test]
    fn a_policy_is_a_pure_function(history in histories(), other in histories()) {
        for row in ALL {
            let (asked, fresh) = (row.policy(), row.policy());
            let before = history.clone();
            let first = asked.decide(&newest(&history), &history);
            asked.decide(&newest(&other), &other);
            prop_assert_eq!(asked.decide(&newest(&history), &history), first);
            prop_assert_eq!(fresh.decide(&newest(&history), &history), first);
            prop_assert_eq!(&history, &before);
        }
    }

    /// At every crash of a growing history, each policy answers what its documentation promises, at once.
    #[test]
    fn a_policy_decides_as_documented(history in histories()) {
        for row in ALL {
            let mut so_far = History::new();
            for entry in history.entries() {
                so_far.push(entry.crash);
                let decision = row.policy().decide(&entry.crash, &so_far);
                prop_assert_eq!(decision, Decision::now(promised(row.name, &entry.crash)), "{}", row.name);
                so_far.decided(decision);
            }
        }
    }

    /// Even a history that does not hold the crash, which no engine hands out, gets an answer.
    #[test]
    fn a_policy_is_total(crash in crashes(), history in histories()) {
        for row in ALL {
            row.policy().decide(&crash, &History::new());
            row.policy().decide(&crash, &history);
        }
    }

    /// Names are exact: a cut, lengthened, capitalised or snake-case one finds nothing.
    #[test]
    fn an_unknown_name_has_no_policy(row in prop::sample::select(ALL), cut in 0..8_usize, more in "[ a-z-]{1,4}") {
        prop_assert!(by_name(&row.name[..cut]).is_none());
        let longer = row.name.to_owned() + &more;
        prop_assert!(by_name(&longer).is_none());
        prop_assert!(by_name(&row.name.to_uppercase()).is_none());
        prop_assert!(by_name(&row.name.replace('-', "_")).is_none());
    }
}

#[test]
fn each_policy_is_found_by_its_own_name() {
    for row in ALL {
        let found = by_name(row.name).expect("a name in the table");
        assert_eq!(found.name(), row.name);
        assert_eq!(ALL.iter().filter(|other| other.name == row.name).count(), 1, "{} has two rows", row.name);
        assert!(!row.description.is_empty() && !row.description.contains('\n'), "{} needs one line", row.name);
    }
    let exported: [&dyn RestartPolicy; 3] = [&ZeroState, &CheckpointResume, &ProcessDecides];
    assert_eq!(exported.map(RestartPolicy::name), ["zero-state", "checkpoint-resume", "process-decides"]);
}

/// A file that nobody registered, or a row whose policy lives in a file of another name.
#[test]
fn each_file_is_a_policy_of_the_same_name() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .expect("the crate's sources")
        .map(|entry| entry.expect("an entry of the folder").file_name().into_string().expect("a name in UTF-8"))
        .filter(|file| file != "lib.rs")
        .map(|file| file.trim_end_matches(".rs").replace('_', "-"))
        .collect();
    let mut names: Vec<&str> = ALL.iter().map(|row| row.name).collect();
    files.sort();
    names.sort();
    assert_eq!(files, names);
}
