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
    /// A logarithmic axis over whole decades that hold `values`, all above 0; `None` where there are none.
    pub(super) fn logarithmic(values: impl Iterator<Item = u64>, left: f64, width: f64) -> Option<Self> {
        let (low, high) = bounds(values.map(|value| value.max(1) as f64))?;
        let (low, high) = (10_f64.powf(low.log10().floor()), 10_f64.powf(high.log10().ceil()));
        let high = if high <= low { low * 10.0 } else { high };
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

    /// The same axis, `pixels` further to the right.
    pub(super) fn moved_by(&self, pixels: f64) -> Self {
        Self { left: self.left + pixels, ..*self }
    }

    pub(super) fn width(&self) -> f64 {
        self.width
    }

    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    fn ticks(&self) -> Vec<Tick> {
        match self.scale {
            Scale::Linear => {
                let step = round_step(self.high / 5.0);
                (0_u32..)
                    .map(|i| f64::from(i) * step)
                    .take_while(|v| *v <= self.high * 1.000_001)
                    .map(|v| (v, true))
                    .collect()
            }
            _ => {
                let decades = if self.low > 0.0 { (self.high / self.low).log10().round() } else { self.high.log10() };
                let mut ticks = Vec::new();
                if self.low == 0.0 {
                    ticks.push((0.0, true));
                }
                let mut decade = self.low.max(1.0);
                while decade <= self.high * 1.000_001 {
                    for digit in 1..10 {
                        let value = decade * f64::from(digit);
                        if value <= self.high * 1.000_001 {
                            ticks.push((value, digit == 1 || decades <= 3.0 && matches!(digit, 2 | 5)));
                        }
                    }
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
            let text = label(value);
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

fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |bounds, value| match bounds {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

/// The least of 1, 2, 5 × 10ⁿ that is at least `least`.
fn round_step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * decade >= least * 0.999_999);
    step.unwrap_or(10.0) * decade
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_stay_on_the_axis_in_their_order(mut values in prop::collection::vec(1..u64::from(u32::MAX), 1..20)) {
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
