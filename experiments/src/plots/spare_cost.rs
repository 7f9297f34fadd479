//! What a spare brings and what it costs: latency against the processor time and the memory that it takes.

use super::axis::Axis;
use super::legend::Symbol;
use super::sheet::{Align, Sheet};
use super::style::{LABEL, MARGIN, PANEL_TITLE, fit, look, text_width};
use crate::record::{Cell, Levels, Summary};
use crate::units::{bytes, duration};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const TITLE: &str = "What a spare costs";
pub(super) const READING: &str = "Each point is a way to make a successor ready: how long a recovery took (upwards, its \
    median; the line above it ends at the 99 % quantile), against what the spare took for itself, for each recovery. \
    Further down is faster, further left is cheaper; a cold start has no spare and costs nothing ahead. To the left \
    processor time, to the right memory. The combination of the other levels is the one with the most trials.";

const HEIGHT: f64 = 260.0;
const LEFT: f64 = 80.0;
const GAP: f64 = 30.0;

/// Whether a run has something to show here.
pub(super) fn has_data(summary: &Summary) -> bool {
    summary.cells.iter().any(|cell| cell.levels.spare != "cold" && cell.recovery_ns.is_some())
}

/// The levels but for spare and load.
fn rest(levels: &Levels) -> (&str, &str, &str, &str, u64) {
    (&levels.policy, &levels.mechanism, &levels.workload, &levels.fault, levels.region_bytes)
}

pub(super) fn sheet(summary: &Summary) -> Sheet {
    let mut sheet = Sheet::new(1200);
    let mut y = sheet.heading(TITLE, "Recovery latency against what the spare takes ahead of it, for each recovery");
    let mut trials: BTreeMap<_, u64> = BTreeMap::new();
    for cell in summary.cells.iter().filter(|cell| cell.recovery_ns.is_some() && cell.levels.spare != "cold") {
        *trials.entry(rest(&cell.levels)).or_default() += cell.trials;
    }
    let Some((most, _)) = trials.into_iter().max_by_key(|(_, trials)| *trials) else {
        let bottom = sheet.no_data(y, "no spare was used");
        return sheet.ending_at(bottom);
    };
    let cells = || summary.cells.iter().filter(|cell| cell.recovery_ns.is_some() && rest(&cell.levels) == most);
    let spares: BTreeSet<&str> = cells().map(|cell| cell.levels.spare.as_str()).collect();
    let index = |cell: &Cell| spares.iter().position(|spare| *spare == cell.levels.spare).unwrap_or_default();
    let entries: Vec<_> = spares
        .iter()
        .enumerate()
        .map(|(i, spare)| (Symbol::Marker(look(i).marker, look(i).colour), (*spare).to_owned()))
        .collect();
    y = sheet.legend(y, &entries);

    let (policy, mechanism, workload, fault, region_bytes) = most;
    let loads: BTreeSet<&str> = cells().map(|cell| cell.levels.load.as_str()).collect();
    let width = (f64::from(sheet.width) - 2.0 * MARGIN) / 2.0;
    for load in loads {
        let levels = [policy, mechanism, workload, fault, &bytes(region_bytes), &format!("load {load}")].join(" · ");
        sheet.text(MARGIN, y + 18.0, Align::Left, PANEL_TITLE, fit(&levels, PANEL_TITLE, 2.0 * width));
        let (top, bottom) = (y + 30.0, y + 30.0 + HEIGHT);
        let points = || cells().filter(move |cell| cell.levels.load == load);
        for (column, cost) in [Cost::Processor, Cost::Memory].into_iter().enumerate() {
            let left = MARGIN + LEFT + column as f64 * width;
            let across = Axis::logarithmic_from_zero(points().map(|cell| cost.of(cell)), left, width - LEFT - GAP);
            // A latency in whole nanoseconds is near enough for the axis' ends.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let up = Axis::logarithmic(points().flat_map(latencies).map(|ns| ns as u64), 0.0, HEIGHT);
            let (Some(across), Some(up)) = (across, up) else { continue };
            y = across.draw(&mut sheet, top, bottom, cost.words(), cost.title()) + 16.0;
            up.draw_upright(&mut sheet, left, across.right(), bottom, duration);
            for cell in points() {
                let look = look(index(cell));
                #[allow(clippy::cast_precision_loss)]
                let x = across.x(cost.of(cell) as f64);
                let ends: Vec<_> = latencies(cell).map(|ns| (x, bottom - up.x(ns))).collect();
                sheet.line(ends.clone(), 2, look.colour);
                sheet.marker(ends[0], 6.0, look.marker, look.colour);
            }
        }
        y = legend_of(&mut sheet, y, points()) + 14.0;
    }
    sheet.ending_at(y)
}

/// The figures of the points, a line each: what a marker among markers cannot be read for.
fn legend_of<'a>(sheet: &mut Sheet, mut y: f64, cells: impl Iterator<Item = &'a Cell>) -> f64 {
    for cell in cells {
        let p99 = cell.recovery_ns.as_ref().and_then(|recovery| recovery.p99);
        let words = format!(
            "{}: p50 {}, p99 {}; {} and {} for each recovery",
            cell.levels.spare,
            cell.recovery_ns.as_ref().map_or_else(String::new, |recovery| duration(recovery.p50)),
            p99.map_or("–".to_owned(), duration),
            Cost::Processor.words()(Cost::Processor.of(cell) as f64),
            Cost::Memory.words()(Cost::Memory.of(cell) as f64),
        );
        debug_assert!(text_width(&words, LABEL) < f64::from(sheet.width));
        sheet.text(MARGIN + LEFT, y + 14.0, Align::Left, LABEL, words);
        y += 22.0;
    }
    y
}

/// The median, and the 99 % quantile where there is one.
fn latencies(cell: &Cell) -> impl Iterator<Item = f64> + use<> {
    let recovery = cell.recovery_ns.as_ref();
    let (p50, p99) = (recovery.map(|recovery| recovery.p50), recovery.and_then(|recovery| recovery.p99));
    p50.into_iter().chain(p99)
}

/// What a spare takes.
#[derive(Clone, Copy)]
enum Cost {
    Processor,
    Memory,
}

impl Cost {
    /// In nanoseconds or bytes; nothing where there was no spare.
    fn of(self, cell: &Cell) -> u64 {
        let cost = match self {
            Self::Processor => &cell.spare_processor_ns,
            Self::Memory => &cell.spare_memory_bytes,
        };
        // Whole nanoseconds and bytes.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        cost.as_ref().map_or(0, |cost| cost.p50 as u64)
    }

    fn words(self) -> fn(f64) -> String {
        match self {
            Self::Processor => duration,
            // Whole bytes.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Self::Memory => |size| bytes(size as u64),
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Processor => "processor time of spares, for each recovery (log scale, with 0)",
            Self::Memory => "memory of one spare (log scale, with 0)",
        }
    }
}
