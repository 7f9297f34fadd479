//! Measure `storm`: so many crashes a second, for so long; whether one is lost, anything grows, or anybody is left.
//!
//! ```text
//! life n   look: the state is that of n lives ── change ── commit ── write what nobody may find ── its turn ── ✗
//! ```
//!
//! One transaction crashes again and again, each time no earlier than its turn, in a tree that is a child of the
//! round's process. A lap is a second. What root and daemon hold is looked at after a first storm that is not counted,
//! and at the end; who is left, when the tree has ended.

use super::process::{Child, Shared};
use super::said::{Said, Sampled};
use super::{Measure, MeasureError, Round};
use crate::faults::null_write;
use crate::faults::trigger::monotonic_ns;
use crate::levels;
use crate::record::Unit;
use crashbed::{Daemon, Declaration, Error, Intensity, MIB, Outcome, Recoverable, Root, Spare, Tx, UnknownSpare};
use crashbed_policies::CheckpointResume;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use procfs::process::Process;
use serde::Deserialize;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const SECOND_NS: u64 = 1_000_000_000;
/// Seconds of the storm that is not counted.
const WARM_UP: u64 = 2;
/// The longest storm.
const MOST_SECONDS: usize = 600;
/// How long those who are dying may take after the end of their tree.
const PATIENCE: Duration = Duration::from_secs(2);
/// What ratios are multiplied by.
const MILLION: u64 = 1_000_000;

/// Its settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Storm {
    /// How successors are made ready.
    #[serde(deserialize_with = "levels::spares")]
    spares: Vec<String>,
    /// Crashes in a second, where the machine keeps up.
    #[serde(deserialize_with = "levels::positive")]
    per_second: u64,
}

impl Default for Storm {
    fn default() -> Self {
        Self { spares: vec!["cold".to_owned()], per_second: 1_000 }
    }
}

impl Measure for Storm {
    fn round(&self, round: Round) -> Result<Vec<Said>, MeasureError> {
        if usize::try_from(round.laps).is_ok_and(|laps| laps > MOST_SECONDS) {
            return Ok(vec![Said::skipped(format_args!(
                "{} seconds are asked for, and {MOST_SECONDS} are the most",
                round.laps
            ))]);
        }
        // Whoever outlives the tree becomes a child of this process.
        prctl::set_child_subreaper(true).map_err(io::Error::from)?;
        let mut said = Vec::new();
        for name in &self.spares {
            let spare = name.parse().map_err(|error: UnknownSpare| MeasureError::Unplanned(error.to_string()))?;
            let bed = Bed { spare, per_second: self.per_second, seconds: round.laps, board: Shared::new()? };
            let [lost, grown, took_ns, otherwise] = bed.measure()?;
            let row = |row, unit, samples: Vec<u64>, note| {
                let row = Sampled::new(row, unit, note).at("spare", name.as_str()).at("per-second", self.per_second);
                Said::Row(Sampled { samples, ..row })
            };
            let pace = took_ns.saturating_mul(MILLION) / (round.laps * SECOND_NS).max(1);
            said.extend([
                row("crashes", Unit::Count, bed.by_second(), "lives that began in each second that was asked for"),
                row(
                    "pace",
                    Unit::Millionths,
                    vec![pace],
                    "time from the first turn to the last life, over that asked for",
                ),
                row("lost", Unit::Count, vec![lost], "crashes without a successor, and successors with a wrong state"),
                row(
                    "grown",
                    Unit::Bytes,
                    vec![grown],
                    "private memory of root and daemon at the end, more than early on",
                ),
                row(
                    "otherwise",
                    Unit::Count,
                    vec![otherwise],
                    "of the first and the newest 64 in all, started as not declared",
                ),
                row("left", Unit::Count, vec![left()?], "processes that outlived their tree"),
            ]);
        }
        Ok(said)
    }
}

/// What a storm changes.
#[derive(Default, Recoverable)]
struct Lives {
    count: u64,
    copies: Vec<u64>,
}

/// What the processes of a tree share: figures, then the lives of each second.
type Board = [AtomicU64; BY_SECOND + MOST_SECONDS];

/// The last instant before the present fault.
const FAULT: usize = 0;
/// Lives that found another state than that of their predecessors' commits, in both storms.
const WRONG: usize = 1;
/// Lives of the present storm, and when the newest began.
const BEGUN: usize = 2;
const NEWEST: usize = 3;
const BY_SECOND: usize = 4;

/// A tree to measure.
struct Bed {
    spare: Spare,
    per_second: u64,
    seconds: u64,
    board: Shared<Board>,
}

impl Bed {
    /// What was lost, by how much root and daemon have grown, how long the storm took, and how many successors started in
    /// another way than declared.
    fn measure(&self) -> Result<[u64; 4], MeasureError> {
        let (mut figures, give) = io::pipe()?;
        let mut tree = Child::fork(|| self.tree(&give))?;
        drop(give);
        let read = read(&mut figures);
        tree.wait().map_err(|how| MeasureError::Unplanned(format!("the tree ended with {how}")))?;
        Ok(read?)
    }

    /// The lives that began in each second.
    fn by_second(&self) -> Vec<u64> {
        let seconds = usize::try_from(self.seconds).unwrap_or(MOST_SECONDS);
        self.board[BY_SECOND..BY_SECOND + seconds].iter().map(|lives| lives.load(Relaxed)).collect()
    }

    fn tree(&self, give: &PipeWriter) -> crashbed::Result<()> {
        let root = std::process::id();
        let declared = Declaration::new("storm", MIB).scratch(0).spare(self.spare).intensity(Intensity::UNLIMITED);
        Root::new().declare(declared, |daemon| self.storms(daemon, root, give)).run()
    }

    fn storms(&self, daemon: &mut Daemon<Lives>, root: u32, mut give: &PipeWriter) -> crashbed::Result<()> {
        if daemon.restarts() > 0 {
            return Err(Error::program("the storm's daemon has died"));
        }
        self.storm(daemon, WARM_UP)?;
        // To look takes memory too, the first time.
        held(daemon, root)?;
        let early = held(daemon, root)?;
        self.board[BY_SECOND..].iter().for_each(|lives| lives.store(0, Relaxed));
        let began_ns = monotonic_ns();
        self.storm(daemon, self.seconds)?;
        let took_ns = self.board[NEWEST].load(Relaxed).saturating_sub(began_ns);
        let asked = self.per_second * self.seconds;
        // The first life succeeds no crash.
        let unsucceeded =
            (asked + 1).abs_diff(self.board[BEGUN].load(Relaxed)).max(asked.abs_diff(daemon.report().crashes));
        let lost = unsucceeded + self.board[WRONG].load(Relaxed);
        let grown = held(daemon, root)?.saturating_sub(early);
        let recoveries = &daemon.report().recoveries;
        let otherwise = recoveries.iter().filter(|recovery| recovery.started_by.name() != self.spare.name()).count();
        for figure in [lost, grown, took_ns, otherwise as u64] {
            give.write_all(&figure.to_le_bytes()).map_err(Error::program)?;
        }
        Ok(())
    }

    /// One transaction that crashes as often as is asked in so many seconds.
    fn storm(&self, daemon: &mut Daemon<Lives>, seconds: u64) -> crashbed::Result<()> {
        let crashes = self.per_second * seconds;
        self.board[BEGUN].store(0, Relaxed);
        let (began_ns, before) = (monotonic_ns(), daemon.state().count);
        let outcome = daemon.transaction(CheckpointResume, |tx, lives| {
            self.begin(tx, lives, before, began_ns);
            tx.commit()?;
            if tx.crashes() < crashes {
                lives.copies.fill(u64::MAX);
                lives.count = u64::MAX;
                // Turns are spread evenly; one that is late leaves those after it where they are.
                let turn_ns = began_ns + (tx.crashes() + 1) * SECOND_NS / self.per_second;
                while monotonic_ns() < turn_ns {
                    std::hint::spin_loop();
                }
                null_write(&self.board[FAULT]);
            }
            Ok(())
        })?;
        match outcome {
            Outcome::Done(()) => Ok(()),
            Outcome::Failed(failure) => Err(Error::program(failure)),
            Outcome::GaveUp(crash) => Err(Error::program(crash)),
        }
    }

    /// The first operation of a life: looks at what its predecessors have left, and adds itself.
    fn begin(&self, tx: &mut Tx<'_>, lives: &mut Lives, before: u64, began_ns: u64) {
        const COPIES: usize = 64;
        let now_ns = monotonic_ns();
        let second = usize::try_from(now_ns.saturating_sub(began_ns) / SECOND_NS).unwrap_or(usize::MAX);
        if let Some(slot) = self.board[BY_SECOND..].get(second) {
            slot.fetch_add(1, Relaxed);
        }
        self.board[BEGUN].fetch_add(1, Relaxed);
        self.board[NEWEST].store(now_ns, Relaxed);
        let expected = before + tx.crashes();
        let is_right = lives.count == expected && lives.copies.iter().all(|copy| *copy == expected);
        self.board[WRONG].fetch_add(u64::from(!is_right), Relaxed);
        lives.count = expected + 1;
        lives.copies.resize(COPIES, 0);
        lives.copies.fill(expected + 1);
        tx.done();
    }
}

/// Bytes of private memory that the daemon and the root have in use.
fn held(daemon: &Daemon<Lives>, root: u32) -> crashbed::Result<u64> {
    let status = Process::new(root.cast_signed()).and_then(|root| root.status()).map_err(Error::program)?;
    Ok(daemon.private_bytes()? + status.rssanon.unwrap_or(0) * 1024)
}

fn read(figures: &mut PipeReader) -> io::Result<[u64; 4]> {
    let mut read = [0; 4];
    for figure in &mut read {
        let mut word = [0; 8];
        figures.read_exact(&mut word)?;
        *figure = u64::from_le_bytes(word);
    }
    Ok(read)
}

/// How many processes are left of a tree that has ended: they are children of this process by then.
fn left() -> io::Result<u64> {
    let until = Instant::now() + PATIENCE;
    let mut left = 0;
    loop {
        match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return Ok(left),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(WaitStatus::StillAlive) if Instant::now() > until => return Ok(left + 1),
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(1)),
            Ok(_) => left += 1,
        }
    }
}
