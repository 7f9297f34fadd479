//! A distribution by its quantiles: what was measured, drawn from again.

use crate::statistics;
use serde::{Deserialize, Serialize};

/// Quantiles of times in nanoseconds at equal steps from 0 to 1, ascending. Between two of them, each value is equally
/// likely; one alone is the same time always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u64>", into = "Vec<u64>")]
pub struct Quantiles {
    at: Vec<u64>,
}

impl Quantiles {
    /// How many a sample is boiled down to: every per cent.
    const MANY: u32 = 101;

    /// The same time always.
    pub fn always(ns: u64) -> Self {
        Self { at: vec![ns.max(1)] }
    }

    /// Those of a sample, in any order; `None` of an empty one.
    pub fn of(mut sample: Vec<u64>) -> Option<Self> {
        sample.sort_unstable();
        let at = (0..Self::MANY).map(|step| {
            let quantile = statistics::quantile(&sample, f64::from(step) / f64::from(Self::MANY - 1))?;
            // Within the sample, whose values are whole and not negative; a recovery takes some time.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Some((quantile.round() as u64).max(1))
        });
        at.collect::<Option<Vec<_>>>().map(|at| Self { at })
    }

    /// The time below which a share `p` of all times lies, `p` from 0 to 1.
    pub fn value(&self, p: f64) -> u64 {
        let last = self.at.len() - 1;
        let place = p * last as f64;
        // From 0 to `last`, as p is from 0 to 1.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let below = (place as usize).min(last);
        let (low, high) = (self.at[below], self.at[(below + 1).min(last)]);
        // A part of the difference, so not negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let more = ((high - low) as f64 * (place - below as f64)) as u64;
        low + more
    }

    /// The median.
    pub fn median(&self) -> u64 {
        self.value(0.5)
    }
}

impl TryFrom<Vec<u64>> for Quantiles {
    type Error = String;

    fn try_from(at: Vec<u64>) -> Result<Self, String> {
        match at.first() {
            None => Err("the list is empty; write one time, or quantiles at equal steps from 0 to 1".to_owned()),
            Some(0) => Err("0 is no time that a recovery takes; at least 1 is needed".to_owned()),
            Some(_) if !at.is_sorted() => Err("quantiles ascend; sort them".to_owned()),
            Some(_) => Ok(Self { at }),
        }
    }
}

impl From<Quantiles> for Vec<u64> {
    fn from(quantiles: Quantiles) -> Self {
        quantiles.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sample_comes_back_as_its_quantiles(sample in prop::collection::vec(1..1_000_000_000_u64, 1..300), p in 0.0..=1.0_f64) {
            let quantiles = Quantiles::of(sample.clone()).unwrap();
            let (least, most) = (*sample.iter().min().unwrap(), *sample.iter().max().unwrap());
            prop_assert_eq!((quantiles.value(0.0), quantiles.value(1.0)), (least, most));
            prop_assert!((least..=most).contains(&quantiles.value(p)));
            // The share of the sample below is the share asked for, to within a step of either.
            let below = sample.iter().filter(|value| **value < quantiles.value(p)).count() as f64 / sample.len() as f64;
            prop_assert!(below <= p + 0.01 + 1.0 / sample.len() as f64, "{} at {}", below, p);
            let list: Vec<u64> = quantiles.clone().into();
            prop_assert_eq!(Quantiles::try_from(list), Ok(quantiles));
        }
    }

    #[test]
    fn one_time_is_always_the_same() {
        let one = Quantiles::always(7);
        assert_eq!((one.value(0.0), one.value(0.3), one.value(1.0)), (7, 7, 7));
        assert_eq!(Quantiles::of(Vec::new()), None);
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        for (list, words) in [(vec![], "empty"), (vec![0, 1], "0 is no time"), (vec![2, 1], "ascend")] {
            assert!(Quantiles::try_from(list).unwrap_err().contains(words));
        }
    }
}
