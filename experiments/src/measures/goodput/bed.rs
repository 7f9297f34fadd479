//! The trees of measure `goodput`, and a lap in one: a plate that is computed step by step while its process is killed.
//!
//! ```text
//! round's process ── root ── daemon, asked for laps ── transaction ✗ ── its successor ✗ ── …
//! ```
//!
//! A crash is a SIGKILL that the kernel sends at its time, whatever the process is doing then: a timer of the process's
//! own, set by each life for the next crash. One whose time came while nobody was alive strikes as soon as its victim has
//! set the timer.

use super::ledger::Ledger;
use crate::faults::trigger::{exponential, monotonic_ns};
use crate::measures::MeasureError;
use crate::measures::process::Child;
use crate::workloads::stencil::{Band, Grids, Heat};
use crashbed::{Crash, Daemon, Declaration, Error, Failure, Intensity, MIB, MechanismKind, Outcome, Root, Tx};
use crashbed_policies::CheckpointResume;
use nix::sys::signal::{SigEvent, SigevNotify, Signal};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Nobody is to be taken for hung here.
const HEARTBEAT: Duration = Duration::from_secs(3_600);
/// Steps that touch all of the plate: one writes one of its two grids.
const TOUCHING: u64 = 2;
/// Steps before a lap: those that touch the grids for the first time, and those that tell what a step takes by itself.
const FIRST: u64 = 4;
const BY_ITSELF: u64 = 60;

/// Asks for no more laps, where else one stands.
const NO_MORE: [u64; 4] = [0; 4];

/// What a daemon is asked for, as four words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lap {
    /// Steps between two commits.
    pub(super) commit_every: u64,
    /// The mean time between two crashes.
    pub(super) mtbf_ns: u64,
    /// How long the lap is: it ends with the first commit after that, and without one when it is twice as long.
    pub(super) lasts_ns: u64,
    /// Draws the times of the crashes.
    pub(super) seed: u64,
}

impl Lap {
    fn to_words(self) -> [u64; 4] {
        [self.commit_every, self.mtbf_ns, self.lasts_ns, self.seed]
    }

    fn from_words([commit_every, mtbf_ns, lasts_ns, seed]: [u64; 4]) -> Self {
        Self { commit_every, mtbf_ns, lasts_ns, seed }
    }

    /// When crash number `number` is due, in nanoseconds after the lap's beginning.
    fn due_ns(&self, number: u64) -> u64 {
        let all: f64 = (0..=number).map(|number| exponential(self.seed, number)).sum();
        // A crash that is due centuries from now never comes.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        {
            (self.mtbf_ns as f64 * all) as u64
        }
    }
}

/// A tree with one daemon, which makes laps.
pub(super) struct Bed {
    socket: UnixStream,
    ledger: Ledger,
    tree: Child,
}

impl Bed {
    /// Starts the tree of a mechanism, for plates of this kind.
    pub(super) fn start(mechanism: MechanismKind, heat: Heat) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let ledger = Ledger::new()?;
        let ours = &mut Some(socket);
        let tree = Child::fork(|| {
            // Only the round's process asks, so that the daemon sees when it does no more.
            ours.take();
            tree(mechanism, heat, &theirs, &ledger)
        })?;
        let socket = ours.take().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Self { socket, ledger, tree })
    }

    /// Makes a lap, whose result has been proved; the ledger has what came of it.
    pub(super) fn lap(&mut self, lap: Lap) -> Result<&Ledger, MeasureError> {
        self.socket.set_read_timeout(Some(Duration::from_nanos(lap.lasts_ns.saturating_mul(4)) + HEARTBEAT / 60))?;
        self.ask(lap.to_words())?;
        self.socket
            .read_exact(&mut [0])
            .map_err(|error| MeasureError::Unplanned(format!("no result of {lap:?}: {error}; see above")))?;
        Ok(&self.ledger)
    }

    fn ask(&mut self, words: [u64; 4]) -> io::Result<()> {
        words.iter().try_for_each(|word| self.socket.write_all(&word.to_le_bytes()))
    }

    /// Ends the tree in order. To close the socket is not enough: trees that were started later have a copy of it.
    pub(super) fn end(mut self) -> Result<(), MeasureError> {
        self.ask(NO_MORE)?;
        self.tree.wait().map_err(|how| MeasureError::Unplanned(format!("a tree ended with {how}")))
    }
}

fn tree(mechanism: MechanismKind, heat: Heat, socket: &UnixStream, ledger: &Ledger) -> crashbed::Result<()> {
    let grids = usize::try_from(Grids::bytes(heat.size)).map_err(Error::program)?;
    let declaration = Declaration::new("goodput", grids + grids / 16 + MIB)
        .mechanism(mechanism)
        .scratch(0)
        .heartbeat(HEARTBEAT)
        .intensity(Intensity::UNLIMITED);
    Root::new().declare(declaration, |daemon| serve(daemon, heat, socket, ledger)).run()
}

/// Makes the laps that it is asked for, until nobody asks any more.
fn serve(daemon: &mut Daemon<Grids>, heat: Heat, mut socket: &UnixStream, ledger: &Ledger) -> crashbed::Result<()> {
    loop {
        daemon.wait_readable(socket.as_fd())?;
        let mut words = [[0; 8]; 4];
        for word in &mut words {
            if socket.read_exact(word).is_err() {
                return Ok(());
            }
        }
        let words = words.map(u64::from_le_bytes);
        if words == NO_MORE {
            return Ok(());
        }
        let lap = Lap::from_words(words);
        ledger.clear();
        match daemon.transaction(CheckpointResume, |tx, grids| transaction(tx, grids, heat, lap, ledger))? {
            Outcome::Done(()) => {}
            Outcome::Failed(failure) => return Err(Error::program(failure)),
            Outcome::GaveUp(crash) => return Err(Error::program(crash)),
        }
        // Every step that a commit has held is in the plate, or its residual would tell.
        daemon.state().verify().map_err(Error::program)?;
        let most = Heat::most_steps(heat.size);
        if daemon.state().steps() > most {
            return Err(Error::program(format!(
                "a lap of {} steps of a plate of {} cells a side cannot be proved, {most} are the most: give a larger \
                 `size`, a shorter `mtbf_ms` or fewer `crashes`",
                daemon.state().steps(),
                heat.size
            )));
        }
        socket.write_all(&[1]).map_err(Error::program)?;
    }
}

/// A life of a lap's transaction.
fn transaction(tx: &mut Tx<'_>, grids: &mut Grids, heat: Heat, lap: Lap, ledger: &Ledger) -> Result<(), Failure> {
    let now_ns = monotonic_ns();
    if let Some(crash) = tx.crash() {
        let entry = ledger.entry();
        planned(crash)?;
        ledger.succeed(entry.began_ns + lap.due_ns(entry.crashes), now_ns, grids.steps());
    } else {
        // The grids of the lap before make room for the new ones.
        *grids = Grids::default();
        grids.load(heat);
        tx.commit()?;
        ledger.note_step(by_itself(tx, grids)?);
        tx.commit()?;
        ledger.begin(monotonic_ns(), grids.steps());
    }
    let entry = ledger.entry();
    let mut committed = grids.steps();
    let crash = kill_at(entry.began_ns + lap.due_ns(entry.crashes))?;
    loop {
        step(tx, grids)?;
        ledger.did(grids.steps());
        let stretch = grids.steps() - committed;
        if stretch == TOUCHING.min(lap.commit_every) {
            ledger.first_steps(monotonic_ns(), stretch);
        }
        if stretch == lap.commit_every {
            ledger.commit_begins(monotonic_ns());
            tx.commit()?;
            let now_ns = monotonic_ns();
            ledger.commit_done(now_ns, grids.steps());
            committed = grids.steps();
            if now_ns >= entry.began_ns + lap.lasts_ns {
                break;
            }
        }
        if monotonic_ns() >= entry.began_ns + 2 * lap.lasts_ns {
            break;
        }
    }
    // From here on nothing kills it.
    drop(crash);
    ledger.end(monotonic_ns());
    Ok(())
}

/// That a crash is one of those that were planned.
fn planned(crash: &Crash) -> Result<(), Failure> {
    match crash.cause.signal() {
        Some(libc::SIGKILL) => Ok(()),
        _ => Err(Failure::new(format_args!("a crash that was not planned: {crash}"))),
    }
}

/// Has this process killed at an instant on `CLOCK_MONOTONIC`, unless the timer is dropped before.
fn kill_at(due_ns: u64) -> Result<Timer, Failure> {
    let kill = SigEvent::new(SigevNotify::SigevSignal { signal: Signal::SIGKILL, si_value: 0 });
    let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, kill)?;
    let due = Expiration::OneShot(TimeSpec::from_duration(Duration::from_nanos(due_ns)));
    timer.set(due, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
    Ok(timer)
}

/// What a step takes without a commit and without a crash, in nanoseconds: the mean of some, as commits and restarts count
/// by their mean as well.
fn by_itself(tx: &mut Tx<'_>, grids: &mut Grids) -> Result<u64, Failure> {
    for _ in 0..FIRST {
        step(tx, grids)?;
    }
    let begun_ns = monotonic_ns();
    for _ in 0..BY_ITSELF {
        step(tx, grids)?;
    }
    Ok(((monotonic_ns() - begun_ns) / BY_ITSELF).max(1))
}

fn step(tx: &mut Tx<'_>, grids: &mut Grids) -> Result<(), Failure> {
    grids.bands(1)?.for_each(Band::compute);
    grids.advance(|| ());
    tx.done();
    Ok(())
}
