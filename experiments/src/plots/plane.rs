//! A plane: a panel with two axes, for points rather than distributions.

use super::axis::Axis;
use super::sheet::{Align, Point, Sheet};
use super::style::{AXIS, MARGIN, Marker, PANEL_TITLE, fit};
use plotters::style::RGBColor;

/// Room to the left of a plane for the labels of its upward axis.
pub(super) const LEFT: f64 = 84.0;
const HEIGHT: f64 = 250.0;
const COLUMNS: f64 = 2.0;

/// An axis to be laid over some pixels: where it begins, and how long it is.
pub(super) type Lay<'a> = &'a dyn Fn(f64, f64) -> Option<Axis>;

/// What is written along an axis.
#[derive(Clone, Copy)]
pub(super) struct Scale<'a> {
    /// The axis.
    pub(super) lay: Lay<'a>,
    /// The label of a tick.
    pub(super) label: fn(f64) -> String,
}

/// A panel with an axis to the right and one upwards.
pub(super) struct Plane {
    across: Axis,
    upwards: Axis,
    bottom: f64,
    /// The y below its axis.
    pub(super) end: f64,
}

/// A point of a plane, with a whisker upwards to another value.
pub(super) struct Whisker {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) to: f64,
    pub(super) marker: Marker,
    pub(super) dash: &'static [f64],
    pub(super) colour: RGBColor,
}

impl Plane {
    /// Draws an empty plane in a column of the sheet from `y` on; `None` where an axis has no values.
    pub(super) fn draw(
        sheet: &mut Sheet,
        y: f64,
        column: u8,
        name: &str,
        (across, title): (Scale<'_>, &str),
        upwards: Scale<'_>,
    ) -> Option<Self> {
        let column_width = (f64::from(sheet.width) - 2.0 * MARGIN) / COLUMNS;
        let (left, width) = (MARGIN + LEFT + f64::from(column) * column_width, column_width - LEFT - 30.0);
        let (top, bottom) = (y + 30.0, y + 30.0 + HEIGHT);
        let (x, up) = ((across.lay)(left, width)?, (upwards.lay)(0.0, HEIGHT)?);
        sheet.text(left, y + 18.0, Align::Left, PANEL_TITLE, fit(name, PANEL_TITLE, width + 20.0));
        let end = x.draw(sheet, top, bottom, across.label, title) + 12.0;
        up.draw_upwards(sheet, (left, left + width), bottom, upwards.label);
        sheet.line(vec![(left, top), (left, bottom)], 1, AXIS);
        Some(Self { across: x, upwards: up, bottom, end })
    }

    /// The pixel of a pair of values.
    pub(super) fn at(&self, x: f64, y: f64) -> Point {
        (self.across.x(x), self.bottom - self.upwards.x(y))
    }

    /// Draws a point with its whisker, which ends in a bar.
    pub(super) fn whisker(&self, sheet: &mut Sheet, point: &Whisker) {
        let (from, to) = (self.at(point.x, point.y), self.at(point.x, point.to));
        sheet.dashed(&[from, to], point.dash, 2, point.colour);
        sheet.line(vec![(to.0 - 6.0, to.1), (to.0 + 6.0, to.1)], 2, point.colour);
        sheet.marker(from, 6.0, point.marker, point.colour);
    }
}
