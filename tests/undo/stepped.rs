//! Killed at one instruction after the other of a declaration, a write, an allocation, a release, and a commit.
//!
//! In a build without optimisation there are tens of thousands of instructions, each of which takes some
//! microseconds, so that a few are tried; `CRASHBED_UNDO_TRIES=1600 cargo test --release --test undo -- instruction` tries
//! up to so many of each part, which is all of most, in some minutes.

use crate::declaration;
use crate::support::board::Board;
use crate::support::start;
use crate::support::step::step;
use crashbed::{Daemon, Failure, LoggedVec, Outcome, Recoverable, Root, Tx};
use crashbed_policies::CheckpointResume;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const IN_FLIGHT: usize = 0;
const ACKNOWLEDGED: usize = 1;
/// The part of an operation that is stepped through, and how many of its instructions have been tried.
const PART: usize = 2;
const TRIED: usize = 3;
/// How many instructions each part has.
const LENGTHS: usize = 16;

/// The parts. An epoch's first allocation logs the heap's head as well.
const PARTS: [&str; 6] = ["first allocation", "declared write", "push", "block", "replaced box", "commit"];

#[derive(Clone, Debug, Default, PartialEq, Recoverable)]
struct State {
    list: LoggedVec<u64>,
    boxes: Vec<Option<Box<[u8]>>>,
    plain: [u64; 3],
}

/// What the state is after `n` operations.
fn after(n: u64) -> State {
    let mut boxes = vec![None; 4];
    for i in 0..n {
        boxes[usize::try_from(i % 4).unwrap_or(0)] = Some(boxed(i));
    }
    State { list: (0..n).collect::<Vec<_>>().into(), boxes, plain: [n; 3] }
}

fn boxed(n: u64) -> Box<[u8]> {
    vec![n.to_le_bytes()[0]; usize::try_from(40 + n % 90).unwrap_or(0)].into()
}

/// One operation and its commit, with something of each kind; the planned part of it is stepped through.
fn operate(tx: &mut Tx<'_>, state: &mut State, board: &Board, tries: u64, declares: bool) -> Result<(), Failure> {
    let n = tx.operations();
    let planned = usize::try_from(board[PART].load(SeqCst)).unwrap_or(0);
    // The first pass finds out how long it is.
    let length = board[LENGTHS + planned].load(SeqCst);
    let tries = tries.min(length);
    let tried = if length == 0 { 0 } else { board[TRIED].fetch_add(1, SeqCst) };
    let count = if length == 0 || tried == tries { u64::MAX } else { tried * length / tries };
    let part = |part: usize, work: &mut dyn FnMut()| {
        if part != planned {
            return work();
        }
        let length = step(count, work);
        board[LENGTHS + part].fetch_max(length, SeqCst);
        if tried > 0 {
            board[PART].store(part as u64 + 1, SeqCst);
            board[TRIED].store(0, SeqCst);
        }
    };
    let mut block = || drop(std::hint::black_box(Box::new([n; 8])));
    part(0, &mut block);
    part(1, &mut || {
        if declares {
            *tx.declare(&mut state.plain) = [n + 1; 3];
        } else {
            state.plain = [n + 1; 3];
            tx.declare(&mut state.plain);
        }
    });
    part(2, &mut || state.list.push(tx, n));
    part(3, &mut block);
    let slot = &mut state.boxes[usize::try_from(n % 4).unwrap_or(0)];
    part(4, &mut || drop(tx.replace(slot, Some(boxed(n)))));
    tx.done();
    let mut committed = Ok(());
    part(5, &mut || committed = tx.commit());
    committed
}

fn check(state: &State, n: u64, board: &Board) {
    let (acknowledged, in_flight) = (board[ACKNOWLEDGED].load(SeqCst), board[IN_FLIGHT].load(SeqCst));
    assert!(
        (n == acknowledged || n == in_flight) && *state == after(n),
        "no commit that was made: {n} operations, {acknowledged} acknowledged, {in_flight} in flight"
    );
    board[ACKNOWLEDGED].store(n, SeqCst);
    board[IN_FLIGHT].store(n + 1, SeqCst);
}

fn stepped(tries: u64, declares: bool) -> crashbed::Result<()> {
    let board = Board::new();
    // The one that is wrong is in the declared write.
    board[PART].store(u64::from(!declares), SeqCst);
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<State>| {
            let begun = daemon.transaction(CheckpointResume, |tx, state| {
                tx.replace(&mut state.boxes, vec![None; 4]);
                Ok(())
            })?;
            assert_eq!(begun, Outcome::Done(()));
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                while board[PART].load(SeqCst) < PARTS.len() as u64 {
                    // Allocates nothing in the region: the operation's first allocation is the epoch's.
                    let n = tx.operations();
                    tx.scratch(|| check(state, n, &board));
                    operate(tx, state, &board, tries, declares)?;
                }
                check(state, tx.operations(), &board);
                board[IN_FLIGHT].store(tx.operations(), SeqCst);
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            check(daemon.state(), daemon.operations(), &board);
            let lengths = (0..PARTS.len()).map(|part| board[LENGTHS + part].load(SeqCst));
            let lengths: Vec<_> = PARTS.iter().zip(lengths).collect();
            println!("{} crashes; instructions: {lengths:?}", daemon.report().crashes);
            assert!(lengths.iter().all(|(_, length)| *length > 20), "{lengths:?}");
            assert!(daemon.report().crashes >= 6 * (tries.min(20) - 1), "{}", daemon.report().crashes);
            Ok(())
        })
        .run()
}

/// A try takes some microseconds for each instruction before it.
pub(crate) fn a_kill_at_any_instruction_leaves_a_commit() {
    let ended = start("stepped", "").finish(Duration::from_secs(900), Duration::ZERO);
    assert!(ended.status.success(), "{ended:#?}");
    println!("{}", ended.out.trim_end());
}

pub(crate) fn killed_at_each_instruction() -> crashbed::Result<()> {
    let tries = std::env::var("CRASHBED_UNDO_TRIES").ok().and_then(|tries| tries.parse().ok());
    stepped(tries.unwrap_or(6), true)
}

/// The check can fail.
pub(crate) fn writes_before_it_declares() -> crashbed::Result<()> {
    stepped(60, false)
}
