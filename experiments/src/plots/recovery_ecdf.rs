//! How long recoveries took: an ECDF a policy, a panel a mechanism, workload and region size, one time axis for all.

use super::axis::Axis;
use super::legend::{RULE, Symbol};
use super::panels::LatencyPanel;
use super::sheet::{Align, Point, Sheet};
use super::style::{AXIS, BLACK, GRID, LABEL, MARGIN, PANEL_TITLE, fit, look};
use crate::record::{Summary, Trial};
use crate::statistics::ecdf;
use crate::units::duration;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const TITLE: &str = "Recovery latency";
pub(super) const READING: &str = "Each line climbs from 0 to 100 % of a policy's recoveries: at a time on the axis \
    below, its height is the share of recoveries that took at most so long, from the faulting instruction to the \
    successor's first completed operation. Further left is faster. The markers stand at 25, 50 and 75 %. Hangs, \
    which only the heartbeat's deadline reveals, have panels of their own, and every panel has its own time axis. The \
    dotted rule is the floor: the bare waitpid and fork of the same path in the same run, which waits for the end of the \
    dying process. A path that knows earlier, from the dying process itself, can lie to the left of it.";

const PANEL_HEIGHT: f64 = 250.0;
const COLUMNS: usize = 2;
const LEFT: f64 = 62.0;

pub(super) fn sheet(summary: &Summary, trials: &[Trial]) -> Sheet {
    let mut sheet = Sheet::new(1200);
    let mut y = sheet.heading(
        TITLE,
        "ECDF by policy, all faults: the share of recoveries (upwards) that took at most so long (to the right)",
    );
    let recoveries = || trials.iter().filter_map(|trial| Some((trial, trial.phases.recovery_ns?)));
    if recoveries().next().is_none() {
        let bottom = sheet.no_data(y, &super::why_empty(trials));
        return sheet.ending_at(bottom);
    }

    let policies: BTreeSet<&str> = recoveries().map(|(trial, _)| trial.levels.policy.as_str()).collect();
    let mut entries: Vec<(Symbol, String)> =
        policies.iter().enumerate().map(|(i, policy)| (Symbol::Line(look(i)), (*policy).to_owned())).collect();
    if !summary.floors.is_empty() {
        entries.push((Symbol::Rule, "floor of the path, p50 (for crashes: by signal)".to_owned()));
    }
    y = sheet.legend(y, &entries);

    let mut panels: BTreeMap<LatencyPanel<'_>, BTreeMap<&str, Vec<u64>>> = BTreeMap::new();
    for (trial, ns) in recoveries() {
        let lines = panels.entry(LatencyPanel::of(trial)).or_default();
        lines.entry(&trial.levels.policy).or_default().push(ns);
    }
    let columns = panels.len().min(COLUMNS);
    let panel_width = (f64::from(sheet.width) - 2.0 * MARGIN) / columns as f64;
    let mut row_bottom = y;
    for (index, (panel, lines)) in panels.into_iter().enumerate() {
        let column = index % columns;
        if column == 0 {
            y = row_bottom;
        }
        let (left, width) = (MARGIN + LEFT + column as f64 * panel_width, panel_width - LEFT - 30.0);
        let floors: Vec<f64> =
            summary.floors.iter().filter(|f| panel.holds_floor(f)).map(|f| f.recovery_ns.p50).collect();
        // The floor in whole nanoseconds is near enough for the axis' ends.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let all_ns = lines.values().flatten().copied().chain(floors.iter().map(|floor| *floor as u64));
        let Some(axis) = Axis::logarithmic(all_ns, left, width) else { continue };
        let n: usize = lines.values().map(Vec::len).sum();
        let title = format!("{} (n = {n})", panel.name());
        sheet.text(left, y + 18.0, Align::Left, PANEL_TITLE, fit(&title, PANEL_TITLE, width + 20.0));
        let (top, bottom) = (y + 30.0, y + 30.0 + PANEL_HEIGHT);
        let height_of = |share: f64| bottom - share * PANEL_HEIGHT;
        for quarter in 0..=4 {
            let at = height_of(f64::from(quarter) / 4.0);
            sheet.line(vec![(left, at), (left + width, at)], 1, GRID);
            sheet.text(left - 8.0, at + 5.0, Align::Right, LABEL, format!("{} %", quarter * 25));
        }
        row_bottom = axis.draw(&mut sheet, top, bottom, duration, "recovery latency (log scale)") + 12.0;
        sheet.line(vec![(left, top), (left, bottom)], 1, AXIS);
        for floor in floors {
            let x = axis.x(floor);
            sheet.dashed(&[(x, top), (x, bottom)], RULE, 2, BLACK);
        }
        for (policy, samples) in lines {
            let look = look(policies.iter().position(|known| *known == policy).unwrap_or_default());
            let (points, marks) = staircase(&ecdf(samples), &axis, &height_of);
            sheet.dashed(&points, look.dash, 2, look.colour);
            for mark in marks {
                sheet.marker(mark, 5.0, look.marker, look.colour);
            }
        }
    }
    sheet.ending_at(row_bottom)
}

/// The corners of an ECDF's line, without those that share a pixel, and where it passes 25, 50 and 75 %.
fn staircase(steps: &[(u64, f64)], axis: &Axis, height_of: &dyn Fn(f64) -> f64) -> (Vec<Point>, Vec<Point>) {
    let (mut points, mut marks) = (Vec::new(), Vec::new());
    let mut before = 0.0;
    for (ns, share) in steps {
        let x = axis.x(*ns as f64);
        let last = points.last().map_or((f64::NEG_INFINITY, 0.0), |point: &Point| *point);
        if x - last.0 >= 0.5 {
            points.push((x, height_of(before)));
        }
        let at = points.last().map_or(x, |point| point.0);
        points.push((at, height_of(*share)));
        marks.extend([0.25, 0.5, 0.75].iter().filter(|q| before < **q && **q <= *share).map(|q| (at, height_of(*q))));
        before = *share;
    }
    (points, marks)
}
