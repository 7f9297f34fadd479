//! Useful work against the interval of commits: what was measured, Daly's model of it, and his optimum beside Young's.

use super::axis::Axis;
use super::legend::{RULE, Symbol};
use super::plane::{Plane, Scale, Whisker};
use super::sheet::{Point, Sheet};
use super::style::{BLACK, Look, look, tint};
use crate::goodput::Series;
use crate::record::Summary;
use crate::units::{bytes, duration};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const TITLE: &str = "Useful work against the interval of commits";
pub(super) const READING: &str = "To the right is how long steps are done between two commits, upwards the share of time \
    that went into steps whose result was kept, both by the time that a step takes without commits and crashes. A marker \
    is the median of the laps at an interval, its whiskers the median's interval of 95 % (the least and the most of fewer \
    than 6 laps); the colour says how often crashes came. The line through it is no fit: it is what Daly's model gives for \
    the mean commit, restart and time between crashes that the same laps had. A whole upright line stands at his optimum, \
    a dotted one at Young's.";

/// Points of a curve.
const STEPS: u32 = 160;
/// How strong the colour of a model's curve is beside that of what was measured.
const MODEL: f64 = 0.6;

/// Whether it was measured.
pub(super) fn applies(summary: &Summary) -> bool {
    !Series::all(summary).is_empty()
}

pub(super) fn sheet(summary: &Summary) -> Sheet {
    let mut sheet = Sheet::new(1200);
    let y = sheet.heading(TITLE, "Share of time that was useful, by interval, time between crashes and mechanism");
    let all = Series::all(summary);
    let mtbfs: BTreeSet<u64> = all.iter().map(|series| series.mtbf_ms).collect();
    if all.is_empty() {
        let bottom = sheet.no_data(y, "no goodput was measured");
        return sheet.ending_at(bottom);
    }
    let look_of = |mtbf_ms: u64| {
        let place = mtbfs.iter().position(|known| *known == mtbf_ms).unwrap_or_default();
        Look { dash: &[], ..look(place) }
    };
    let entry = |mtbf_ms: &u64| (Symbol::Line(look_of(*mtbf_ms)), format!("a crash every {mtbf_ms} ms"));
    let mut entries: Vec<(Symbol, String)> = mtbfs.iter().map(entry).collect();
    entries.push((Symbol::Stem(BLACK, &[]), "Daly's optimum".to_owned()));
    entries.push((Symbol::Stem(BLACK, RULE), "Young's".to_owned()));
    let mut y = sheet.legend(y, &entries);

    let mut panels: BTreeMap<(&str, u64), Vec<&Series<'_>>> = BTreeMap::new();
    for series in &all {
        panels.entry((series.mechanism, series.state_bytes)).or_default().push(series);
    }
    let panels: Vec<_> = panels.into_iter().collect();
    for row in panels.chunks(2) {
        let top = y;
        for (((mechanism, state_bytes), series), column) in row.iter().zip(0_u8..) {
            let steps = mean_step(series);
            let name = format!("{mechanism} · stencil of {}, {steps}", bytes(*state_bytes));
            if let Some(plane) = panel(&mut sheet, (top, column), &name, series, &look_of) {
                y = y.max(plane);
            }
        }
    }
    sheet.ending_at(y)
}

/// What a step takes, over all series of a panel.
fn mean_step(series: &[&Series<'_>]) -> String {
    let all: f64 = series.iter().map(|series| series.step_ns).sum();
    format!("a step {}", duration(all / series.len().max(1) as f64))
}

/// Draws a panel; answers the y below it.
fn panel(
    sheet: &mut Sheet,
    (top, column): (f64, u8),
    name: &str,
    all: &[&Series<'_>],
    look_of: &dyn Fn(u64) -> Look,
) -> Option<f64> {
    // Whole nanoseconds are near enough for an axis' ends.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let ends = || {
        all.iter().flat_map(|series| {
            let measured = series.points.iter().map(|point| series.interval_ns(point.commit_every));
            let best = [series.costs.young_interval_ns(), series.costs.daly_interval_ns()];
            measured.chain(best).map(|ns| ns as u64)
        })
    };
    let across = |left, width| Axis::logarithmic(ends(), left, width);
    let upwards = |left, width| Axis::linear([1.0].into_iter(), left, width);
    let plane = Plane::draw(
        sheet,
        top,
        column,
        name,
        (Scale { lay: &across, label: duration }, "work between two commits (log scale)"),
        Scale { lay: &upwards, label: |share| format!("{:.0} %", share * 100.0) },
    )?;
    let (shortest, longest) = (ends().min()?.max(1) as f64, ends().max()?.max(1) as f64);
    for series in all {
        let look = look_of(series.mtbf_ms);
        let model = |interval_ns: f64| plane.at(interval_ns, series.costs.useful_fraction(interval_ns));
        let curve: Vec<Point> = (0..=STEPS)
            .map(|step| shortest * (longest / shortest).powf(f64::from(step) / f64::from(STEPS)))
            .map(model)
            .collect();
        sheet.line(curve, 2, tint(look.colour, MODEL));
        let optima = [(series.costs.young_interval_ns(), RULE), (series.costs.daly_interval_ns(), &[])];
        for (interval_ns, dash) in optima {
            let foot = plane.at(interval_ns, 0.0);
            sheet.dashed(&[foot, model(interval_ns)], dash, 2, look.colour);
        }
        for point in &series.points {
            let (least, most) = (point.goodput.min as f64, point.goodput.max as f64);
            let (low, high) = point.goodput.p50_ci.unwrap_or((least, most));
            for to in [low, high] {
                plane.whisker(
                    sheet,
                    &Whisker {
                        x: series.interval_ns(point.commit_every),
                        y: point.share(),
                        to: to / 1e6,
                        marker: look.marker,
                        dash: &[],
                        colour: look.colour,
                    },
                );
            }
        }
    }
    Some(plane.end)
}
