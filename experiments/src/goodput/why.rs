//! Why the goodput that was measured is not what Daly's formula gives.
//!
//! Both the measured time and the model's are divided into useful work and what the rest went to, each into all of itself.
//! So where the useful shares differ, the differences of the other shares say why.

use super::{Point, Series};
use crate::units::{duration, ratio, three_digits};

/// A difference to the formula up to this share of it needs no explanation.
pub const CLOSE: f64 = 0.05;
/// A part is named where it makes up at least this share of the difference.
const NAMED: f64 = 0.2;

/// Why what was measured is not what the formula gives, by the parts of the time; `None` where the two are close.
pub fn why(series: &Series<'_>, point: &Point<'_>) -> Option<String> {
    let model = series.model(point.commit_every);
    let between = model.useful - point.share();
    if (point.share() / model.useful - 1.0).abs() <= CLOSE {
        return None;
    }
    let Point { spent, .. } = point;
    let each = |ns: Option<f64>| ns.map_or("none came true".to_owned(), |ns| format!("{} each", duration(ns)));
    let costed = |what: &str, spent: f64, by_formula: f64, each_ns: Option<f64>| {
        let [now, then] = [spent, by_formula].map(super::percent);
        (spent - by_formula, format!("{what} ({now} of the time and {}, by the formula {then})", each(each_ns)))
    };
    // More of a part than the model has leaves less for useful work.
    let mut parts = vec![
        (
            spent.kept - point.share(),
            format!("steps, which took {} × as long as by themselves, the first ones apart", ratio(point.slower())),
        ),
        costed("commits", spent.commits, model.commits, point.commit_ns),
        costed("restarts", spent.restarts, model.restarts, point.restart_ns),
        (
            spent.lost - model.lost,
            format!(
                "lost work ({} of the time in {} crashes a lap, by the formula {})",
                super::percent(spent.lost),
                three_digits(point.crashes.p50),
                super::percent(model.lost)
            ),
        ),
    ];
    parts.retain(|(part, _)| part.abs() >= NAMED * between.abs());
    parts.sort_by(|(a, _), (b, _)| b.abs().total_cmp(&a.abs()));
    let points = |share: f64, more: &str, less: &str| {
        let word = if share > 0.0 { more } else { less };
        format!("{} points {word}", three_digits(share.abs() * 100.0))
    };
    let named: Vec<String> =
        parts.iter().map(|(part, into)| format!("{} went into {into}", points(*part, "more", "fewer"))).collect();
    let named = if named.is_empty() { "in no part of the time by itself".to_owned() } else { named.join(", ") };
    let mut said =
        format!("{} of the time were useful than by the formula: {named}", points(-between, "more", "fewer"));
    if let Some(own) = series.model_of(point) {
        said += &format!(
            "; with the steps ({}), commits, restarts and crashes of this interval alone the formula gives {}",
            duration(series.step_ns * point.slower()),
            super::percent(own)
        );
    }
    if point.goodput.p50_ci.is_some_and(|(low, high)| (low / 1e6..=high / 1e6).contains(&model.useful)) {
        said += "; the laps scatter as far as the formula's value";
    }
    if point.share() > model.useful && series.points.len() > 1 {
        said += &format!("; and as the best of {} medians it is likelier too high than too low", series.points.len());
    }
    Some(said + ".")
}
