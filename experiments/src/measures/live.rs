//! Measure `live`: how long a recovery takes beside many live transactions, and how long their tree takes to start.
//!
//! ```text
//! root ─┬─ daemon ── transaction, alive and asleep       ┐
//!       ├─ daemon ── transaction, alive and asleep       │ as many transactions as the level says
//!       └─ daemon ── transaction ✗ ── its successor …    ┘ lap after lap
//! ```
//!
//! Every daemon has a small hidden region and no scratch. Those that sleep read from a pipe on which nothing ever comes;
//! its end is theirs. The tree is a child of the round's process, which opens the pipe and reads the times from memory
//! that it shares with the tree.

use super::process::{Child, Shared};
use super::said::{Said, Sampled};
use super::{Measure, MeasureError, Round};
use crate::faults::null_write;
use crate::faults::trigger::monotonic_ns;
use crate::levels;
use crate::record::Unit;
use crate::workloads::kv::KvState;
use crate::workloads::ycsb::{Mix, Plan};
use crashbed::{Daemon, Declaration, Error, Failure, Intensity, MIB, Outcome, Root, Spare, Start, UnknownSpare};
use crashbed_policies::CheckpointResume;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Deserialize;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::num::NonZeroU64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

/// Laps that are made first and not counted.
const WARM_UP: u64 = 5;
/// The operations of the plan; laps go round in it.
const OPERATIONS: u64 = 1_000;
/// How long a transaction has been at work when it crashes.
const AT_WORK_NS: u64 = 2_000_000;
/// Between two laps: what spares may spin adds up again.
const PAUSE: Duration = Duration::from_millis(4);
/// Nobody is to be taken for hung here.
const HEARTBEAT: Duration = Duration::from_secs(3_600);
/// Descriptors that the root holds for each daemon, and those that it has besides.
const DESCRIPTORS: (u64, u64) = (6, 64);

/// Its settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Live {
    /// How many transactions are alive, the one that crashes included.
    #[serde(deserialize_with = "levels::one_or_many")]
    transactions: Vec<NonZeroU64>,
    /// How the successor is made ready.
    #[serde(deserialize_with = "levels::spares")]
    spares: Vec<String>,
    /// Records in the state of the one that crashes.
    #[serde(deserialize_with = "levels::positive")]
    records: u64,
}

impl Default for Live {
    fn default() -> Self {
        let transactions = [1, 10, 100, 1_000].into_iter().filter_map(NonZeroU64::new);
        Self { transactions: transactions.collect(), spares: vec!["cold".to_owned()], records: 100 }
    }
}

/// What the processes of the tree share.
type Board = [AtomicU64; 3];

/// Transactions that are alive, besides the one that crashes.
const ALIVE: usize = 0;
/// When the one that crashes was alive as well.
const STARTED: usize = 1;
/// The last instant before the present fault.
const FAULT: usize = 2;

impl Measure for Live {
    fn round(&self, round: Round) -> Result<Vec<Said>, MeasureError> {
        let plan = Plan::new(round.seed, Mix::A, self.records, OPERATIONS)
            .map_err(|error| MeasureError::Unplanned(error.to_string()))?;
        let mut said = Vec::new();
        for &transactions in &self.transactions {
            for name in &self.spares {
                let level = transactions.get();
                let spare = name.parse().map_err(|error: UnknownSpare| MeasureError::Unplanned(error.to_string()))?;
                if let Err(why) = allow_descriptors(DESCRIPTORS.0.saturating_mul(level) + DESCRIPTORS.1) {
                    said.push(Said::skipped(format_args!("{level} transactions need {why}")));
                    continue;
                }
                let row = |row, unit, note| {
                    Sampled::new(row, unit, note).at("transactions", level).at("spare", name.as_str())
                };
                let mut rows = [
                    row("start", Unit::Ns, "the root's first instruction, to every transaction alive"),
                    row("hand-over", Unit::Ns, "crash to the successor's first instruction"),
                    row("recovery", Unit::Ns, "crash to the successor's first operation done"),
                    row("otherwise", Unit::Count, "successors in a round that started in another way than declared"),
                ];
                let bed = Bed { transactions: level, spare, plan: &plan, laps: round.laps, board: Shared::new()? };
                match bed.measure()? {
                    Ok(times) => {
                        rows[0].samples.push(times.start_ns);
                        rows[1].samples.extend(times.laps.iter().map(|lap| lap.0));
                        rows[2].samples.extend(times.laps.iter().map(|lap| lap.1));
                        rows[3].samples.push(times.otherwise);
                        said.extend(rows.map(Said::Row));
                    }
                    Err(ended) => said.push(Said::skipped(format_args!(
                        "the tree of {level} transactions could not go on ({ended}); what it said stands above"
                    ))),
                }
            }
        }
        Ok(said)
    }
}

/// Raises this process's limit on descriptors to `wanted`; says what is wrong where that is not allowed.
fn allow_descriptors(wanted: u64) -> Result<(), String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|errno| errno.to_string())?;
    if soft >= wanted {
        return Ok(());
    }
    let refused = |_| format!("{wanted} open files, and {hard} are allowed (ulimit -Hn)");
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).map_err(refused)
}

/// A tree to measure.
struct Bed<'a> {
    transactions: u64,
    spare: Spare,
    plan: &'a Plan,
    laps: u64,
    board: Shared<Board>,
}

/// What a tree gave.
struct Times {
    start_ns: u64,
    /// Hand-over and recovery of each lap.
    laps: Vec<(u64, u64)>,
    /// Successors that started in another way than declared.
    otherwise: u64,
}

impl Bed<'_> {
    /// Runs the tree in a child; in words how that ended where it ended before it had given everything.
    fn measure(&self) -> io::Result<Result<Times, String>> {
        let (until, end) = io::pipe()?;
        let (mut times, give) = io::pipe()?;
        // The tree must not have the end on whose closing it waits, nor this process the one that the tree writes.
        let mut end = Some(end);
        let mut tree = Child::fork(|| {
            drop(end.take());
            self.tree(&until, &give)
        })?;
        drop(give);
        let mut next = || -> io::Result<u64> {
            let mut word = [0; 8];
            times.read_exact(&mut word).map(|()| u64::from_le_bytes(word))
        };
        let mut read = || -> io::Result<Times> {
            let start_ns = next()?;
            let laps = (0..self.laps).map(|_| Ok((next()?, next()?))).collect::<io::Result<_>>()?;
            Ok(Times { start_ns, laps, otherwise: next()? })
        };
        let read = read();
        drop(end);
        Ok(match (read, tree.wait()) {
            (Ok(times), Ok(())) => Ok(times),
            (Err(error), Ok(())) => Err(error.to_string()),
            (_, Err(ended)) => Err(ended),
        })
    }

    /// The tree, from its root's first instruction.
    fn tree(&self, until: &PipeReader, give: &PipeWriter) -> crashbed::Result<()> {
        let root_ns = monotonic_ns();
        let declare = |name: String| {
            Declaration::new(name, MIB).hidden().scratch(0).heartbeat(HEARTBEAT).intensity(Intensity::UNLIMITED)
        };
        let mut root = Root::new().declare(declare("crashes".to_owned()), |daemon| self.crash(daemon, root_ns, give));
        for number in 1..self.transactions {
            root = root.declare(declare(format!("sleeps-{number}")), |daemon: &mut Daemon<u64>| {
                let asleep = daemon.transaction(CheckpointResume, |_, _| {
                    self.board[ALIVE].fetch_add(1, Release);
                    let mut until = until;
                    // Nothing comes but the end of the file.
                    let _ = until.read_exact(&mut [0]);
                    Ok(())
                })?;
                done(&asleep)
            });
        }
        root.run()
    }

    /// The daemon whose transactions crash.
    fn crash(&self, daemon: &mut Daemon<KvState>, root_ns: u64, mut give: &PipeWriter) -> crashbed::Result<()> {
        let mut give = |ns: u64| give.write_all(&ns.to_le_bytes()).map_err(Error::program);
        done(&daemon.transaction(CheckpointResume, |_, state| {
            state.load(self.plan);
            Ok(())
        })?)?;
        // The first operation of a process asks the processor for its features, which a virtual machine answers slowly;
        // this daemon's answer is inherited.
        daemon.state().clone().apply(self.plan, 0, || ()).map_err(Error::program)?;
        while self.board[ALIVE].load(Acquire) < self.transactions - 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut otherwise = 0;
        for lap in 0..WARM_UP + self.laps {
            std::thread::sleep(PAUSE);
            let index = lap * 7 % OPERATIONS;
            done(&self.lap(daemon, index)?)?;
            let since_fault = |ns: u64| ns.saturating_sub(self.board[FAULT].load(Relaxed));
            let [recovery] = &daemon.report().recoveries[..] else {
                return Err(Error::program("a lap without its crash"));
            };
            if lap == 0 {
                give(self.board[STARTED].load(Relaxed).saturating_sub(root_ns))?;
            }
            if lap >= WARM_UP {
                give(since_fault(recovery.started_ns))?;
                give(since_fault(recovery.first_operation_ns))?;
                otherwise += u64::from(self.declared().is_some_and(|start| start != recovery.started_by));
            }
        }
        give(otherwise)
    }

    /// How a successor is to start; `auto` leaves it open.
    fn declared(&self) -> Option<Start> {
        match self.spare {
            Spare::Cold => Some(Start::Cold),
            Spare::Warm => Some(Start::Warm),
            Spare::Hot(_) => Some(Start::Hot),
            Spare::Auto => None,
        }
    }

    /// A transaction that crashes once, and whose successor does one operation.
    fn lap(&self, daemon: &mut Daemon<KvState>, index: u64) -> crashbed::Result<Outcome<()>> {
        daemon.prepare(CheckpointResume).spare(self.spare).run(|tx, state| {
            if tx.crash().is_none() {
                let begun_ns = monotonic_ns();
                let _ = self.board[STARTED].compare_exchange(0, begun_ns, Relaxed, Relaxed);
                while monotonic_ns() < begun_ns + AT_WORK_NS {
                    std::hint::spin_loop();
                }
                null_write(&self.board[FAULT]);
            }
            state.apply(self.plan, index, || ()).map_err(Failure::new)?;
            tx.done();
            Ok(())
        })
    }
}

fn done(outcome: &Outcome<()>) -> crashbed::Result<()> {
    match outcome {
        Outcome::Done(()) => Ok(()),
        Outcome::Failed(failure) => Err(Error::program(failure)),
        Outcome::GaveUp(crash) => Err(Error::program(crash)),
    }
}
