//! How trials are divided into panels.

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

    /// Whether a floor is of this panel's path. Of those by a crash it is the one by signal, the faster.
    pub(super) fn holds_floor(&self, floor: &Floor) -> bool {
        floor.notice == (if self.by_heartbeat { "heartbeat" } else { "signal" })
            && floor.mechanism == self.panel.mechanism
            && floor.workload == self.panel.workload
            && floor.region_bytes == self.panel.region_bytes
    }
}
