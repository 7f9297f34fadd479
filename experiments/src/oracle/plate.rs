//! A plate, computed once more: cell by cell, by one thread, on rows without edges.

use crate::workloads::digest::{Digest, Digester};
use crate::workloads::stencil::{Heat, R};
use std::collections::{BTreeMap, BTreeSet};

/// The digests of a `stencil` state after each of these numbers of steps, in the order given.
pub fn stencil_digests(heat: Heat, after: &[u64]) -> Vec<Digest> {
    let asked: BTreeSet<u64> = after.iter().copied().collect();
    let (down, across) = (heat.wave(heat.down), heat.wave(heat.across));
    // The cells alone, without edges.
    let size = heat.size as usize;
    let mut cells: Vec<Vec<f64>> =
        (1..=size).map(|row| (1..=size).map(|column| down[row] * across[column]).collect()).collect();
    let mut done = 0;
    let mut digests = BTreeMap::new();
    for number in asked {
        (done..number).for_each(|_| cells = step(&cells));
        done = number;
        digests.insert(number, digest_of_plate(heat, number, &cells));
    }
    after.iter().map(|number| digests[number]).collect()
}

/// One step, each cell by itself; beyond the edges it is cold.
fn step(cells: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let at = |row: Option<usize>, column: Option<usize>| -> f64 {
        row.and_then(|row| cells.get(row)).zip(column).and_then(|(row, column)| row.get(column)).copied().unwrap_or(0.0)
    };
    let stepped = |row: usize, column: usize| {
        let (north, south) = (at(row.checked_sub(1), Some(column)), at(Some(row + 1), Some(column)));
        let (west, east) = (at(Some(row), column.checked_sub(1)), at(Some(row), Some(column + 1)));
        let cell = cells[row][column];
        cell + R * (((north + south) + (west + east)) - 4.0 * cell)
    };
    (0..cells.len()).map(|row| (0..cells.len()).map(|column| stepped(row, column)).collect()).collect()
}

fn digest_of_plate(heat: Heat, steps: u64, cells: &[Vec<f64>]) -> Digest {
    let mut digester = Digester::new();
    for number in [heat.size, heat.down, heat.across] {
        digester.number(number.into());
    }
    digester.number(steps);
    let edge = vec![0; (cells.len() + 2) * size_of::<f64>()];
    let mut bytes = edge.clone();
    for row in cells {
        let row = [0.0].iter().chain(row).chain(&[0.0]);
        bytes.extend(row.flat_map(|cell| cell.to_le_bytes()));
    }
    bytes.extend(edge);
    digester.bytes(&bytes);
    digester.finish()
}
