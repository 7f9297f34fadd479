//! Child transactions as checkpoints: steps done again, by the place of the crash.

use super::axis::Axis;
use super::legend::Symbol;
use super::plane::{Plane, Scale, Whisker};
use super::sheet::{Point, Sheet};
use super::style::look;
use crate::nested::{Row, depths, ways};
use crate::record::Summary;
use crate::units::three_digits;

pub(super) const TITLE: &str = "What a crash costs a program of nested calls";
pub(super) const READING: &str = "To the right is the level of the program that crashes, upwards how many steps are done \
    again: medians, with a whisker to the most of a run; a panel a depth. A program that starts over does all again that \
    came before the crash. With child transactions, as with locals that are kept by hand, only the steps of the level that \
    crashed; but the program is written as if nothing crashed.";

/// Whether it was measured.
pub(super) fn applies(summary: &Summary) -> bool {
    !Row::all(summary).is_empty()
}

pub(super) fn sheet(summary: &Summary) -> Sheet {
    let mut sheet = Sheet::new(1200);
    let y = sheet.heading(TITLE, "Steps done again, by the level that crashes and by how it is recovered");
    let rows = Row::all(summary);
    let again = |depth: u64| {
        let at = move |row: &&Row<'_>| row.name == "again" && row.depth == depth && row.crash_at.is_some();
        rows.iter().filter(at).copied().collect::<Vec<_>>()
    };
    let depths: Vec<u64> = depths(&rows).into_iter().filter(|depth| !again(*depth).is_empty()).collect();
    if depths.is_empty() {
        let bottom = sheet.no_data(y, "no program of nested calls was measured");
        return sheet.ending_at(bottom);
    }
    let ways = ways(&rows);
    let entries: Vec<(Symbol, String)> =
        ways.iter().enumerate().map(|(index, way)| (Symbol::Line(look(index)), way.in_words())).collect();
    let mut y = sheet.legend(y, &entries);
    for row in depths.chunks(2) {
        let top = y;
        for (&depth, column) in row.iter().zip(0_u8..) {
            let again = again(depth);
            let most = again.iter().map(|row| row.figures.max).max().unwrap_or(0).max(1);
            let across = |left, width| Axis::linear([1.0, depth as f64].into_iter(), left, width);
            let upwards = |left, width| Axis::linear([most as f64].into_iter(), left, width);
            let name = format!("{depth} levels");
            let across = (Scale { lay: &across, label: three_digits }, "level that crashes");
            let upwards = Scale { lay: &upwards, label: three_digits };
            let Some(plane) = Plane::draw(&mut sheet, top, column, &name, across, upwards) else { continue };
            for (index, way) in ways.iter().enumerate() {
                let look = look(index);
                let own = again.iter().filter(|row| (row.way, row.mechanism) == (way.way, way.mechanism));
                let mut line: Vec<_> = own.filter_map(|row| Some((row.crash_at?, row.figures))).collect();
                line.sort_by_key(|(at, _)| *at);
                let points: Vec<Point> =
                    line.iter().map(|(at, figures)| plane.at((at + 1) as f64, figures.p50)).collect();
                sheet.dashed(&points, look.dash, 2, look.colour);
                for (at, figures) in line {
                    let (x, to) = ((at + 1) as f64, figures.max as f64);
                    let whisker =
                        Whisker { x, y: figures.p50, to, marker: look.marker, dash: &[], colour: look.colour };
                    plane.whisker(&mut sheet, &whisker);
                }
            }
            y = y.max(plane.end);
        }
    }
    sheet.ending_at(y)
}
