//! Axes: from a value to a pixel, and where to put ticks that a reader can say aloud.

use super::sheet::{Align, Sheet};
use super::style::{AXIS, FAINT_GRID, GRID, LABEL, text_width};

/// A horizontal axis: values on a scale, laid over pixels.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    left: f64,
    width: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// Equal ratios are equally far apart.
    Logarithmic,
    /// As log(1 + x): logarithmic for large values, and 0 has a place.
    LogarithmicFromZero,
    Linear,
}

/// A tick: a value, and whether its label should be drawn if there is room.
type Tick = (f64, bool);

impl Axis {
    /// A logarithmic axis over `values`, widened to round ends; `None` where there are none.
    pub(super) fn logarithmic(values: impl Iterator<Item = u64>, left: f64, width: f64) -> Option<Self> {
        let (low, high) = bounds(values.map(|value| value.max(1) as f64))?;
        let (low, high) = if high / low < NARROW {
            let step = narrow_step(low, high);
            let low = (low / step).floor() * step;
            (low, ((high / step).ceil() * step).max(low + step))
        } else {
            (round_down(low), round_up(high))
        };
        Some(Self { scale: Scale::Logarithmic, low, high, left, width })
    }

    /// An axis from 0 that is logarithmic for large values; `None` where there are no values.
    pub(super) fn logarithmic_from_zero(values: impl Iterator<Item = u64>, left: f64, width: f64) -> Option<Self> {
        let (_, high) = bounds(values.map(|value| value as f64))?;
        Some(Self { scale: Scale::LogarithmicFromZero, low: 0.0, high: high.max(5.0) * 1.1, left, width })
    }

    /// A linear axis from 0; `None` where there are no values.
    pub(super) fn linear(values: impl Iterator<Item = f64>, left: f64, width: f64) -> Option<Self> {
        let (_, high) = bounds(values)?;
        Some(Self { scale: Scale::Linear, low: 0.0, high: if high > 0.0 { high } else { 1.0 }, left, width })
    }

    fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Logarithmic => value.max(self.low).log10(),
            Scale::LogarithmicFromZero => value.ln_1p(),
            Scale::Linear => value,
        }
    }

    /// The pixel of a value.
    pub(super) fn x(&self, value: f64) -> f64 {
        let (low, high) = (self.place(self.low), self.place(self.high));
        self.left + self.width * (self.place(value) - low) / (high - low)
    }

    /// The pixel of its right end.
    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    fn ticks(&self) -> Vec<Tick> {
        match self.scale {
            Scale::Linear => {
                let step = round_up(self.high / 5.0);
                (0_u32..)
                    .map(|i| f64::from(i) * step)
                    .take_while(|v| *v <= self.high / ALMOST)
                    .map(|v| (v, true))
                    .collect()
            }
            Scale::Logarithmic if self.high / self.low < 1.5 * NARROW => {
                let step = narrow_step(self.low, self.high);
                let first = (self.low / step * ALMOST).ceil() * step;
                (0_u32..)
                    .map(|i| first + f64::from(i) * step)
                    .take_while(|v| *v <= self.high / ALMOST)
                    .map(|v| (v, true))
                    .collect()
            }
            _ => {
                let low = self.low.max(1.0);
                let decades = (self.high / low).log10();
                let labelled = |digit| match digit {
                    1 => true,
                    2 | 5 => decades <= 3.0,
                    3 => decades <= 1.0,
                    _ => false,
                };
                let mut ticks = if self.low < low { vec![(self.low, true)] } else { Vec::new() };
                let mut decade = 10_f64.powf(low.log10().floor());
                while decade <= self.high / ALMOST {
                    let of_decade = (1..10_u8).map(|digit| (decade * f64::from(digit), labelled(digit)));
                    ticks.extend(of_decade.filter(|tick| tick.0 >= low * ALMOST && tick.0 <= self.high / ALMOST));
                    decade *= 10.0;
                }
                ticks
            }
        }
    }

    /// Draws the axis with its grid for a panel from `top` to `bottom`, its labels below, and `title` below them.
    /// Returns the y below it all.
    pub(super) fn draw(&self, sheet: &mut Sheet, top: f64, bottom: f64, label: fn(f64) -> String, title: &str) -> f64 {
        let mut free_from = f64::NEG_INFINITY;
        for (value, labelled) in self.ticks() {
            let x = self.x(value);
            sheet.line(vec![(x, top), (x, bottom)], 1, if labelled { GRID } else { FAINT_GRID });
            if !labelled {
                continue;
            }
            sheet.line(vec![(x, bottom), (x, bottom + 5.0)], 1, AXIS);
            let text = if value == 0.0 { "0".to_owned() } else { label(value) };
            let half = text_width(&text, LABEL) / 2.0;
            if x - half >= free_from {
                sheet.text(x, bottom + 19.0, Align::Centre, LABEL, text);
                free_from = x + half + 10.0;
            }
        }
        sheet.line(vec![(self.left, bottom), (self.left + self.width, bottom)], 1, AXIS);
        sheet.text(self.left + self.width / 2.0, bottom + 38.0, Align::Centre, LABEL, title);
        bottom + 44.0
    }
}

/// Pixels between the labels of an upward axis, at the least.
const LINE: f64 = 17.0;

impl Axis {
    /// Draws the grid of an axis that was laid from 0 on and stands upright: from `bottom` upwards, across a panel from
    /// `left` to `right`, its labels to the left.
    pub(super) fn draw_upwards(
        &self,
        sheet: &mut Sheet,
        (left, right): (f64, f64),
        bottom: f64,
        label: fn(f64) -> String,
    ) {
        let mut free_from = f64::INFINITY;
        for (value, labelled) in self.ticks() {
            let y = bottom - self.x(value);
            sheet.line(vec![(left, y), (right, y)], 1, if labelled { GRID } else { FAINT_GRID });
            if labelled && y <= free_from {
                let text = if value == 0.0 { "0".to_owned() } else { label(value) };
                sheet.text(left - 8.0, y + 5.0, Align::Right, LABEL, text);
                free_from = y - LINE;
            }
        }
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |bounds, value| match bounds {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

/// The ratio of its ends below which a logarithmic axis has equally spaced ticks.
const NARROW: f64 = 2.0;

/// The step between such ticks: some five steps, and no less than labels of three digits can tell apart.
fn narrow_step(low: f64, high: f64) -> f64 {
    round_up(((high - low) / 5.0).max(high / 100.0))
}

/// The least of 1, 2, 5 × 10ⁿ that is at least `value`, which is above 0.
fn round_up(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|digit| digit * decade)
        .into_iter()
        .find(|step| *step >= value * ALMOST)
        .unwrap_or(10.0 * decade)
}

/// The greatest of 1, 2, 5 × 10ⁿ that is at most `value`, which is above 0.
fn round_down(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0].map(|digit| digit * decade).into_iter().find(|step| *step * ALMOST <= value).unwrap_or(decade)
}

/// Just below 1: what rounding may have taken from a value that should be a whole tick.
const ALMOST: f64 = 0.999_999;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_stay_on_the_axis_in_their_order(mut values in prop_oneof![
                prop::collection::vec(1..u64::from(u32::MAX), 1..20),
                prop::collection::vec(100_000_000..103_000_000_u64, 1..20),
            ]) {
            values.sort_unstable();
            let axes = [
                Axis::logarithmic(values.iter().copied(), 100.0, 500.0),
                Axis::logarithmic_from_zero(values.iter().copied(), 100.0, 500.0),
                Axis::linear(values.iter().map(|value| *value as f64), 100.0, 500.0),
            ];
            for axis in axes {
                let axis = axis.unwrap();
                let xs: Vec<f64> = values.iter().map(|value| axis.x(*value as f64)).collect();
                prop_assert!(xs.is_sorted());
                prop_assert!(xs.iter().all(|x| (99.9..=600.1).contains(x)), "{xs:?}");
                let labelled = axis.ticks().iter().filter(|tick| tick.1).count();
                prop_assert!((2..=30).contains(&labelled), "{labelled} labels");
            }
        }
    }
}
