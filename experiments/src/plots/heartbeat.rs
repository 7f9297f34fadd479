//! How short a heartbeat's deadline may be: false alarms, and the time to notice a hang.

use super::axis::Axis;
use super::legend::Symbol;
use super::sheet::{Align, Sheet};
use super::style::{MARGIN, PANEL_TITLE, look};
use crate::record::{Level, Measurement, Summary};
use crate::units::{duration, percent};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const TITLE: &str = "Heartbeat deadline";
pub(super) const READING: &str = "To the left, the share of sound operations that were taken for hung, and their \
    transaction killed for it, against the deadline: further down is better. To the right, how long a real hang took to \
    be noticed: a shorter deadline notices sooner. A line a load of the machine.";

const HEIGHT: f64 = 260.0;
const LEFT: f64 = 80.0;
const GAP: f64 = 40.0;
const NS_PER_MS: u64 = 1_000_000;
const MILLION: f64 = 1e6;

/// Whether a run has something to show here.
pub(super) fn has_data(summary: &Summary) -> bool {
    rows(summary, "false-alarms").next().is_some()
}

/// Deadline in nanoseconds, load, and the median, of each row by this name.
fn rows<'a>(summary: &'a Summary, name: &'a str) -> impl Iterator<Item = (u64, &'a str, f64)> {
    let is_it = move |row: &&Measurement| row.measure == "heartbeat" && row.row == name;
    summary.measurements.iter().filter(is_it).filter_map(|row| {
        match (row.levels.get("deadline-ms")?, row.levels.get("load")?) {
            (Level::Number(ms), Level::Text(load)) => Some((ms * NS_PER_MS, load.as_str(), row.distribution.p50)),
            _ => None,
        }
    })
}

pub(super) fn sheet(summary: &Summary) -> Sheet {
    let mut sheet = Sheet::new(1200);
    let mut y = sheet.heading(TITLE, "False alarms, and the time to notice a hang, against the deadline");
    let loads: BTreeSet<&str> = rows(summary, "false-alarms").map(|row| row.1).collect();
    if loads.is_empty() {
        let bottom = sheet.no_data(y, "no deadline was tried");
        return sheet.ending_at(bottom);
    }
    let entries: Vec<_> =
        loads.iter().enumerate().map(|(i, load)| (Symbol::Line(look(i)), format!("load {load}"))).collect();
    y = sheet.legend(y, &entries);
    let (top, bottom) = (y + 30.0, y + 30.0 + HEIGHT);
    let width = (f64::from(sheet.width) - 2.0 * MARGIN) / 2.0;
    let panels =
        [("false-alarms", "sound operations taken for hung"), ("detection", "from the hang to its notice, p50")];
    for (column, (name, title)) in panels.into_iter().enumerate() {
        let left = MARGIN + LEFT + column as f64 * width;
        let across = Axis::logarithmic(rows(summary, name).map(|row| row.0), left, width - LEFT - GAP);
        let is_share = name == "false-alarms";
        let up = if is_share {
            Axis::linear(rows(summary, name).map(|row| row.2), 0.0, HEIGHT)
        } else {
            // A latency in whole nanoseconds is near enough for the axis' ends.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Axis::logarithmic(rows(summary, name).map(|row| row.2 as u64), 0.0, HEIGHT)
        };
        let (Some(across), Some(up)) = (across, up) else { continue };
        sheet.text(left, top - 12.0, Align::Left, PANEL_TITLE, title);
        y = across.draw(&mut sheet, top, bottom, duration, "deadline (log scale)");
        let label: fn(f64) -> String = if is_share { |millionths| percent(millionths / MILLION) } else { duration };
        up.draw_upright(&mut sheet, left, across.right(), bottom, label);
        let mut lines: BTreeMap<&str, Vec<(u64, f64)>> = BTreeMap::new();
        for (deadline, load, value) in rows(summary, name) {
            lines.entry(load).or_default().push((deadline, value));
        }
        for (index, mut line) in lines.into_values().enumerate() {
            line.sort_unstable_by_key(|point| point.0);
            let look = look(index);
            let points: Vec<_> = line.iter().map(|(ns, value)| (across.x(*ns as f64), bottom - up.x(*value))).collect();
            sheet.dashed(&points, look.dash, 2, look.colour);
            for point in points {
                sheet.marker(point, 5.0, look.marker, look.colour);
            }
        }
    }
    sheet.ending_at(y)
}
