//! A plan: one fault of one trial, with its trigger, as plain data that fits into the injector's page.
//!
//! A plan that could never strike is refused when it is made, so that no trial is run for nothing.

use super::trigger::{PointName, Trigger};
use super::{Ending, Fault, Site, Stop, TABLE};
use std::time::Duration;

/// One fault, when and where it strikes, and how often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    fault: Fault,
    by: Stop,
    times: u64,
    seed: u64,
    site: Site,
    trigger: Trigger,
}

/// Why a plan is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The probability is not one, or is 0.
    #[error("a fault's probability is above 0 and at most 1, not {0}")]
    Probability(f64),
    /// The mean of an exponential clock is not a positive number.
    #[error("the mean between two faults is above 0, not {0}")]
    Mean(f64),
    /// The fault would never strike.
    #[error("a fault strikes at least once, not 0 times")]
    NoTimes,
    /// The fault cannot strike there.
    #[error("{fault} cannot strike {site}, only {}", list(.fault.row().sites))]
    Site {
        /// The fault.
        fault: Fault,
        /// Where it was to strike.
        site: Site,
    },
    /// The point's name cannot be one.
    #[error("a point's name has 1 to {most} bytes and no zero byte, unlike `{0}`", most = PointName::CAPACITY)]
    PointName(String),
    /// The point is not one of the engine's step that the fault is about.
    #[error("{fault} strikes at a point whose name begins with `{begins}`, unlike `{name}`")]
    Point {
        /// The fault.
        fault: Fault,
        /// How the names of its points begin.
        begins: &'static str,
        /// The name in the plan.
        name: PointName,
    },
    /// No foreign region to write to was given.
    #[error("foreign-write needs another daemon's region: call Injector::aim before Injector::arm")]
    NoForeignRegion,
}

fn list(sites: &[Site]) -> String {
    let names: Vec<_> = sites.iter().map(Site::to_string).collect();
    names.join(" or ")
}

impl Plan {
    /// How many words a plan takes in the injector's page.
    pub(crate) const WORDS: usize = 12;
    /// Which of them is the trigger's figure.
    pub(crate) const FIGURE: usize = 6;
    /// The number of times that means "without end".
    pub const FOR_EVER: u64 = u64::MAX;

    /// `fault`, when `trigger` says so; random choices come from `seed`. It strikes once, or for ever where it
    /// [repeats](Fault::repeats); where it needs a stop to end the process, that is a null write.
    ///
    /// # Errors
    /// If the trigger's figures make no sense, or the fault cannot strike where the trigger looks.
    pub fn new(fault: Fault, trigger: Trigger, seed: u64) -> Result<Self, PlanError> {
        trigger.check()?;
        let site = match trigger {
            Trigger::Point { .. } => Site::Point,
            _ => fault.row().sites[0],
        };
        let times = if fault.repeats() { Self::FOR_EVER } else { 1 };
        let plan = Self { fault, by: Stop::NullWrite, times, seed, site, trigger };
        plan.check()?;
        Ok(plan)
    }

    /// The same, with another stop where the fault needs one to end the process.
    pub fn by(self, by: Stop) -> Self {
        Self { by, ..self }
    }

    /// The same, at most `times` times; [`Plan::FOR_EVER`] for as often as the trigger says.
    ///
    /// # Errors
    /// If `times` is 0.
    pub fn times(self, times: u64) -> Result<Self, PlanError> {
        if times == 0 {
            return Err(PlanError::NoTimes);
        }
        Ok(Self { times, ..self })
    }

    /// The same at another site.
    ///
    /// # Errors
    /// If the fault cannot strike there, or the trigger does not look there.
    pub fn at(self, site: Site) -> Result<Self, PlanError> {
        let plan = Self { site, ..self };
        plan.check()?;
        Ok(plan)
    }

    /// The fault.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// When it strikes.
    pub fn trigger(&self) -> Trigger {
        self.trigger
    }

    /// Where it strikes.
    pub fn site(&self) -> Site {
        self.site
    }

    /// The seed of its random choices.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The stop that ends the process where the fault needs one.
    pub fn stop(&self) -> Stop {
        self.by
    }

    /// How often it strikes at most.
    pub fn most(&self) -> u64 {
        self.times
    }

    /// What becomes of the process; never [`Ending::AsPlanned`].
    pub fn ending(&self) -> Ending {
        match self.fault.row().ending {
            Ending::AsPlanned => Fault::Stop(self.by).row().ending,
            ending => ending,
        }
    }

    fn check(&self) -> Result<(), PlanError> {
        let &Self { fault, site, trigger, .. } = self;
        let at_point = matches!(trigger, Trigger::Point { .. });
        if !fault.row().sites.contains(&site) || at_point != (site == Site::Point) {
            return Err(PlanError::Site { fault, site });
        }
        let begins = match fault {
            Fault::CrashDuringCommit => "commit",
            Fault::CrashDuringRestore => "restore",
            _ => "",
        };
        match trigger {
            Trigger::Point { name, .. } if !name.as_str().starts_with(begins) => {
                Err(PlanError::Point { fault, begins, name })
            }
            _ => Ok(()),
        }
    }

    /// The plan as words: fault, stop, times, seed, site, trigger, its figure, its pass, its name.
    pub(crate) fn to_words(self) -> [u64; Self::WORDS] {
        let (kind, figure, pass, name) = match self.trigger {
            Trigger::Operation(operation) => (0, operation, 0, PointName::EMPTY),
            Trigger::Probability(p) => (1, p.to_bits(), 0, PointName::EMPTY),
            Trigger::MeanTime(mean) => (2, u64::try_from(mean.as_nanos()).unwrap_or(u64::MAX), 0, PointName::EMPTY),
            Trigger::MeanOperations(mean) => (3, mean.to_bits(), 0, PointName::EMPTY),
            Trigger::Point { name, pass } => (4, 0, pass, name),
        };
        let [n0, n1, n2, n3] = name.to_words();
        let (fault, by) = (self.fault.index() as u64, Fault::Stop(self.by).index() as u64);
        [fault, by, self.times, self.seed, site_word(self.site), kind, figure, pass, n0, n1, n2, n3]
    }

    /// The plan that [`to_words`](Self::to_words) wrote; `None` where the words are no plan.
    pub(crate) fn from_words(words: [u64; Self::WORDS]) -> Option<Self> {
        let [fault, by, times, seed, site, kind, figure, pass, name @ ..] = words;
        let fault_at = |index: u64| Some(TABLE.get(usize::try_from(index).ok()?)?.fault);
        let Fault::Stop(by) = fault_at(by)? else {
            return None;
        };
        let trigger = match kind {
            0 => Trigger::Operation(figure),
            1 => Trigger::Probability(f64::from_bits(figure)),
            2 => Trigger::MeanTime(Duration::from_nanos(figure)),
            3 => Trigger::MeanOperations(f64::from_bits(figure)),
            4 => Trigger::Point { name: PointName::from_words(name), pass },
            _ => return None,
        };
        let site = [Site::Before, Site::Between, Site::Point].into_iter().find(|&known| site_word(known) == site)?;
        Some(Self { fault: fault_at(fault)?, by, times, seed, site, trigger })
    }
}

/// A site as a word; never 0, which means "not armed" in the injector's page.
pub(crate) const fn site_word(site: Site) -> u64 {
    match site {
        Site::Before => 1,
        Site::Between => 2,
        Site::Point => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::{Plan, PlanError};
    use crate::faults::{Fault, PointName, Site, Stop, TABLE, Trigger};
    use proptest::prelude::*;
    use std::time::Duration;

    fn triggers() -> impl Strategy<Value = Trigger> {
        prop_oneof![
            any::<u64>().prop_map(Trigger::Operation),
            (1e-9..=1.0).prop_map(Trigger::Probability),
            (1..u64::MAX).prop_map(|ns| Trigger::MeanTime(Duration::from_nanos(ns))),
            (1e-3..1e12).prop_map(Trigger::MeanOperations),
            ("(commit|restore)[a-z-]{0,20}", any::<u64>())
                .prop_map(|(name, pass)| { Trigger::Point { name: PointName::new(&name).unwrap(), pass } }),
        ]
    }

    proptest! {
        #[test]
        fn a_plan_survives_the_page(
            row in proptest::sample::select(TABLE),
            by in proptest::sample::select(&Stop::ALL[..]),
            trigger in triggers(),
            seed: u64,
            times in 1..=u64::MAX,
        ) {
            let Ok(plan) = Plan::new(row.fault, trigger, seed) else { return Ok(()) };
            let plan = plan.by(by).times(times).unwrap();
            prop_assert_eq!(Plan::from_words(plan.to_words()), Some(plan));
            prop_assert!(row.sites.contains(&plan.site()));
        }

        #[test]
        fn the_figure_is_the_operation(fault in proptest::sample::select(&Stop::ALL[..]), operation: u64, later: u64) {
            let plan = Plan::new(Fault::Stop(fault), Trigger::Operation(operation), 1).unwrap();
            let mut words = plan.to_words();
            words[Plan::FIGURE] = later;
            let moved = Plan::new(Fault::Stop(fault), Trigger::Operation(later), 1).unwrap();
            prop_assert_eq!(Plan::from_words(words), Some(moved));
        }

        #[test]
        fn words_that_are_no_plan_are_refused_or_read(words: [u64; Plan::WORDS]) {
            // A wild write may have hit the page: reading it must not panic.
            let _ = Plan::from_words(words);
        }
    }

    #[test]
    fn every_fault_can_be_planned() {
        for row in TABLE {
            let begins = if row.fault == Fault::CrashDuringRestore { "restore" } else { "commit" };
            let point = Trigger::Point { name: PointName::new(begins).unwrap(), pass: 0 };
            let trigger = if row.sites[0] == Site::Point { point } else { Trigger::Operation(1) };
            assert!(Plan::new(row.fault, trigger, 1).is_ok(), "{}", row.name);
        }
    }

    #[test]
    fn a_plan_that_cannot_strike_is_refused() {
        let plan = |fault, trigger| Plan::new(fault, trigger, 1);
        let null_read = Fault::Stop(Stop::NullRead);
        assert_eq!(plan(null_read, Trigger::Probability(1.5)), Err(PlanError::Probability(1.5)));
        assert_eq!(plan(null_read, Trigger::Probability(0.0)), Err(PlanError::Probability(0.0)));
        assert_eq!(plan(null_read, Trigger::MeanTime(Duration::ZERO)), Err(PlanError::Mean(0.0)));
        assert_eq!(plan(null_read, Trigger::MeanOperations(-1.0)), Err(PlanError::Mean(-1.0)));
        let commit = PointName::new("commit").unwrap();
        let at_commit = Trigger::Point { name: commit, pass: 0 };
        let wrong = Err(PlanError::Site { fault: Fault::BitFlip, site: Site::Point });
        assert_eq!(plan(Fault::BitFlip, at_commit), wrong);
        assert!(matches!(plan(Fault::CrashDuringRestore, at_commit), Err(PlanError::Point { .. })));
        assert!(matches!(plan(Fault::CrashDuringCommit, Trigger::Operation(3)), Err(PlanError::Site { .. })));
        let torn = plan(Fault::TornUpdate, Trigger::Operation(3)).unwrap();
        assert!(torn.at(Site::Before).is_err());
        assert_eq!(torn.times(0), Err(PlanError::NoTimes));
        assert!(matches!(PointName::new(""), Err(PlanError::PointName(_))));
    }
}
