//! The legend: above the panels, so that it never lies on data; wraps into as many lines as it needs.

use super::sheet::{Align, Sheet};
use super::style::{BLACK, INK, LABEL, Look, MARGIN, Marker, TextStyle, WHITE, fit, text_width};
use plotters::style::RGBColor;

const ROW: f64 = 24.0;
const SYMBOL: f64 = 40.0;
const GAP: f64 = 26.0;

/// What stands before an entry's words.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Symbol {
    /// A piece of a series' line with its marker.
    Line(Look),
    /// A filled box with the character that stands in such boxes.
    Box(RGBColor, String),
    /// A marker alone.
    Marker(Marker, RGBColor),
    /// A dotted rule, as for a floor.
    Rule,
    /// An upright line with this dash.
    Stem(RGBColor, &'static [f64]),
    /// A box with a heavy frame in this colour.
    Framed(RGBColor),
}

/// The dash of a rule.
pub(super) const RULE: &[f64] = &[2.0, 3.0];

impl Sheet {
    /// Draws the entries from `top` on. Returns the y below them.
    pub(super) fn legend(&mut self, top: f64, entries: &[(Symbol, String)]) -> f64 {
        let right = f64::from(self.width) - MARGIN;
        let (mut x, mut y) = (MARGIN, top + ROW / 2.0);
        for (symbol, words) in entries {
            let words = fit(words, LABEL, right - MARGIN - SYMBOL - 8.0);
            let width = SYMBOL + 8.0 + text_width(&words, LABEL);
            if x > MARGIN && x + width > right {
                (x, y) = (MARGIN, y + ROW);
            }
            self.symbol(symbol, x, y);
            self.text(x + SYMBOL + 8.0, y + 5.0, Align::Left, LABEL, words);
            x += width + GAP;
        }
        y + ROW / 2.0 + 8.0
    }

    fn symbol(&mut self, symbol: &Symbol, x: f64, y: f64) {
        let middle = (x + SYMBOL / 2.0, y);
        match symbol {
            Symbol::Line(look) => {
                self.dashed(&[(x, y), (x + SYMBOL, y)], look.dash, 2, look.colour);
                self.marker(middle, 5.0, look.marker, look.colour);
            }
            Symbol::Box(fill, letter) => {
                self.rect(x, y - 9.0, SYMBOL, 18.0, *fill);
                let style = TextStyle { bold: true, colour: ink_on(*fill), ..LABEL };
                self.text(middle.0, y + 5.0, Align::Centre, style, letter.as_str());
            }
            Symbol::Marker(marker, colour) => self.marker(middle, 5.0, *marker, *colour),
            Symbol::Rule => self.dashed(&[(x, y), (x + SYMBOL, y)], RULE, 2, BLACK),
            Symbol::Stem(colour, dash) => {
                self.dashed(&[(middle.0, y - 9.0), (middle.0, y + 9.0)], dash, 2, *colour);
            }
            Symbol::Framed(colour) => self.frame(x, y - 9.0, SYMBOL, 18.0, 3, *colour),
        }
    }
}

/// Ink or white, whichever is easier to read on `fill`, by its luma (ITU-R BT.601).
pub(super) fn ink_on(fill: RGBColor) -> RGBColor {
    let light = 0.299 * f64::from(fill.0) + 0.587 * f64::from(fill.1) + 0.114 * f64::from(fill.2);
    if light > 120.0 { INK } else { WHITE }
}
