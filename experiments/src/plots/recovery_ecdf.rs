//! How long recoveries took: an ECDF a policy, a panel a mechanism, workload and region size.

use super::ecdf::EcdfPanel;
use super::legend::Symbol;
use super::panels::{LatencyPanel, base};
use super::sheet::Sheet;
use super::style::{BLACK, look};
use crate::record::{Summary, Trial};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const TITLE: &str = "Recovery latency";
pub(super) const READING: &str = "Each line climbs from 0 to 100 % of a policy's recoveries: at a time on the axis \
    below, its height is the share of recoveries that took at most so long, from the faulting instruction to the \
    successor's first completed operation. Further left is faster. The markers stand at 25, 50 and 75 %. Hangs, \
    which only the heartbeat's deadline reveals, have panels of their own, and every panel has its own time axis. The \
    dotted rule is the floor: the bare waitpid and fork of the same path in the same run, which waits for the end of the \
    dying process. A path that knows earlier, from the dying process itself, can lie to the left of it.";

pub(super) fn sheet(summary: &Summary, trials: &[Trial]) -> Sheet {
    let mut sheet = Sheet::new(1200);
    let all = || trials.iter().filter_map(|trial| Some((trial, trial.phases.recovery_ns?)));
    let (spare, load) = base(all().map(|(trial, _)| &trial.levels));
    let recoveries =
        || all().filter(|(trial, _)| (trial.levels.spare.as_str(), trial.levels.load.as_str()) == (spare, load));
    let of = if recoveries().count() == all().count() {
        "all faults".to_owned()
    } else {
        format!("all faults, start {spare}, load {load}")
    };
    let y = sheet.heading(
        TITLE,
        &format!("ECDF by policy, {of}: the share of recoveries (upwards) that took at most so long (to the right)"),
    );
    if recoveries().next().is_none() {
        let bottom = sheet.no_data(y, &super::why_empty(trials));
        return sheet.ending_at(bottom);
    }

    let policies: BTreeSet<&str> = recoveries().map(|(trial, _)| trial.levels.policy.as_str()).collect();
    let mut entries: Vec<(Symbol, String)> =
        policies.iter().enumerate().map(|(i, policy)| (Symbol::Line(look(i)), (*policy).to_owned())).collect();
    if !summary.floors.is_empty() {
        entries.push((Symbol::Rule, "floor of the path, p50 (for crashes: by signal)".to_owned()));
    }
    let y = sheet.legend(y, &entries);

    let mut panels: BTreeMap<LatencyPanel<'_>, BTreeMap<&str, Vec<u64>>> = BTreeMap::new();
    for (trial, ns) in recoveries() {
        let lines = panels.entry(LatencyPanel::of(trial)).or_default();
        lines.entry(&trial.levels.policy).or_default().push(ns);
    }
    let series = |policy| policies.iter().position(|known| *known == policy).unwrap_or_default();
    let panels = panels.into_iter().map(|(panel, lines)| {
        let floors = summary.floors.iter().filter(|floor| panel.holds_floor(floor, spare, load));
        EcdfPanel {
            name: panel.name(),
            rules: floors.map(|floor| (floor.recovery_ns.p50, BLACK)).collect(),
            lines: lines.into_iter().map(|(policy, samples)| (look(series(policy)), samples)).collect(),
        }
    });
    let panels = panels.collect();
    let bottom = sheet.ecdfs(y, panels);
    sheet.ending_at(bottom)
}
