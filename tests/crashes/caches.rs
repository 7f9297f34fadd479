//! Caches: what no commit saves comes back empty, or as it was, after every kind of end.

use crate::support::board::Board;
use crate::support::fault::{self, Fault};
use crate::support::{self, declaration, play};
use crashbed::{Daemon, Declaration, Intensity, KIB, Outcome, Returns, Root, Spare, Tx};
use crashbed_policies::CheckpointResume;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

fn with_caches(declaration: Declaration) -> Declaration {
    declaration
        .cache("kept", 10_000, Returns::AsItWas)
        .cache("empty", 64 * KIB, Returns::Empty)
        .cache("bytes", 1, Returns::AsItWas)
        .cache("other", 4 * KIB, Returns::Empty)
}

/// A transaction writes to its caches, commits, writes on, and crashes; then its daemon dies.
pub(crate) fn caches() -> crashbed::Result<()> {
    let faults = [Fault::NullWrite, Fault::Kill, Fault::Overflow, Fault::ExitThree];
    Root::new()
        .declare(with_caches(declaration().threads(2, 64 * KIB)), |daemon: &mut Daemon<Vec<u64>>| {
            if daemon.restarts() > 0 {
                assert_eq!(daemon.cache::<u64>("kept")?[7], 103, "it outlives its daemon");
                assert!(daemon.cache::<u8>("bytes")?.iter().all(|byte| *byte == 0xfe));
                return Ok(());
            }
            for (round, fault) in (0..).zip(faults) {
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    if tx.crash().is_none() { write_and_crash(tx, state, round, fault) } else { look(tx, state, round) }
                })?;
                assert_eq!(outcome, Outcome::Done(()), "{fault:?}");
                assert_eq!(daemon.report().recoveries.len(), 1, "{fault:?}");
                assert_eq!(daemon.cache::<u64>("kept")?[7], round + 100);
                let refused = daemon.cache::<u64>("empty").unwrap_err().to_string();
                assert!(refused.contains("comes back empty"), "{refused}");
            }
            // A state made anew does not touch them; the daemon may.
            daemon.zero()?;
            assert_eq!(daemon.cache::<u64>("kept")?[7], 103);
            daemon.cache::<u8>("bytes")?.fill(0xfe);
            let seen = daemon.transaction(CheckpointResume, |tx, _| Ok(tx.cache::<u8>("bytes")?[4095]))?;
            assert_eq!(seen, Outcome::Done(0xfe));
            Fault::Kill.strike();
            Ok(())
        })
        .run()
}

fn write_and_crash(tx: &mut Tx<'_>, state: &mut Vec<u64>, round: u64, fault: Fault) -> Result<(), crashbed::Failure> {
    let mut kept = tx.cache::<u64>("kept")?;
    let mut empty = tx.cache::<[f64; 4]>("empty")?;
    assert_eq!((kept.len(), empty.len()), (3 * 512, 2 * 1024));
    assert!(empty.iter().all(|element| *element == [0.0; 4]), "a transaction begins with an empty one");
    empty.fill([1.5; 4]);
    tx.cache::<u8>("other")?.fill(3);
    kept[1535] = round;
    state.push(round);
    // Held over a commit, and in threads.
    tx.commit()?;
    let (left, right) = kept.split_at_mut(768);
    tx.threads(|scope| {
        scope.spawn(|| left[7] = round + 100)?;
        scope.spawn(|| right[0] = round + 200)
    })??;
    drop(kept);
    tx.cache::<u8>("bytes")?.fill(u8::try_from(round)?);
    state.push(1000);
    // Some spares are ready by then, others are not.
    std::thread::sleep(Duration::from_millis(round % 2 * 3));
    fault.strike();
    Ok(())
}

fn look(tx: &mut Tx<'_>, state: &[u64], round: u64) -> Result<(), crashbed::Failure> {
    assert_eq!(*state, (0..=round).collect::<Vec<_>>(), "the state is the last commit");
    let kept = tx.cache::<u64>("kept")?;
    assert_eq!((kept[1535], kept[7], kept[768], kept[8]), (round, round + 100, round + 200, 0));
    assert!(tx.cache::<u8>("bytes")?.iter().all(|byte| u64::from(*byte) == round));
    assert!(tx.cache::<u8>("empty")?.iter().all(|byte| *byte == 0), "it came back with something in it");
    assert!(tx.cache::<u128>("other")?.iter().all(|number| *number == 0), "it came back with something in it");
    let twice = tx.cache::<u8>("kept").unwrap_err();
    assert!(twice.message().contains("is in use"), "{twice}");
    drop(kept);
    assert!(tx.cache::<u8>("kept").is_ok(), "it was given back");
    let unknown = tx.cache::<u8>("nothing").unwrap_err();
    assert!(unknown.message().contains("declares no cache `nothing`; it declares `kept`, `empty`"), "{unknown}");
    Ok(())
}

/// One operation of a program, in one letter and a number.
#[derive(Clone, Copy, Debug)]
enum Step {
    Kept(u64),
    Empty(u64),
    State(u64),
    Commit,
    /// By fault number so-and-so, once.
    Crash(u64),
}

impl Step {
    fn write(self) -> String {
        match self {
            Self::Kept(n) => format!("k{n}"),
            Self::Empty(n) => format!("e{n}"),
            Self::State(n) => format!("s{n}"),
            Self::Commit => "C0".to_owned(),
            Self::Crash(n) => format!("X{n}"),
        }
    }

    fn read(text: &str) -> Self {
        let n = text[1..].parse().expect("a number");
        match &text[..1] {
            "k" => Self::Kept(n),
            "e" => Self::Empty(n),
            "s" => Self::State(n),
            "C" => Self::Commit,
            "X" => Self::Crash(n),
            other => panic!("no step `{other}`"),
        }
    }
}

/// Elements of each cache, over two pages; a step `n` writes `n` to place `n` times a prime.
const ELEMENTS: usize = 1024;

fn place(n: u64) -> usize {
    usize::try_from(n * 397).unwrap_or(0) % ELEMENTS
}

/// What an incarnation finds.
#[derive(Clone, Debug, Default, PartialEq)]
struct Found {
    kept: Vec<u64>,
    state: Vec<u64>,
    operations: u64,
}

/// What each incarnation of a transaction that plays `steps` finds, and at the end what is left.
fn model(steps: &[Step]) -> Vec<Found> {
    let mut committed = Found::default();
    let mut present = Found { kept: vec![0; ELEMENTS], ..Found::default() };
    let mut struck = vec![false; steps.len()];
    let mut found = vec![present.clone()];
    while let Some(step) = steps.get(usize::try_from(present.operations).unwrap_or(usize::MAX)) {
        let at = usize::try_from(present.operations).unwrap_or(0);
        match *step {
            Step::Crash(_) if !std::mem::replace(&mut struck[at], true) => {
                present = Found { kept: present.kept, ..committed.clone() };
                found.push(present.clone());
                continue;
            }
            Step::Kept(n) => present.kept[place(n)] = n,
            Step::State(n) => present.state.push(n),
            _ => {}
        }
        present.operations += 1;
        if matches!(step, Step::Commit) {
            committed = present.clone();
        }
    }
    found.push(present);
    found
}

/// Plays the program of the argument; each incarnation compares what it finds with the model.
pub(crate) fn caches_program() -> crashbed::Result<()> {
    fault::prepare();
    let board = Board::new();
    let argument = support::argument();
    let (kinds, steps) = argument.split_once(';').expect("mechanism and spare; steps");
    let (mechanism, spare) = kinds.split_once(' ').expect("a mechanism and a spare");
    let steps: Vec<Step> = steps.split_whitespace().map(Step::read).collect();
    let found = model(&steps);
    let declaration = Declaration::new("d", 256 * KIB)
        .mechanism(mechanism.parse().expect("a mechanism"))
        .spare(spare.parse().expect("a spare"))
        .heartbeat(Duration::from_secs(30))
        .intensity(Intensity::UNLIMITED)
        .cache("empty", ELEMENTS * 8, Returns::Empty)
        .cache("kept", ELEMENTS * 8, Returns::AsItWas);
    Root::new()
        .declare(declaration, |daemon: &mut Daemon<Vec<u64>>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                let (mut kept, mut empty) = (tx.cache::<u64>("kept")?, tx.cache::<u64>("empty")?);
                let expected = &found[usize::try_from(tx.crashes())?];
                assert_eq!((&kept[..], &state[..]), (&expected.kept[..], &expected.state[..]));
                assert_eq!((tx.operations(), empty.iter().max()), (expected.operations, Some(&0)));
                while let Some(&step) = steps.get(usize::try_from(tx.operations())?) {
                    let at = usize::try_from(tx.operations())?;
                    match step {
                        Step::Kept(n) => kept[place(n)] = n,
                        Step::Empty(n) => empty[place(n)] = n,
                        Step::State(n) => state.push(n),
                        Step::Crash(fault) if board[at].swap(1, SeqCst) == 0 => {
                            Fault::ALL[usize::try_from(fault)?].strike();
                        }
                        Step::Commit | Step::Crash(_) => {}
                    }
                    tx.done();
                    if matches!(step, Step::Commit) {
                        tx.commit()?;
                    }
                }
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            let left = found.last().expect("what is left");
            assert_eq!((daemon.cache::<u64>("kept")?.to_vec(), daemon.state()), (left.kept.clone(), &left.state));
            Ok(())
        })
        .run()
}

pub(crate) fn random_programs_find_what_the_model_says() {
    let faults: Vec<u64> =
        Fault::ALL.iter().filter(|fault| fault.ends_by_itself()).map(|fault| fault.number()).collect();
    let step = prop_oneof![
        3 => (1u64..1000).prop_map(Step::Kept),
        2 => (1u64..1000).prop_map(Step::Empty),
        2 => (1u64..1000).prop_map(Step::State),
        2 => Just(Step::Commit),
        2 => proptest::sample::select(faults).prop_map(Step::Crash),
    ];
    let kinds = (
        proptest::sample::select(support::mechanisms().collect::<Vec<_>>()),
        proptest::sample::select(Spare::all().to_vec()),
    );
    let programs = (kinds, proptest::collection::vec(step, 1..40));
    let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&programs, |((mechanism, spare), steps)| {
        let steps: Vec<_> = steps.iter().map(|step| step.write()).collect();
        let text = format!("{mechanism} {spare};{}", steps.join(" "));
        let ended = play("caches-program", &text);
        prop_assert!(ended.status.success(), "{text}\n{}", ended.err);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
