//! How trials are divided into panels, and by which looks starts are told apart.

use super::style::{Look, look};
use crate::record::{Floor, Levels, Trial};
use crate::summary::notice_class;
use crate::units::bytes;

/// What one panel holds: the levels that change a latency by more than any policy could.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Panel<'a> {
    mechanism: &'a str,
    workload: &'a str,
    region_bytes: u64,
}

impl<'a> Panel<'a> {
    pub(super) fn of(levels: &'a Levels) -> Self {
        Self { mechanism: &levels.mechanism, workload: &levels.workload, region_bytes: levels.region_bytes }
    }

    /// Whether these levels are the panel's.
    pub(super) fn holds(&self, mechanism: &str, workload: &str, region_bytes: u64) -> bool {
        (self.mechanism, self.workload, self.region_bytes) == (mechanism, workload, region_bytes)
    }

    pub(super) fn name(&self) -> String {
        format!("{} · {} · {}", self.mechanism, self.workload, bytes(self.region_bytes))
    }
}

/// A panel of latencies. Those that only the heartbeat's deadline revealed stand apart, after the others, as the
/// deadline is so much longer than all else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LatencyPanel<'a> {
    by_heartbeat: bool,
    panel: Panel<'a>,
}

impl<'a> LatencyPanel<'a> {
    pub(super) fn of(trial: &'a Trial) -> Self {
        Self { by_heartbeat: notice_class(trial) == Some("heartbeat"), panel: Panel::of(&trial.levels) }
    }

    pub(super) fn name(&self) -> String {
        format!("{}, {}", self.panel.name(), if self.by_heartbeat { "hangs" } else { "crashes" })
    }

    /// Whether a floor is of this panel's path, for this start and load. Of those by a crash it is the one by signal,
    /// the faster.
    pub(super) fn holds_floor(&self, floor: &Floor, spare: &str, load: &str) -> bool {
        floor.notice == (if self.by_heartbeat { "heartbeat" } else { "signal" })
            && (floor.spare.as_str(), floor.load.as_str()) == (spare, load)
            && self.panel.holds(&floor.mechanism, &floor.workload, floor.region_bytes)
    }
}

/// Starts in the order in which plots name them.
pub(super) const STARTS: [&str; 4] = ["cold", "warm", "hot", "auto"];

/// The look of a start, the same in every plot.
pub(super) fn start_look(start: &str) -> Look {
    look(STARTS.iter().position(|known| *known == start).unwrap_or(STARTS.len()))
}

/// The start and the load that a plot shows which tells apart something else: the plainest that there are.
pub(super) fn base<'a>(levels: impl Iterator<Item = &'a Levels>) -> (&'a str, &'a str) {
    let place = |levels: &Levels| STARTS.iter().position(|known| *known == levels.spare).unwrap_or(STARTS.len());
    let plainest = levels.min_by_key(|levels| (levels.load != "none", place(levels)));
    plainest.map_or(("cold", "none"), |levels| (&levels.spare, &levels.load))
}

/// A policy by its name, with start and load where these are not the plainest.
pub(super) fn policy_and_start(levels: &Levels) -> String {
    let mut name = levels.policy.clone();
    if levels.spare != "cold" {
        name += &format!(", {}", levels.spare);
    }
    if levels.load != "none" {
        name += &format!(", {}", levels.load);
    }
    name
}
