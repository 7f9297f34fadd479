//! The targets of suites, each with what the run measured of it: here those of `recovery-latency`, in files of their own
//! those of others.
//!
//! A pure function of cells, floors and measurements. A target is there only where the run has the cells that it is
//! about; where only the other side is missing, it is there and says so. Ratios are of medians of one run. Where Erlang
//! or the pool was measured in several ways, its fastest counts: the hardest to be held against.

mod goodput;
mod mechanism_cost;

use super::{floor_of, name_of};
use crate::record::{Cell, Floor, Level, Levels, Measurement, Summary, Target};
use crate::units::{at_most, bytes, count, duration, ratio, three_digits};
use std::collections::BTreeMap;

/// A median of fewer samples than this is not held against another.
const FEWEST: u64 = 20;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const FIRST_INSTRUCTION: &str = "crash to the first instruction";
const FIRST_OPERATION: &str = "crash to the first operation done";

/// What is known of the side that something is held against: its time and what to remark, or why there is none.
type Other = Result<(f64, Option<String>), String>;

pub(super) fn targets(summary: &Summary) -> Vec<Target> {
    [recovery_latency(summary), mechanism_cost::targets(summary), goodput::targets(summary)].concat()
}

fn recovery_latency(summary: &Summary) -> Vec<Target> {
    // A run in which every successor is forked after its crash asks for something else.
    if summary.cells.iter().all(|cell| cell.levels.spare == "cold") {
        return Vec::new();
    }
    let run = Measured(summary);
    [run.hot(), run.warm(), run.cold(), run.sizes(), run.kills(), run.tails(), run.steady(), run.storms()].concat()
}

/// One sentence for each thing that targets are about, after one for all of them.
pub(super) fn sentences(targets: &[Target]) -> Vec<String> {
    if targets.is_empty() {
        return Vec::new();
    }
    let with = |reached| targets.iter().filter(|target| target.reached == reached).count();
    let mut sentences = vec![format!(
        "Of {}: {} reached, {} missed, {} not measured in this run.",
        count(targets.len() as u64, "target", "targets"),
        with(Some(true)),
        with(Some(false)),
        with(None)
    )];
    for group in targets.chunk_by(|a, b| a.about == b.about) {
        let before = std::iter::once(None).chain(group.iter().map(Some));
        let parts: Vec<String> = group.iter().zip(before).map(|(target, before)| part(target, before)).collect();
        let mut about = group[0].about.chars();
        let first: String = about.next().into_iter().flat_map(char::to_uppercase).collect();
        sentences.push(format!("{first}{}: {}.", about.as_str(), parts.join("; ")));
    }
    sentences
}

/// One target in a sentence, which does not say again what the part before it said.
fn part(target: &Target, before: Option<&Target>) -> String {
    let named = before.is_none_or(|before| before.measured != target.measured);
    let held = before.is_none_or(|before| (&before.against, before.at_most) != (&target.against, target.at_most));
    let mut words = if named { target.measured.clone() + " " } else { String::new() };
    let (Some(over), Some(reached)) = (target.ratio, target.reached) else {
        return format!("{words}against {}: not measured", target.against);
    };
    if let Some(ns) = target.measured_ns.filter(|_| named) {
        words += &format!("{}, ", duration(ns));
    }
    words += &ratio(over);
    if held {
        let of = if over < 0.1 { "of" } else { "×" };
        words += &format!(" {of} {} (target {})", target.against, at_most(target.at_most));
    } else if over >= 0.1 {
        words += " ×";
    }
    words + if reached { ": reached" } else { ": missed" }
}

/// A target of which nothing was measured yet.
fn target(about: &str, measured: impl Into<String>, against: impl Into<String>, at_most: f64) -> Target {
    Target {
        about: about.to_owned(),
        measured: measured.into(),
        against: against.into(),
        measured_ns: None,
        against_ns: None,
        ratio: None,
        at_most: Some(at_most),
        reached: None,
        remark: None,
    }
}

impl Target {
    fn with_ratio(self, ratio: f64) -> Self {
        Self { ratio: Some(ratio), reached: self.at_most.map(|most| ratio <= most), ..self }
    }

    fn with_times(self, measured_ns: f64, other: Other, own_remark: Option<&str>) -> Self {
        let own_remark = own_remark.map(str::to_owned);
        match other {
            Ok((against_ns, remark)) if against_ns > 0.0 => {
                let remark: Vec<String> = own_remark.into_iter().chain(remark).collect();
                let remark = (!remark.is_empty()).then(|| remark.join("; "));
                Self { measured_ns: Some(measured_ns), against_ns: Some(against_ns), remark, ..self }
                    .with_ratio(measured_ns / against_ns)
            }
            Ok(_) => Self { measured_ns: Some(measured_ns), remark: own_remark, ..self },
            Err(why) => Self { measured_ns: Some(measured_ns), remark: Some(why), ..self },
        }
    }
}

/// A run, asked for the figures that targets compare.
struct Measured<'a>(&'a Summary);

impl<'a> Measured<'a> {
    fn hot(&self) -> Vec<Target> {
        let Some(cell) = self.headline("hot", 64 * MIB) else { return Vec::new() };
        let erlang = "Erlang's restart with its first call answered, as an aim";
        vec![
            cell.hand_over("the floor", self.floor(&cell, |floor| floor.hand_over_ns.p50), 2.0),
            cell.hand_over("Erlang's restart", self.fastest("erlang", "restart"), 1.0 / 3.0),
            cell.recovery("the floor", self.floor(&cell, |floor| floor.recovery_ns.p50), 1.3),
            cell.recovery("the pool's failover", self.fastest("pool", "failover"), 1.0 / 3.0),
            cell.recovery(erlang, self.fastest("erlang", "first-call"), 0.5),
        ]
    }

    fn warm(&self) -> Vec<Target> {
        let Some(cell) = self.headline("warm", 64 * MIB) else { return Vec::new() };
        vec![
            cell.hand_over("the floor", self.floor(&cell, |floor| floor.hand_over_ns.p50), 1.5),
            cell.recovery("the floor", self.floor(&cell, |floor| floor.recovery_ns.p50), 1.5),
            cell.recovery("the pool's failover", self.fastest("pool", "failover"), 1.0),
        ]
    }

    fn cold(&self) -> Vec<Target> {
        let Some(cell) = self.headline("cold", 64 * MIB) else { return Vec::new() };
        vec![
            cell.hand_over("the floor", self.floor(&cell, |floor| floor.hand_over_ns.p50), 1.3),
            cell.recovery("the floor", self.floor(&cell, |floor| floor.recovery_ns.p50), 1.3),
        ]
    }

    /// That nothing grows with the region.
    fn sizes(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        for spare in ["cold", "warm", "hot"] {
            let (Some(large), Some(small)) = (self.headline(spare, GIB), self.headline(spare, MIB)) else { continue };
            let about = "1 GiB against 1 MiB, copy on write";
            let row = |what, large: f64, small: f64| {
                target(about, format!("{spare}, {what}"), "the same at 1 MiB", 1.2).with_times(
                    large,
                    Ok((small, None)),
                    None,
                )
            };
            targets.push(row(FIRST_INSTRUCTION, large.hand_over_ns, small.hand_over_ns));
            targets.push(row(FIRST_OPERATION, large.recovery_ns, small.recovery_ns));
        }
        targets
    }

    /// That a SIGKILL from outside is noticed as soon as a keeper allows.
    fn kills(&self) -> Vec<Target> {
        let about = "SIGKILL from outside, 1 GiB touched";
        let mut targets = Vec::new();
        for cell in self.cells("kill-outside", GIB) {
            let touched = cell.counts.get("touched_bytes").is_some_and(|touched| *touched > 0);
            let Some(notice) = cell.phases.get("notice_ns").filter(|notice| touched && notice.n >= FEWEST) else {
                continue;
            };
            let measured = format!("{}, kill to its notice", cell.levels.spare);
            let row = |path, against, at_most| {
                let bare = self.measurements("bare", path).find(|bare| at(bare, "region-bytes") == Some(&GIB.into()));
                let why = || format!("the run has no figure of measure `bare`, row `{path}`, at 1 GiB");
                let other = bare.map(|bare| (bare.distribution.p50, None)).ok_or_else(why);
                target(about, measured.clone(), against, at_most).with_times(notice.p50, other, None)
            };
            targets.push(row("kill-to-pidfd-with-keeper", "the bare path with a keeper", 1.3));
            targets.push(row("kill-to-pidfd", "the bare path without a keeper", 0.01));
        }
        targets
    }

    /// That tails are no longer than those of the bare path: of each start and load, the cell that comes off worst.
    fn tails(&self) -> Vec<Target> {
        // A cell, its ratio and what it may be; the floor's own ratio.
        type Tail<'a> = (&'a Cell, f64, f64, f64);
        let mut tails: BTreeMap<(&str, &str), Vec<Tail<'a>>> = BTreeMap::new();
        for cell in &self.0.cells {
            let Some((own, floors)) = cell.p99_over_p50.zip(cell.floor_p99_over_p50) else { continue };
            let allowed = if floors <= 5.0 { 5.0 } else { 1.5 * floors };
            tails.entry((&cell.levels.spare, &cell.levels.load)).or_default().push((cell, own, allowed, floors));
        }
        let worst = |((spare, load), tails): ((&str, &str), Vec<Tail<'a>>)| {
            let within = tails.iter().filter(|(_, own, allowed, _)| own <= allowed).count();
            let (cell, own, allowed, floors) =
                tails.iter().copied().max_by(|a, b| (a.1 / a.2).total_cmp(&(b.1 / b.2)))?;
            let recovery = cell.recovery_ns.as_ref()?;
            let beside = if load == "none" { String::new() } else { format!(" beside load {load}") };
            let remark = format!(
                "the worst of {}, {within} within: {}, {}; the floor's own ratio {}",
                count(tails.len() as u64, "cell", "cells"),
                name_of(&cell.levels),
                bytes(cell.levels.region_bytes),
                three_digits(floors)
            );
            let row = target("tails", format!("{spare}{beside}, p99 of {FIRST_OPERATION}"), "its p50", allowed);
            Some(
                Target { measured_ns: recovery.p99, against_ns: Some(recovery.p50), remark: Some(remark), ..row }
                    .with_ratio(own),
            )
        };
        tails.into_iter().filter_map(worst).collect()
    }

    /// What the engine costs where nothing crashes and nothing is committed.
    fn steady(&self) -> Vec<Target> {
        let without_commits = self
            .measurements("steady", "over-plain")
            .filter(|row| at(row, "commit-every") == Some(&"never".into()) && row.distribution.n >= FEWEST);
        without_commits
            .filter_map(|row| {
                let measured = format!("an operation under {}", at(row, "mechanism")?);
                let against = "a plain process on the same allocator";
                let target = target("steady cost, commits off", measured, against, 1.02);
                Some(Target { remark: Some(row.levels_in_words()), ..target }.with_ratio(row.distribution.p50 / 1e6))
            })
            .collect()
    }

    /// That a storm of crashes loses none, leaves nothing larger and nobody behind, at its pace.
    fn storms(&self) -> Vec<Target> {
        /// A page or two may be touched for the first time late, in each of two processes.
        const NOTHING: u64 = 128 << 10;
        let storm = |pace: &'a Measurement| {
            let spare = at(pace, "spare")?;
            let worst = |row| {
                let same = self.measurements("storm", row).find(|found| found.levels == pace.levels)?;
                Some((same.distribution.max, same.distribution.n))
            };
            let ((lost, _), (grown, _), (left, _)) = (worst("lost")?, worst("grown")?, worst("left")?);
            let (most, seconds) = worst("crashes")?;
            let per_second = at(pace, "per-second")?;
            let measured = format!("{spare}, time of {per_second} crashes a second for {seconds} s");
            let row = target("storm", measured, "the time asked for; none lost, no growth, nobody left", 1.01);
            let row = row.with_ratio(pace.distribution.p50 / 1e6);
            let is_clean = lost == 0 && grown <= NOTHING && left == 0;
            Some(Target {
                reached: row.reached.map(|in_time| in_time && is_clean),
                remark: Some(format!(
                    "{lost} lost, {} grown, {left} left; {most} in the second with the most",
                    bytes(grown)
                )),
                ..row
            })
        };
        self.measurements("storm", "pace").filter_map(storm).collect()
    }

    /// The cells of a fault and size under the policy, mechanism and workload that targets are about.
    fn cells(&self, fault: &str, region_bytes: u64) -> impl Iterator<Item = &'a Cell> {
        self.0.cells.iter().filter(move |Cell { levels, .. }| {
            levels.policy == "checkpoint-resume"
                && levels.mechanism == "copy-on-write"
                && levels.workload == "kv"
                && levels.load == "none"
                && levels.fault == fault
                && levels.region_bytes == region_bytes
        })
    }

    /// The cell that the targets of a start are about.
    fn headline(&self, spare: &str, region_bytes: u64) -> Option<Headline<'a>> {
        let cell = self.cells("null-read", region_bytes).find(|cell| cell.levels.spare == spare)?;
        let (hand_over, recovery) = cell.hand_over_ns.as_ref().zip(cell.recovery_ns.as_ref())?;
        let otherwise = cell.started_by.iter().filter(|(start, _)| *start != spare).map(|(_, trials)| trials);
        let remark = match otherwise.sum::<u64>() {
            0 => None,
            otherwise => Some(format!("{otherwise} of {} started otherwise", count(cell.trials, "trial", "trials"))),
        };
        (hand_over.n.min(recovery.n) >= FEWEST).then_some(Headline {
            levels: &cell.levels,
            hand_over_ns: hand_over.p50,
            recovery_ns: recovery.p50,
            remark,
        })
    }

    fn floor(&self, cell: &Headline<'_>, figure: fn(&Floor) -> f64) -> Other {
        let floor = floor_of(&self.0.floors, cell.levels, "signal", &cell.levels.spare);
        floor
            .filter(|floor| floor.recovery_ns.n >= FEWEST)
            .map(|floor| (figure(floor), None))
            .ok_or_else(|| format!("the run has no floor of {FEWEST} samples for this path"))
    }

    fn measurements(&self, measure: &str, row: &str) -> impl Iterator<Item = &'a Measurement> {
        self.0.measurements.iter().filter(move |found| found.measure == measure && found.row == row)
    }

    fn fastest(&self, measure: &str, row: &str) -> Other {
        self.measurements(measure, row)
            .min_by(|a, b| a.distribution.p50.total_cmp(&b.distribution.p50))
            .map(|found| (found.distribution.p50, Some(format!("against {}", found.levels_in_words()))))
            .ok_or_else(|| format!("the run has no figure of measure `{measure}`, row `{row}`"))
    }
}

fn at<'a>(measurement: &'a Measurement, level: &str) -> Option<&'a Level> {
    measurement.levels.get(level)
}

/// The medians of a cell that targets are about.
struct Headline<'a> {
    levels: &'a Levels,
    hand_over_ns: f64,
    recovery_ns: f64,
    remark: Option<String>,
}

impl Headline<'_> {
    fn hand_over(&self, against: &str, other: Other, at_most: f64) -> Target {
        self.held(FIRST_INSTRUCTION, self.hand_over_ns, against, other, at_most)
    }

    fn recovery(&self, against: &str, other: Other, at_most: f64) -> Target {
        self.held(FIRST_OPERATION, self.recovery_ns, against, other, at_most)
    }

    fn held(&self, what: &str, ns: f64, against: &str, other: Other, at_most: f64) -> Target {
        let about = format!("{}, {}, copy on write", self.levels.spare, bytes(self.levels.region_bytes));
        target(&about, what, against, at_most).with_times(ns, other, self.remark.as_deref())
    }
}

#[cfg(test)]
#[path = "targets_tests.rs"]
mod tests;
