//! Triggers: when a planned fault strikes, as a pure function of the seed and of what has happened so far.
//!
//! Nothing here remembers anything: the [`Injector`](super::Injector) keeps the counters in its page and asks. So a
//! trial is made again by its seed, except under [`Trigger::MeanTime`], whose clock is the machine's.

use super::plan::PlanError;
use nix::time::{ClockId, clock_gettime};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use std::fmt;
use std::time::Duration;

/// When a planned fault strikes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trigger {
    /// At this operation, or at the first one after it that reaches the site.
    Operation(u64),
    /// With this probability at each operation, 0 to 1. An operation that is done again is drawn again.
    Probability(f64),
    /// After an exponentially distributed time with this mean, counted from the last strike.
    MeanTime(Duration),
    /// After an exponentially distributed number of operations with this mean, counted from the last strike;
    /// operations that are done again count again.
    MeanOperations(f64),
    /// At a named point.
    Point {
        /// The point's name, or how the names of several begin: `commit` means `commit` and `commit-staged` alike.
        name: PointName,
        /// How many points of that name to let pass first.
        pass: u64,
    },
}

/// What a trigger is asked about: one operation or point, and what went before.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// The plan's seed.
    pub seed: u64,
    /// How often the fault has struck already.
    pub struck: u64,
    /// The operation in flight.
    pub operation: u64,
    /// Operations met since the plan was armed or since the last strike, this one included.
    pub met: u64,
    /// Time since the plan was armed or since the last strike, nanoseconds.
    pub elapsed_ns: u64,
    /// The point that is passed, and how many of the trigger's name were passed before it.
    pub point: Option<(&'a str, u64)>,
}

impl Trigger {
    /// Whether the fault strikes now.
    pub fn strikes(&self, occasion: &Occasion<'_>) -> bool {
        let &Occasion { seed, struck, operation, met, elapsed_ns, point } = occasion;
        match *self {
            Self::Operation(planned) => operation >= planned,
            Self::Probability(p) => numbers(seed, struck, operation).random::<f64>() < p,
            Self::MeanTime(mean) => elapsed_ns as f64 >= mean.as_nanos() as f64 * exponential(seed, struck),
            Self::MeanOperations(mean) => met as f64 >= mean * exponential(seed, struck),
            Self::Point { name, pass } => point.is_some_and(|(at, before)| name.begins(at) && before == pass),
        }
    }

    /// That the trigger's own figures make sense.
    pub(crate) fn check(&self) -> Result<(), PlanError> {
        match *self {
            Self::Probability(p) if !(p > 0.0 && p <= 1.0) => Err(PlanError::Probability(p)),
            Self::MeanTime(Duration::ZERO) => Err(PlanError::Mean(0.0)),
            Self::MeanOperations(mean) if !(mean > 0.0 && mean.is_finite()) => Err(PlanError::Mean(mean)),
            _ => Ok(()),
        }
    }
}

/// The random numbers of one draw. Xoshiro256++ and its seeding by SplitMix64 are fixed algorithms, so that a seed
/// means the same in every version of this program.
pub(crate) fn numbers(seed: u64, struck: u64, operation: u64) -> impl Rng {
    // Each word goes through the generator before the next one joins: neighbouring operations share nothing.
    let seed = Xoshiro256PlusPlus::seed_from_u64(seed).next_u64() ^ struck;
    let seed = Xoshiro256PlusPlus::seed_from_u64(seed).next_u64() ^ operation;
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

/// An exponentially distributed number with mean 1, by inversion (Devroye, "Non-Uniform Random Variate Generation",
/// 1986, II.2): −ln(1 − u), where u is never 1.
pub(crate) fn exponential(seed: u64, struck: u64) -> f64 {
    -(1.0 - numbers(seed, struck, u64::MAX).random::<f64>()).ln()
}

/// `CLOCK_MONOTONIC`, nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    // clock_gettime(2) fails for an unknown clock only; Linux always has this one, and it is never negative.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    // 64 bits of nanoseconds last 584 years.
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// The name of a point: up to [`PointName::CAPACITY`] bytes, stored inline so that it fits into the injector's page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PointName([u8; Self::CAPACITY]);

impl PointName {
    /// The longest name, in bytes.
    pub const CAPACITY: usize = 32;
    /// No name.
    pub(crate) const EMPTY: Self = Self([0; Self::CAPACITY]);

    /// `name`.
    ///
    /// # Errors
    /// If it is empty, longer than [`CAPACITY`](Self::CAPACITY), or contains a zero byte.
    pub fn new(name: &str) -> Result<Self, PlanError> {
        if name.is_empty() || name.len() > Self::CAPACITY || name.contains('\0') {
            return Err(PlanError::PointName(name.to_owned()));
        }
        let mut bytes = [0; Self::CAPACITY];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Ok(Self(bytes))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(Self::CAPACITY);
        std::str::from_utf8(&self.0[..end]).unwrap_or("")
    }

    /// Whether the point `at` has this name, or one that begins with it.
    pub(crate) fn begins(&self, at: &str) -> bool {
        at.starts_with(self.as_str())
    }

    pub(crate) fn to_words(self) -> [u64; Self::CAPACITY / 8] {
        let (words, _) = self.0.as_chunks::<8>();
        std::array::from_fn(|nth| u64::from_le_bytes(words[nth]))
    }

    pub(crate) fn from_words(words: [u64; Self::CAPACITY / 8]) -> Self {
        let mut bytes = [0; Self::CAPACITY];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Self(bytes)
    }
}

impl fmt::Display for PointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::{Occasion, PointName, Trigger};
    use proptest::prelude::*;
    use std::time::Duration;

    const FIRST: Occasion<'static> = Occasion { seed: 0, struck: 0, operation: 0, met: 0, elapsed_ns: 0, point: None };

    /// The first number of operations met at which `trigger` strikes, by bisection: it strikes at every later one too.
    fn gap(trigger: Trigger, seed: u64, struck: u64) -> u64 {
        let (mut silent, mut strikes) = (0u64, 1 << 20);
        while silent + 1 < strikes {
            let met = silent.midpoint(strikes);
            if trigger.strikes(&Occasion { seed, struck, met, ..FIRST }) { strikes = met } else { silent = met }
        }
        strikes
    }

    proptest! {
        #[test]
        fn the_rate_is_the_probability(seed: u64, struck in 0u64..100, p in 0.0..=1.0) {
            const DRAWS: u64 = 4000;
            let trigger = Trigger::Probability(p);
            let hits = (0..DRAWS)
                .filter(|&operation| trigger.strikes(&Occasion { seed, struck, operation, ..FIRST }))
                .count();
            // Five standard deviations: one false alarm in 1.7 million draws.
            let tolerance = 5.0 * (p * (1.0 - p) / DRAWS as f64).sqrt() + 1e-9;
            prop_assert!((hits as f64 / DRAWS as f64 - p).abs() <= tolerance, "{hits} of {DRAWS} at {p}");
        }

        #[test]
        fn gaps_in_operations_have_the_mean_and_spread_of_the_exponential(seed: u64, mean in 50u32..500) {
            const GAPS: u64 = 1000;
            let mean = f64::from(mean);
            let trigger = Trigger::MeanOperations(mean);
            let gaps: Vec<f64> = (0..GAPS).map(|struck| gap(trigger, seed, struck) as f64).collect();
            let found = gaps.iter().sum::<f64>() / GAPS as f64;
            // The exponential's standard deviation is its mean; rounding up adds half an operation.
            prop_assert!((found - 0.5 - mean).abs() < 5.0 * mean / (GAPS as f64).sqrt(), "mean {found}, not {mean}");
            let below = gaps.iter().filter(|&&gap| gap - 0.5 < mean * std::f64::consts::LN_2).count() as f64;
            prop_assert!((below / GAPS as f64 - 0.5).abs() < 5.0 * 0.5 / (GAPS as f64).sqrt(), "{below} below the median");
        }

        #[test]
        fn the_clock_strikes_once_its_time_has_come(seed: u64, struck in 0u64..100, mean_ns in 1u64..1_000_000_000) {
            let trigger = Trigger::MeanTime(Duration::from_nanos(mean_ns));
            let at = |elapsed_ns| trigger.strikes(&Occasion { seed, struck, elapsed_ns, ..FIRST });
            prop_assert!(at(mean_ns * 40));
            // Once it strikes it goes on striking: the decision is monotonous in time.
            prop_assert!(!at(mean_ns / 2) || at(mean_ns));
        }

        #[test]
        fn the_same_question_has_the_same_answer(seed: u64, struck: u64, operation: u64, p in 0.0..1.0) {
            let occasion = Occasion { seed, struck, operation, ..FIRST };
            let trigger = Trigger::Probability(p);
            prop_assert_eq!(trigger.strikes(&occasion), trigger.strikes(&occasion));
        }

        #[test]
        fn an_operation_strikes_from_there_on(planned: u64, operation: u64) {
            let strikes = Trigger::Operation(planned).strikes(&Occasion { operation, ..FIRST });
            prop_assert_eq!(strikes, operation >= planned);
        }

        #[test]
        fn a_name_survives_the_page(name in "[a-z-]{1,32}") {
            let kept = PointName::new(&name).unwrap();
            prop_assert_eq!(kept.as_str(), name);
            prop_assert_eq!(PointName::from_words(kept.to_words()), kept);
        }
    }

    #[test]
    fn a_point_strikes_at_its_pass_only() {
        let trigger = Trigger::Point { name: PointName::new("commit").unwrap(), pass: 2 };
        let at = |name, before| trigger.strikes(&Occasion { point: Some((name, before)), ..FIRST });
        assert!(at("commit-staged", 2));
        assert!(!at("commit-staged", 1));
        assert!(!at("commit-staged", 3));
        assert!(!at("restore", 2));
        assert!(!trigger.strikes(&FIRST));
    }
}
