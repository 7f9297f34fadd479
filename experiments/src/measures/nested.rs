//! Measure `nested`: what child transactions as checkpoints bring and cost, by the depth of the program, the place of the
//! crash, and how long a fault lay hidden before it.
//!
//! The program (`search.rs`) calls itself, level below level, and each level needs the locals of all levels above it. It
//! is recovered in three ways: it *starts over*, with nothing kept; it keeps its locals in the state *by hand*, commits at
//! each level, and finds its place again; or it is written as if nothing crashed, and each level begins by a commit that
//! *forks*. A tree of each way lives through a round (`bed.rs`), in an order of its own; the program's result is compared
//! with that of one that never crashes.

mod bed;
mod search;

use super::said::{Said, Sampled};
use super::{Measure, MeasureError, Round};
use crate::levels;
use crate::record::Unit;
use bed::{Bed, Figures};
use crashbed::MechanismKind;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use search::{Case, MOST_DEPTH, Search};
use serde::Deserialize;

/// Its settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Nested {
    /// How many levels the program has.
    #[serde(deserialize_with = "levels::one_or_many")]
    depth: Vec<u64>,
    /// Steps of a level.
    #[serde(deserialize_with = "levels::positive")]
    steps: u64,
    /// How many commits before the last one are kept, where a fault lay hidden.
    #[serde(deserialize_with = "levels::one_or_many")]
    kept: Vec<u8>,
    /// How many levels above the crash the fault did its damage.
    #[serde(deserialize_with = "levels::one_or_many")]
    hidden: Vec<u64>,
}

impl Default for Nested {
    fn default() -> Self {
        Self { depth: vec![2, 4, 8], steps: 100, kept: vec![0, 1, 3], hidden: vec![1, 2, 3] }
    }
}

/// How the program is recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    StartsOver,
    ByHand(MechanismKind),
    Forks,
}

impl Way {
    const ALL: [Self; 4] = [
        Self::StartsOver,
        Self::ByHand(MechanismKind::CopyOnWrite),
        Self::ByHand(MechanismKind::DirtyPages),
        Self::Forks,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::StartsOver => "start-over",
            Self::ByHand(_) => "by-hand",
            Self::Forks => "fork",
        }
    }

    fn mechanism(self) -> MechanismKind {
        match self {
            Self::StartsOver => MechanismKind::CopyOnWrite,
            Self::ByHand(mechanism) => mechanism,
            Self::Forks => MechanismKind::Fork,
        }
    }
}

impl Nested {
    /// What is wrong with the settings.
    fn check(&self) -> Result<(), MeasureError> {
        match self.depth.iter().find(|depth| !(2..=MOST_DEPTH).contains(*depth)) {
            Some(depth) => Err(MeasureError::Unplanned(format!(
                "a `depth` of {depth} levels: from 2 to {MOST_DEPTH} can be measured"
            ))),
            None => Ok(()),
        }
    }

    /// The cases of a program of so many levels: no crash, one at the beginning, in the middle and at the end of it, and
    /// those at the end by faults that lay hidden.
    fn cases(&self, depth: u64, kept: u8) -> Vec<Case> {
        let hidden =
            self.hidden.iter().filter(|levels| **levels < depth).map(|levels| Case::Hidden { levels: *levels });
        if kept > 0 {
            return hidden.collect();
        }
        let mut at = vec![0, depth / 2, depth - 1];
        at.dedup();
        [Case::Clean, Case::Weighed].into_iter().chain(at.into_iter().map(Case::Crash)).chain(hidden).collect()
    }
}

impl Measure for Nested {
    fn round(&self, round: Round) -> Result<Vec<Said>, MeasureError> {
        self.check()?;
        let mut beds = Vec::new();
        for &depth in &self.depth {
            for way in Way::ALL {
                let most = if way == Way::StartsOver { 0 } else { u8::MAX };
                // What is not about hidden faults needs no older commit.
                let mut kept: Vec<u8> =
                    [0].into_iter().chain(self.kept.iter().copied()).filter(|n| *n <= most).collect();
                kept.sort_unstable();
                kept.dedup();
                beds.extend(kept.into_iter().map(|kept| (way, depth, kept)));
            }
        }
        beds.shuffle(&mut ChaCha8Rng::seed_from_u64(round.seed));
        let mut said = Vec::new();
        for (way, depth, kept) in beds {
            let bed = Bed::new(way, Search::new(depth, self.steps), kept)?;
            for (case, figures) in bed.measure(&self.cases(depth, kept), round.laps)? {
                said.extend(rows(way, depth, kept, case, figures));
            }
        }
        Ok(said)
    }
}

/// The rows of a case.
fn rows(way: Way, depth: u64, kept: u8, case: Case, figures: Figures) -> Vec<Said> {
    let row = |name: &str, unit, samples: Vec<u64>, note: &str| {
        let row = Sampled::new(name, unit, note).at("way", way.name()).at("mechanism", way.mechanism().name());
        let row = row.at("depth", depth).at("kept", u64::from(kept));
        let row = match case {
            Case::Clean | Case::Weighed => row,
            Case::Crash(at) => row.at("crash-at", at),
            Case::Hidden { levels } => row.at("hidden", levels),
        };
        (!samples.is_empty()).then_some(Said::Row(Sampled { samples, ..row }))
    };
    let Figures { took_ns, again, commit_ns, recovery_ns, crashes, bytes, wrong } = figures;
    let rows = match case {
        Case::Weighed => vec![row(
            "memory",
            Unit::Bytes,
            bytes,
            "memory of all processes of the transaction at its deepest, what is shared counted by its parts",
        )],
        Case::Clean => vec![
            row("took", Unit::Ns, took_ns, "a transaction without a crash"),
            row("commit", Unit::Ns, commit_ns, "a commit at the beginning of a level, as the program waits for it"),
            row("wrong", Unit::Count, wrong, "results other than that of a program that never crashes"),
        ],
        Case::Crash(_) | Case::Hidden { .. } => vec![
            row("took", Unit::Ns, took_ns, "a transaction with its crashes"),
            row("again", Unit::Count, again, "steps that were done again"),
            row("recovery", Unit::Ns, recovery_ns, "crash to the first step of the successor"),
            row("crashes", Unit::Count, crashes, "crashes until the transaction was done"),
            row("wrong", Unit::Count, wrong, "results other than that of a program that never crashes"),
        ],
    };
    rows.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_measured_are_named() {
        let shallow = Nested { depth: vec![4, 1], ..Nested::default() };
        assert!(shallow.check().unwrap_err().to_string().contains("a `depth` of 1 levels"));
        assert!(Nested::default().check().is_ok());
    }

    #[test]
    fn each_place_is_a_case_once() {
        let nested = Nested { hidden: vec![1, 2, 9], ..Nested::default() };
        let cases = nested.cases(2, 0);
        assert_eq!(cases, [Case::Clean, Case::Weighed, Case::Crash(0), Case::Crash(1), Case::Hidden { levels: 1 }]);
        assert_eq!(nested.cases(4, 3), [Case::Hidden { levels: 1 }, Case::Hidden { levels: 2 }]);
    }
}
