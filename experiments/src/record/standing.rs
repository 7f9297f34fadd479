//! How a policy stands under a mix of faults, and what a replay and a simulation predict of that.

use serde::{Deserialize, Serialize};

/// One policy under one mix of faults, over all of its trials in which the fault struck.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The mix, as `transient`.
    pub mix: String,
    /// The restart policy.
    pub policy: String,
    /// What else the trials have in common, in words: mechanism, workload, region, and spare and load where they are not
    /// the plainest.
    pub setting: String,
    /// Trials.
    pub trials: u64,
    /// Of them, those with all operations there and right at the end, but for what nobody can do.
    pub complete: u64,
    /// Of them, those that were given up.
    pub gave_up: u64,
    /// Of them, those whose state was wrong at the end, noticed or not.
    pub wrong: u64,
    /// The share of operations that are not there and right at the end; one that crashes whenever it is met and was left out
    /// counts as there, since nobody can do it.
    pub work_lost: Mean,
    /// Time that went into nothing which is there at the end: what the trial took beyond the crash-free time of the
    /// operations that are.
    pub time_lost_ns: Mean,
    /// What it lost over those faults alone that every policy of the mix and setting has met: the front is of these.
    #[serde(default)]
    pub met_by_all: Met,
    /// The crash-free time of all operations, in the same run: the median over `crash_free_trials`.
    pub crash_free_ns: f64,
    /// See `crash_free_ns`.
    pub crash_free_trials: u64,
    /// Restarts.
    pub restarts: Mean,
    /// Operations that were done again.
    pub done_again: Mean,
    /// Whether no other policy of the same setting has both means of `met_by_all` lower, or one lower and the other the same;
    /// false where no fault was met by all.
    pub on_front: bool,
    /// Policies on the front that this one is held against and loses to, beyond chance: see `docs/formats.md`.
    pub beaten_by: Vec<String>,
}

/// What a policy lost over the faults that all policies of its mix and setting have met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Met {
    /// These faults, each by one trial of each policy.
    pub faults: u64,
    /// As in [`Standing`].
    pub work_lost: Mean,
    /// As in [`Standing`].
    pub time_lost_ns: Mean,
}

/// A mean over trials, that is, what all of them lost shared out, with its 95 % confidence interval by Student's t.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Half of the interval; null of fewer than two trials.
    pub half: Option<f64>,
}

/// A figure of a standing as it was predicted, beside what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The mix.
    pub mix: String,
    /// The policy.
    pub policy: String,
    /// What else the trials have in common, as in [`Standing`].
    pub setting: String,
    /// What predicted it.
    pub by: Predictor,
    /// Which figure.
    pub figure: Figure,
    /// The prediction.
    pub predicted: f64,
    /// The mean that was measured.
    pub measured: f64,
    /// How far the prediction is off: its distance from what was measured over what was measured; null where that is 0.
    pub error: Option<f64>,
    /// Whether the prediction lies within the measured mean's interval, or within 1 % of it.
    pub within: bool,
}

/// What predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Predictor {
    /// A replay of the base policy's crashes up to the first decision that differs; nothing crashes any more after it.
    ReplayToDifference,
    /// A replay of all of the base policy's crashes, as if they had come whatever was decided.
    ReplayOfAll,
    /// A simulation with parameters fitted from the run.
    Simulation,
}

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Figure {
    /// Restarts of a trial.
    Restarts,
    /// The time that it loses, in nanoseconds.
    TimeLost,
    /// The share of its work that is lost.
    WorkLost,
}

impl Predictor {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ReplayToDifference, Self::ReplayOfAll, Self::Simulation];

    /// In words.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::ReplayToDifference => "replay to the first difference",
            Self::ReplayOfAll => "replay of all crashes",
            Self::Simulation => "simulation",
        }
    }
}

impl Figure {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Restarts, Self::TimeLost, Self::WorkLost];

    /// In words.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Restarts => "restarts",
            Self::TimeLost => "time lost",
            Self::WorkLost => "work lost",
        }
    }
}
