//! The slope of a line through points of which some lie far off.
//!
//! The median of the slopes between all pairs of points, after Theil (1950), with the interval of Sen, "Estimates of the
//! Regression Coefficient Based on Kendall's Tau", Journal of the American Statistical Association 63, 1968: what each
//! point has in common with all others is no part of it, and it takes three tenths of the points to lead it astray.

/// The most points whose pairs are looked at; of more, so many that lie equally far apart in their order.
const MOST: usize = 1_000;

/// What a standard normal variable exceeds in 2.5 % of all cases: the interval covers 95 %.
const ONE_SIDE: f64 = 1.96;

/// How much more there is of one thing for each of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// The slope.
    pub each: f64,
    /// A 95 % confidence interval for it.
    pub interval: (f64, f64),
}

/// The slope of these points, each of them how many there were and what it came to; `None` of too few for an interval.
pub fn slope(points: &[(u64, u64)]) -> Option<Slope> {
    let step = points.len().div_ceil(MOST).max(1);
    let points: Vec<(f64, f64)> = points.iter().step_by(step).map(|&(x, y)| (x as f64, y as f64)).collect();
    let mut slopes = Vec::new();
    for (place, one) in points.iter().enumerate() {
        let others = points[..place].iter().filter(|other| other.0 != one.0);
        slopes.extend(others.map(|other| (one.1 - other.1) / (one.0 - other.0)));
    }
    slopes.sort_unstable_by(f64::total_cmp);
    // Kendall's statistic of so many points scatters so far where there is no slope. Points with the same number make it
    // scatter less, so that the interval is wide rather than narrow.
    let n = points.len() as f64;
    let scatter = ONE_SIDE * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    let left_out = ((slopes.len() as f64 - scatter) / 2.0).floor();
    if left_out < 1.0 {
        return None;
    }
    // From 1 to half of the slopes.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let left_out = left_out as usize;
    let middle = (slopes[(slopes.len() - 1) / 2] + slopes[slopes.len() / 2]) / 2.0;
    Some(Slope { each: middle, interval: (slopes[left_out - 1], slopes[slopes.len() - left_out]) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn points_that_lie_far_off_do_not_turn_the_line() {
        let mut points: Vec<(u64, u64)> = (0..20).map(|x| (x, 500 + 7 * x)).collect();
        assert_eq!(slope(&points), Some(Slope { each: 7.0, interval: (7.0, 7.0) }));
        for place in [0, 7, 13, 19] {
            points[place].1 += 100_000;
        }
        let found = slope(&points).unwrap();
        assert_eq!(found.each, 7.0);
        assert!(found.interval.0 <= 7.0 && found.interval.1 >= 7.0, "{found:?}");
    }

    #[test]
    fn too_few_points_say_nothing() {
        assert_eq!(slope(&[]), None);
        assert_eq!(slope(&[(1, 5), (2, 6), (3, 8)]), None);
        // All of the same number: there is no line.
        assert_eq!(slope(&[(4, 1), (4, 2), (4, 3), (4, 9), (4, 5), (4, 6), (4, 7)]), None);
        assert!(slope(&[(1, 5), (2, 6), (3, 8), (4, 8), (5, 11), (6, 12)]).is_some());
    }

    /// The interval holds the slope as often as it says, also where some points lie far off on one side.
    #[test]
    fn the_interval_covers_the_slope() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut held = 0;
        for _ in 0..400 {
            let points: Vec<(u64, u64)> = (0..40)
                .map(|x| {
                    let far: u64 = if rng.random::<f64>() < 0.2 { 3_000 } else { 0 };
                    (x, 1_000 + 30 * x + rng.random_range(0..400_u64) + far)
                })
                .collect();
            let found = slope(&points).unwrap();
            assert!(found.interval.0 <= found.each && found.each <= found.interval.1);
            held += u32::from((found.interval.0..=found.interval.1).contains(&30.0));
        }
        // 95 % of 400, give or take three standard deviations.
        assert!((367..=393).contains(&held), "{held}");
    }

    /// Of many points some are left out, evenly, which tells the same.
    #[test]
    fn many_points_are_thinned_out() {
        let points: Vec<(u64, u64)> = (0..25_000).map(|x| (x * 7 % 1_000, x * 7 % 1_000 * 3)).collect();
        assert_eq!(slope(&points).unwrap().each, 3.0);
    }
}
