//! What is said of operations that always crash, of made-up trials.

use super::tests::{names, of, said};
use super::*;
use crate::record::{Course, GaveUpBy, Outcome, Poison};
use crate::sample_trials::run;

/// Trials of two policies on a workload; `past_ns` are the times of each, none where it never got past.
fn trials(times: &[(&str, &[u64])]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (policy, past_ns) in times {
        for mut trial in run(&[policy], &["full-copy"], &["kv"], &names(&["poison"]), 12) {
            let at = usize::try_from(trial.trial).unwrap();
            let time = past_ns.get(at % past_ns.len().max(1)).map(|ns| ns + trial.trial);
            trial.trial += 100 * trials.len() as u64;
            trial.course = Some(Course {
                restarts: 3,
                gave_up_by: time.is_none().then_some(GaveUpBy::Limit),
                ..Course::default()
            });
            trial.poison = Some(Poison {
                met: 1,
                past: u64::from(time.is_some()),
                past_ns: time.into_iter().collect(),
                harmless_skipped: 0,
            });
            trial.outcome = if time.is_some() { Outcome::Done } else { Outcome::GaveUp };
            trial.verdict = if time.is_some() { Verdict::Exact } else { Verdict::GaveUp };
            trials.push(trial);
        }
    }
    trials
}

#[test]
fn the_answer_names_who_got_past_and_how_the_others_ended() {
    let summary = of(&trials(&[("a", &[5_000_000]), ("b", &[])]), Vec::new());
    assert!(summary.answer[0].contains("in every trial a; in some none; in none b"), "{:?}", summary.answer);
    assert!(said(&summary, "a 5 ms [5 ms to 5 ms] in 12 of 12 trials, 3 restarts"), "{:?}", summary.answer);
    assert!(said(&summary, "kv under full-copy, not past in any trial: b (given up by the limit after 3 restarts)"));
    // With the roles the other way round.
    let summary = of(&trials(&[("a", &[]), ("b", &[5_000_000])]), Vec::new());
    assert!(summary.answer[0].contains("in every trial b; in some none; in none a"), "{:?}", summary.answer);
}

#[test]
fn one_is_the_fastest_only_where_the_intervals_say_so() {
    let apart = of(&trials(&[("a", &[9_000_000]), ("b", &[2_000_000])]), Vec::new());
    assert!(said(&apart, "kv under full-copy: b is the fastest"), "{:?}", apart.answer);
    let mixed: &[u64] = &[1_000_000, 9_000_000, 4_000_000];
    let alike = of(&trials(&[("a", mixed), ("b", &[3_000_000, 5_000_000])]), Vec::new());
    assert!(!said(&alike, "is the fastest") && said(&alike, "does not tell them apart"), "{:?}", alike.answer);
    let mut few = trials(&[("a", &[9_000_000]), ("b", &[2_000_000])]);
    few.retain(|trial| trial.trial % 100 < 5);
    let few = of(&few, Vec::new());
    assert!(said(&few, "too few trials to say which is the fastest"), "{:?}", few.answer);
}

#[test]
fn a_mechanism_that_is_slower_under_one_policy_does_not_hide_which_is_faster_under_each() {
    // Under both `b` is the slower: by a little where everything takes long, by much where nothing does.
    let of_mechanism = |mechanism: &str, times: &[(&str, &[u64])]| {
        let mut trials = trials(times);
        trials.iter_mut().for_each(|trial| trial.levels.mechanism = mechanism.to_owned());
        trials
    };
    let mut all = of_mechanism("full-copy", &[("a", &[6_000_000]), ("b", &[8_000_000]), ("c", &[])]);
    all.extend(of_mechanism("dirty-pages", &[("a", &[1_000_000]), ("b", &[5_000_000]), ("c", &[])]));
    let summary = of(&all, Vec::new());
    assert!(said(&summary, "kv under dirty-pages and full-copy: a is the fastest"), "{:?}", summary.answer);
    assert!(said(&summary, "kv under dirty-pages, from the first crash"), "{:?}", summary.answer);
    assert!(said(&summary, "done again; b 5 ms [5 ms to 5 ms] in 12 of 12 trials"), "{:?}", summary.answer);
    assert!(said(&summary, "kv under full-copy, from the first crash"), "{:?}", summary.answer);
    // How the others ended is the same, and said once.
    let stuck =
        "kv under dirty-pages and full-copy, not past in any trial: c (given up by the limit after 3 restarts).";
    assert!(said(&summary, stuck), "{:?}", summary.answer);

    // The other one is faster under each of two mechanisms.
    let mut all = of_mechanism("full-copy", &[("a", &[2_000_000]), ("b", &[1_000_000])]);
    all.extend(of_mechanism("dirty-pages", &[("a", &[1_000_000]), ("b", &[2_000_000])]));
    let summary = of(&all, Vec::new());
    assert!(said(&summary, "kv under dirty-pages: a is the fastest"), "{:?}", summary.answer);
    assert!(said(&summary, "kv under full-copy: b is the fastest"), "{:?}", summary.answer);
}

#[test]
fn done_but_wrong_is_not_past() {
    let mut trials = trials(&[("a", &[5_000_000])]);
    trials[3].verdict = Verdict::CorruptSilent;
    let summary = of(&trials, Vec::new());
    assert!(summary.answer[0].contains("in some a (11 of 12)"), "{:?}", summary.answer);
    assert!(said(&summary, "a 5 ms [5 ms to 5 ms] in 11 of 12 trials, 3 restarts"), "{:?}", summary.answer);
    assert!(said(&summary, "otherwise done, but wrong after 3 restarts"), "{:?}", summary.answer);
}

#[test]
fn why_no_state_was_kept_is_said_and_nothing_where_nobody_asked() {
    let mut trials = trials(&[("a", &[5_000_000])]);
    assert!(!said(&of(&trials, Vec::new()), "to be kept"));
    for (asked, trial) in (0..).zip(&mut trials) {
        let kept_nothing = (asked % 2 == 0).then(|| "the moon was full".to_owned());
        trial.course = Some(Course { keeps_asked: 1, kept: asked % 2, kept_nothing, ..Course::default() });
    }
    let summary = of(&trials, Vec::new());
    assert!(said(&summary, "Of 12 crashed states that were to be kept, 6 were."), "{:?}", summary.answer);
    assert!(said(&summary, "Kept nothing, because the moon was full: kv under full-copy."), "{:?}", summary.answer);
}

#[test]
fn a_run_without_such_operations_has_nothing_of_it() {
    let summary = of(&run(&["a"], &["full-copy"], &["kv"], &names(&["kill"]), 4), Vec::new());
    assert!(!said(&summary, "always crashes") && !said(&summary, "kept"), "{:?}", summary.answer);
}
