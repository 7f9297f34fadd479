//! Measure `pool`: a plain pool of worker processes over socket pairs, as one would write it without an engine.
//!
//! ```text
//! caller      ──request──▶  worker at work  ✗ null write
//!    ◀──end of file── (the kernel closes the socket when it has torn the process down)
//!    ──same request─────────────────────────▶  idle worker, asleep in read(2)
//!    ◀──answer────────────────────────────────  one operation of `kv` on its own copy
//! ```
//!
//! Workers are forked ahead and have a copy of the state of their own, every page of it touched. The caller blocks in
//! `read(2)`, which is one system call fewer than poll and read; a limit on its wait stands for the deadline that such
//! a pool has. The replacement is forked off the path.

use super::process::{Child, Shared};
use super::said::{Said, Sampled};
use super::{Measure, MeasureError, Round};
use crate::faults::null_write;
use crate::faults::trigger::monotonic_ns;
use crate::levels;
use crate::record::Unit;
use crate::workloads::kv::KvState;
use crate::workloads::ycsb::{Mix, Plan};
use serde::Deserialize;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Laps that are made first and not counted.
const WARM_UP: u64 = 5;
/// The operations of the plan; laps go round in it.
const OPERATIONS: u64 = 1_000;
/// How long the caller waits for a worker before it would count as hung.
const PATIENCE: Duration = Duration::from_secs(10);

/// Its settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Pool {
    /// Records in each worker's copy of the state.
    #[serde(deserialize_with = "levels::positive")]
    records: u64,
    /// How long a worker has been at work when it crashes, in microseconds: the caller is asleep by then, as it is in a
    /// real call.
    work_us: u64,
}

impl Default for Pool {
    fn default() -> Self {
        Self { records: 1_000, work_us: 500 }
    }
}

/// What caller and workers share, for times alone: the last instant before the null write, and a worker's first one
/// for the present request.
type Board = [AtomicU64; 2];

impl Measure for Pool {
    fn round(&self, round: Round) -> Result<Vec<Said>, MeasureError> {
        let plan = Plan::new(round.seed, Mix::A, self.records, OPERATIONS)
            .map_err(|error| MeasureError::Unplanned(error.to_string()))?;
        let mut state = KvState::default();
        state.load(&plan);
        let mut master = Master { plan, state, work_ns: self.work_us.saturating_mul(1_000), board: Shared::new()? };
        let time = |master: &Master, which: usize| master.board[which].load(Relaxed);
        let row = |row, note| Sampled::new(row, Unit::Ns, note).at("records", self.records);
        let mut call = row("call", "a request to an idle worker, to its answer");
        let mut hand_over = row("hand-over", "crash of a worker in a call, to the idle worker at the same request");
        let mut failover = row("failover", "crash of a worker in a call, to the idle worker's answer");
        let mut new_worker = row("new-worker", "crash of a worker in a call, to the answer of one forked after it");
        let (mut active, mut idle) = (master.worker(true)?, master.worker(true)?);
        for lap in 0..WARM_UP + round.laps {
            let index = lap * 7 % OPERATIONS;
            let called = active.call(index)?;
            let crashed = active.crash_in_call(index)?;
            let answered = idle.call(index)?;
            let (fault_ns, begun_ns) = (time(&master, FAULT), time(&master, BEGUN));
            drop(crashed);
            active = idle;
            // The replacement, off the path; it has said that it is ready.
            idle = master.worker(true)?;

            let crashed = active.crash_in_call(index)?;
            let mut fresh = master.worker(false)?;
            let answered_anew = fresh.call(index)?;
            let fault_again_ns = time(&master, FAULT);
            drop(crashed);
            drop(fresh);
            active = idle;
            idle = master.worker(true)?;
            if lap >= WARM_UP {
                call.samples.push(called.answered_ns - called.asked_ns);
                hand_over.samples.push(begun_ns.saturating_sub(fault_ns));
                failover.samples.push(answered.answered_ns.saturating_sub(fault_ns));
                new_worker.samples.push(answered_anew.answered_ns.saturating_sub(fault_again_ns));
            }
        }
        Ok([call, hand_over, failover, new_worker].map(Said::Row).into())
    }
}

const FAULT: usize = 0;
const BEGUN: usize = 1;

/// What workers are forked from.
struct Master {
    plan: Plan,
    state: KvState,
    /// How long a worker works before it crashes.
    work_ns: u64,
    board: Shared<Board>,
}

/// A worker, as the caller sees it.
struct Worker {
    socket: UnixStream,
    _process: Child,
}

/// The times of a call.
struct Called {
    asked_ns: u64,
    answered_ns: u64,
}

/// A request: the index of an operation, and whether to crash instead of doing it. An answer: the index, and what the
/// state says now.
type Message = [u8; 16];

fn message(index: u64, word: u64) -> Message {
    let mut message = Message::default();
    let (first, second) = message.split_at_mut(8);
    first.copy_from_slice(&index.to_le_bytes());
    second.copy_from_slice(&word.to_le_bytes());
    message
}

fn words(message: Message) -> (u64, u64) {
    let both = u128::from_le_bytes(message);
    #[allow(clippy::cast_possible_truncation, reason = "the two halves of the message")]
    let (index, word) = (both as u64, (both >> 64) as u64);
    (index, word)
}

impl Master {
    /// Forks a worker; `ahead` of its use it copies the state, so that each page is its own, and says that it is ready.
    fn worker(&mut self, ahead: bool) -> Result<Worker, MeasureError> {
        let (socket, theirs) = UnixStream::pair()?;
        let process = Child::fork(|| self.work(&theirs, ahead))?;
        drop(theirs);
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut worker = Worker { socket, _process: process };
        if ahead {
            worker.hear()?;
        }
        Ok(worker)
    }

    /// A worker's life, until the caller closes its end.
    fn work(&mut self, mut socket: &UnixStream, ahead: bool) -> io::Result<()> {
        // What a crash then does besides ending the process is nothing.
        nix::sys::prctl::set_dumpable(false)?;
        if ahead {
            // What it is copied from stays shared with the caller, untouched: pages that are not its own cost no time
            // when it dies.
            let shared = std::mem::take(&mut self.state);
            self.state = shared.clone();
            std::mem::forget(shared);
            socket.write_all(&message(0, 0))?;
        }
        let mut request = Message::default();
        while socket.read_exact(&mut request).is_ok() {
            self.board[BEGUN].store(monotonic_ns(), Relaxed);
            let (index, crash) = words(request);
            if crash == 1 {
                let until = monotonic_ns() + self.work_ns;
                while monotonic_ns() < until {
                    std::hint::spin_loop();
                }
                null_write(&self.board[FAULT]);
            }
            self.state.apply(&self.plan, index, || ()).map_err(io::Error::other)?;
            socket.write_all(&message(index, 1))?;
        }
        Ok(())
    }
}

impl Worker {
    /// One operation, to its answer.
    fn call(&mut self, index: u64) -> Result<Called, MeasureError> {
        let asked_ns = monotonic_ns();
        self.socket.write_all(&message(index, 0))?;
        let answer = self.hear()?;
        let answered_ns = monotonic_ns();
        match words(answer) {
            (same, 1) if same == index => Ok(Called { asked_ns, answered_ns }),
            other => Err(MeasureError::Unplanned(format!("a worker answered {other:?} to request {index}"))),
        }
    }

    fn hear(&mut self) -> io::Result<Message> {
        let mut answer = Message::default();
        self.socket.read_exact(&mut answer)?;
        Ok(answer)
    }

    /// A call in which the worker crashes: comes back when the caller sees that it is gone.
    fn crash_in_call(mut self, index: u64) -> Result<Self, MeasureError> {
        self.socket.write_all(&message(index, 1))?;
        match self.hear() {
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => Ok(self),
            Err(error) => Err(error.into()),
            Ok(_) => Err(MeasureError::Unplanned("a worker that was to crash answered".to_owned())),
        }
    }
}
