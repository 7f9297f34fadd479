//! The answer to a suite's question: sentences that are true of the trials, and no more than that.
//!
//! Nothing here ranks one policy or mechanism over another, but topics of their own that hold intervals against each other:
//! the trials of a short run do not carry that.

mod goodput;
mod mechanism_cost;
mod nested;

use super::{floor_of, name_of, notice_class, struck, tally, targets};
use crate::record::{Distribution, Summary, Trial, Verdict};
use crate::statistics::wilson;
use crate::units::{bytes, count, duration, percent, three_digits};
use std::collections::{BTreeMap, BTreeSet};

mod poison;
mod standings;

/// A median of fewer samples than this is not held against another in a sentence.
const FEWEST: u64 = 20;

/// Private memory of a daemon, in bytes, from which on forks take noticeably longer.
const SLOW_TO_FORK: u64 = 16 << 20;

/// Inconclusive cells that a sentence names; the table has them all.
const NAMED_CELLS: usize = 6;

/// What a run was to make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    /// Trials in all.
    pub(super) trials: u64,
    /// Rounds of measures that were not made.
    pub(super) missing_rounds: u64,
}

pub(super) fn answer(
    summary: &Summary,
    trials: &[Trial],
    planned: Planned,
    is_memory_fault: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let mut sentences = Vec::new();
    sentences.extend(unfinished(summary, planned));
    let said = sentences.len();
    sentences.extend(nested::sentences(summary));
    sentences.extend(mechanism_cost::sentences(summary));
    sentences.extend(goodput::sentences(summary));
    sentences.extend(targets::sentences(&summary.targets));
    if trials.is_empty() {
        if sentences.len() == said {
            sentences.push(measured(summary));
        }
        return sentences;
    }
    let compared = [standings::sentences(summary), poison::sentences(trials)].concat();
    let is_compared = !compared.is_empty();
    sentences.extend(compared);
    sentences.push(crashes(summary, trials));
    sentences.extend(verdicts(trials));
    sentences.extend(silent_corruption(trials, is_memory_fault));
    sentences.extend(passes(summary));
    // Targets say it already.
    if summary.targets.is_empty() {
        sentences.extend(hand_over(summary, trials, is_memory_fault));
    }
    sentences.extend(inconclusive(summary));
    sentences.extend(private_memory(summary));
    let rest = if is_compared { "Nothing but what is said above ranks" } else { "Nothing here ranks" };
    sentences.push(format!("{rest} one policy or mechanism over another."));
    sentences
}

/// That not all was made, and what was.
fn unfinished(summary: &Summary, planned: Planned) -> Option<String> {
    let trials = (summary.trials < planned.trials)
        .then(|| format!("{} of {} planned trials were made", summary.trials, planned.trials));
    let rounds = (planned.missing_rounds > 0)
        .then(|| format!("{} of measures are missing", count(planned.missing_rounds, "round", "rounds")));
    let parts: Vec<String> = trials.into_iter().chain(rounds).collect();
    let rest = "all figures are of what there is";
    (!parts.is_empty()).then(|| format!("The run did not finish: {}, and {rest}.", parts.join(", ")))
}

/// What a run without trials has to show: how many rows of each measure.
fn measured(summary: &Summary) -> String {
    let rows = tally(summary.measurements.iter().map(|row| row.measure.as_str()));
    let rows = rows.into_iter().map(|(measure, n)| format!("{} of `{measure}`", count(n, "row", "rows")));
    let rows: Vec<String> = rows.collect();
    if rows.is_empty() {
        return "Nothing was measured.".to_owned();
    }
    format!("Measured, in processes of their own: {}.", rows.join(", "))
}

fn crashes(summary: &Summary, trials: &[Trial]) -> String {
    let made = count(summary.trials, "trial", "trials");
    if summary.crashes == 0 {
        return format!("Nothing crashed in {made}.");
    }
    let (own, injected): (Vec<&Trial>, Vec<&Trial>) =
        trials.iter().filter(|trial| trial.crashes > 0).partition(|trial| is_own(trial));
    let all = |trials: &[&Trial]| trials.iter().map(|trial| trial.crashes).sum::<u64>();
    let kinds = injected.iter().map(|trial| trial.fault()).collect::<BTreeSet<&str>>().len() as u64;
    let kinds = count(kinds, "kind", "kinds");
    let workloads = workloads(&own);
    let where_from = match (all(&injected), all(&own)) {
        (_, 0) => format!("all in trials with a fault, of {kinds}"),
        (0, _) => format!("all in trials without a fault, by {workloads} itself"),
        (injected, own) => {
            format!("{injected} in trials with a fault, of {kinds}; {own} in trials without one, by {workloads} itself")
        }
    };
    format!("{} in {made}: {where_from}.", count(summary.crashes, "real crash", "real crashes"))
}

/// The workloads of trials.
fn workloads(trials: &[&Trial]) -> String {
    let names: BTreeSet<&str> = trials.iter().map(|trial| trial.levels.workload.as_str()).collect();
    Vec::from_iter(names).join(" or ")
}

/// Whether what crashes in a trial is the workload's own, such as a hostile document, and no fault is injected.
fn is_own(trial: &Trial) -> bool {
    trial.levels.fault == "none"
}

/// One sentence a policy: what became of its trials.
fn verdicts(trials: &[Trial]) -> Vec<String> {
    let mut by_policy: BTreeMap<&str, Vec<Verdict>> = BTreeMap::new();
    for trial in trials.iter().filter(|trial| struck(trial)) {
        by_policy.entry(&trial.levels.policy).or_default().push(trial.verdict);
    }
    let sentence = |(policy, verdicts): (&str, Vec<Verdict>)| {
        let counts = tally(verdicts.iter().copied());
        let listed: Vec<String> = counts.iter().map(|(verdict, n)| format!("{n} {}", in_words(*verdict))).collect();
        format!(
            "Under {policy}, of {} with a crash or a fault that struck: {}.",
            count(verdicts.len() as u64, "trial", "trials"),
            listed.join(", ")
        )
    };
    by_policy.into_iter().map(sentence).collect()
}

fn in_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Exact => "recovered to the exact commit",
        Verdict::OlderCommit => "recovered to an older commit",
        Verdict::Zeroed => "started from zero and ended right",
        Verdict::CorruptDetected => "corrupt and detected",
        Verdict::CorruptSilent => "corrupt and silent",
        Verdict::GaveUp => "gave up",
        Verdict::Hung => "hung",
        Verdict::CrashedAgain => "crashed again after the resume",
        Verdict::Unknown => "unknown to the oracle",
        Verdict::Inconclusive => "inconclusive",
    }
}

/// The claim that the engine makes, with what bounds it: how often checkpoint-resume corrupted silently after a fault that
/// stops the process. Faults that change memory count apart, and so does what the workload does by itself, which may be
/// either. `None` where the run had no trial under it.
fn silent_corruption(trials: &[Trial], is_memory_fault: &dyn Fn(&str) -> bool) -> Option<String> {
    let resumed = || trials.iter().filter(|trial| trial.levels.policy == "checkpoint-resume");
    resumed().next()?;
    let (own, injected): (Vec<&Trial>, Vec<&Trial>) =
        resumed().filter(|trial| struck(trial)).partition(|trial| is_own(trial));
    let (memory, stop): (Vec<&Trial>, Vec<&Trial>) =
        injected.into_iter().partition(|trial| is_memory_fault(trial.fault()));
    let silent = |trials: &[&Trial]| trials.iter().filter(|t| t.verdict == Verdict::CorruptSilent).count() as u64;
    let unknown = stop.iter().filter(|trial| trial.verdict == Verdict::Unknown).count();
    let mut sentence = match wilson(silent(&stop), stop.len() as u64) {
        None => "No stop fault struck under checkpoint-resume: of its silent corruption nothing is known".to_owned(),
        Some((_, most)) => format!(
            "Silent corruption under checkpoint-resume with stop faults: {} of {} (95 % interval up to {}{})",
            silent(&stop),
            count(stop.len() as u64, "trial", "trials"),
            percent(most),
            if unknown == 0 { String::new() } else { format!("; {unknown} the oracle could not tell") },
        ),
    };
    if !memory.is_empty() {
        let kinds: BTreeSet<&str> = memory.iter().map(|trial| trial.fault()).collect();
        sentence += &format!(
            "; with memory faults ({}), which may corrupt: {} of {}",
            Vec::from_iter(kinds).join(", "),
            silent(&memory),
            memory.len()
        );
    }
    if !own.is_empty() {
        sentence +=
            &format!("; without a fault, crashed by {} itself: {} of {}", workloads(&own), silent(&own), own.len());
    }
    Some(sentence + ".")
}

/// What a pass counted, one sentence for the policies of a workload under which every cell counted the same.
fn passes(summary: &Summary) -> Vec<String> {
    type Pass<'a> = (&'a BTreeMap<String, u64>, &'a [String]);
    let mut by_policy: BTreeMap<(&str, &str), BTreeSet<Pass<'_>>> = BTreeMap::new();
    for cell in &summary.cells {
        let passes = by_policy.entry((&cell.levels.workload, &cell.levels.policy)).or_default();
        passes.insert((&cell.counts, cell.quarantined_files.as_slice()));
    }
    let mut policies: BTreeMap<(&str, Pass<'_>), Vec<&str>> = BTreeMap::new();
    for ((workload, policy), passes) in by_policy {
        if let [pass] = Vec::from_iter(passes)[..] {
            policies.entry((workload, pass)).or_default().push(policy);
        }
    }
    let counted = policies.into_iter().filter(|((_, (counts, _)), _)| !counts.is_empty());
    counted
        .map(|((workload, (counts, files)), policies)| {
            let counts: Vec<String> = counts.iter().map(|(name, n)| format!("{name} {n}")).collect();
            let files = if files.is_empty() { String::new() } else { format!(" ({})", files.join(", ")) };
            let policies = policies.join(", ");
            format!("In each pass of {workload} under {policies}: {}{files}.", counts.join(", "))
        })
        .collect()
}

/// The start by which a trial is held against a floor: the one that it declares, or, where the engine picks, its own.
fn start_of(trial: &Trial) -> Option<&str> {
    if trial.levels.spare == "auto" { trial.started_by.as_deref() } else { Some(&trial.levels.spare) }
}

/// The hand-over under copy on write beside the bare system calls of the same run, one sentence a floor.
fn hand_over(summary: &Summary, trials: &[Trial], is_memory_fault: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut sentences = Vec::new();
    for floor in &summary.floors {
        if floor.mechanism != "copy-on-write" || floor.notice == "heartbeat" || floor.hand_over_ns.p50 <= 0.0 {
            continue;
        }
        let measured = trials.iter().filter(|trial| {
            !is_memory_fault(trial.fault())
                && notice_class(trial)
                    .and_then(|notice| floor_of(&summary.floors, &trial.levels, notice, start_of(trial)?))
                    .is_some_and(|own| std::ptr::eq(own, floor))
        });
        let Some(hand_over) = Distribution::of(measured.filter_map(|trial| trial.phases.hand_over_ns).collect()) else {
            continue;
        };
        if hand_over.n.min(floor.hand_over_ns.n) < FEWEST {
            continue;
        }
        sentences.push(format!(
            "Copy on write, {}, {}, {}{}, notice by {}: the hand-over took {} (p50 of {}), {} times the bare {} of \
             the same run ({}).",
            floor.workload,
            bytes(floor.region_bytes),
            floor.spare,
            if floor.load == "none" { "" } else { " beside busy processes" },
            floor.notice,
            duration(hand_over.p50),
            hand_over.n,
            three_digits(hand_over.p50 / floor.hand_over_ns.p50),
            floor.path,
            duration(floor.hand_over_ns.p50),
        ));
    }
    sentences
}

/// A warning where a daemon's memory outside its region made its forks slow.
fn private_memory(summary: &Summary) -> Option<String> {
    let most = summary.cells.iter().filter_map(|cell| cell.daemon_private_bytes).max()?;
    (most > SLOW_TO_FORK).then(|| {
        format!(
            "Warning: a daemon had {} of private memory, of which every fork copies the page tables: its cold starts \
             and its spares took longer than they had to.",
            bytes(most)
        )
    })
}

fn inconclusive(summary: &Summary) -> Option<String> {
    let cells: Vec<String> =
        summary.cells.iter().filter(|cell| !cell.conclusive).map(|cell| name_of(&cell.levels)).collect();
    if cells.is_empty() {
        return None;
    }
    let mut named = cells[..cells.len().min(NAMED_CELLS)].join("; ");
    if cells.len() > NAMED_CELLS {
        named += &format!("; and {} more in the table", cells.len() - NAMED_CELLS);
    }
    let cells_in_all = count(summary.cells.len() as u64, "cell", "cells");
    Some(format!("Inconclusive, as the planned fault never struck: {} of {cells_in_all} ({named}).", cells.len()))
}
