//! Workload `stencil`: heat on a square plate, by explicit steps of the five-point stencil, each cell of the next grid
//! from the present one (Jacobi): `c + R ((n + s) + (w + e) - 4 c)`, with edges that stay at 0.
//!
//! **The result can be proved.** The plate starts as a product of sines, which is an eigenvector of the discrete
//! Laplacian (LeVeque, *Finite Difference Methods for Ordinary and Partial Differential Equations*, SIAM 2007, section
//! 3.4). So after `k` steps every cell is `λᵏ` times what it was, up to rounding, and [`Grids::verify`] holds the grid
//! against that closed form: one step too few or too many changes each cell by the share `1 − λ`, which is many times
//! what rounding explains ([`Heat::most_steps`] says for how many steps). Cells do not depend on how a grid is cut into
//! bands: each has its own sum, always in the same order, so that a digest is the same whatever the number of threads.
//!
//! A step has two parts, the new grid and then the count of steps, so that a fault between the two leaves a state that
//! `verify` calls wrong.

use super::digest::{Digest, Digester};
use crate::faults::Live;
use crashbed::Recoverable;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use std::f64::consts::PI;
use std::ops::RangeInclusive;
use zerocopy::IntoBytes;

/// How much of its neighbours' difference a cell takes on in a step; explicit steps are stable up to 1/4.
pub const R: f64 = 0.2;

/// The most half-waves that a plate has along a side. More of them would cool down before much was computed.
const MOST_WAVES: u32 = 3;

/// The sides that a plate may have: a smaller one cools down within some steps, a larger one does not fit the largest
/// region.
pub const SIDES: RangeInclusive<u32> = 16..=32_768;

/// The problem: how large the plate is, and how it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Recoverable)]
pub struct Heat {
    /// Cells along a side, without the two edges.
    pub size: u32,
    /// Half-waves of the start down the plate.
    pub down: u32,
    /// Half-waves of the start across it.
    pub across: u32,
}

impl Heat {
    /// A plate of `size` cells a side; `seed` draws how it begins.
    pub fn new(seed: u64, size: u32) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Self { size, down: rng.random_range(1..=MOST_WAVES), across: rng.random_range(1..=MOST_WAVES) }
    }

    /// The start along a side with so many half-waves, from edge to edge; the plate's is the product of two.
    pub fn wave(self, waves: u32) -> Vec<f64> {
        let whole = u64::from(self.size) + 1;
        (0..=whole).map(|place| sine(u64::from(waves) * place, whole)).collect()
    }

    /// What each step leaves of every cell: λ.
    pub fn kept(self) -> f64 {
        1.0 - self.lost()
    }

    /// `1 − λ`.
    fn lost(self) -> f64 {
        let square = |waves: u32| sine(waves.into(), 2 * (u64::from(self.size) + 1)).powi(2);
        4.0 * R * (square(self.down) + square(self.across))
    }

    /// For how many steps [`Grids::verify`] can tell one step more or less, however a plate of this size begins: as long
    /// as a step changes the warmest cell by four times what is put down to rounding.
    pub fn most_steps(size: u32) -> u64 {
        let all = (1..=MOST_WAVES).flat_map(|down| (1..=MOST_WAVES).map(move |across| Self { size, down, across }));
        let of_one = |heat: Self| {
            let warmest = |waves: u32| heat.wave(waves).into_iter().fold(0.0, f64::max);
            let changed = warmest(heat.down) * warmest(heat.across) * heat.lost();
            most(|steps| power(heat.kept(), steps) * changed >= 4.0 * tolerance(steps))
        };
        all.map(of_one).min().unwrap_or(0)
    }
}

/// The largest number for which `holds`, which does so up to some number and for none above.
fn most(holds: impl Fn(u64) -> bool) -> u64 {
    let (mut holding, mut failing) = (0, u64::from(u32::MAX));
    while failing - holding > 1 {
        let middle = holding.midpoint(failing);
        *(if holds(middle) { &mut holding } else { &mut failing }) = middle;
    }
    holding
}

/// `sin(π part / whole)`, by sums and products alone and so to the last bit the same on every machine, which a
/// mathematical library does not promise. The angle is brought to the first quarter in whole numbers, without rounding.
fn sine(part: u64, whole: u64) -> f64 {
    // x^27 / 27! is below the last bit of any result.
    const TERMS: u32 = 13;
    let turned = part % (2 * whole);
    let (part, sign) = if turned < whole { (turned, 1.0) } else { (turned - whole, -1.0) };
    let x = PI * part.min(whole - part) as f64 / whole as f64;
    // Taylor's series in Horner's form: x (1 − x²/2·3 (1 − x²/4·5 (…))).
    let inner = (1..=TERMS).rev().map(f64::from).fold(1.0, |sum, n| 1.0 - x * x / ((2.0 * n) * (2.0 * n + 1.0)) * sum);
    sign * x * inner
}

/// `base` to the power of `exponent`, by squaring.
fn power(base: f64, mut exponent: u64) -> f64 {
    let (mut result, mut square) = (1.0, base);
    while exponent > 0 {
        if exponent % 2 == 1 {
            result *= square;
        }
        square *= square;
        exponent /= 2;
    }
    result
}

/// The most by which rounding moves a cell away from the closed form: no step of the method makes an error larger, and
/// each adds a few units in the last place of a number below 1.
fn tolerance(steps: u64) -> f64 {
    16.0 * f64::EPSILON * (steps as f64 + 1.0)
}

/// The plate's present grid, the one that the next step fills, and how many steps were done.
#[derive(Clone, Debug, Default, PartialEq, Recoverable)]
pub struct Grids {
    heat: Heat,
    /// Row by row, edges included.
    now: Vec<f64>,
    next: Vec<f64>,
    steps: u64,
}

/// What is wrong with the state.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StencilError {
    /// The grids do not have the plate's size.
    #[error("a plate of {size} cells a side has grids of {now} and {next} cells, edges included")]
    Size {
        /// Cells along a side.
        size: u32,
        /// Cells of the present grid.
        now: usize,
        /// Cells of the other one.
        next: usize,
    },
    /// The grid is not what so many steps make of its start.
    #[error(
        "the plate is not as {steps} steps leave it: the cell in row {row}, column {column} is off by {off:e}, of which \
         rounding explains {tolerance:e}"
    )]
    Residual {
        /// Steps counted.
        steps: u64,
        /// The cell's row, from 0, edges included.
        row: usize,
        /// Its column.
        column: usize,
        /// By how much the cell differs from the closed form.
        off: f64,
        /// What rounding may do.
        tolerance: f64,
    },
}

impl Grids {
    /// Whether there is a plate.
    pub fn is_loaded(&self) -> bool {
        !self.now.is_empty()
    }

    /// How much of a region a plate of `size` cells a side takes: its two grids.
    pub fn bytes(size: u32) -> u64 {
        let width = u64::from(size) + 2;
        2 * width * width * size_of::<f64>() as u64
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Makes the plate as it begins.
    pub fn load(&mut self, heat: Heat) {
        let width = heat.size as usize + 2;
        let (down, across) = (heat.wave(heat.down), heat.wave(heat.across));
        *self = Self { heat, now: vec![0.0; width * width], next: vec![0.0; width * width], steps: 0 };
        let inner = self.now[width..].chunks_exact_mut(width).zip(&down[1..width - 1]);
        for (cells, down) in inner {
            // The edges stay at exactly 0: a product there might be -0.
            for (cell, across) in cells.iter_mut().zip(&across).skip(1).take(width - 2) {
                *cell = down * across;
            }
        }
    }

    /// The next grid, cut into at most `count` bands that can be computed at the same time.
    ///
    /// # Errors
    /// [`StencilError::Size`].
    pub fn bands(&mut self, count: usize) -> Result<impl Iterator<Item = Band<'_>>, StencilError> {
        let width = self.width()?;
        let rows = (width - 2).div_ceil(count.max(1));
        let now = &self.now;
        // Nothing of what stood in this grid is left: its edges are made anew, too.
        self.next[..width].fill(0.0);
        self.next[now.len() - width..].fill(0.0);
        let inner = &mut self.next[width..now.len() - width];
        Ok(inner.chunks_mut(rows * width).enumerate().map(move |(number, to)| {
            // With the row above and the row below.
            let from = number * rows * width;
            Band { width, from: &now[from..from + to.len() + 2 * width], to }
        }))
    }

    /// Takes the next grid, all of whose bands are computed, for the present one; `between` is called before the step is
    /// counted.
    pub fn advance(&mut self, between: impl Fn()) {
        std::mem::swap(&mut self.now, &mut self.next);
        between();
        self.steps += 1;
    }

    /// The program's own check of its state: every cell, those of the edges too, is what the closed form says.
    ///
    /// # Errors
    /// That the grids have another size, or the cell that is furthest off.
    pub fn verify(&self) -> Result<(), StencilError> {
        let width = self.width()?;
        let left = power(self.heat.kept(), self.steps);
        let (down, across) = (self.heat.wave(self.heat.down), self.heat.wave(self.heat.across));
        let tolerance = tolerance(self.steps);
        let mut worst = (tolerance, None);
        for (row, (cells, down)) in self.now.chunks_exact(width).zip(&down).enumerate() {
            for (column, (cell, across)) in cells.iter().zip(&across).enumerate() {
                let off = (cell - left * (down * across)).abs();
                // What is not a number is off as well.
                if off > worst.0 || off.is_nan() && !worst.0.is_nan() {
                    worst = (off, Some((row, column)));
                }
            }
        }
        match worst {
            (_, None) => Ok(()),
            (off, Some((row, column))) => {
                Err(StencilError::Residual { steps: self.steps, row, column, off, tolerance })
            }
        }
    }

    /// The data that a memory fault may hit: the present grid, the problem, the count of steps. What stands in the other
    /// grid is never read.
    pub fn live(&self, visit: &mut dyn FnMut(Live)) {
        visit(Live::of(self.now.as_slice()));
        visit(Live::of(&self.steps));
        for number in [&self.heat.size, &self.heat.down, &self.heat.across] {
            visit(Live::of(number));
        }
    }

    /// The digest of problem, steps and every bit of the present grid.
    pub fn digest(&self) -> Digest {
        let mut digester = Digester::new();
        for number in [self.heat.size, self.heat.down, self.heat.across] {
            digester.number(number.into());
        }
        digester.number(self.steps);
        digester.bytes(self.now.as_bytes());
        digester.finish()
    }

    /// Cells in a row, edges included.
    fn width(&self) -> Result<usize, StencilError> {
        let Self { heat: Heat { size, .. }, now, next, .. } = self;
        let width = *size as usize + 2;
        let fits = *size > 0 && [now, next].iter().all(|grid| width.checked_mul(width) == Some(grid.len()));
        let wrong = StencilError::Size { size: *size, now: now.len(), next: next.len() };
        if fits { Ok(width) } else { Err(wrong) }
    }
}

/// Some rows of the next grid, and the rows of the present one that they are made from.
pub struct Band<'a> {
    width: usize,
    from: &'a [f64],
    to: &'a mut [f64],
}

impl Band<'_> {
    /// Computes its cells.
    pub fn compute(self) {
        let Self { width, from, to } = self;
        for (number, to) in to.chunks_exact_mut(width).enumerate() {
            let row = |below: usize| &from[(number + below) * width..][..width];
            let (above, here, below) = (row(0), row(1), row(2));
            (to[0], to[width - 1]) = (0.0, 0.0);
            for column in 1..width - 1 {
                let (vertical, horizontal) = (above[column] + below[column], here[column - 1] + here[column + 1]);
                to[column] = here[column] + R * ((vertical + horizontal) - 4.0 * here[column]);
            }
        }
    }
}

#[cfg(test)]
#[path = "stencil_tests.rs"]
mod tests;
