//! Measure `mechanisms`: what a commit, the writes before it and a restore cost, by mechanism, size of the region and
//! bytes written, and what memory a mechanism holds beside the state.
//!
//! The contestants of a size (`bed.rs`) are a transaction under each mechanism, whose state fills its region; a plain
//! process that writes to private memory; and the bare path of a commit by page ([`crashbed::floor::BareCommits`]). They
//! sleep until it is their turn, so one works at a time; in a pass each has a turn of some laps, in an order of its own.
//!
//! A lap writes every byte of what the level says, to pages that are spread evenly over the first 56 MiB of the state, and
//! in all laps to the same. So the page tables that a commit looks through are those of what the transaction touches, as
//! with a working set; a transaction that has touched all of its region has more to look through.

mod bed;
mod memory;
mod work;
mod written;

use super::said::{Said, Sampled};
use super::{Measure, MeasureError, Round};
use crate::levels;
use crate::record::Unit;
use crate::size::Size;
use bed::{Bed, Who, state_pages};
use crashbed::MechanismKind;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use serde::Deserialize;
use serde::de::{self, Deserializer};
use std::time::{Duration, Instant};
use work::{Kind, Order};
use written::Written;

/// The smallest region whose state has some pages.
const LEAST_REGION: u64 = 1 << 20;
/// The largest: a round has no more time to fill one.
const MOST_REGION: u64 = 4 << 30;

/// How long the laps of a row may take in a round, once there are [`LEAST_LAPS`].
const A_ROW: Duration = Duration::from_millis(250);
/// Laps of a row that are made however long they take, where so many are asked for.
const LEAST_LAPS: usize = 5;
/// How long a turn is to take.
const A_TURN: Duration = Duration::from_millis(20);
/// Laps beyond this length are not warmed up again at the beginning of a turn.
const LONG: Duration = Duration::from_millis(2);

/// Its settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Mechanisms {
    /// The mechanisms.
    #[serde(deserialize_with = "levels::mechanisms")]
    mechanism: Vec<String>,
    /// Sizes of the region.
    #[serde(deserialize_with = "regions")]
    region: Vec<Size>,
    /// Bytes that are written between two commits: less than a page, or whole pages. A region has those that fit into it.
    #[serde(deserialize_with = "levels::one_or_many")]
    written_bytes: Vec<Written>,
}

impl Default for Mechanisms {
    fn default() -> Self {
        let written = [64, 4 << 10, 64 << 10, 1 << 20, 16 << 20];
        Self {
            mechanism: MechanismKind::ALL.map(|mechanism| mechanism.name().to_owned()).into(),
            region: [1, 16, 64, 256, 1024].map(|mib| Size::at_least(mib << 20)).into(),
            written_bytes: written.into_iter().filter_map(|bytes| Written::try_from(bytes).ok()).collect(),
        }
    }
}

/// Reads sizes of regions that a state fits into, and that a round can fill.
fn regions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Size>, D::Error> {
    let regions: Vec<Size> = levels::one_or_many(deserializer)?;
    let fits = |region: &&Size| !(LEAST_REGION..=MOST_REGION).contains(&region.bytes());
    match regions.iter().find(fits) {
        Some(region) => Err(de::Error::custom(format!("a region of {region} is not measured; write 1 MiB to 4 GiB"))),
        None => Ok(regions),
    }
}

impl Measure for Mechanisms {
    fn round(&self, round: Round) -> Result<Vec<Said>, MeasureError> {
        let unknown = |error: crashbed::UnknownMechanism| MeasureError::Unplanned(error.to_string());
        let mechanisms = self.mechanism.iter().map(|name| name.parse().map_err(unknown));
        let mechanisms = mechanisms.collect::<Result<Vec<MechanismKind>, _>>()?;
        let mut numbers = ChaCha8Rng::seed_from_u64(round.seed);
        let mut said = Vec::new();
        for region in &self.region {
            let bytes = usize::try_from(region.bytes()).map_err(std::io::Error::other)?;
            let levels: Vec<Written> =
                self.written_bytes.iter().copied().filter(|written| written.fits(state_pages(bytes))).collect();
            let Some(most) = levels.iter().copied().max_by_key(|written| written.bytes()) else {
                said.push(Said::skipped(format_args!("nothing of `written_bytes` fits into a region of {region}")));
                continue;
            };
            let mut bed = match Bed::start(&mechanisms, bytes, most) {
                Ok(bed) => bed,
                Err(error) => {
                    said.push(Said::skipped(format_args!("a region of {region}: {error}")));
                    continue;
                }
            };
            if let Err(error) = bed.start_bare(most) {
                said.push(Said::skipped(format_args!("the bare path at {region}: {error}")));
            }
            for written in levels {
                said.extend(level(&mut bed, *region, written, round.laps, &mut numbers)?);
            }
            bed.end()?;
        }
        Ok(said)
    }
}

/// Measures all contestants at one level of what is written.
fn level(
    bed: &mut Bed,
    region: Size,
    written: Written,
    laps: u64,
    numbers: &mut ChaCha8Rng,
) -> Result<Vec<Said>, MeasureError> {
    let laps = usize::try_from(laps).unwrap_or(usize::MAX);
    let mut rows: Vec<Rows> = bed.contestants().iter().map(|who| Rows::of(*who, region, written)).collect();
    for kind in [Kind::Commits, Kind::CommitsLater, Kind::Crashes, Kind::ForkPairs] {
        let mut order: Vec<(usize, Turns)> = (0..)
            .zip(bed.contestants())
            .filter(|(_, who)| who.does(kind))
            .map(|(number, _)| (number, Turns::default()))
            .collect();
        loop {
            order.shuffle(numbers);
            let mut is_done = true;
            for (number, turns) in &mut order {
                let Some((laps, warm_up)) = turns.next(laps, Who::most_laps(kind)) else { continue };
                is_done = false;
                let begun = Instant::now();
                let samples = bed.ask(*number, Order { kind, written, laps, warm_up })?;
                turns.add(laps + warm_up, laps, begun.elapsed());
                rows[*number].add(kind, &samples);
            }
            if is_done {
                break;
            }
        }
    }
    for (number, rows) in rows.iter_mut().enumerate() {
        rows.beside_state.samples.extend(bed.beside_state(number, written)?);
    }
    Ok(rows.into_iter().flat_map(Rows::measured).map(Said::Row).collect())
}

/// The turns that a contestant has had for one row.
#[derive(Clone, Copy, Debug, Default)]
struct Turns {
    /// Laps that count.
    laps: usize,
    /// Laps in all, and their time.
    all: usize,
    took: Duration,
}

impl Turns {
    /// Laps of the next turn, where `wanted` are wanted in all and a turn has at most so many, and those before them that
    /// warm up; `None` where there are enough.
    fn next(&self, wanted: usize, most: usize) -> Option<(usize, usize)> {
        let left = wanted.saturating_sub(self.laps);
        if left == 0 || (self.laps >= LEAST_LAPS && self.took >= A_ROW) {
            return None;
        }
        let Some(a_lap) = u32::try_from(self.all).ok().and_then(|all| self.took.checked_div(all)) else {
            return Some((1, 1));
        };
        let turn = A_TURN.as_nanos() / a_lap.as_nanos().max(1);
        let laps = usize::try_from(turn).unwrap_or(usize::MAX).clamp(1, left.min(most));
        Some((laps, usize::from(a_lap < LONG)))
    }

    fn add(&mut self, all: usize, laps: usize, took: Duration) {
        self.all += all;
        self.laps += laps;
        self.took += took;
    }
}

/// The rows of one contestant at one level.
struct Rows {
    who: Who,
    write: Sampled,
    commit: Sampled,
    both: Sampled,
    commit_later: Sampled,
    restore: Sampled,
    recovery: Sampled,
    paired_commit: Sampled,
    bare_fork: Sampled,
    beside_state: Sampled,
}

impl Rows {
    fn of(who: Who, region: Size, written: Written) -> Self {
        let row = |name: &str, unit, note: &str| {
            let bare = if who == Who::Bare { "bare-" } else { "" };
            let row = Sampled::new(&format!("{bare}{name}"), unit, note);
            let row = row.at("region-bytes", region.bytes()).at("written-bytes", written.bytes());
            match who {
                Who::Transaction(mechanism) => row.at("mechanism", mechanism.name()),
                Who::Plain => row.at("mechanism", "none"),
                Who::Bare => row,
            }
        };
        let (commit, restore) = match who {
            Who::Bare => (
                "scan and protect, log, apply and acknowledge, by system calls alone",
                "the written pages, copied back by the process that applies",
            ),
            _ => ("a commit that is waited for", "the daemon's part of a restore after a crash"),
        };
        Self {
            who,
            write: row("write", Unit::Ns, "the writes between two commits"),
            commit: row("commit", Unit::Ns, commit),
            both: row("write-and-commit", Unit::Ns, "the writes and the commit after them"),
            commit_later: row("commit-later", Unit::Ns, "a commit that is not waited for, and settling it afterwards"),
            restore: row(if who == Who::Bare { "copy-back" } else { "restore" }, Unit::Ns, restore),
            recovery: row("recovery", Unit::Ns, "the crash, to the successor's first operation done"),
            paired_commit: row("paired-commit", Unit::Ns, "a commit that forks, with a bare fork before and behind it"),
            bare_fork: Sampled::new("bare-fork", Unit::Ns, "a bare fork of that process, to its first instruction")
                .at("region-bytes", region.bytes())
                .at("written-bytes", written.bytes()),
            beside_state: row(
                "beside-state",
                Unit::Bytes,
                "memory of daemon and working process beside the state, with so much written",
            ),
        }
    }

    /// Adds the samples of an order.
    fn add(&mut self, kind: Kind, samples: &[(u64, u64)]) {
        for &(first, second) in samples {
            match kind {
                Kind::Commits => {
                    self.write.samples.push(first);
                    if self.who != Who::Plain {
                        self.commit.samples.push(second);
                        self.both.samples.push(first + second);
                    }
                }
                Kind::CommitsLater => self.commit_later.samples.push(first + second),
                Kind::Crashes => {
                    self.restore.samples.push(first);
                    if self.who != Who::Bare {
                        self.recovery.samples.push(second);
                    }
                }
                Kind::ForkPairs => {
                    self.paired_commit.samples.push(first);
                    self.bare_fork.samples.push(second);
                }
                Kind::Holds => {}
            }
        }
    }

    /// Those that were measured.
    fn measured(self) -> impl Iterator<Item = Sampled> {
        let Self { write, commit, both, commit_later, restore, recovery, .. } = self;
        let Self { paired_commit, bare_fork, beside_state, .. } = self;
        let all = [write, commit, both, commit_later, restore, recovery, paired_commit, bare_fork, beside_state];
        all.into_iter().filter(|row| !row.samples.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Laps and warm-ups of all turns of a row whose laps take so long.
    fn turns(a_lap: Duration, wanted: usize) -> Vec<(usize, usize)> {
        let (mut turns, mut all) = (Turns::default(), Vec::new());
        while let Some((laps, warm_up)) = turns.next(wanted, 1_000) {
            turns.add(laps + warm_up, laps, a_lap * u32::try_from(laps + warm_up).unwrap());
            all.push((laps, warm_up));
        }
        all
    }

    #[test]
    fn a_row_has_the_laps_that_it_has_time_for() {
        let laps = |turns: &[(usize, usize)]| turns.iter().map(|(laps, _)| laps).sum::<usize>();
        let quick = turns(Duration::from_micros(10), 300);
        assert_eq!((laps(&quick), quick[0]), (300, (1, 1)));
        assert!(quick.len() == 2 && quick.iter().all(|(_, warm_up)| *warm_up == 1));
        // A second each: no more than must be, and only the first is warmed up.
        assert_eq!(turns(Duration::from_secs(1), 300), [(1, 1), (1, 0), (1, 0), (1, 0), (1, 0)]);
        assert_eq!(laps(&turns(Duration::from_secs(1), 2)), 2);
        // By turns with others.
        let medium = turns(Duration::from_millis(1), 100_000);
        assert!(medium.iter().skip(1).all(|(laps, _)| (19..=21).contains(laps)), "{medium:?}");
        assert!((200..300).contains(&laps(&medium)), "{medium:?}");
    }
}
