//! What a suite about recovery latency aims at, and whether the run reached it: ratios of medians of one run, to the
//! floor, to a peer, or to another size.
//!
//! A row is there where both of its sides were measured, with enough samples; and only in a run that has spares, which
//! is what the targets are about.

use crate::record::{Cell, Level, Measurement, Summary, Target};
use crate::units::duration;

/// A median of fewer samples is held against nothing.
const FEWEST: u64 = 20;
const SMALL: u64 = 1 << 20;
const REFERENCE: u64 = 64 << 20;
const LARGE: u64 = 1 << 30;

/// The latency of a cell: to its first instruction or to its first operation done.
#[derive(Clone, Copy)]
enum Until {
    Instruction,
    Operation,
}

/// The targets of a run, in the order of the path.
pub(super) fn targets(summary: &Summary) -> Vec<Target> {
    if summary.cells.iter().all(|cell| cell.levels.spare == "cold") {
        return Vec::new();
    }
    let run = Run(summary);
    let mut rows = Vec::new();
    let restart = run.fastest("erlang", "restart");
    let failover = run.fastest("pool", "failover");
    rows.push(run.over_floor("hot", Until::Instruction, 2.0));
    rows.push(run.over_peer("hot", Until::Instruction, "Erlang's restart", restart, 1.0 / 3.0));
    rows.push(run.over_floor("hot", Until::Operation, 1.3));
    rows.push(run.over_peer("hot", Until::Operation, "the pool's failover", failover, 1.0 / 3.0));
    let first_call = run.fastest("erlang", "first-call");
    rows.push(run.over_peer("hot", Until::Operation, "Erlang's restart with its first call answered", first_call, 0.5));
    rows.push(run.over_floor("warm", Until::Instruction, 1.5));
    rows.push(run.over_floor("warm", Until::Operation, 1.5));
    rows.push(run.over_peer("warm", Until::Operation, "the pool's failover", failover, 1.0));
    rows.push(run.over_floor("cold", Until::Instruction, 1.3));
    rows.push(run.over_floor("cold", Until::Operation, 1.3));
    for spare in ["cold", "warm", "hot"] {
        rows.push(run.growth(spare));
    }
    for spare in ["cold", "hot"] {
        rows.push(run.kill(spare, "kill-to-pidfd-with-keeper", "the bare notice with a keeper", 1.3));
        rows.push(run.kill(spare, "kill-to-pidfd", "the bare notice without one", 0.01));
    }
    for spare in ["cold", "warm", "hot"] {
        rows.push(run.tail(spare));
    }
    let mut rows: Vec<Target> = rows.into_iter().flatten().collect();
    rows.extend(run.steady());
    rows
}

struct Run<'a>(&'a Summary);

impl Run<'_> {
    fn cell(&self, fault: &str, spare: &str, region_bytes: u64) -> Option<&Cell> {
        self.0.cells.iter().find(|cell| {
            let levels = &cell.levels;
            levels.policy == "checkpoint-resume"
                && levels.mechanism == "copy-on-write"
                && levels.fault == fault
                && levels.load == "none"
                && levels.spare == spare
                && levels.region_bytes == region_bytes
        })
    }

    /// The reference cell of a spare, and its median.
    fn reference(&self, spare: &str, until: Until) -> Option<(&Cell, f64)> {
        let cell = self.cell("null-read", spare, REFERENCE)?;
        Some((cell, median(cell, until)?))
    }

    fn over_floor(&self, spare: &str, until: Until, at_most: f64) -> Option<Target> {
        let (cell, measured) = self.reference(spare, until)?;
        let ratio = match until {
            Until::Instruction => cell.hand_over_over_floor_p50,
            Until::Operation => cell.recovery_over_floor_p50,
        }?;
        Some(row(path(spare, until), measured, "its floor", measured / ratio, at_most))
    }

    fn over_peer(&self, spare: &str, until: Until, name: &str, peer: Option<f64>, at_most: f64) -> Option<Target> {
        let (_, measured) = self.reference(spare, until)?;
        Some(row(path(spare, until), measured, name, peer?, at_most))
    }

    /// The median of the fastest of a peer's rows by this name: the harder target.
    fn fastest(&self, measure: &str, name: &str) -> Option<f64> {
        self.rows(measure, name).map(|row| row.distribution.p50).min_by(f64::total_cmp)
    }

    fn rows(&self, measure: &str, name: &str) -> impl Iterator<Item = &Measurement> {
        let named = move |row: &&Measurement| row.measure == measure && row.row == name;
        self.0.measurements.iter().filter(named).filter(|row| row.distribution.n >= FEWEST)
    }

    fn growth(&self, spare: &str) -> Option<Target> {
        let of = |bytes| median(self.cell("null-read", spare, bytes)?, Until::Operation);
        Some(row(format!("{spare}, to the first operation, 1 GiB"), of(LARGE)?, "1 MiB", of(SMALL)?, 1.2))
    }

    fn kill(&self, spare: &str, path: &str, name: &str, at_most: f64) -> Option<Target> {
        let cell = self.cell("kill-outside", spare, LARGE)?;
        let notice = cell.phases.get("notice_ns").filter(|notice| notice.n >= FEWEST)?;
        let size = Level::Number(LARGE);
        let bare = self.rows("bare", path).find(|row| row.levels.get("region-bytes") == Some(&size))?;
        let what = format!("SIGKILL from outside, 1 GiB, to its notice ({spare})");
        Some(row(what, notice.p50, name, bare.distribution.p50, at_most))
    }

    fn tail(&self, spare: &str) -> Option<Target> {
        let (cell, _) = self.reference(spare, Until::Operation)?;
        let (ratio, floor) = (cell.p99_over_p50?, cell.floor_p99_over_p50?);
        let at_most = if floor <= 5.0 { 5.0 } else { 1.5 * floor };
        let (p99, p50) = (cell.recovery_ns.as_ref()?.p99?, cell.recovery_ns.as_ref()?.p50);
        let against = format!("its p50 (the floor's own ratio is {floor:.1})");
        Some(Target { ratio, ..row(format!("{spare}, to the first operation, p99"), p99, &against, p50, at_most) })
    }

    /// What the engine costs where nothing is committed, beside a plain process with the same allocator.
    fn steady(&self) -> impl Iterator<Item = Target> {
        const MILLION: f64 = 1e6;
        let never = Level::Text("never".to_owned());
        let is_it = move |row: &&Measurement| row.levels.get("commit-every") == Some(&never);
        self.0.measurements.iter().filter(|row| row.measure == "steady" && row.row == "over-plain").filter(is_it).map(
            |row| {
                let mechanism = row.levels.get("mechanism").map(ToString::to_string).unwrap_or_default();
                let ratio = row.distribution.p50 / MILLION;
                Target {
                    what: format!("time per operation of `kv` without commits, {mechanism}"),
                    against: "a plain process with the same allocator".to_owned(),
                    measured: None,
                    ratio,
                    at_most: 1.02,
                    reached: ratio <= 1.02,
                }
            },
        )
    }
}

fn median(cell: &Cell, until: Until) -> Option<f64> {
    let latency = match until {
        Until::Instruction => &cell.hand_over_ns,
        Until::Operation => &cell.recovery_ns,
    };
    latency.as_ref().filter(|latency| latency.n >= FEWEST).map(|latency| latency.p50)
}

fn path(spare: &str, until: Until) -> String {
    let to = match until {
        Until::Instruction => "to the first instruction",
        Until::Operation => "to the first operation",
    };
    format!("{spare}, {to}")
}

fn row(what: String, measured_ns: f64, name: &str, against_ns: f64, at_most: f64) -> Target {
    let ratio = measured_ns / against_ns;
    let against = format!("{name}: {}", duration(against_ns));
    Target { what, against, measured: Some(duration(measured_ns)), ratio, at_most, reached: ratio <= at_most }
}
