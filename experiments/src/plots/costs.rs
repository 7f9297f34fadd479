//! What a fast recovery costs: latency against the processor time and the memory that spares take, a point a start.

use super::axis::Axis;
use super::legend::Symbol;
use super::panels::{STARTS, start_look};
use super::plane::{Plane, Scale, Whisker};
use super::sheet::Sheet;
use super::style::tint;
use crate::record::{Cell, Distribution, Summary};
use crate::units::{bytes, duration};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const TITLE: &str = "What a fast recovery costs";
pub(super) const READING: &str = "Each point is a start: its height is the median of its recoveries, the bar above it \
    their 99 % quantile (the most, where there are fewer than 500). To the right is what its spares took: on the left \
    the processor time for each recovery, on the right the memory that one spare has for itself. Further down and \
    further left is better. A cold start has no spare and stands at 0. Paler points with dashed whiskers were measured \
    beside busy processes. Null reads under checkpoint-resume and copy on write; both axes are logarithmic.";

/// How strong the colour of a point beside a load is.
const BESIDE_LOAD: f64 = 0.55;

/// The cells that are shown, each with its recoveries.
fn shown(summary: &Summary) -> impl Iterator<Item = (&Cell, &Distribution)> {
    let fits = |cell: &&Cell| {
        let levels = &cell.levels;
        levels.policy == "checkpoint-resume" && levels.mechanism == "copy-on-write" && levels.fault == "null-read"
    };
    summary.cells.iter().filter(fits).filter_map(|cell| Some((cell, cell.recovery_ns.as_ref()?)))
}

/// Whether a spare cost anything.
pub(super) fn applies(summary: &Summary) -> bool {
    shown(summary).any(|(cell, _)| cell.spare_processor_ns.is_some() || cell.spare_memory_bytes.is_some())
}

/// A cost: its panel's name, its axis' title, a tick's label, and what a cell's spares took of it, in the axis' unit.
type Cost = (&'static str, &'static str, fn(f64) -> String, fn(&Cell) -> f64);

/// In microseconds and KiB, below which an axis that is logarithmic above 1 need tell nothing apart.
const COSTS: [Cost; 2] = [
    (
        "processor time",
        "processor time of spares for each recovery (log scale)",
        |us| duration(us * 1e3),
        |cell| cell.spare_processor_ns.as_ref().map_or(0.0, |ns| ns.p50 / 1e3),
    ),
    // A tick is a whole number of KiB.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (
        "memory",
        "memory of a spare for itself (log scale)",
        |kib| bytes((kib * 1024.0) as u64),
        |cell| cell.spare_memory_bytes.as_ref().map_or(0.0, |bytes| bytes.p50 / 1024.0),
    ),
];

pub(super) fn sheet(summary: &Summary) -> Sheet {
    let mut sheet = Sheet::new(1200);
    let mut y = sheet.heading(TITLE, "Recovery latency, p50 with a whisker to p99, against what the spares took");
    if !applies(summary) {
        let bottom = sheet.no_data(y, "no spare was forked");
        return sheet.ending_at(bottom);
    }
    let seen: BTreeSet<&str> = shown(summary).map(|(cell, _)| cell.levels.spare.as_str()).collect();
    let marker = |start: &str, strength| {
        let look = start_look(start);
        Symbol::Marker(look.marker, tint(look.colour, strength))
    };
    let starts = STARTS.iter().filter(|start| seen.contains(**start));
    let mut entries: Vec<(Symbol, String)> = starts.map(|start| (marker(start, 1.0), (*start).to_owned())).collect();
    if shown(summary).any(|(cell, _)| cell.levels.load != "none") {
        entries.push((marker("cold", BESIDE_LOAD), "paler, dashed: beside busy processes".to_owned()));
    }
    y = sheet.legend(y, &entries);

    let mut rows: BTreeMap<(&str, u64), Vec<(&Cell, &Distribution)>> = BTreeMap::new();
    for (cell, recovery) in shown(summary) {
        rows.entry((&cell.levels.workload, cell.levels.region_bytes)).or_default().push((cell, recovery));
    }
    for ((workload, region_bytes), points) in rows {
        let top = y;
        for ((what, title, label, cost), column) in COSTS.into_iter().zip(0..) {
            // Whole units are near enough for an axis' ends.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let across = |left, width| {
                Axis::logarithmic_from_zero(points.iter().map(|(cell, _)| cost(cell) as u64), left, width)
            };
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let upwards = |left, width| {
                let ends = points.iter().flat_map(|(_, recovery)| [recovery.p50 as u64, tail(recovery).ceil() as u64]);
                Axis::logarithmic(ends, left, width)
            };
            let name = format!("{workload} · {}: recovery against {what}", bytes(region_bytes));
            let across = (Scale { lay: &across, label }, title);
            let upwards = Scale { lay: &upwards, label: duration };
            let Some(plane) = Plane::draw(&mut sheet, top, column, &name, across, upwards) else { continue };
            for (cell, recovery) in &points {
                let loaded = cell.levels.load != "none";
                let look = start_look(&cell.levels.spare);
                plane.whisker(
                    &mut sheet,
                    &Whisker {
                        x: cost(cell),
                        y: recovery.p50,
                        to: tail(recovery),
                        marker: look.marker,
                        dash: if loaded { &[4.0, 4.0] } else { &[] },
                        colour: tint(look.colour, if loaded { BESIDE_LOAD } else { 1.0 }),
                    },
                );
            }
            y = plane.end;
        }
    }
    sheet.ending_at(y)
}

/// The 99 % quantile, or the most where the samples do not carry one.
fn tail(distribution: &Distribution) -> f64 {
    distribution.p99.unwrap_or(distribution.max as f64)
}
