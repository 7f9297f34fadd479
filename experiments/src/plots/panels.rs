//! How trials are divided into panels.

use crate::record::{Floor, Levels, Trial};
use crate::summary::notice_class;
use crate::units::bytes;

/// What the series of a plot are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Series {
    Policy,
    /// In a run that has spares, which is about them: policies and loads have panels of their own then.
    Spare,
}

impl Series {
    pub(super) fn of(trials: &[Trial]) -> Self {
        if trials.iter().any(|trial| trial.levels.spare != "cold") { Self::Spare } else { Self::Policy }
    }

    /// The series that a combination of levels belongs to.
    pub(super) fn name(self, levels: &Levels) -> &str {
        match self {
            Self::Policy => &levels.policy,
            Self::Spare => &levels.spare,
        }
    }
}

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
    load: &'a str,
    /// Where it is not what tells series apart.
    policy: Option<&'a str>,
}

impl<'a> LatencyPanel<'a> {
    pub(super) fn of(trial: &'a Trial, series: Series) -> Self {
        let levels = &trial.levels;
        Self {
            by_heartbeat: notice_class(trial) == Some("heartbeat"),
            panel: Panel::of(levels),
            load: &levels.load,
            policy: (series == Series::Spare).then_some(&levels.policy),
        }
    }

    pub(super) fn name(&self) -> String {
        let policy = self.policy.map(|policy| format!(" · {policy}")).unwrap_or_default();
        let load = if self.load == "none" { String::new() } else { format!(" · {}", self.load) };
        let ends = if self.by_heartbeat { "hangs" } else { "crashes" };
        format!("{}{policy}{load}, {ends}", self.panel.name())
    }

    /// The floors of this panel's path, the fastest of each start. Of those by a crash it is the one by signal.
    pub(super) fn floors<'f>(&self, floors: &'f [Floor]) -> Vec<&'f Floor> {
        let mut fastest: Vec<&Floor> = Vec::new();
        for floor in floors.iter().filter(|floor| self.holds_floor(floor)) {
            match fastest.iter_mut().find(|known| known.spare == floor.spare) {
                Some(known) if known.recovery_ns.p50 > floor.recovery_ns.p50 => *known = floor,
                Some(_) => {}
                None => fastest.push(floor),
            }
        }
        fastest
    }

    fn holds_floor(&self, floor: &Floor) -> bool {
        floor.notice == (if self.by_heartbeat { "heartbeat" } else { "signal" })
            && floor.load == self.load
            && floor.mechanism == self.panel.mechanism
            && floor.workload == self.panel.workload
            && floor.region_bytes == self.panel.region_bytes
    }
}
