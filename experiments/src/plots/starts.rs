//! How long recoveries took by how their successor was made ready: an ECDF a start, for crashes under one policy.

use super::ecdf::EcdfPanel;
use super::legend::Symbol;
use super::panels::{Panel, STARTS, start_look};
use super::sheet::Sheet;
use crate::record::{Summary, Trial};
use crate::summary::notice_class;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const TITLE: &str = "Recovery latency by start";
pub(super) const READING: &str = "Each line climbs from 0 to 100 % of the recoveries that started in one way: cold by a \
    fork after the crash, warm from a spare that sleeps, hot from one that spins, auto as the engine chose. The dotted \
    rule in a line's colour is the median of the same path in bare system calls, in the same run. Only crashes of which \
    the dying process itself gave notice, under checkpoint-resume; a panel a mechanism, workload, region size and load.";

/// The policy that is shown: the others decide as fast, and do other work.
const POLICY: &str = "checkpoint-resume";

fn shown(trials: &[Trial]) -> impl Iterator<Item = (&Trial, u64)> {
    trials
        .iter()
        .filter(|trial| trial.levels.policy == POLICY && notice_class(trial) == Some("signal"))
        .filter_map(|trial| Some((trial, trial.phases.recovery_ns?)))
}

/// Whether there is anything to tell apart.
pub(super) fn applies(trials: &[Trial]) -> bool {
    shown(trials).map(|(trial, _)| trial.levels.spare.as_str()).collect::<BTreeSet<_>>().len() > 1
}

pub(super) fn sheet(summary: &Summary, trials: &[Trial]) -> Sheet {
    let mut sheet = Sheet::new(1200);
    let y = sheet.heading(
        TITLE,
        "ECDF by start, crashes under checkpoint-resume: the share (upwards) that took at most so long (to the right)",
    );
    let mut panels: BTreeMap<(bool, &str, Panel<'_>), BTreeMap<&str, Vec<u64>>> = BTreeMap::new();
    for (trial, ns) in shown(trials) {
        let load = trial.levels.load.as_str();
        let lines = panels.entry((load != "none", load, Panel::of(&trial.levels))).or_default();
        lines.entry(&trial.levels.spare).or_default().push(ns);
    }
    // A panel of one line tells no starts apart.
    panels.retain(|_, lines| lines.len() > 1);
    if panels.is_empty() {
        let bottom = sheet.no_data(y, "no panel has two starts");
        return sheet.ending_at(bottom);
    }
    let seen: BTreeSet<&str> = panels.values().flat_map(BTreeMap::keys).copied().collect();
    let starts = || STARTS.iter().filter(|start| seen.contains(**start));
    let mut entries: Vec<(Symbol, String)> =
        starts().map(|start| (Symbol::Line(start_look(start)), (*start).to_owned())).collect();
    if !summary.floors.is_empty() {
        entries.push((Symbol::Rule, "floor of the start in its colour, p50".to_owned()));
    }
    let y = sheet.legend(y, &entries);
    let panels = panels.into_iter().map(|((_, load, panel), lines)| {
        let fastest = |start: &&str| {
            let floors = summary.floors.iter().filter(|floor| {
                (floor.notice.as_str(), floor.spare.as_str(), floor.load.as_str()) == ("signal", *start, load)
                    && panel.holds(&floor.mechanism, &floor.workload, floor.region_bytes)
            });
            let p50 = floors.map(|floor| floor.recovery_ns.p50).min_by(f64::total_cmp)?;
            Some((p50, start_look(start).colour))
        };
        EcdfPanel {
            name: if load == "none" { panel.name() } else { format!("{} · load {load}", panel.name()) },
            rules: lines.keys().filter_map(fastest).collect(),
            lines: lines.into_iter().map(|(start, samples)| (start_look(start), samples)).collect(),
        }
    });
    let panels = panels.collect();
    let bottom = sheet.ecdfs(y, panels);
    sheet.ending_at(bottom)
}
