use super::corpus::{Bug, Corpus, Sort};
use super::{Summaries, Summary, Wrong, parse};
use proptest::prelude::*;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Output};

fn corpus(seed: u64, inputs: u64, poison_every: u64) -> Corpus {
    Corpus { seed, inputs, poison_every, bugs: Bug::ALL.to_vec() }
}

#[test]
fn a_document_is_summed_up() {
    let text =
        b"# all of it\nport = 17\ntitle = \"a \\\"b\\\"\"\nlist = [1, [], \"x\", [-3]]\ntitle += \"\\n\" # more\n\n\
                 unset port\n port=-0\n";
    let summary = parse(text).unwrap();
    let Summary { entries, numbers, texts, lists, sum, .. } = summary;
    assert_eq!((entries, numbers, texts, lists, sum), (3, 3, 2, 3, 1_u64.wrapping_sub(3)));
    let (one, other) = (b"a = 1\nb = [2]", b"b = [2]\na = 1 # later");
    assert_eq!(parse(one), parse(b"  a=7\nb =[ 2 ] # again\na= 1\n\n"));
    assert_ne!(parse(one).unwrap().digest, parse(other).unwrap().digest);
    for (text, line) in
        [("a = 1\nb = x", 2), ("a\n", 1), ("a = 1 2\n", 1), ("\n\nunset a", 3), ("a = 1\na += \"x\"", 2)]
    {
        assert_eq!(parse(text.as_bytes()), Err(Wrong { line }), "{text}");
    }
    assert_eq!(parse(b"").map(|summary| summary.entries), Ok(0));
    assert_eq!(Wrong { line: 2 }.to_string(), "line 2 is wrong");
}

#[test]
fn sorts_follow_from_numbers_and_bugs_take_turns() {
    let corpus = corpus(1, 100, 10);
    let bug = |number| match corpus.sort(number) {
        Sort::Poisoned(bug) => Some((number, bug)),
        _ => None,
    };
    let poisoned: Vec<_> = (0..100).filter_map(bug).collect();
    assert_eq!(poisoned.len(), 10);
    for (turn, (number, bug)) in (0..).zip(&poisoned) {
        assert_eq!((*number, *bug), (turn * 10 + 9, Bug::ALL[usize::try_from(turn).unwrap() % 4]));
    }
    let wrong = (0..100).filter(|number| corpus.sort(*number) == Sort::Wrong).count();
    assert_eq!(wrong, 13, "every seventh, but one that is poisoned");
    assert!((0..100).all(|number| !matches!(super::tests::corpus(1, 100, 0).sort(number), Sort::Poisoned(_))));
}

proptest! {
    /// An input is the same whoever asks, sound where it is to be, and else wrong behind what is sound.
    #[test]
    fn inputs_are_what_they_are_to_be(seed: u64, number in 0..10_000_u64) {
        let corpus = corpus(seed, 10_000, 0);
        prop_assert_eq!(corpus.input(number), corpus.input(number));
        let read = parse(&corpus.input(number));
        match corpus.sort(number) {
            Sort::Sound => prop_assert!(read.is_ok(), "{:?}", read),
            _ => prop_assert!(read.is_err_and(|wrong| wrong.line > 0)),
        }
    }

    #[test]
    fn the_check_finds_any_figure_that_changes(
        seed: u64, inputs in 1..40_u64, figure in 0..6_usize, by in 1..u64::MAX, in_totals: bool,
    ) {
        let corpus = corpus(seed, inputs, 0);
        let mut summaries = Summaries::default();
        for number in 0..inputs {
            summaries.note(number, parse(&corpus.input(number)), || ());
        }
        prop_assert_eq!(summaries.verify(), Ok(()));
        let sound = summaries.digest();
        let Summaries { parsed, totals, .. } = &mut summaries;
        let hit = if in_totals { totals } else { parsed.values_mut().next().unwrap() };
        let Summary { entries, numbers, texts, lists, sum, digest } = hit;
        let figure = [entries, numbers, texts, lists, sum, digest].into_iter().nth(figure).unwrap();
        *figure = figure.wrapping_add(by);
        prop_assert!(summaries.verify().is_err());
        prop_assert_ne!(summaries.digest(), sound);
    }
}

#[test]
fn a_summary_without_its_totals_is_torn() {
    let mut summaries = Summaries::default();
    summaries.note(0, parse(b"a = 1"), || ());
    let torn = || summaries.note(1, parse(b"b = 2"), || panic!("between"));
    catch_unwind(AssertUnwindSafe(torn)).unwrap_err();
    let torn = summaries.verify().unwrap_err();
    assert_eq!((torn.inputs, torn.sum.entries, torn.totals.entries), (2, 2, 1));
}

#[test]
fn quarantine_does_not_show_in_the_digest() {
    let mut summaries = Summaries::default();
    summaries.note(0, parse(b"a = 1"), || ());
    let digest = summaries.digest();
    summaries.quarantine(Corpus::name(1));
    assert_eq!((summaries.digest(), summaries.quarantined.len()), (digest, 1));
    summaries.note(2, Err(Wrong { line: 4 }), || ());
    assert_ne!(summaries.digest(), digest);
}

const POISON: &str = "CRASHBED_TEST_POISON";

/// Not a test by itself: reads the input that the environment names, behind some sound ones, with the stack of a main
/// thread.
#[test]
fn reads_what_it_is_told_to() {
    let Ok(number) = std::env::var(POISON) else { return };
    let number: u64 = number.parse().unwrap();
    let reading = std::thread::Builder::new().stack_size(8 << 20).spawn(move || {
        let corpus = corpus(number, 1000, 10);
        for before in number - number % 10..number {
            assert!(corpus.sort(before) != Sort::Sound || parse(&corpus.input(before)).is_ok());
        }
        let _ = parse(&corpus.input(number));
    });
    reading.unwrap().join().unwrap();
}

/// How a fresh process ends that reads this input.
fn reading(number: u64) -> Output {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -c 0; exec \"$0\" --exact workloads::native::tests::reads_what_it_is_told_to"]);
    command.arg(std::env::current_exe().unwrap()).env(POISON, number.to_string()).output().unwrap()
}

/// By ten inputs for each: the heap is in another state each time.
#[test]
fn each_bug_ends_the_process_that_reaches_it_as_its_row_says() {
    let sound = reading(8);
    assert!(String::from_utf8_lossy(&sound.stdout).contains("1 passed"), "{sound:?}");
    for turn in 0..40 {
        let bug = Bug::ALL[turn % 4];
        let output = reading(turn as u64 * 10 + 9);
        let signal = output.status.signal();
        let said = String::from_utf8_lossy(&output.stderr);
        let as_it_must = match bug {
            Bug::OutOfBoundsWrite => matches!(signal, Some(libc::SIGABRT | libc::SIGSEGV)),
            Bug::UseAfterFree => signal == Some(libc::SIGSEGV),
            Bug::DoubleFree => signal == Some(libc::SIGABRT) && said.contains("double free"),
            // The runtime of Rust, which a transaction does not have, turns this signal into SIGABRT.
            Bug::Recursion => signal == Some(libc::SIGABRT) && said.contains("overflowed its stack"),
        };
        assert!(as_it_must, "{bug}: {output:?}");
    }
}
