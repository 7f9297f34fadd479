//! What may be said of a sample: quantiles, a median with its confidence interval, an ECDF, a share with its interval.
//!
//! Medians and tails, never a bare mean: latencies are skewed, and one slow recovery would drown the rest. Everything
//! here is exact and needs no random numbers, so the same trials always give the same summary.

use crate::record::{Distribution, Mean};
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal, StudentsT};

mod slope;

pub use slope::{Slope, slope};

/// The least samples that carry a 90 %, a 99 % and a 99.9 % quantile: below it, fewer than 5 samples (10 for the last)
/// would lie beyond the quantile, and one of them would decide it.
const TAILS: [(f64, usize); 3] = [(0.9, 50), (0.99, 500), (0.999, 10_000)];

/// What an interval leaves out on each side: 2.5 %, for 95 % between them.
const ONE_SIDE: f64 = 0.025;

impl Distribution {
    /// The distribution of `samples`, in any order; `None` where there are none.
    pub fn of(mut samples: Vec<u64>) -> Option<Self> {
        samples.sort_unstable();
        let (min, max) = (*samples.first()?, *samples.last()?);
        let [p90, p99, p999] = TAILS.map(|(p, least)| if samples.len() < least { None } else { quantile(&samples, p) });
        Some(Self {
            n: samples.len() as u64,
            min,
            p50: quantile(&samples, 0.5)?,
            p50_ci: median_interval(&samples),
            p90,
            p99,
            p999,
            max,
        })
    }
}

/// The `p` quantile of a sorted sample, between two samples by linear interpolation; `None` of an empty one.
///
/// This is definition 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages", The American Statistician
/// 50(4), 1996: the default of R and NumPy, so that a reader can compute it again from `trials.jsonl`.
///
/// # Panics
/// Where `p` is not from 0 to 1.
pub fn quantile(sorted: &[u64], p: f64) -> Option<f64> {
    assert!((0.0..=1.0).contains(&p), "a quantile is from 0 to 1, not {p}");
    let last = sorted.len().checked_sub(1)?;
    let place = p * last as f64;
    // From 0 to `last`, as p is from 0 to 1.
    #[allow(clippy::cast_possible_truncation)]
    let below = (place.floor() as usize).min(last);
    let above = (below + 1).min(last);
    let (low, high) = (sorted[below] as f64, sorted[above] as f64);
    Some(low + (high - low) * (place - below as f64))
}

/// The median of `samples`, in any order; `None` where there are none.
pub fn median(mut samples: Vec<u64>) -> Option<f64> {
    samples.sort_unstable();
    quantile(&samples, 0.5)
}

/// A confidence interval of at least 95 % for the median of what a sorted sample was drawn from: two of its own order
/// statistics. `None` below 6 samples, where even least and most do not reach 95 %.
///
/// The number of samples below the true median is binomial with p = 1/2 whatever the distribution, so that the
/// coverage is exact at any sample size, also where a bootstrap of a few samples promises too much: David and
/// Nagaraja, "Order Statistics", 3rd ed., 2003, section 7.1.
pub fn median_interval(sorted: &[u64]) -> Option<(f64, f64)> {
    let n = sorted.len();
    let below = Binomial::new(0.5, n as u64).ok()?;
    // The interval from the r-th to the (n + 1 − r)-th misses with probability 2 · P(below ≤ r − 1): take the largest r
    // that keeps each half within 2.5 %. P grows with r, so the search may halve.
    let (mut rank, mut beyond) = (0, n / 2 + 1);
    while beyond - rank > 1 {
        let middle = rank.midpoint(beyond);
        match below.cdf(middle as u64 - 1) <= ONE_SIDE {
            true => rank = middle,
            false => beyond = middle,
        }
    }
    let low = rank.checked_sub(1)?;
    Some((sorted[low] as f64, sorted[n - rank] as f64))
}

/// The steps of the empirical distribution function of `samples`, in any order: each distinct value with the share
/// of samples that are at most it, ascending to 1.
pub fn ecdf(mut samples: Vec<u64>) -> Vec<(u64, f64)> {
    samples.sort_unstable();
    let n = samples.len() as f64;
    let mut steps: Vec<(u64, f64)> = Vec::new();
    for (index, value) in samples.into_iter().enumerate() {
        let share = (index + 1) as f64 / n;
        match steps.last_mut() {
            Some(step) if step.0 == value => step.1 = share,
            _ => steps.push((value, share)),
        }
    }
    steps
}

/// A 95 % confidence interval for a share, of which `hits` in `trials` were seen; `None` without trials.
///
/// Wilson's score interval (Journal of the American Statistical Association 22, 1927), which, unlike the textbook
/// one, says something of 0 hits.
///
/// # Panics
/// Where there are more hits than trials.
pub fn wilson(hits: u64, trials: u64) -> Option<(f64, f64)> {
    assert!(hits <= trials, "{hits} hits in {trials} trials");
    if trials == 0 {
        return None;
    }
    let z = Normal::standard().inverse_cdf(1.0 - ONE_SIDE);
    let (n, share) = (trials as f64, hits as f64 / trials as f64);
    let centre = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    // Rounding may leave the ends a hair outside of what a share can be, or on the wrong side of the share seen.
    Some((((centre - half) / scale).clamp(0.0, share), ((centre + half) / scale).clamp(share, 1.0)))
}

/// The mean of `samples` with half of its 95 % confidence interval by Student's t, which is `None` of fewer than two. For
/// totals that are shared out; what is claimed rests on ranks.
pub fn student(samples: &[f64]) -> Mean {
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n.max(1.0);
    let variance = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let spread = StudentsT::new(0.0, 1.0, n - 1.0).ok();
    Mean { mean, half: spread.map(|spread| spread.inverse_cdf(1.0 - ONE_SIDE) * (variance / n).sqrt()) }
}

/// How often chance alone makes two outcomes that are equally likely as unequal as `one` to `other`, or more so: the
/// two-sided sign test (Arbuthnott 1710; Conover, "Practical Nonparametric Statistics", 3rd ed., 1999, section 3.4). Ties
/// are left out beforehand.
pub fn sign_test(one: u64, other: u64) -> f64 {
    match Binomial::new(0.5, one + other) {
        Ok(pairs) => (2.0 * pairs.cdf(one.min(other))).min(1.0),
        Err(_) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// P(Binomial(n, 1/2) ≤ k), by summing its terms.
    fn half_binomial(n: usize, k: usize) -> f64 {
        let mut term = 0.5_f64.powi(i32::try_from(n).unwrap());
        let mut sum = term;
        for i in 1..=k {
            term *= (n + 1 - i) as f64 / i as f64;
            sum += term;
        }
        sum
    }

    #[test]
    fn the_medians_interval_covers_95_percent_and_no_narrower_one_does() {
        for n in 1..400_usize {
            let samples: Vec<u64> = (1..=n as u64).collect();
            match median_interval(&samples) {
                None => assert!(n < 6 && 2.0 * half_binomial(n, 0) > 0.05, "{n} samples"),
                Some((low, high)) => {
                    #[allow(clippy::cast_possible_truncation, reason = "the samples are their own ranks, below 400")]
                    let rank = low as usize;
                    assert_eq!(high, (n + 1 - rank) as f64, "symmetric at {n}");
                    assert!(2.0 * half_binomial(n, rank - 1) <= 0.05, "{n} samples, rank {rank}");
                    assert!(2.0 * half_binomial(n, rank) > 0.05, "{n} samples, rank {rank}");
                }
            }
        }
    }

    #[test]
    fn a_sign_test_sums_the_tails_of_the_binomial() {
        for (one, other) in [(0, 0), (5, 5), (0, 6), (9, 1), (1, 9), (30, 12)] {
            let (least, all) = (usize::try_from(one.min(other)).unwrap(), usize::try_from(one + other).unwrap());
            let expected = (2.0 * half_binomial(all, least)).min(1.0);
            assert!((sign_test(one, other) - expected).abs() < 1e-9, "{one} to {other}");
        }
        assert!(sign_test(0, 5) > 0.05 && sign_test(0, 6) < 0.05);
    }

    /// Against R's `t.test(c(1, 2, 3, 4))`, whose interval is 0.445739 to 4.554261.
    #[test]
    fn a_mean_has_students_interval() {
        let Mean { mean, half } = student(&[1.0, 2.0, 3.0, 4.0]);
        assert!((mean - 2.5).abs() < 1e-12 && (half.unwrap() - 2.054261).abs() < 1e-5, "{mean}, {half:?}");
        assert_eq!(student(&[7.0]), Mean { mean: 7.0, half: None });
        assert_eq!(student(&[]), Mean { mean: 0.0, half: None });
    }

    #[test]
    fn wilson_agrees_with_published_figures() {
        // Newcombe, Statistics in Medicine 17, 1998, table I, method 3.
        for (hits, trials, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let (a, b) = wilson(hits, trials).unwrap();
            assert!((a - low).abs() < 5e-5 && (b - high).abs() < 5e-5, "{hits}/{trials}: {a} to {b}");
        }
        assert_eq!(wilson(0, 0), None);
    }

    proptest! {
        #[test]
        fn quantiles_agree_with_the_definition(mut samples in prop::collection::vec(0..1_000_000_u64, 1..200), p in 0.0..=1.0) {
            samples.sort_unstable();
            // Hyndman and Fan: p(k) = (k − 1) / (n − 1) is where the k-th sample lies.
            let value = quantile(&samples, p).unwrap();
            let places = |k: usize| if samples.len() == 1 { 0.0 } else { k as f64 / (samples.len() - 1) as f64 };
            for (k, sample) in samples.iter().enumerate() {
                if places(k) <= p - 1e-9 { prop_assert!(*sample as f64 <= value + 1e-3); }
                if places(k) >= p + 1e-9 { prop_assert!(*sample as f64 >= value - 1e-3); }
            }
        }

        #[test]
        fn a_distribution_is_ordered_and_has_tails_only_where_carried(
            samples in prop_oneof![prop::collection::vec(any::<u32>(), 0..60), prop::collection::vec(any::<u32>(), 490..510)]
        ) {
            let samples: Vec<u64> = samples.into_iter().map(u64::from).collect();
            let Some(d) = Distribution::of(samples.clone()) else {
                prop_assert!(samples.is_empty());
                return Ok(());
            };
            prop_assert_eq!(d.n, samples.len() as u64);
            prop_assert_eq!(d.p50_ci.is_some(), samples.len() >= 6);
            prop_assert_eq!(d.p90.is_some(), samples.len() >= 50);
            prop_assert_eq!(d.p99.is_some(), samples.len() >= 500);
            prop_assert_eq!(d.p999, None);
            let mut line = vec![d.min as f64, d.p50];
            line.extend(d.p90);
            line.extend(d.p99);
            line.push(d.max as f64);
            prop_assert!(line.is_sorted(), "{:?}", line);
            if let Some((low, high)) = d.p50_ci { prop_assert!(low <= d.p50 && d.p50 <= high); }
        }

        #[test]
        fn the_ecdf_counts_the_samples_at_most_a_value(samples in prop::collection::vec(0..50_u64, 0..100)) {
            let steps = ecdf(samples.clone());
            prop_assert!(steps.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
            for (value, share) in &steps {
                let at_most = samples.iter().filter(|sample| *sample <= value).count();
                prop_assert!((share - at_most as f64 / samples.len() as f64).abs() < 1e-12);
            }
            prop_assert_eq!(steps.last().map(|step| step.1), if samples.is_empty() { None } else { Some(1.0) });
        }

        #[test]
        fn wilson_holds_the_share_and_narrows(trials in 1..5_000_u64, part in 0.0..=1.0) {
            #[allow(clippy::cast_possible_truncation, reason = "at most trials")]
            let hits = (part * trials as f64) as u64;
            let (low, high) = wilson(hits, trials).unwrap();
            let share = hits as f64 / trials as f64;
            prop_assert!((0.0..=share).contains(&low) && (share..=1.0).contains(&high) && low < high);
            let (finer_low, finer_high) = wilson(hits * 4, trials * 4).unwrap();
            prop_assert!(finer_high - finer_low < high - low);
        }
    }
}
