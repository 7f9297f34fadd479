//! Trials that met operations which crash whenever they are met, by workload, mechanism and policy: what the answer, the plot
//! and the report's table say of them. Mechanisms are held apart, as what a restart takes is the mechanism's doing.

use super::tally;
use crate::record::{Course, Distribution, GaveUpBy, Levels, Outcome, Poison, Trial, Verdict};
use crate::statistics::median;
use crate::units::count;
use std::collections::BTreeMap;

/// The trials of one policy on one workload, kept by one mechanism, that met such an operation.
pub(crate) struct Poisoned<'a> {
    pub(crate) workload: &'a str,
    pub(crate) mechanism: &'a str,
    pub(crate) policy: &'a str,
    trials: Vec<(&'a Trial, &'a Poison)>,
}

/// How trials that did not get past ended, each way with their number; sorted by that.
pub(crate) type Ends = Vec<(End, u64)>;

/// How a trial ended that did not get past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// It was given up.
    GaveUp(GaveUpBy),
    /// It was done, and its state is not what it must be.
    Wrong,
    /// It failed by an error.
    Failed,
    /// It did not end.
    Hung,
}

/// The groups of these trials, by workload, then by mechanism, then by policy.
pub(crate) fn groups(trials: &[Trial]) -> Vec<Poisoned<'_>> {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<_>> = BTreeMap::new();
    for (trial, poison) in trials.iter().filter_map(|trial| Some((trial, trial.poison.as_ref()?))) {
        let Levels { workload, mechanism, policy, .. } = &trial.levels;
        groups.entry((workload, mechanism, policy)).or_default().push((trial, poison));
    }
    let group = |((workload, mechanism, policy), trials)| Poisoned { workload, mechanism, policy, trials };
    groups.into_iter().map(group).collect()
}

/// Whether it got past all that it met and came to its end with the rest right.
fn is_past((trial, poison): &(&Trial, &Poison)) -> bool {
    let is_right = matches!(trial.verdict, Verdict::Exact | Verdict::OlderCommit | Verdict::Zeroed);
    trial.outcome == Outcome::Done && is_right && poison.past == poison.met
}

impl Poisoned<'_> {
    /// Whether both are of the same workload, kept by the same mechanism.
    pub(crate) fn is_beside(&self, other: &Poisoned<'_>) -> bool {
        (self.workload, self.mechanism) == (other.workload, other.mechanism)
    }

    /// Trials.
    pub(crate) fn trials(&self) -> u64 {
        self.trials.len() as u64
    }

    /// Trials that got past all that they met, with the rest right at the end.
    pub(crate) fn past(&self) -> u64 {
        self.trials.iter().filter(|trial| is_past(trial)).count() as u64
    }

    /// How long it took from the first crash in such an operation until it was behind, in the trials that got past: of each
    /// trial the median over what it met, since those are no independent samples.
    pub(crate) fn samples(&self) -> Vec<u64> {
        let past = self.trials.iter().filter(|trial| is_past(trial));
        // A median of whole nanoseconds, which are less than 2⁵³.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        past.filter_map(|(_, poison)| median(poison.past_ns.clone()).map(|ns| ns as u64)).collect()
    }

    /// The distribution of these.
    pub(crate) fn times(&self) -> Option<Distribution> {
        Distribution::of(self.samples())
    }

    /// How the others ended.
    pub(crate) fn ends(&self) -> Ends {
        let end = |(trial, _): &(&Trial, &Poison)| match (trial.outcome, trial.course.as_ref()?.gave_up_by) {
            (Outcome::GaveUp, Some(by)) => Some(End::GaveUp(by)),
            (Outcome::Done, _) => Some(End::Wrong),
            (Outcome::Failed, _) => Some(End::Failed),
            _ => Some(End::Hung),
        };
        tally(self.trials.iter().filter(|trial| !is_past(trial)).filter_map(end)).into_iter().collect()
    }

    /// A figure of each trial, of those that got past or of the others.
    pub(crate) fn of(&self, past: bool, figure: fn(&Trial, &Course, &Poison) -> u64) -> Option<Distribution> {
        let chosen = self.trials.iter().filter(|trial| is_past(trial) == past);
        let figures = chosen.filter_map(|(trial, poison)| Some(figure(trial, trial.course.as_ref()?, poison)));
        Distribution::of(figures.collect())
    }

    /// How those ended that did not get past, in words: how far they had come, and after how many restarts.
    pub(crate) fn end_in_words(&self) -> String {
        let ends = self.ends();
        let alone = ends.len() == 1;
        let ends = ends.into_iter().map(|(end, trials)| match alone {
            true => end.in_words(),
            false => format!("{trials} {}", end.in_words()),
        });
        let mut words = ends.collect::<Vec<_>>().join(", ");
        if let Some(restarts) = self.of(false, |_, course, _| course.restarts) {
            words += &match restarts.min == restarts.max {
                true => format!(" after {}", count(restarts.min, "restart", "restarts")),
                false => format!(" after {} to {} restarts", restarts.min, restarts.max),
            };
        }
        if let Some(daemons) = self.of(false, |_, course, _| course.daemon_restarts).filter(|daemons| daemons.max > 0) {
            words += &format!(" ({} of its daemon)", daemons.max);
        }
        if let Some(past) = self.of(false, |_, _, poison| poison.past).filter(|past| past.max > 0) {
            words += &match past.min == past.max {
                true => format!(", past {}", count(past.max, "input", "inputs")),
                false => format!(", past {} to {} inputs", past.min, past.max),
            };
        }
        words
    }

    /// The sum of a figure over all trials.
    pub(crate) fn sum(&self, figure: fn(&Course, &Poison) -> u64) -> u64 {
        self.trials.iter().filter_map(|(trial, poison)| Some(figure(trial.course.as_ref()?, poison))).sum()
    }
}

impl End {
    /// In words, as what follows on the trials' number.
    pub(crate) fn in_words(self) -> String {
        match self {
            Self::GaveUp(by) => format!("given up {}", by.in_words()),
            Self::Wrong => "done, but wrong".to_owned(),
            Self::Failed => "failed by an error".to_owned(),
            Self::Hung => "without an end".to_owned(),
        }
    }
}
