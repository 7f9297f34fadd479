//! A heartbeat's deadline: how often a lively transaction is taken for hung, and how long a hang goes unnoticed.

use super::axis::Axis;
use super::legend::Symbol;
use super::plane::{Plane, Scale, Whisker};
use super::sheet::{Point, Sheet};
use super::style::look;
use crate::record::{Distribution, Level, Measurement, Summary};
use crate::units::duration;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const TITLE: &str = "A heartbeat's deadline";
pub(super) const READING: &str = "To the right is the deadline after which a transaction without a sign of life is taken \
    for hung. On the left, the share of lively operations that were: the marker is the median of the rounds, the bar the \
    most of one. On the right, the time from a hang to its notice, the median and the most. A short deadline notices \
    soon and cries wolf; how short it may be depends on what else runs. All axes are logarithmic.";

/// The points of a line: deadline in milliseconds, and figures.
type Line<'a> = BTreeMap<u64, &'a Distribution>;

fn lines<'a>(summary: &'a Summary, row: &str) -> BTreeMap<String, Line<'a>> {
    let mut lines: BTreeMap<String, Line<'a>> = BTreeMap::new();
    for Measurement { levels, distribution, .. } in
        summary.measurements.iter().filter(|found| found.measure == "heartbeat" && found.row == row)
    {
        if let (Some(Level::Number(deadline_ms)), Some(load)) = (levels.get("deadline-ms"), levels.get("load")) {
            lines.entry(load.to_string()).or_default().insert(*deadline_ms, distribution);
        }
    }
    lines
}

/// Whether it was measured.
pub(super) fn applies(summary: &Summary) -> bool {
    summary.measurements.iter().any(|found| found.measure == "heartbeat")
}

pub(super) fn sheet(summary: &Summary) -> Sheet {
    let mut sheet = Sheet::new(1200);
    let y = sheet.heading(TITLE, "False alarms and time to notice a hang, by deadline and by what else runs");
    let panels = [("false-alarms", "false alarms among lively operations"), ("detection", "time to notice a hang")]
        .map(|(row, name)| (lines(summary, row), name));
    let loads: BTreeSet<String> = panels.iter().flat_map(|(lines, _)| lines.keys().cloned()).collect();
    if loads.is_empty() {
        let bottom = sheet.no_data(y, "no heartbeat was measured");
        return sheet.ending_at(bottom);
    }
    // Nothing else runs first, as the plainest.
    let mut loads: Vec<String> = loads.into_iter().collect();
    loads.sort_by_key(|load| load != "none");
    let words = |load: &String| if load == "none" { "nothing else runs".to_owned() } else { format!("load {load}") };
    let entries: Vec<(Symbol, String)> =
        loads.iter().enumerate().map(|(index, load)| (Symbol::Line(look(index)), words(load))).collect();
    let y = sheet.legend(y, &entries);
    let mut end = y;
    for ((lines, name), column) in panels.into_iter().zip(0_u8..) {
        let figures = || lines.values().flat_map(BTreeMap::values);
        let deadlines = || lines.values().flat_map(BTreeMap::keys).copied();
        // Whole parts in a million, or nanoseconds, are near enough for an axis' ends.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let ends = || figures().flat_map(|figures| [figures.p50 as u64, figures.max]);
        let across = |left, width| Axis::logarithmic(deadlines(), left, width);
        let shares = |left, width| Axis::logarithmic_from_zero(ends(), left, width);
        let times = |left, width| Axis::logarithmic(ends(), left, width);
        let upwards = match column {
            0 => Scale { lay: &shares, label: |millionths| format!("{} %", millionths / 1e4) },
            _ => Scale { lay: &times, label: duration },
        };
        let across = (Scale { lay: &across, label: |ms| duration(ms * 1e6) }, "deadline (log scale)");
        let Some(plane) = Plane::draw(&mut sheet, y, column, name, across, upwards) else { continue };
        for (load, line) in &lines {
            let look = look(loads.iter().position(|known| known == load).unwrap_or_default());
            let points: Vec<Point> =
                line.iter().map(|(deadline, figures)| plane.at(*deadline as f64, figures.p50)).collect();
            sheet.dashed(&points, look.dash, 2, look.colour);
            for (deadline, figures) in line {
                plane.whisker(
                    &mut sheet,
                    &Whisker {
                        x: *deadline as f64,
                        y: figures.p50,
                        to: figures.max as f64,
                        marker: look.marker,
                        dash: &[],
                        colour: look.colour,
                    },
                );
            }
        }
        end = end.max(plane.end);
    }
    sheet.ending_at(end)
}
