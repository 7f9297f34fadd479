//! Law 8: a reader in another daemon sees whole commits only, while the writer crashes again and again.

use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::mechanism_and_spare;
use crashbed::point::{self, Point};
use crashbed::{Daemon, Declaration, Error, Intensity, MIB, Outcome, Peer, Recoverable, Root};
use crashbed_policies::CheckpointResume;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Everything in it is the same number, over many pages.
#[derive(Clone, Recoverable)]
struct Pair {
    first: u64,
    between: Vec<u64>,
    second: u64,
}

impl Default for Pair {
    fn default() -> Self {
        Self { first: 0, between: vec![0; 8 * 512], second: 0 }
    }
}

impl Pair {
    fn first_half(&mut self, n: u64) {
        self.first = n;
        let half = self.between.len() / 2;
        self.between[..half].fill(n);
    }

    fn second_half(&mut self, n: u64) {
        let half = self.between.len() / 2;
        self.between[half..].fill(n);
        self.second = n;
    }

    fn whole(&self) -> Option<u64> {
        let n = self.first;
        (self.second == n && self.between.iter().all(|value| *value == n)).then_some(n)
    }
}

const IN_FLIGHT: usize = 0;
const SEEN: usize = 1;
const APPLIES: usize = 2;
static BOARD: OnceLock<Board> = OnceLock::new();

/// So many different commits are enough for the reader.
const ENOUGH: u64 = 60;

fn declaration() -> Declaration {
    let (mechanism, spare) = mechanism_and_spare();
    Declaration::new("writer", MIB)
        .mechanism(mechanism)
        .switches_always(true)
        .spare(spare)
        .intensity(Intensity::UNLIMITED)
}

/// Every seventh time, the daemon dies in the middle of making a commit true.
fn kill_daemons(at: Point) {
    if at == Point::Apply
        && let Some(board) = BOARD.get()
        && board[APPLIES].fetch_add(1, SeqCst) % 7 == 6
    {
        Fault::Kill.strike();
    }
}

/// Commits pairs until the reader has seen enough; crashes in the middle of every fifth. With `torn`, it commits in
/// the middle.
fn writer(board: Board, torn: bool) -> impl Fn(&mut Daemon<Pair>) -> crashbed::Result<()> {
    move |daemon| {
        let until = Instant::now() + Duration::from_secs(30);
        while board[SEEN].load(SeqCst) < ENOUGH && Instant::now() < until {
            let outcome = daemon.transaction(CheckpointResume, |tx, pair| {
                for _ in 0..8 {
                    let n = tx.operations() + 1;
                    pair.first_half(n);
                    if torn {
                        tx.commit()?;
                    }
                    if n % 5 == 0 && tx.crash().is_none() {
                        [Fault::NullWrite, Fault::Kill, Fault::Abort][usize::try_from(n % 3).unwrap_or(0)].strike();
                    }
                    pair.second_half(n);
                    tx.done();
                    board[IN_FLIGHT].fetch_max(n, SeqCst);
                    tx.commit()?;
                }
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
        }
        Ok(())
    }
}

/// Reads by `read` until it has seen enough different pairs.
fn read_enough(board: Board, mut read: impl FnMut() -> crashbed::Result<Pair>) -> crashbed::Result<()> {
    let until = Instant::now() + Duration::from_secs(20);
    let mut last = 0;
    while board[SEEN].load(SeqCst) < ENOUGH {
        assert!(Instant::now() < until, "only {} different commits were seen", board[SEEN].load(SeqCst));
        let pair = match read() {
            Err(Error::Busy { .. }) => continue,
            pair => pair?,
        };
        let Some(n) = pair.whole() else {
            board[SEEN].store(ENOUGH, SeqCst);
            panic!("a torn pair: {} and {}", pair.first, pair.second);
        };
        assert!(n >= last, "commit {n} after commit {last}");
        assert!(n <= board[IN_FLIGHT].load(SeqCst), "{n} was never committed");
        board[SEEN].fetch_add(u64::from(n != last), SeqCst);
        last = n;
    }
    Ok(())
}

/// The reader sees nothing but whole commits, in order, and none that the writer had not asked for.
pub(crate) fn readers() -> crashbed::Result<()> {
    let board = *BOARD.get_or_init(Board::new);
    point::set_hook(kill_daemons);
    Root::new()
        .declare(declaration(), writer(board, false))
        .daemon("reader", MIB, |daemon: &mut Daemon<u64>| {
            let peer: Peer<Pair> = daemon.peer("writer")?;
            read_enough(board, || daemon.read(&peer, Duration::from_secs(2), Pair::clone))
        })
        .run()?;
    assert!(board[APPLIES].load(SeqCst) >= 7, "the writer's daemon never died in the middle of a commit");
    Ok(())
}

/// The check can fail: the writer commits in the middle of a pair.
pub(crate) fn reads_half_commits() -> crashbed::Result<()> {
    let board = Board::new();
    Root::new()
        .declare(declaration(), writer(board, true))
        .daemon("reader", MIB, |daemon: &mut Daemon<u64>| {
            let peer: Peer<Pair> = daemon.peer("writer")?;
            read_enough(board, || daemon.read(&peer, Duration::from_secs(2), Pair::clone))
        })
        .run()
}

/// The gate is what protects: one who reads past it sees torn pairs.
pub(crate) fn reads_past_the_gate() -> crashbed::Result<()> {
    let board = Board::new();
    Root::new()
        .declare(declaration(), writer(board, false))
        .daemon("reader", MIB, |daemon: &mut Daemon<u64>| {
            let peer: Peer<Pair> = daemon.peer("writer")?;
            let within = Duration::from_secs(5);
            let first = daemon.read(&peer, within, |pair| &raw const pair.first as usize)?;
            let second = daemon.read(&peer, within, |pair| &raw const pair.second as usize)?;
            let until = Instant::now() + Duration::from_secs(10);
            while Instant::now() < until {
                // SAFETY: the bytes are mapped and numbers; that they change meanwhile is what this is about.
                let one = unsafe { (first as *const u64).read_volatile() };
                std::hint::spin_loop();
                // SAFETY: as above.
                let other = unsafe { (second as *const u64).read_volatile() };
                if one != other {
                    board[SEEN].store(ENOUGH, SeqCst);
                    panic!("a torn pair: {one} and {other}");
                }
            }
            Ok(())
        })
        .run()
}

/// A reader gets in though the writer's one transaction waits for none of its commits.
pub(crate) fn reads_between_commits_later() -> crashbed::Result<()> {
    const READS: u64 = 3;
    let board = Board::new();
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<u64>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, n| {
                let until = Instant::now() + Duration::from_secs(20);
                while board[SEEN].load(SeqCst) < READS && Instant::now() < until {
                    *n += 1;
                    let _later = tx.commit_later()?;
                }
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            Ok(())
        })
        .daemon("reader", MIB, |daemon: &mut Daemon<u64>| {
            let peer: Peer<u64> = daemon.peer("writer")?;
            let mut last = 0;
            while board[SEEN].load(SeqCst) < READS {
                let n = daemon.read(&peer, Duration::from_secs(5), |n| *n)?;
                assert!(n >= last, "commit {n} after commit {last}");
                board[SEEN].fetch_add(u64::from(n != last), SeqCst);
                last = n;
            }
            Ok(())
        })
        .run()
}
