//! What commits, changes, restores and recoveries cost against the pages written: a panel a size of the region, a line a
//! mechanism.

use super::axis::Axis;
use super::legend::Symbol;
use super::plane::{Plane, Scale, Whisker};
use super::sheet::{Point, Sheet};
use super::style::{GREY, Look, Marker, look};
use crate::record::Summary;
use crate::summary::costs::{Costs, Curve, PAGE};
use crate::units::{bytes, duration};
use std::collections::BTreeMap;

/// A cost that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) title: &'static str,
    pub(super) reading: &'static str,
    /// The row of the measure, and the row and the name of what it is held against on the bare path.
    row: &'static str,
    bare: Option<(&'static str, &'static str)>,
}

pub(super) const COMMIT: Cost = Cost {
    title: "What a commit costs",
    reading: "To the right is how many pages were written since the commit before, spread over the state; upwards the time \
        of a commit that is waited for, the median, with a bar at the 90 % quantile (the most, where there are fewer than 50 \
        samples). The grey line is the same scan, log, apply and acknowledgement by bare system calls. What the writes \
        themselves cost more is in the next plot. Both axes are logarithmic.",
    row: "commit",
    bare: Some(("bare-commit", "bare system calls, by page")),
};

pub(super) const CHANGE: Cost = Cost {
    title: "What a change costs in all",
    reading: "The writes and the commit after them. A mechanism that commits at once has paid before: the undo log when it \
        logged the old bytes, copy on write and dirty pages in the page fault at the first write to a page. Otherwise as \
        above.",
    row: "write-and-commit",
    bare: Some(("bare-write-and-commit", "bare system calls, by page")),
};

pub(super) const RESTORE: Cost = Cost {
    title: "What a restore costs the daemon",
    reading: "The time that a daemon needs to put the last commit in place after a crash with so many pages written. Copy on \
        write has nothing to do there: its private copies die with the process. The grey line is copying these pages, and \
        nothing else. Otherwise as above.",
    row: "restore",
    bare: Some(("bare-copy-back", "copying the pages")),
};

pub(super) const RECOVERY: Cost = Cost {
    title: "What a crash costs",
    reading: "The time from a null write, with so many pages written since the last commit, until the successor has done \
        its first operation, which reads a byte of each of them. Otherwise as above.",
    row: "recovery",
    bare: None,
};

/// The lines of a panel, by their names.
type Lines<'a> = BTreeMap<&'a str, (Look, Curve<'a>)>;

impl Cost {
    /// The lines at a size, as far as they have points of whole pages.
    fn lines<'a>(self, costs: Costs<'a>, region_bytes: u64) -> Lines<'a> {
        let pages = |curve: Curve<'a>| curve.into_iter().filter(|(written, _)| *written >= PAGE).collect::<Curve<'a>>();
        let mut lines: Lines<'a> = BTreeMap::new();
        for (index, name) in costs.mechanisms().into_iter().enumerate() {
            lines.insert(name, (look(index), pages(costs.curve(self.row, Some(name), region_bytes))));
        }
        if let Some((row, name)) = self.bare {
            let plain = Look { colour: GREY, dash: &[2.0, 4.0], marker: Marker::Cross };
            lines.insert(name, (plain, pages(costs.curve(row, None, region_bytes))));
        }
        lines.retain(|_, (_, curve)| !curve.is_empty());
        lines
    }

    fn panels<'a>(self, summary: &'a Summary) -> Vec<(u64, Lines<'a>)> {
        let costs = Costs::of(summary);
        let panel = |region_bytes| (region_bytes, self.lines(costs, region_bytes));
        costs.regions().into_iter().map(panel).filter(|(_, lines)| !lines.is_empty()).collect()
    }

    /// Whether it was measured.
    pub(super) fn applies(self, summary: &Summary) -> bool {
        !self.panels(summary).is_empty()
    }

    pub(super) fn sheet(self, summary: &Summary) -> Sheet {
        let mut sheet = Sheet::new(1200);
        let y = sheet.heading(self.title, "By pages written and size of the region, p50 with a whisker to p90");
        let panels = self.panels(summary);
        if panels.is_empty() {
            let bottom = sheet.no_data(y, "the costs of mechanisms were not measured");
            return sheet.ending_at(bottom);
        }
        let mut entries: BTreeMap<&str, Look> = BTreeMap::new();
        for (_, lines) in &panels {
            entries.extend(lines.iter().map(|(name, (look, _))| (*name, *look)));
        }
        let entries: Vec<(Symbol, String)> =
            entries.into_iter().map(|(name, look)| (Symbol::Line(look), name.to_owned())).collect();
        let mut y = sheet.legend(y, &entries);
        for row in panels.chunks(2) {
            let top = y;
            for ((region_bytes, lines), column) in row.iter().zip(0..) {
                y = y.max(panel(&mut sheet, (top, column), *region_bytes, lines).unwrap_or(top));
            }
        }
        sheet.ending_at(y)
    }
}

/// Draws a panel; answers its end.
fn panel(sheet: &mut Sheet, (top, column): (f64, u8), region_bytes: u64, lines: &Lines<'_>) -> Option<f64> {
    let points = || lines.values().flat_map(|(_, curve)| curve);
    let tail = |figures: &crate::record::Distribution| figures.p90.unwrap_or(figures.max as f64);
    let across = |left, width| Axis::logarithmic(points().map(|(written, _)| written / PAGE), left, width);
    let upwards = |left, width| {
        // Whole nanoseconds are near enough for an axis' ends.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let ends = points().flat_map(|(_, figures)| [figures.p50 as u64, tail(figures).ceil() as u64]);
        Axis::logarithmic(ends, left, width)
    };
    let name = format!("region of {}", bytes(region_bytes));
    let across = (Scale { lay: &across, label: |pages| format!("{pages}") }, "pages written (log scale)");
    let plane = Plane::draw(sheet, top, column, &name, across, Scale { lay: &upwards, label: duration })?;
    for (look, curve) in lines.values() {
        let pages = |written: u64| (written / PAGE) as f64;
        let line: Vec<Point> = curve.iter().map(|(written, figures)| plane.at(pages(*written), figures.p50)).collect();
        sheet.dashed(&line, look.dash, 2, look.colour);
        for (written, figures) in curve {
            let (x, y, to) = (pages(*written), figures.p50, tail(figures));
            plane.whisker(sheet, &Whisker { x, y, to, marker: look.marker, dash: &[], colour: look.colour });
        }
    }
    Some(plane.end)
}
