//! Measure `heartbeat`: what a deadline costs in false alarms, and what it takes to notice a hang.
//!
//! ```text
//! lively   operation │ operation │ operation …     each a sign of life; taken for hung all the same: a false alarm
//! hung     operation │ operation │ a sleep without end ──────────── deadline ─▶ noticed ─▶ successor
//! ```
//!
//! An operation computes for a time that is drawn evenly from a range. It is processor time: with other load on the
//! processors it takes longer by the clock, as real work would. A transaction commits after every few operations, so
//! that a successor has lost some. Nothing else is at fault: each alarm before a hang is a false one.

use super::process::Child;
use super::said::{Said, Sampled};
use super::{Measure, MeasureError, Round};
use crate::faults::trigger::monotonic_ns;
use crate::levels;
use crate::load::Load;
use crate::measures::process::Shared;
use crate::record::Unit;
use crashbed::{Daemon, Declaration, Error, Failure, Intensity, MIB, Notice, Outcome, Root, Tx};
use crashbed_policies::CheckpointResume;
use nix::time::{ClockId, clock_gettime};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Deserializer, de};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::num::NonZeroU64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Operations between two commits.
const COMMIT_EVERY: u64 = 10;
/// What shares are multiplied by.
const MILLION: u64 = 1_000_000;

/// Its settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Heartbeat {
    /// The deadlines, in milliseconds.
    #[serde(deserialize_with = "levels::one_or_many")]
    deadlines_ms: Vec<NonZeroU64>,
    /// What else runs beside it.
    #[serde(deserialize_with = "levels::loads")]
    loads: Vec<String>,
    /// The shortest and the longest operation, in microseconds.
    #[serde(deserialize_with = "range")]
    operation_us: (u64, u64),
    /// Hangs for each deadline and load in a round; `laps` counts the operations without one.
    #[serde(deserialize_with = "levels::positive")]
    hangs: u64,
}

impl Default for Heartbeat {
    fn default() -> Self {
        let deadlines = [1, 2, 5, 10, 20, 50, 100].into_iter().filter_map(NonZeroU64::new);
        Self {
            deadlines_ms: deadlines.collect(),
            loads: vec!["none".to_owned(), "busy".to_owned()],
            operation_us: (100, 1_000),
            hangs: 10,
        }
    }
}

/// Reads the shortest and the longest of something.
fn range<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(u64, u64), D::Error> {
    let (shortest, longest) = Deserialize::deserialize(deserializer)?;
    if shortest == 0 || shortest > longest {
        let what = format!("[{shortest}, {longest}] is no range; write the shortest and the longest, as [100, 1000]");
        return Err(de::Error::custom(what));
    }
    Ok((shortest, longest))
}

/// What the processes of the tree share.
type Board = [AtomicU64; 2];

/// Operations that were begun in the present row.
const BEGUN: usize = 0;
/// When the present transaction began to hang; 0 before.
const HUNG: usize = 1;

impl Measure for Heartbeat {
    fn round(&self, round: Round) -> Result<Vec<Said>, MeasureError> {
        let mut deadlines = self.deadlines_ms.clone();
        deadlines.shuffle(&mut ChaCha8Rng::seed_from_u64(round.seed));
        let mut said = Vec::new();
        for load in &self.loads {
            let _load = Load::start(load)?;
            let bed = Bed { settings: self, round, deadlines: &deadlines, board: Shared::new()? };
            let (mut words, give) = io::pipe()?;
            let mut tree = Child::fork(|| bed.tree(&give))?;
            drop(give);
            for deadline in &deadlines {
                said.extend(self.rows(deadline.get(), load, &mut words)?.map(Said::Row));
            }
            tree.wait().map_err(|how| MeasureError::Unplanned(format!("the tree ended with {how}")))?;
        }
        Ok(said)
    }
}

impl Heartbeat {
    /// The rows of one deadline, from what the tree gives.
    fn rows(&self, deadline_ms: u64, load: &str, words: &mut PipeReader) -> Result<[Sampled; 3], MeasureError> {
        let row = |name, unit, note| Sampled::new(name, unit, note).at("deadline-ms", deadline_ms).at("load", load);
        let mut alarms = row("false-alarms", Unit::Millionths, "share of lively operations that were taken for hung");
        let mut detection = row("detection", Unit::Ns, "the last instant before a hang, to its notice");
        let mut lost =
            row("lost-operations", Unit::Count, "operations to do again, and those that fit between hang and notice");
        let mut next = || -> io::Result<u64> {
            let mut word = [0; 8];
            words.read_exact(&mut word).map(|()| u64::from_le_bytes(word))
        };
        alarms.samples.push(next()?);
        for _ in 0..self.hangs {
            detection.samples.push(next()?);
            lost.samples.push(next()?);
        }
        Ok([alarms, detection, lost])
    }
}

/// The tree that is measured.
struct Bed<'a> {
    settings: &'a Heartbeat,
    round: Round,
    deadlines: &'a [NonZeroU64],
    board: Shared<Board>,
}

impl Bed<'_> {
    fn tree(&self, give: &PipeWriter) -> crashbed::Result<()> {
        let declaration = Declaration::new("heartbeat", MIB).scratch(0).intensity(Intensity::UNLIMITED);
        Root::new().declare(declaration, |daemon| self.serve(daemon, give)).run()
    }

    fn serve(&self, daemon: &mut Daemon<u64>, mut give: &PipeWriter) -> crashbed::Result<()> {
        let mut give = |word: u64| give.write_all(&word.to_le_bytes()).map_err(Error::program);
        for deadline in self.deadlines {
            let deadline = Duration::from_millis(deadline.get());
            give(self.lively(daemon, deadline)?)?;
            for hang in 0..self.settings.hangs {
                let (detection_ns, lost) = self.hung(daemon, deadline, self.draw(hang, 2 * COMMIT_EVERY))?;
                give(detection_ns)?;
                give(lost)?;
            }
        }
        Ok(())
    }

    /// A transaction that is well; the share of its operations that were taken for hung, in millionths.
    fn lively(&self, daemon: &mut Daemon<u64>, deadline: Duration) -> crashbed::Result<u64> {
        self.board[BEGUN].store(0, Relaxed);
        run(daemon, deadline, |tx, _| {
            // Counted in all incarnations together, so that there is an end whatever the deadline.
            while self.board[BEGUN].load(Relaxed) < self.round.laps {
                self.operate(tx)?;
            }
            Ok(())
        })?;
        Ok(daemon.report().crashes.saturating_mul(MILLION) / self.round.laps)
    }

    /// A transaction that hangs after so many operations; how long it did before that was noticed, and the operations
    /// that were lost by it.
    fn hung(&self, daemon: &mut Daemon<u64>, deadline: Duration, after: u64) -> crashbed::Result<(u64, u64)> {
        self.board[BEGUN].store(0, Relaxed);
        self.board[HUNG].store(0, Relaxed);
        run(daemon, deadline, |tx, _| {
            while self.board[BEGUN].load(Relaxed) < after {
                self.operate(tx)?;
            }
            if self.board[HUNG].load(Relaxed) == 0 {
                self.board[HUNG].store(monotonic_ns(), Relaxed);
                loop {
                    nix::unistd::pause();
                }
            }
            Ok(())
        })?;
        let hung_ns = self.board[HUNG].load(Relaxed);
        let noticed = daemon.report().recoveries.iter().find(|recovery| recovery.crash.noticed_ns > hung_ns);
        let recovery = noticed.ok_or_else(|| Error::program("a hang that nobody noticed"))?;
        let resumed = recovery.resumed_operations.unwrap_or(recovery.crash.committed_operations);
        let detection_ns = recovery.crash.noticed_ns - hung_ns;
        let (shortest, longest) = self.settings.operation_us;
        let idle = detection_ns / (shortest.midpoint(longest) * 1_000);
        Ok((detection_ns, recovery.crash.operation.saturating_sub(resumed) + idle))
    }

    /// A number below `limit` that depends on `number` and the seed alone.
    fn draw(&self, number: u64, limit: u64) -> u64 {
        xxh3_64_with_seed(&number.to_le_bytes(), self.round.seed) % limit
    }

    /// One operation, and a commit where it is time for one.
    fn operate(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let begun = self.board[BEGUN].fetch_add(1, Relaxed);
        let (shortest, longest) = self.settings.operation_us;
        let us = shortest + self.draw(begun, longest - shortest + 1);
        let until = processor_time() + Duration::from_micros(us);
        while processor_time() < until {
            std::hint::spin_loop();
        }
        tx.done();
        if tx.operations().is_multiple_of(COMMIT_EVERY) { tx.commit() } else { Ok(()) }
    }
}

/// Runs `work` under a deadline. Whatever is taken for a crash in it must be a lost heartbeat.
fn run(
    daemon: &mut Daemon<u64>,
    deadline: Duration,
    work: impl Fn(&mut Tx<'_>, &mut u64) -> Result<(), Failure> + Sync,
) -> crashbed::Result<()> {
    match daemon.prepare(CheckpointResume).heartbeat(deadline).run(work)? {
        Outcome::Done(()) => {}
        Outcome::Failed(failure) => return Err(Error::program(failure)),
        Outcome::GaveUp(crash) => return Err(Error::program(crash)),
    }
    let other = daemon.report().recoveries.iter().find(|recovery| recovery.crash.notice != Notice::Heartbeat);
    other.map_or(Ok(()), |recovery| Err(Error::program(recovery.crash)))
}

/// Processor time of this thread so far.
fn processor_time() -> Duration {
    // clock_gettime(2) fails for an unknown clock only; Linux always has this one.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
