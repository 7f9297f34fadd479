//! A whole recovery, as the daemon sees it: it forks the successor, ahead or after the crash, and the child that dies.

use super::board::{Board, Flag};
use super::child::{self, FirstOperation, Role, Target};
use super::processes::Child;
use super::{BareNotice, BareStart, Lap, failed};
use crate::copy::{self, Way};
use crate::daemon_core::Core;
use crate::error::{Error, Result};
use crate::mechanism;
use crate::region::Region;
use crate::span::Span;
use crate::sys::event::{self, Status};
use crate::sys::memory::PAGE;
use crate::sys::processors::Kept;
use crate::sys::{clock, process, signal};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The children of a lap: where their ids stand, and their names in errors.
const DOOMED: (usize, &str) = (0, "child");
const SUCCESSOR: (usize, &str) = (1, "successor");

pub(super) fn lap(
    core: &Core,
    notice: BareNotice,
    start: BareStart,
    work: Duration,
    first_operation: &FirstOperation<'_>,
) -> Result<Lap> {
    let region = core.region();
    let board = board(region);
    board.clear();
    // For the crash handler that a successor has from its daemon.
    let mailbox = region.seat(0);
    mailbox.prepare(0, 0, clock::now_ns());
    // The handler lets the successor go by itself, where there is one and nothing is to be copied back before.
    let direct = start != BareStart::Cold && notice == BareNotice::Signal && !is_copied_back(region);
    let role = Role {
        region,
        mailbox,
        mechanism: core.mechanism(),
        board,
        notice,
        start,
        direct,
        work,
        daemon: process::id(),
    };
    let succeed = || child::succeed(role, first_operation);

    let _processors = Kept::of_this_process();
    // As a transaction does, the doomed child works while its successor gets ready.
    let doomed = fork(region, DOOMED, || child::doom(role))?;
    let mut ahead = None;
    if start != BareStart::Cold {
        let successor = fork(region, SUCCESSOR, succeed)?;
        wait_for(&board.ready, &[&doomed, &successor])?;
        ahead = Some(successor);
    }

    wait_for(&board.asked, &[&doomed])?;
    board.answered.raise_and_wake();

    let mut copied_pages = 0;
    let successor = match ahead {
        Some(successor) if direct => {
            wait_for(&board.done, &[&doomed, &successor])?;
            successor
        }
        ahead => {
            await_notice(core, board, notice, &doomed)?;
            // Where the page table of the dead child says what it has written: nothing.
            if !core.mechanism().lingers() {
                copied_pages = copy_back(region);
            }
            match ahead {
                None => fork(region, SUCCESSOR, succeed)?,
                Some(successor) => {
                    Target::successor(start).let_go(board, successor.pid());
                    successor
                }
            }
        }
    };
    successor.ends_by(Status::Exited(0))?;
    let since_fault = |stamp: u64| stamp.saturating_sub(board.fault_ns.load(Ordering::Relaxed));
    Ok(Lap {
        hand_over_ns: since_fault(board.started_ns.load(Ordering::Relaxed)),
        recovery_ns: since_fault(board.done_ns.load(Ordering::Relaxed)),
        faults: board.faults.load(Ordering::Relaxed),
        copied_pages: copied_pages as u64,
    })
}

/// The words of a lap lie where a commit would be staged: no transaction runs, and all processes here share it.
fn board(region: &Region) -> &Board {
    let stage = region.parts.stage;
    debug_assert!(size_of::<Board>() <= stage.len);
    // SAFETY: the stage is mapped, writable and shared as long as the region, and a page at least; all bytes are valid
    // for the board's atomics, and only a transaction's commit uses the stage otherwise.
    unsafe { &*(stage.start as *const Board) }
}

/// Forks a child. Its id stands where the root looks for those that it has to wait for when a daemon has died.
fn fork(region: &Region, (seat, name): (usize, &'static str), life: impl FnOnce()) -> Result<Child> {
    // SAFETY: a daemon has one thread.
    let child = unsafe { Child::fork(name, life) }?;
    region.daemon_mailbox().children[seat].store(child.pid(), Ordering::Relaxed);
    Ok(child)
}

/// Forgets the children of a lap, which are gone.
pub(super) fn forget_children(region: &Region) {
    for (seat, _) in [DOOMED, SUCCESSOR] {
        region.daemon_mailbox().children[seat].store(0, Ordering::Relaxed);
    }
}

/// Waits until the daemon knows of the child's death, or of its last word.
fn await_notice(core: &Core, board: &Board, notice: BareNotice, doomed: &Child) -> Result<()> {
    match notice {
        BareNotice::Signal => wait_for(&board.told, &[doomed]),
        BareNotice::Waitpid => doomed.ends_by(Status::Killed(libc::SIGSEGV)),
        BareNotice::Kill => doomed.ends_by(Status::Killed(libc::SIGKILL)),
        BareNotice::Heartbeat(deadline) => {
            outwait(core, board, deadline)?;
            signal::send(doomed.pid(), libc::SIGKILL).map_err(failed("killing a bare child"))?;
            doomed.ends_by(Status::Killed(libc::SIGKILL))
        }
    }
}

/// Sleeps until `flag` is raised; an error where one of `children` has ended before.
fn wait_for(flag: &Flag, children: &[&Child]) -> Result<()> {
    const LOOK_AFTER: Duration = Duration::from_millis(20);
    while !flag.sleep_for(LOOK_AFTER) {
        for child in children {
            child.still_runs(|| flag.is_raised())?;
        }
    }
    Ok(())
}

/// Sleeps until the child has been silent for `deadline`.
fn outwait(core: &Core, board: &Board, deadline: Duration) -> Result<()> {
    // Before it falls silent, it has not given a sign of life since now.
    let forked_ns = clock::now_ns();
    loop {
        let last_ns = board.fault_ns.load(Ordering::Relaxed).max(forked_ns);
        let silent = Duration::from_nanos(clock::now_ns().saturating_sub(last_ns));
        let left = deadline.saturating_sub(silent);
        if left.is_zero() {
            return Ok(());
        }
        let waited = event::wait_readable([core.shutdown.as_fd()], Some(left));
        let [stopping] = waited.map_err(failed("waiting for a deadline"))?;
        if stopping {
            return Err(Error::Stopping);
        }
    }
}

fn committed(region: &Region) -> usize {
    std::ptr::from_ref(mechanism::in_use(region).committed(region)) as usize
}

/// Whether the last commit lies elsewhere than the state (full copy: in its slot).
fn is_copied_back(region: &Region) -> bool {
    committed(region) != region.parts.state.start
}

/// Puts the last commit in place, where it lies elsewhere, but for the pages that hold nothing; answers how many pages it
/// has copied. No child writes.
fn copy_back(region: &Region) -> usize {
    /// As many free blocks as full copy leaves out.
    const MOST_BLOCKS: usize = 512;
    let state = region.parts.state;
    if !is_copied_back(region) {
        return 0;
    }
    let slot = Span { start: committed(region), len: state.len };
    // SAFETY: the slot is mapped and as long as the state, and nothing writes it.
    let free = unsafe { region.free_pages(slot, MOST_BLOCKS) };
    let len = free.others(0..slot.len).map(|run| run.len()).sum();
    for run in free.others(0..slot.len) {
        // SAFETY: runs are whole pages of a slot and of the state, which lie apart; both are mapped, and the state is
        // writable here.
        unsafe { copy::pages(slot.part(run.start, run.len()), state.part(run.start, run.len()), Way::of(len)) };
    }
    len / PAGE
}

/// Puts all of the last commit in place, where it lies elsewhere: no page is as the successor left it. No child writes.
pub(super) fn restore(region: &Region) {
    let state = region.parts.state;
    if is_copied_back(region) {
        // SAFETY: a slot is as long as the state and apart from it; both are mapped, and the state is writable here.
        unsafe { std::ptr::copy_nonoverlapping(committed(region) as *const u8, state.start as *mut u8, state.len) };
    }
}
