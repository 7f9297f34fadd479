//! A commit of several pieces of which the daemon refuses one, or of which the transaction cannot stage all.

use crate::support::board::Board;
use crate::support::mechanism_and_spare;
use crashbed::point::{self, Point};
use crashbed::{Daemon, Declaration, FailureKind, MIB, MechanismKind, Outcome, Root};
use crashbed_policies::CheckpointResume;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Where the daemon's next look at a staged piece finds a byte changed; 0 where it does not.
pub(crate) static SPOILT: AtomicUsize = AtomicUsize::new(0);

/// The memory of the stage, as the kernel names it.
pub(crate) fn stage() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the mappings");
    let line = maps.lines().find(|line| line.contains("crashbed-d-stage")).expect("the stage");
    usize::from_str_radix(line.split('-').next().expect("a range"), 16).expect("an address")
}

pub(crate) fn spoil(point: Point) {
    let at = SPOILT.load(SeqCst);
    if point == Point::Log && at != 0 {
        SPOILT.store(0, SeqCst);
        // SAFETY: in the first page that is staged, behind the table of numbers; the daemon has the stage mapped, and the
        // transaction waits.
        unsafe { ((at + 4096) as *mut u32).write_volatile(u32::MAX) };
    }
}

/// Three pieces, of which the first is refused: there is no commit of the other two.
pub(crate) fn piece_refused() -> crashbed::Result<()> {
    const PAGES: usize = 700;
    let (mechanism, spare) = mechanism_and_spare();
    if mechanism == MechanismKind::FullCopy {
        // It stages nothing.
        return Ok(());
    }
    point::set_hook(spoil);
    Root::new()
        .declare(Declaration::new("d", 8 * MIB).mechanism(mechanism).spare(spare), |daemon: &mut Daemon<Vec<u8>>| {
            let fill = daemon.transaction(CheckpointResume, |_, bytes| {
                bytes.resize(PAGES * 4096, 1);
                Ok(())
            })?;
            assert_eq!(fill, Outcome::Done(()));
            SPOILT.store(stage(), SeqCst);
            let outcome = daemon.transaction(CheckpointResume, |tx, bytes| {
                bytes.fill(2);
                tx.done();
                let ticket = tx.commit_later()?;
                tx.wait(ticket)
            })?;
            assert_eq!(SPOILT.load(SeqCst), 0, "no piece was spoilt");
            let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
            assert_eq!(failure.kind(), FailureKind::CommitRefused);
            assert_eq!(daemon.operations(), 0);
            assert!(daemon.state().iter().all(|byte| *byte == 1), "a part of the commit was made");
            Ok(())
        })
        .run()
}

/// The transaction's process, where the daemon's next look at a staged piece is to break that one's page table; and whether it
/// is broken.
const BREAKS: usize = 0;
const BROKEN: usize = 1;
static BOARD: OnceLock<Board> = OnceLock::new();
/// In the transaction: its page table, and a file that is none.
static TABLE: AtomicI32 = AtomicI32::new(-1);
static OTHER: AtomicI32 = AtomicI32::new(-1);

/// In the transaction, in a signal handler: puts another file in the place of its page table.
extern "C" fn break_table(_: i32) {
    // SAFETY: two descriptors of this process; what is behind the first is opened again below.
    unsafe { libc::dup2(OTHER.load(SeqCst), TABLE.load(SeqCst)) };
    if let Some(board) = BOARD.get() {
        board[BROKEN].store(1, SeqCst);
    }
}

fn break_in_between(point: Point) {
    let Some(board) = BOARD.get() else { return };
    let pid = board[BREAKS].load(SeqCst);
    if point == Point::Log && pid != 0 {
        board[BREAKS].store(0, SeqCst);
        // SAFETY: no pointer is passed; the process waits for this one's answer.
        unsafe { libc::kill(i32::try_from(pid).expect("a process"), libc::SIGUSR1) };
        let until = Instant::now() + Duration::from_secs(10);
        while board[BROKEN].load(SeqCst) == 0 && Instant::now() < until {
            std::thread::yield_now();
        }
    }
}

fn open(path: &std::ffi::CStr) -> i32 {
    // SAFETY: the path is a C string.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    assert!(fd >= 0, "{path:?}");
    fd
}

/// The descriptor of this process's page table, which it opened last.
fn table() -> i32 {
    let is_table = |fd: &i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok_and(|to| to.ends_with("pagemap"));
    (0..100).rev().find(is_table).expect("a page table")
}

/// The scan for written pages fails when some of them are with the daemon already: the commit is refused, and the next one,
/// of the same pages, is not.
pub(crate) fn scan_refused() -> crashbed::Result<()> {
    /// Every other page, so that the scan has to ask again and again.
    const PAGES: usize = 1600;
    let (mechanism, spare) = mechanism_and_spare();
    if mechanism == MechanismKind::FullCopy {
        // It stages nothing.
        return Ok(());
    }
    let board = *BOARD.get_or_init(Board::new);
    point::set_hook(break_in_between);
    Root::new()
        .declare(Declaration::new("d", 8 * MIB).mechanism(mechanism).spare(spare), |daemon: &mut Daemon<Vec<u8>>| {
            let fill = daemon.transaction(CheckpointResume, |_, bytes| {
                bytes.resize(PAGES * 4096, 1);
                Ok(())
            })?;
            assert_eq!(fill, Outcome::Done(()));
            let outcome = daemon.transaction(CheckpointResume, |tx, bytes| {
                // What it has read or written so far is committed, and its page table open.
                tx.commit()?;
                TABLE.store(table(), SeqCst);
                OTHER.store(open(c"/dev/null"), SeqCst);
                // SAFETY: the handler makes async-signal-safe calls only.
                unsafe { libc::signal(libc::SIGUSR1, break_table as extern "C" fn(i32) as libc::sighandler_t) };
                bytes.iter_mut().step_by(2 * 4096).for_each(|byte| *byte = 2);
                board[BREAKS].store(std::process::id().into(), SeqCst);
                let refused = tx.commit_later().map(|_| ()).expect_err("a commit without its page table");
                assert_eq!((refused.kind(), board[BROKEN].load(SeqCst)), (FailureKind::CommitRefused, 1));
                let table = open(c"/proc/self/pagemap");
                // SAFETY: both are this process's.
                unsafe { libc::dup2(table, TABLE.load(SeqCst)) };
                let ticket = tx.commit_later()?;
                tx.wait(ticket)?;
                Err::<(), _>(crashbed::Failure::new("after the commit"))
            })?;
            assert!(
                matches!(&outcome, Outcome::Failed(failure) if failure.message() == "after the commit"),
                "{outcome:?}"
            );
            let is_right = |(i, byte): (usize, &u8)| *byte == if i.is_multiple_of(2 * 4096) { 2 } else { 1 };
            assert!(daemon.state().iter().enumerate().all(is_right), "not what was committed");
            Ok(())
        })
        .run()
}
