//! The contestants of measure `steady`, and how they are asked for a lap: over a socket pair each, with the time that it
//! took in nanoseconds as the answer.
//!
//! ```text
//! round's process ─┬─ plain process, system's allocator
//!                  ├─ plain process, engine's allocator in private memory
//!                  └─ root ─┬─ daemon ── transaction, mechanism and commits
//!                           └─ …
//! ```
//!
//! A contestant that is not asked sleeps in `read(2)`, and ends when there is nothing more to read.

use super::MeasureError;
use super::process::Child;
use crate::faults::trigger::monotonic_ns;
use crate::size::Size;
use crate::workloads::kv::KvState;
use crate::workloads::ycsb::Plan;
use crashbed::{Daemon, Declaration, Error, Failure, Heap, MechanismKind, Outcome, Root, Tx};
use crashbed_policies::CheckpointResume;
use std::alloc::{GlobalAlloc, Layout, System, alloc, dealloc};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Nobody is to be taken for hung here.
const HEARTBEAT: Duration = Duration::from_secs(3_600);
/// How long a lap may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Blocks that are replaced when blocks are asked for, and that live at a time.
const BLOCKS: usize = 1_000;
/// Asks for blocks to be replaced, where else a number of operations stands.
const REPLACE: u64 = u64::MAX;

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contestant {
    /// A plain process on the engine's allocator.
    PlainOnEngine,
    /// A plain process on the system's allocator.
    PlainOnSystem,
    /// A transaction.
    Transaction {
        /// How it commits.
        mechanism: MechanismKind,
        /// After how many operations; `None` never.
        every: Option<u64>,
    },
}

/// What a contestant is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// So many operations of the plan.
    Operations(u64),
    /// To replace blocks.
    Blocks,
}

/// The ways to the contestants.
pub(super) struct Contest {
    /// The ends of the round's process.
    ours: Vec<UnixStream>,
}

impl Contest {
    /// Starts the processes: the plain ones, each with its own end, and the tree, with those of its transactions.
    pub(super) fn start(
        contestants: &[Contestant],
        plan: &Plan,
        region: Size,
    ) -> Result<(Self, Vec<Child>), MeasureError> {
        let pairs = contestants.iter().map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>()?;
        let (mut ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let bytes = usize::try_from(region.bytes()).map_err(io::Error::other)?;
        let mut processes = Vec::new();
        for (contestant, socket) in contestants.iter().zip(&theirs) {
            if !matches!(contestant, Contestant::Transaction { .. }) {
                processes.push(Child::fork(|| {
                    // Only the round's process asks, so that a contestant sees when it does no more.
                    ours.clear();
                    plain(*contestant, plan, bytes, socket)
                })?);
            }
        }
        processes.push(Child::fork(|| {
            ours.clear();
            tree(contestants, plan, bytes, &theirs)
        })?);
        for socket in &ours {
            socket.set_read_timeout(Some(PATIENCE))?;
        }
        Ok((Self { ours }, processes))
    }

    /// Asks contestant number `number` for a lap; answers how long it took, in nanoseconds.
    pub(super) fn ask(&mut self, number: usize, asked: Asked) -> io::Result<u64> {
        let word = match asked {
            Asked::Operations(operations) => operations,
            Asked::Blocks => REPLACE,
        };
        self.ours[number].write_all(&word.to_le_bytes())?;
        let mut answer = [0; 8];
        self.ours[number].read_exact(&mut answer)?;
        Ok(u64::from_le_bytes(answer))
    }
}

/// Answers what is asked until nobody asks any more.
fn serve<E: From<io::Error>>(mut socket: &UnixStream, mut lap: impl FnMut(Asked) -> Result<(), E>) -> Result<(), E> {
    let mut word = [0; 8];
    while socket.read_exact(&mut word).is_ok() {
        let asked = match u64::from_le_bytes(word) {
            REPLACE => Asked::Blocks,
            operations => Asked::Operations(operations),
        };
        let began_ns = monotonic_ns();
        lap(asked)?;
        let took_ns = monotonic_ns() - began_ns;
        socket.write_all(&took_ns.to_le_bytes())?;
    }
    Ok(())
}

/// The life of a plain process; `bytes` is its arena, where it has one.
fn plain(
    contestant: Contestant,
    plan: &Plan,
    bytes: usize,
    socket: &UnixStream,
) -> Result<(), Box<dyn std::error::Error>> {
    if contestant == Contestant::PlainOnEngine {
        Heap::by_itself(bytes)?;
    }
    let mut state = KvState::default();
    state.load(plan);
    let (mut on_system, mut on_engine) = (Blocks::of(System), Blocks::of(Global));
    let mut next = 0;
    serve(socket, |asked| {
        match asked {
            Asked::Operations(operations) => {
                for index in next..next + operations {
                    state.apply(plan, index, || ())?;
                }
                next += operations;
            }
            Asked::Blocks if contestant == Contestant::PlainOnEngine => on_engine.replace(),
            Asked::Blocks => on_system.replace(),
        }
        Ok(())
    })
}

/// The tree of the transactions, from its root on.
fn tree(contestants: &[Contestant], plan: &Plan, bytes: usize, sockets: &[UnixStream]) -> crashbed::Result<()> {
    let mut root = Root::new();
    for (number, (contestant, socket)) in contestants.iter().zip(sockets).enumerate() {
        let Contestant::Transaction { mechanism, every } = *contestant else { continue };
        let declaration = Declaration::new(format!("contestant-{number}"), bytes)
            .mechanism(mechanism)
            .hidden()
            .scratch(0)
            .heartbeat(HEARTBEAT);
        root = root.declare(declaration, move |daemon: &mut Daemon<KvState>| {
            match daemon.transaction(CheckpointResume, |tx, state| transaction(tx, state, plan, every, socket))? {
                Outcome::Done(()) => Ok(()),
                Outcome::Failed(failure) => Err(Error::program(failure)),
                Outcome::GaveUp(crash) => Err(Error::program(crash)),
            }
        });
    }
    root.run()
}

/// The life of a transaction. Where it never commits, its pages are its own from the load on.
fn transaction(
    tx: &mut Tx<'_>,
    state: &mut KvState,
    plan: &Plan,
    every: Option<u64>,
    socket: &UnixStream,
) -> Result<(), Failure> {
    state.load(plan);
    if every.is_some() {
        tx.commit()?;
    }
    serve(socket, |asked| {
        let operations = match asked {
            Asked::Operations(operations) => operations,
            Asked::Blocks => 0,
        };
        for index in tx.operations()..tx.operations() + operations {
            state.apply(plan, index, || ())?;
            tx.done();
            if every.is_some_and(|every| (index + 1) % every == 0) {
                tx.commit()?;
            }
        }
        Ok(())
    })
}

/// The program's global allocator.
struct Global;

// SAFETY: the standard library's functions are the global allocator, whose contract they hand on.
unsafe impl GlobalAlloc for Global {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller vouches.
        unsafe { alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller vouches.
        unsafe { dealloc(block, layout) }
    }
}

/// Blocks that live, of an allocator.
struct Blocks<A: GlobalAlloc> {
    allocator: A,
    live: Vec<(*mut u8, Layout)>,
    /// How many were ever allocated: the next one's size comes from it.
    count: usize,
}

impl<A: GlobalAlloc> Blocks<A> {
    fn of(allocator: A) -> Self {
        let mut this = Self { allocator, live: Vec::with_capacity(BLOCKS), count: 0 };
        for _ in 0..BLOCKS {
            let block = this.block();
            this.live.push(block);
        }
        this
    }

    /// A fresh block; null where there is no room.
    fn block(&mut self) -> (*mut u8, Layout) {
        // 619 and 1,000 have no common factor, so that all sizes come, far from in order.
        let bytes = 16 + self.count * 619 % 1_000;
        self.count += 1;
        let layout = Layout::array::<u8>(bytes).unwrap_or(Layout::new::<u128>());
        // SAFETY: the layout has at least 16 bytes.
        (black_box(unsafe { self.allocator.alloc(layout) }), layout)
    }

    /// Gives each block back and takes another.
    fn replace(&mut self) {
        for place in 0..self.live.len() {
            let number = place * 7 % self.live.len();
            let (block, layout) = self.live[number];
            if !block.is_null() {
                // SAFETY: the block came from this allocator with this layout, and is replaced in the list at once.
                unsafe { self.allocator.dealloc(block, layout) };
            }
            self.live[number] = self.block();
        }
    }
}
