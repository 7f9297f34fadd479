//! Operations that crash whenever they are met: which policies got past, how fast, at what loss, and how the others ended.

use crate::record::{Distribution, Trial};
use crate::summary::poisoned::{Poisoned, groups};
use crate::units::{count, duration, three_digits};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn sentences(trials: &[Trial]) -> Vec<String> {
    let groups = groups(trials);
    let workloads: BTreeSet<&str> = groups.iter().map(|group| group.workload).collect();
    let mut sentences: Vec<String> = overall(&groups, workloads.len()).into_iter().collect();
    for own in groups.chunk_by(|a, b| a.workload == b.workload) {
        for (past, words_of) in [(true, got_past as WordsOf), (true, fastest), (false, did_not)] {
            // The same of several mechanisms is said once.
            let mut by_words: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for beside in own.chunk_by(Poisoned::is_beside) {
                let groups: Vec<_> = beside.iter().filter(|group| (group.past() > 0) == past).collect();
                if let Some(words) = words_of(&groups) {
                    by_words.entry(words).or_default().push(beside[0].mechanism);
                }
            }
            let sentence = |(words, mechanisms): (String, Vec<&str>)| {
                format!("{} under {}{words}", own[0].workload, mechanisms.join(" and "))
            };
            let mut said: Vec<String> = by_words.into_iter().map(sentence).collect();
            said.sort();
            sentences.extend(said);
        }
    }
    sentences.extend(kept(trials, &groups));
    sentences
}

/// What is said of the policies of a workload under a mechanism: the rest of a sentence that begins with the two.
type WordsOf = fn(&[&Poisoned<'_>]) -> Option<String>;

/// Which got past on every workload, on some, on none.
fn overall(groups: &[Poisoned<'_>], workloads: usize) -> Option<String> {
    let mut by_policy: BTreeMap<&str, Vec<&Poisoned<'_>>> = BTreeMap::new();
    for group in groups {
        by_policy.entry(group.policy).or_default().push(group);
    }
    let (mut always, mut at_times, mut never) = (Vec::new(), Vec::new(), Vec::new());
    for (policy, groups) in by_policy {
        let (past, trials) = groups.iter().fold((0, 0), |sum, group| (sum.0 + group.past(), sum.1 + group.trials()));
        match past {
            0 => never.push(policy.to_owned()),
            _ if past == trials => always.push(policy.to_owned()),
            _ => at_times.push(format!("{policy} ({past} of {trials})")),
        }
    }
    if always.is_empty() && at_times.is_empty() && never.is_empty() {
        return None;
    }
    let list = |names: Vec<String>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Some(format!(
        "Past every input that always crashes, with the rest right at the end, over {}: in every trial {}; in some {}; in none {}.",
        count(workloads as u64, "workload", "workloads"),
        list(always),
        list(at_times),
        list(never)
    ))
}

/// How fast, and at what loss, those got past that did.
fn got_past(groups: &[&Poisoned<'_>]) -> Option<String> {
    let mut groups = groups.to_vec();
    let time = |group: &&Poisoned<'_>| group.times().map_or(f64::INFINITY, |times| times.p50);
    groups.sort_by(|a, b| time(a).total_cmp(&time(b)));
    let told: Vec<String> = groups.into_iter().map(told).collect();
    (!told.is_empty()).then(|| {
        format!(
            ", from the first crash in such an input until it was behind, and what a trial took and lost (all p50): {}.",
            told.join("; ")
        )
    })
}

fn told(group: &Poisoned<'_>) -> String {
    let p50 = |figure: Option<Distribution>| figure.map_or(0.0, |figure| figure.p50);
    let restarts = p50(group.of(true, |_, course, _| course.restarts));
    let again = p50(group.of(true, |trial, _, _| trial.lost_operations));
    let mut words = format!("{} ", group.policy);
    if let Some(times) = group.times() {
        words += &duration(times.p50);
        if let Some((low, high)) = times.p50_ci {
            words += &format!(" [{} to {}]", duration(low), duration(high));
        }
    }
    words += &format!(
        " in {} of {}, {} restarts, {} operations done again",
        group.past(),
        count(group.trials(), "trial", "trials"),
        three_digits(restarts),
        three_digits(again)
    );
    let harmless = group.sum(|_, poison| poison.harmless_skipped);
    let zeroed = p50(group.of(true, |_, course, _| course.zeroed));
    if zeroed > 0.0 {
        words += &format!(", zeroed {} ×", three_digits(zeroed));
    }
    if group.past() < group.trials() {
        words += &format!("; otherwise {}", group.end_in_words());
    }
    if harmless > 0 {
        words += &format!(", {} left out in all", count(harmless, "harmless input", "harmless inputs"));
    }
    words
}

/// Whether one is the fastest; nothing is said where intervals overlap, but that.
fn fastest(groups: &[&Poisoned<'_>]) -> Option<String> {
    let mut timed: Vec<(&str, Distribution)> =
        groups.iter().filter_map(|group| Some((group.policy, group.times()?))).collect();
    timed.sort_by(|a, b| a.1.p50.total_cmp(&b.1.p50));
    let ((first, times), others) = timed.split_first()?;
    if others.is_empty() {
        return None;
    }
    let Some((_, high)) = times.p50_ci else {
        return Some(": too few trials to say which is the fastest.".to_owned());
    };
    let overlaps = |other: &&(&str, Distribution)| other.1.p50_ci.is_none_or(|(low, _)| low <= high);
    let alike: Vec<&str> = others.iter().filter(overlaps).map(|(policy, _)| *policy).collect();
    Some(match alike.is_empty() {
        true => format!(": {first} is the fastest; its 95 % interval lies below that of every other."),
        false => format!(
            ": {first} has the lowest median, but its 95 % interval overlaps with that of {}: the run does not tell \
             them apart.",
            alike.join(", ")
        ),
    })
}

/// How those ended that never got past.
fn did_not(groups: &[&Poisoned<'_>]) -> Option<String> {
    let told: Vec<String> = groups.iter().map(|group| format!("{} ({})", group.policy, group.end_in_words())).collect();
    (!told.is_empty()).then(|| format!(", not past in any trial: {}.", told.join("; ")))
}

/// What became of crashed states that were to be kept.
fn kept(trials: &[Trial], groups: &[Poisoned<'_>]) -> Vec<String> {
    if groups.is_empty() {
        return Vec::new();
    }
    let mut nothing: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let (mut asked, mut kept) = (0, 0);
    for (trial, course) in trials.iter().filter_map(|trial| Some((trial, trial.course.as_ref()?))) {
        (asked, kept) = (asked + course.keeps_asked, kept + course.kept);
        if let Some(why) = &course.kept_nothing {
            let levels = &trial.levels;
            nothing.entry(why).or_default().insert(format!("{} under {}", levels.workload, levels.mechanism));
        }
    }
    if asked == 0 {
        return Vec::new();
    }
    let whole = format!("Of {} that were to be kept, {kept} were.", count(asked, "crashed state", "crashed states"));
    let reasons = nothing.into_iter().map(|(why, places)| {
        format!("Kept nothing, because {why}: {}.", places.into_iter().collect::<Vec<_>>().join(", "))
    });
    std::iter::once(whole).chain(reasons).collect()
}
