//! What stands around the panels of every plot: its title, or in their place why there are none.

use super::sheet::{Align, Sheet};
use super::style::{AXIS, LABEL, MARGIN, TITLE, fit};

impl Sheet {
    /// The title, and under it what the reader must know to read the plot. Returns the y below both.
    pub(super) fn heading(&mut self, title: &str, line: &str) -> f64 {
        self.text(MARGIN, 36.0, Align::Left, TITLE, title);
        self.text(MARGIN, 60.0, Align::Left, LABEL, line);
        74.0
    }

    /// The frame of a plot that has nothing to show, which says so and why. Returns the y below it.
    pub(super) fn no_data(&mut self, top: f64, why: &str) -> f64 {
        let width = f64::from(self.width) - 2.0 * MARGIN;
        let height = 320.0;
        self.frame(MARGIN, top, width, height, 1, AXIS);
        let text = fit(&format!("no data: because {why}"), LABEL, width - 20.0);
        self.text(MARGIN + width / 2.0, top + height / 2.0, Align::Centre, LABEL, text);
        top + height
    }
}
