//! Where there is no way back, and where there must be one.

use crate::declaration;
use crate::support::board::Board;
use crate::support::fault::Fault;
use crashbed::{Cause, Daemon, Error, Logged, LoggedVec, Outcome, Recoverable, Root};
use crashbed_policies::{CheckpointResume, ZeroState};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;

#[derive(Default, Recoverable)]
struct State {
    count: Logged<u64>,
    list: LoggedVec<u64>,
}

/// The mapping of the log in this process.
fn log() -> (usize, usize) {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc/self/maps");
    let line = maps.lines().find(|line| line.contains("crashbed-d-stage")).expect("the log is mapped");
    let (start, rest) = line.split_once('-').expect("an address");
    let end = rest.split(' ').next().expect("an address");
    let number = |text| usize::from_str_radix(text, 16).expect("an address");
    (number(start), number(end))
}

/// A transaction that writes over its log takes its state along: the daemon ends with a note, and begins anew. What was
/// hit only where nothing stood costs nothing.
pub(crate) fn scribbles_over_its_log() -> crashbed::Result<()> {
    let patterns: [fn(usize) -> u8; 5] = [
        |_| 0xff,
        |_| 0,
        |at| at.to_le_bytes()[0],
        |at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 13).to_le_bytes()[0],
        |_| 1,
    ];
    let board = Board::new();
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<State>| {
            let round = usize::try_from(daemon.restarts()).unwrap_or(0);
            if let Some(crash) = daemon.crash() {
                assert!(matches!(crash.cause, Cause::Signal { signal: libc::SIGABRT, .. }), "{crash}");
                let note = crash.note.as_str();
                assert!(note.starts_with("the undo log's ") && note.ends_with("is made anew"), "{note:?}");
                assert_eq!((*daemon.state().count, daemon.operations()), (0, 0));
            }
            let Some(pattern) = patterns.get(round) else {
                assert_eq!(board[0].load(SeqCst), patterns.len() as u64);
                return Ok(());
            };
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                for n in 0..5 {
                    state.count.set(tx, n);
                    state.list.push(tx, n);
                    tx.done();
                    tx.commit()?;
                }
                state.count.set(tx, 666);
                board[0].fetch_add(1, SeqCst);
                let (start, end) = log();
                for at in start..end {
                    // SAFETY: mapped and writable; nothing of it is used again before the crash.
                    unsafe { (at as *mut u8).write_volatile(pattern(at)) };
                }
                Fault::NullWrite.strike();
                Ok(())
            })?;
            panic!("a transaction without a way back went on: {outcome:?}");
        })
        .run()
}

/// Crashes while it is made, as often as is planned.
struct Fragile(State);

// SAFETY: no more than the state in it.
unsafe impl Recoverable for Fragile {}

static BOARD: OnceLock<Board> = OnceLock::new();

impl Default for Fragile {
    fn default() -> Self {
        // Over what the state before holds.
        let state = State { list: vec![0xbad; 5000].into(), ..State::default() };
        if let Some(left) = BOARD.get()
            && left[0].load(SeqCst) > 0
        {
            left[0].fetch_sub(1, SeqCst);
            Fault::NullWrite.strike();
        }
        Self(state)
    }
}

/// A crash while a state is made anew goes back to the one before.
pub(crate) fn crashes_while_it_is_made_anew() -> crashbed::Result<()> {
    let board = *BOARD.get_or_init(Board::new);
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Fragile>| {
            let fill = |daemon: &mut Daemon<Fragile>| {
                daemon.transaction(CheckpointResume, |tx, state| {
                    state.0.list.replace(tx, (0..9000).collect());
                    tx.done();
                    Ok(vec![1u8; 3000])
                })
            };
            let check = |daemon: &Daemon<Fragile>| {
                assert!(daemon.state().0.list.iter().copied().eq(0..9000), "not the last commit");
                assert_eq!(daemon.operations(), 1);
            };
            fill(daemon)?;
            for _ in 0..3 {
                board[0].store(1, SeqCst);
                assert!(matches!(daemon.zero(), Err(Error::Genesis { .. })));
                check(daemon);
            }
            // A policy's zero, which crashes twice, and in the end is made.
            board[0].store(2, SeqCst);
            let outcome = daemon.transaction(ZeroState, |tx, state| {
                if tx.crash().is_none() {
                    state.0.list.truncate(tx, 3);
                    Fault::Kill.strike();
                }
                Ok(state.0.list.len())
            })?;
            assert_eq!((outcome, daemon.report().crashes), (Outcome::Done(5000), 3));
            assert_eq!((daemon.state().0.list[4999], daemon.operations()), (0xbad, 0));
            daemon.zero()?;
            let live = daemon.live_bytes();
            fill(daemon)?;
            check(daemon);
            daemon.zero()?;
            assert_eq!(daemon.live_bytes(), live, "what the old state held is gone");
            Ok(())
        })
        .run()
}
