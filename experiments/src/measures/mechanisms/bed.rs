//! The processes of a bed, which is all contestants at one size of the region, and how they are asked: over a socket
//! pair each.
//!
//! ```text
//! round's process, which writes for the bare path ─┬─ applier of the bare path
//!                                                  ├─ plain process, private memory
//!                                                  └─ root ─┬─ daemon ── transaction, by one mechanism
//!                                                           └─ …
//! ```
//!
//! A contestant that is not asked sleeps in `read(2)`, and ends when there is nothing more to read.

use super::super::MeasureError;
use super::super::process::Child;
use super::memory;
use super::work::{Board, Bytes, Contestant, Kind, MOST_CRASHES, MOST_LAPS, Order, plain};
use super::written::{PAGE, Written};
use crate::faults::trigger::monotonic_ns;
use crashbed::floor::BareCommits;
use crashbed::{Declaration, Intensity, KIB, LoggedVec, MIB, MechanismKind, Root};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Nobody is to be taken for hung here.
const HEARTBEAT: Duration = Duration::from_secs(3_600);
/// How long an order may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A transaction under a mechanism.
    Transaction(MechanismKind),
    /// A plain process that writes to private memory.
    Plain,
    /// The bare path of a commit by page.
    Bare,
}

impl Who {
    /// Whether it can be asked for this.
    pub(super) fn does(self, kind: Kind) -> bool {
        match self {
            Self::Transaction(mechanism) => kind != Kind::BareForks || mechanism.returns_from_commits(),
            Self::Plain => kind == Kind::Commits,
            Self::Bare => matches!(kind, Kind::Commits | Kind::Crashes),
        }
    }

    /// The most laps of one order.
    pub(super) fn most_laps(kind: Kind) -> usize {
        match kind {
            Kind::Commits | Kind::CommitsLater | Kind::BareForks => MOST_LAPS,
            Kind::Crashes => MOST_CRASHES,
            Kind::Holds => 1,
        }
    }
}

/// How many bytes of a region the state is, so that the heap has room for a block of them.
pub(super) fn state_bytes(region: usize) -> usize {
    region / 16 * 15 - 64 * KIB
}

/// Whole pages that are surely in a state of so many bytes, wherever it begins.
pub(super) fn state_pages(region: usize) -> usize {
    state_bytes(region) / PAGE - 1
}

/// The contestants of one size, each at its place in the list that they were started by.
pub(super) struct Bed {
    contestants: Vec<Who>,
    region: usize,
    board: Board,
    /// The ends of the round's process; of one that is asked otherwise, nobody's.
    ours: Vec<UnixStream>,
    processes: Vec<Child>,
    /// Where it could be started.
    bare: Option<BareCommits>,
}

impl Bed {
    /// Starts all, and waits until each has its state.
    pub(super) fn start(mechanisms: &[MechanismKind], region: usize, most: Written) -> Result<Self, MeasureError> {
        let mut contestants = vec![Who::Plain];
        contestants.extend(mechanisms.iter().copied().map(Who::Transaction));
        let board = Board::new()?;
        // Each side alone holds its ends, so that the other sees when it is gone.
        let (asks, answers) = UnixStream::pair()?;
        let mut ours = vec![asks];
        let mut processes = vec![Child::fork(|| {
            ours.clear();
            plain(state_bytes(region), &board, &answers)
        })?];
        drop(answers);
        let pairs = mechanisms.iter().map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>()?;
        let (asks, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        ours.extend(asks);
        processes.push(Child::fork(|| {
            ours.clear();
            tree(mechanisms, region, most, &board, &theirs)
        })?);
        drop(theirs);
        for socket in &ours {
            socket.set_read_timeout(Some(PATIENCE))?;
        }
        let mut bed = Self { contestants, region, board, ours, processes, bare: None };
        for number in 0..bed.contestants.len() {
            bed.hear(number)?;
        }
        Ok(bed)
    }

    /// Starts the bare path as well, as the last contestant.
    pub(super) fn start_bare(&mut self, most: Written) -> crashbed::Result<()> {
        self.bare = Some(BareCommits::start(self.region, most.pages())?);
        self.contestants.push(Who::Bare);
        Ok(())
    }

    pub(super) fn contestants(&self) -> &[Who] {
        &self.contestants
    }

    /// Has contestant number `number` do what is ordered; answers two numbers a lap.
    pub(super) fn ask(&mut self, number: usize, order: Order) -> Result<Vec<(u64, u64)>, MeasureError> {
        if let (Who::Bare, Some(bare)) = (self.contestants[number], &mut self.bare) {
            return Ok(walk(bare, state_pages(self.region), order)?);
        }
        order.send(&self.ours[number])?;
        self.hear(number)?;
        Ok(self.board.samples(order.laps).collect())
    }

    /// The bytes that contestant number `number` holds beside the state once it has written so much; `None` of one that
    /// has no region.
    pub(super) fn beside_state(&mut self, number: usize, written: Written) -> Result<Option<u64>, MeasureError> {
        let Who::Transaction(mechanism) = self.contestants[number] else { return Ok(None) };
        let samples = self.ask(number, Order { kind: Kind::Holds, written, laps: 1, warm_up: 0 })?;
        let process = samples.first().and_then(|(process, _)| i32::try_from(*process).ok()).unwrap_or(0);
        let unreadable = |error| MeasureError::Unplanned(format!("the memory of process {process}: {error}"));
        memory::beside_state(mechanism.name(), process).map(Some).map_err(unreadable)
    }

    fn hear(&mut self, number: usize) -> Result<(), MeasureError> {
        let heard = (&self.ours[number]).read_exact(&mut [0]);
        heard.map_err(|error| {
            MeasureError::Unplanned(format!("{:?} gave no answer: {error}; see above", self.contestants[number]))
        })
    }

    /// Ends all of them.
    pub(super) fn end(self) -> Result<(), MeasureError> {
        // What nobody asks any more ends; the applier has the ends of who asks, too.
        drop(self.bare);
        drop(self.ours);
        for mut process in self.processes {
            process.wait().map_err(|how| MeasureError::Unplanned(format!("a contestant ended with {how}")))?;
        }
        Ok(())
    }
}

/// The bare path, walked as ordered.
fn walk(bare: &mut BareCommits, state_pages: usize, order: Order) -> crashbed::Result<Vec<(u64, u64)>> {
    let places: Vec<usize> = order.written.places(state_pages).collect();
    let mut samples = Vec::with_capacity(order.laps);
    for (lap, value) in (0..order.warm_up + order.laps).zip((1..=u8::MAX).cycle()) {
        let write = |state: &mut [u8]| {
            for piece in order.written.pieces(state_pages) {
                std::hint::black_box(&mut state[piece]).fill(value);
            }
        };
        let sample = if order.kind == Kind::Crashes {
            (bare.copy_back(&places, write)?, 0)
        } else {
            let begun_ns = monotonic_ns();
            write(bare.state());
            (monotonic_ns() - begun_ns, bare.commit()?)
        };
        if lap >= order.warm_up {
            samples.push(sample);
        }
    }
    Ok(samples)
}

/// The tree of the transactions, from its root on.
fn tree(
    mechanisms: &[MechanismKind],
    region: usize,
    most: Written,
    board: &Board,
    sockets: &[UnixStream],
) -> crashbed::Result<()> {
    let mut root = Root::new();
    for (mechanism, socket) in mechanisms.iter().copied().zip(sockets) {
        let declaration = Declaration::new(mechanism.name(), region)
            .mechanism(mechanism)
            .hidden()
            .scratch(0)
            .heartbeat(HEARTBEAT)
            .intensity(Intensity::UNLIMITED);
        let contestant = Contestant { mechanism, state_bytes: state_bytes(region), board, socket };
        root = if mechanism.needs_declared_writes() {
            let log = usize::try_from(most.bytes()).unwrap_or(usize::MAX).saturating_mul(2).saturating_add(MIB);
            // SAFETY: a contestant writes its `LoggedVec` by the trait `Bytes`, whose every way to write it declares it first.
            let declaration = unsafe { declaration.undo_log(log) };
            declare::<LoggedVec<u8>>(root, declaration, contestant)
        } else {
            declare::<Vec<u8>>(root, declaration, contestant)
        };
    }
    root.run()
}

fn declare<'a, S: Bytes>(root: Root<'a>, declaration: Declaration, contestant: Contestant<'a>) -> Root<'a> {
    root.declare(declaration, move |daemon| contestant.live::<S>(daemon))
}
