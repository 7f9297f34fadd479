//! What the stories of threads have in common: a transaction that crashes round after round, and a successor that looks
//! whether anything of its predecessor still writes.
//!
//! A round begins with the look. Then the state is changed and committed, then the story's own code runs, which ends
//! in a crash. Each life of the transaction ends in exactly one crash, and each crash begins exactly one life.

use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::state::mix;
use crate::support::{declaration, mechanism_and_spare};
use crashbed::{Daemon, Failure, Intensity, KIB, Outcome, Recoverable, Report, Root, Spare, Start, Tx};
use crashbed_policies::CheckpointResume;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

/// The most threads of a story.
pub(crate) const THREADS: usize = 16;
/// Cells of the state that belong to one thread.
pub(crate) const CELLS: usize = 32;

/// Lives that have begun, on the board.
pub(crate) const LIVES: usize = 0;
/// The first of the counters by which it is seen that a thread runs, one a thread.
const COUNTERS: usize = 64;

/// A state that threads write to in place: what each cell holds follows from the number of operations.
#[derive(Recoverable)]
pub(crate) struct Cells {
    words: Vec<u64>,
}

fn word(operations: u64, cell: usize) -> u64 {
    mix((operations << 16).wrapping_add(cell as u64))
}

impl Default for Cells {
    fn default() -> Self {
        let mut cells = Self { words: vec![0; THREADS * CELLS] };
        cells.write(0);
        cells
    }
}

impl Cells {
    /// Makes this the state after so many operations.
    pub(crate) fn write(&mut self, operations: u64) {
        self.words.iter_mut().enumerate().for_each(|(i, cell)| *cell = word(operations, i));
    }

    /// Panics unless this is the state after so many operations.
    pub(crate) fn check(&self, operations: u64) {
        for (i, cell) in self.words.iter().enumerate() {
            // SAFETY: a word of this state. Volatile, as what is looked for is a change that this program does not make.
            let found = unsafe { std::ptr::from_ref(cell).read_volatile() };
            let expected = word(operations, i);
            assert_eq!(found, expected, "cell {i} after {operations} operations: the predecessor has written it");
        }
    }

    /// The cells of each thread.
    pub(crate) fn by_thread(&mut self) -> std::slice::ChunksMut<'_, u64> {
        self.words.chunks_mut(CELLS)
    }
}

/// By which it is seen that thread `i` runs.
pub(crate) fn counter(board: &Board, i: usize) -> &AtomicU64 {
    &board[COUNTERS + i]
}

/// Panics if the cells are not those of the last commit, or if anything writes to them or counts, though nothing should.
fn nothing_moves(cells: &Cells, operations: u64, board: &Board) {
    let counted = || std::array::from_fn::<u64, THREADS, _>(|i| counter(board, i).load(SeqCst));
    let before = counted();
    cells.check(operations);
    // Whoever could still run has time to.
    std::thread::sleep(Duration::from_micros(300));
    assert_eq!(counted(), before, "the predecessor's threads run still");
    cells.check(operations);
}

/// Writes to its cells without pause, and counts, until it is told not to.
pub(crate) fn write(cells: &mut [u64], counter: &AtomicU64, go_on: impl Fn() -> bool) {
    while go_on() {
        let n = counter.fetch_add(1, Relaxed);
        let cell = &mut cells[usize::try_from(n).unwrap_or(0) % CELLS];
        // SAFETY: a word of the state that only this thread writes.
        unsafe { std::ptr::from_mut(cell).write_volatile(n) };
    }
}

/// Waits for a moment that is another one each round, up to `longest`, without giving up the processor.
pub(crate) fn wait_a_moment(round: u64, longest: Duration) {
    let moment = Duration::from_nanos(mix(round) % u64::try_from(longest.as_nanos()).unwrap_or(1).max(1));
    let began = Instant::now();
    while began.elapsed() < moment {
        std::hint::spin_loop();
    }
}

/// Another fault each round, by signals that a handler sees.
pub(crate) fn handled_fault(round: u64) -> Fault {
    const HANDLED: [Fault; 6] =
        [Fault::NullWrite, Fault::Abort, Fault::Illegal, Fault::WildRead, Fault::Divide, Fault::Overflow];
    HANDLED[usize::try_from(round).unwrap_or(0) % HANDLED.len()]
}

/// Runs a transaction that crashes `crashes` times: at the end of each round, or by a fault of the story's own; then
/// shows the report.
pub(crate) fn crash_in_rounds(
    crashes: u64,
    round: impl Fn(&mut Tx<'_>, &mut Cells, &Board) -> Result<(), Failure> + Sync,
    look: impl Fn(&Report, &Board),
) -> crashbed::Result<()> {
    let board = Board::new();
    let declaration = declaration().threads(THREADS, 256 * KIB).heartbeat(Duration::from_secs(20));
    Root::new()
        .declare(declaration.intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<Cells>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, cells| {
                let lives = board[LIVES].fetch_add(1, SeqCst);
                assert_eq!(tx.crashes(), lives, "a life is a crash's, and a crash has one");
                nothing_moves(cells, tx.operations(), &board);
                if tx.crashes() == crashes {
                    return Ok(());
                }
                cells.write(tx.operations() + 1);
                tx.done();
                tx.commit()?;
                round(tx, cells, &board)
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            let report = daemon.report();
            assert_eq!(report.crashes, crashes);
            // Some were handed over to spares, where there are any: the story is about them too.
            let by_a_spare = report.recoveries.iter().any(|recovery| recovery.started_by != Start::Cold);
            assert_eq!(by_a_spare, mechanism_and_spare().1 != Spare::Cold, "{:?}", report.spares);
            look(report, &board);
            Ok(())
        })
        .run()
}
