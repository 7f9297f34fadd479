//! Panels of ECDFs, which the plots of recovery latency have in common: two in a row, each with a time axis of its own.

use super::axis::Axis;
use super::legend::RULE;
use super::sheet::{Align, Point, Sheet};
use super::style::{AXIS, GRID, LABEL, Look, MARGIN, PANEL_TITLE, SMALL, fit};
use crate::statistics::ecdf;
use crate::units::{count, duration};
use plotters::style::RGBColor;

/// The most panels of a sheet; what is beyond them is counted under them.
const MOST_PANELS: usize = 24;
const PANEL_HEIGHT: f64 = 250.0;
const COLUMNS: usize = 2;
const LEFT: f64 = 62.0;

/// A panel to draw.
pub(super) struct EcdfPanel {
    /// What it holds.
    pub(super) name: String,
    /// Its lines: the samples of each.
    pub(super) lines: Vec<(Look, Vec<u64>)>,
    /// Where a dotted rule stands, and in which colour.
    pub(super) rules: Vec<(f64, RGBColor)>,
}

impl Sheet {
    /// Draws the panels from `top` on. Returns the y below them.
    pub(super) fn ecdfs(&mut self, top: f64, panels: Vec<EcdfPanel>) -> f64 {
        let left_out = panels.len().saturating_sub(MOST_PANELS);
        let columns = panels.len().clamp(1, COLUMNS);
        let panel_width = (f64::from(self.width) - 2.0 * MARGIN) / columns as f64;
        let (mut y, mut row_bottom) = (top, top);
        for (index, panel) in panels.into_iter().take(MOST_PANELS).enumerate() {
            let column = index % columns;
            if column == 0 {
                y = row_bottom;
            }
            let left = MARGIN + LEFT + column as f64 * panel_width;
            row_bottom = self.ecdf(y, (left, panel_width - LEFT - 30.0), panel).max(row_bottom);
        }
        if left_out > 0 {
            let words = format!("{} not drawn", count(left_out as u64, "more panel is", "more panels are"));
            self.text(MARGIN, row_bottom + 14.0, Align::Left, SMALL, words);
            row_bottom += 24.0;
        }
        row_bottom
    }

    fn ecdf(&mut self, y: f64, (left, width): (f64, f64), panel: EcdfPanel) -> f64 {
        // A rule in whole nanoseconds is near enough for the axis' ends.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rules = panel.rules.iter().map(|(ns, _)| *ns as u64);
        let samples = panel.lines.iter().flat_map(|(_, samples)| samples).copied();
        let Some(axis) = Axis::logarithmic(samples.chain(rules), left, width) else { return y };
        let n: usize = panel.lines.iter().map(|(_, samples)| samples.len()).sum();
        let title = format!("{} (n = {n})", panel.name);
        self.text(left, y + 18.0, Align::Left, PANEL_TITLE, fit(&title, PANEL_TITLE, width + 20.0));
        let (top, bottom) = (y + 30.0, y + 30.0 + PANEL_HEIGHT);
        let height_of = |share: f64| bottom - share * PANEL_HEIGHT;
        for quarter in 0..=4 {
            let at = height_of(f64::from(quarter) / 4.0);
            self.line(vec![(left, at), (left + width, at)], 1, GRID);
            self.text(left - 8.0, at + 5.0, Align::Right, LABEL, format!("{} %", quarter * 25));
        }
        let end = axis.draw(self, top, bottom, duration, "recovery latency (log scale)") + 12.0;
        self.line(vec![(left, top), (left, bottom)], 1, AXIS);
        for (ns, colour) in panel.rules {
            let x = axis.x(ns);
            self.dashed(&[(x, top), (x, bottom)], RULE, 2, colour);
        }
        for (look, samples) in panel.lines {
            let (points, marks) = staircase(&ecdf(samples), &axis, &height_of);
            self.dashed(&points, look.dash, 2, look.colour);
            for mark in marks {
                self.marker(mark, 5.0, look.marker, look.colour);
            }
        }
        end
    }
}

/// The corners of an ECDF's line, without those that share a pixel, and where it passes 25, 50 and 75 %.
fn staircase(steps: &[(u64, f64)], axis: &Axis, height_of: &dyn Fn(f64) -> f64) -> (Vec<Point>, Vec<Point>) {
    let (mut points, mut marks): (Vec<Point>, Vec<Point>) = (Vec::new(), Vec::new());
    let mut before = 0.0;
    for (ns, share) in steps {
        let (x, high) = (axis.x(*ns as f64), height_of(*share));
        let last = points.last().map_or(f64::NEG_INFINITY, |point| point.0);
        let at = if x - last >= 0.5 {
            points.extend([(x, height_of(before)), (x, high)]);
            x
        } else {
            // It goes on upwards where it is.
            if let Some(top) = points.last_mut() {
                top.1 = high;
            }
            last
        };
        marks.extend([0.25, 0.5, 0.75].iter().filter(|q| before < **q && **q <= *share).map(|q| (at, height_of(*q))));
        before = *share;
    }
    (points, marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_more_corners_than_its_width_has_pixels() {
        let steps = ecdf((0..200_000).map(|i| 10_000 + i * 7).collect());
        let axis = Axis::logarithmic(steps.iter().map(|step| step.0), 60.0, 500.0).unwrap();
        let (points, marks) = staircase(&steps, &axis, &|share| 250.0 - 250.0 * share);
        assert!((900..=2_000).contains(&points.len()), "{}", points.len());
        assert!(points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 >= b.1), "it climbs to the right");
        assert_eq!((points[0].1.round(), points.last().unwrap().1), (250.0, 0.0));
        assert_eq!(marks.len(), 3);
    }
}
