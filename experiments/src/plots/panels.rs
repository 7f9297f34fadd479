//! How trials are divided into panels, and the order of rows.

use crate::record::{Floor, Levels};
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

    /// Whether a floor is of this panel's path.
    pub(super) fn holds_floor(&self, floor: &Floor) -> bool {
        floor.mechanism == self.mechanism && floor.workload == self.workload && floor.region_bytes == self.region_bytes
    }
}
