//! Measure `bare`: the pieces of the floor, each walked by bare system calls and nothing else.
//!
//! They are walked in the round's own process, which has one thread. The root of a tree could not: it owns regions, and
//! what is forked from it has more to copy.

use super::said::{Said, Sampled};
use super::{Measure, MeasureError, Round};
use crate::levels;
use crate::record::Unit;
use crate::size::Size;
use crashbed::floor::{Extent, Path, laps};
use serde::Deserialize;
use std::num::NonZeroU16;

/// Its settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Bare {
    /// How much memory a process has touched before it is killed.
    #[serde(deserialize_with = "levels::one_or_many")]
    regions: Vec<Size>,
    /// How many threads are stopped.
    #[serde(deserialize_with = "levels::one_or_many")]
    threads: Vec<NonZeroU16>,
    /// Kills of each region in a round, each of which touches the region first; `laps` counts the other laps.
    #[serde(deserialize_with = "levels::positive")]
    kills: u64,
}

impl Default for Bare {
    fn default() -> Self {
        let threads = [1, 4, 16].into_iter().filter_map(NonZeroU16::new);
        Self {
            regions: [1, 64, 1024].map(|mib| Size::at_least(mib << 20)).into(),
            threads: threads.collect(),
            kills: 20,
        }
    }
}

impl Measure for Bare {
    fn round(&self, round: Round) -> Result<Vec<Said>, MeasureError> {
        let mut said = Vec::new();
        for path in Path::ALL {
            let row = Sampled::new(path.name(), Unit::Ns, path.description());
            if path.takes_region() {
                let at = |region: &Size| (row.clone().at("region-bytes", region.bytes()), extent(region.bytes(), 1));
                let rows = self.regions.iter().map(at);
                said.extend(rows.map(|(row, extent)| walked(path, row, extent, self.kills)));
            } else if path.takes_threads() {
                let at = |threads: u16| (row.clone().at("threads", u64::from(threads)), extent(0, threads));
                let rows = self.threads.iter().map(|threads| at(threads.get()));
                said.extend(rows.map(|(row, extent)| walked(path, row, extent, round.laps)));
            } else {
                said.push(walked(path, row, extent(0, 1), round.laps));
            }
        }
        Ok(said)
    }
}

/// The extent; more bytes than there are addresses become a region that the path says cannot be had.
fn extent(region_bytes: u64, threads: u16) -> Extent {
    Extent { region_bytes: usize::try_from(region_bytes).unwrap_or(usize::MAX), threads: threads.into() }
}

fn walked(path: Path, mut row: Sampled, extent: Extent, wanted: u64) -> Said {
    match laps(path, extent, usize::try_from(wanted).unwrap_or(usize::MAX)) {
        Ok(ns) => {
            row.samples = ns;
            Said::Row(row)
        }
        Err(error) => Said::skipped(format_args!("{path}: {error}")),
    }
}
