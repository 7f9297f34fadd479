//! What a contestant does when it is asked: write, commit, and crash.
//!
//! ```text
//! daemon ─┬─ transaction: fills the state, once
//!         ├─ transaction: commits, lap after lap, until it is asked for crashes     ┐ by turns, until nobody
//!         └─ transaction: crashes, lap after lap; what the daemon did is in its report ┘ asks any more
//! ```
//!
//! A transaction allocates nothing while it is measured: that would write to its region. So the samples of an order go
//! onto a board that all processes share, and a word over the socket says that they are there.

use super::super::process::Shared;
use super::written::{PAGE, Written};
use crate::faults::null_write;
use crate::faults::trigger::monotonic_ns;
use crashbed::{Daemon, Error, Failure, LoggedVec, MechanismKind, Outcome, Recoverable, Tx};
use crashbed_policies::CheckpointResume;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The most laps of an order.
pub(super) const MOST_LAPS: usize = 1_000;
/// The most of those that crash: the engine reports so many recoveries in full, and one more is not counted.
pub(super) const MOST_CRASHES: usize = 50;

/// The first of the crashes in a row, which is not counted.
const NOT_COUNTED: usize = 1;

/// The values that are committed are below this one; those that a crash is to take back are not.
const UNCOMMITTED: u8 = 128;

/// What a contestant is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// To write and to commit: time of the writes, time of the commit.
    Commits,
    /// To commit without waiting: time of that, and of settling it once the daemon is through.
    CommitsLater,
    /// To write and to crash: time of the daemon's part of the restore, and of the whole recovery.
    Crashes,
    /// To write and commit, and to write and fork bare: time of the commit, and time until the child's first instruction.
    /// Either follows on a bare fork, that of the lap before or one that does not count: what the commit before has left to
    /// be done is over by then.
    ForkPairs,
    /// To write, and to leave it at that, for whoever looks at its memory: its process, and 0.
    Holds,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Commits, Self::CommitsLater, Self::Crashes, Self::ForkPairs, Self::Holds];
}

/// An order: what, how much is written in each lap, how many laps, and how many before them that do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) kind: Kind,
    pub(super) written: Written,
    pub(super) laps: usize,
    pub(super) warm_up: usize,
}

impl Order {
    const LEN: usize = 4 * size_of::<u64>();

    pub(super) fn send(self, mut socket: &UnixStream) -> io::Result<()> {
        let kind = Kind::ALL.iter().position(|kind| *kind == self.kind).unwrap_or_default();
        let words = [kind as u64, self.written.bytes(), self.laps as u64, self.warm_up as u64];
        let mut bytes = [0; Self::LEN];
        for (place, word) in bytes.chunks_exact_mut(size_of::<u64>()).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        socket.write_all(&bytes)
    }

    /// The next order; `None` where nobody asks any more.
    pub(super) fn receive(mut socket: &UnixStream) -> Option<Self> {
        let mut bytes = [0; Self::LEN];
        socket.read_exact(&mut bytes).ok()?;
        let mut words = bytes.chunks_exact(size_of::<u64>()).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
        let mut number = || words.next().and_then(|word| usize::try_from(word).ok());
        let kind = *Kind::ALL.get(number()?)?;
        let written = Written::try_from(number()? as u64).ok()?;
        Some(Self { kind, written, laps: number()?, warm_up: number()? })
    }
}

/// Says that what was asked for is on the board.
pub(super) fn answer(mut socket: &UnixStream) -> io::Result<()> {
    socket.write_all(&[1])
}

/// What the processes of a bed share: three words, then two numbers a lap.
pub(super) struct Board(Shared<[AtomicU64; 3 + 2 * MOST_LAPS]>);

/// Crashes that are still to be made; 0 between two orders, and after the last one.
const LEFT: usize = 0;
/// Bytes that each of them writes.
const WRITTEN: usize = 1;
/// The last instant before the present fault, or the first of a bare fork.
const STAMP: usize = 2;

impl Board {
    pub(super) fn new() -> io::Result<Self> {
        Shared::new().map(Self)
    }

    fn put(&self, lap: usize, samples: (u64, u64)) {
        let at = 3 + 2 * lap;
        self.0[at].store(samples.0, Relaxed);
        self.0[at + 1].store(samples.1, Relaxed);
    }

    /// The samples of the last order's laps.
    pub(super) fn samples(&self, laps: usize) -> impl Iterator<Item = (u64, u64)> {
        self.0[3..].chunks_exact(2).take(laps).map(|lap| (lap[0].load(Relaxed), lap[1].load(Relaxed)))
    }
}

/// A state of bytes.
pub(super) trait Bytes: Recoverable + Default {
    /// Makes it so many bytes, none of them zero.
    fn fill(&mut self, tx: &Tx<'_>, len: usize);
    fn bytes(&self) -> &[u8];
    /// Writes `value` to all of `range`.
    fn set(&mut self, tx: &Tx<'_>, range: Range<usize>, value: u8);
}

impl Bytes for Vec<u8> {
    fn fill(&mut self, _: &Tx<'_>, len: usize) {
        *self = vec![1; len];
    }

    fn bytes(&self) -> &[u8] {
        self
    }

    fn set(&mut self, _: &Tx<'_>, range: Range<usize>, value: u8) {
        black_box(&mut self[range]).fill(value);
    }
}

impl Bytes for LoggedVec<u8> {
    fn fill(&mut self, tx: &Tx<'_>, len: usize) {
        self.replace(tx, vec![1; len]);
    }

    fn bytes(&self) -> &[u8] {
        self
    }

    fn set(&mut self, tx: &Tx<'_>, range: Range<usize>, value: u8) {
        black_box(self.write(tx, range)).fill(value);
    }
}

/// How far the first page in these bytes is from their beginning, and how many whole pages there are.
pub(super) fn whole_pages(bytes: &[u8]) -> (usize, usize) {
    let first = bytes.as_ptr().align_offset(PAGE).min(bytes.len());
    (first, (bytes.len() - first) / PAGE)
}

/// A contestant's place in the tree.
pub(super) struct Contestant<'a> {
    pub(super) mechanism: MechanismKind,
    pub(super) state_bytes: usize,
    pub(super) board: &'a Board,
    pub(super) socket: &'a UnixStream,
}

impl Contestant<'_> {
    /// The life of a daemon.
    pub(super) fn live<S: Bytes>(&self, daemon: &mut Daemon<S>) -> crashbed::Result<()> {
        done(&daemon.transaction(CheckpointResume, |tx, state| {
            state.fill(tx, self.state_bytes);
            Ok(())
        })?)?;
        answer(self.socket).map_err(Error::program)?;
        loop {
            done(&daemon.transaction(CheckpointResume, |tx, state| self.serve(tx, state))?)?;
            if self.board.0[LEFT].load(Relaxed) == 0 {
                return Ok(());
            }
            self.crash_and_recover(daemon)?;
            answer(self.socket).map_err(Error::program)?;
        }
    }

    /// Does what it is asked for, until it is asked for crashes, or for nothing more.
    fn serve<S: Bytes>(&self, tx: &mut Tx<'_>, state: &mut S) -> Result<(), Failure> {
        let mut value = 1;
        while let Some(order) = Order::receive(self.socket) {
            if order.kind == Kind::Crashes {
                self.board.0[WRITTEN].store(order.written.bytes(), Relaxed);
                self.board.0[LEFT].store(NOT_COUNTED as u64 + order.laps as u64, Relaxed);
                return Ok(());
            }
            for lap in 0..order.warm_up + order.laps {
                value = value % (UNCOMMITTED - 1) + 1;
                let samples = lap_of(tx, state, order, value, &self.board.0[STAMP])?;
                if let Some(lap) = lap.checked_sub(order.warm_up) {
                    self.board.put(lap, samples);
                }
            }
            answer(self.socket)?;
        }
        Ok(())
    }

    /// A transaction that crashes as often as the board says; each successor's first operation is to look whether all is
    /// there again.
    fn crash_and_recover<S: Bytes>(&self, daemon: &mut Daemon<S>) -> crashbed::Result<()> {
        let written = Written::try_from(self.board.0[WRITTEN].load(Relaxed)).map_err(Error::program)?;
        done(&daemon.transaction(CheckpointResume, |tx, state: &mut S| {
            if self.mechanism.returns_from_commits() {
                // Each successor begins here.
                tx.commit()?;
            }
            if !is_committed(state, written) {
                return Err(Failure::new("a successor found what its predecessor had not committed"));
            }
            tx.done();
            let left = self.board.0[LEFT].load(Relaxed);
            if left > 0 {
                self.board.0[LEFT].store(left - 1, Relaxed);
                write(tx, state, written, UNCOMMITTED);
                null_write(&self.board.0[STAMP]);
            }
            Ok(())
        })?)?;
        for (lap, recovery) in daemon.report().recoveries.iter().skip(NOT_COUNTED).enumerate() {
            let restore_ns = recovery.restored_ns.saturating_sub(recovery.decided_ns);
            let recovery_ns = recovery.first_operation_ns.saturating_sub(recovery.crash.happened_ns);
            self.board.put(lap, (restore_ns, recovery_ns));
        }
        Ok(())
    }
}

/// A lap that does not end in a crash.
fn lap_of<S: Bytes>(
    tx: &mut Tx<'_>,
    state: &mut S,
    order: Order,
    value: u8,
    stamp: &AtomicU64,
) -> Result<(u64, u64), Failure> {
    let begun_ns = monotonic_ns();
    write(tx, state, order.written, value);
    let written_ns = monotonic_ns();
    match order.kind {
        Kind::CommitsLater => {
            let ticket = tx.commit_later()?;
            let gone_on_ns = monotonic_ns();
            while !ticket.is_done(tx) {
                std::hint::spin_loop();
            }
            let settling_ns = monotonic_ns();
            tx.wait(ticket)?;
            Ok((gone_on_ns - written_ns, monotonic_ns() - settling_ns))
        }
        Kind::Holds => Ok((std::process::id().into(), 0)),
        Kind::ForkPairs => {
            // SAFETY: a transaction that declares no threads has one, and the stamp is on the board, which all share.
            let fork_bare = || unsafe { crashbed::floor::fork(stamp) }.map_err(Failure::new);
            tx.commit()?;
            let commit_ns = monotonic_ns() - written_ns;
            fork_bare()?;
            write(tx, state, order.written, value);
            Ok((commit_ns, fork_bare()?))
        }
        Kind::Commits | Kind::Crashes => {
            tx.commit()?;
            Ok((written_ns - begun_ns, monotonic_ns() - written_ns))
        }
    }
}

/// Writes to the pages of a level.
fn write<S: Bytes>(tx: &Tx<'_>, state: &mut S, written: Written, value: u8) {
    let (first, pages) = whole_pages(state.bytes());
    for piece in written.pieces(pages) {
        state.set(tx, first + piece.start..first + piece.end, value);
    }
}

/// Whether what a level writes to holds what was committed.
fn is_committed<S: Bytes>(state: &S, written: Written) -> bool {
    let (first, pages) = whole_pages(state.bytes());
    written.pieces(pages).all(|piece| state.bytes()[first + piece.start] < UNCOMMITTED)
}

fn done(outcome: &Outcome<()>) -> crashbed::Result<()> {
    match outcome {
        Outcome::Done(()) => Ok(()),
        Outcome::Failed(failure) => Err(Error::program(failure)),
        Outcome::GaveUp(crash) => Err(Error::program(crash)),
    }
}

/// The life of a plain process: it writes as the others do, to memory of its own, and commits nothing.
pub(super) fn plain(state_bytes: usize, board: &Board, socket: &UnixStream) -> io::Result<()> {
    let mut state = vec![1_u8; state_bytes];
    let (first, pages) = whole_pages(&state);
    answer(socket)?;
    let mut value = 1;
    while let Some(order) = Order::receive(socket) {
        for lap in 0..order.warm_up + order.laps {
            value = value % (UNCOMMITTED - 1) + 1;
            let begun_ns = monotonic_ns();
            for piece in order.written.pieces(pages) {
                black_box(&mut state[first + piece.start..first + piece.end]).fill(value);
            }
            let samples = (monotonic_ns() - begun_ns, 0);
            if let Some(lap) = lap.checked_sub(order.warm_up) {
                board.put(lap, samples);
            }
        }
        answer(socket)?;
    }
    Ok(())
}
