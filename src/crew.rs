//! The processes of a daemon's transactions: who has which seat, and what becomes of those that are dying.
//!
//! At a time there is one process that works, at most one spare, and those whose successor has started already: they
//! die by themselves, or are killed when they take too long, and are reaped as the daemon comes by. A seat is free again
//! when its process has been reaped.

use crate::mailbox::{Mailbox, SEATS};
use crate::mechanism::Remains;
use crate::notice;
use crate::region::Region;
use crate::sys::event::{self, Status};
use crate::sys::{Errno, clock, process};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a crashed process may take to die by itself before it is killed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// About how long a keeper outlives its transaction.
const KEEPER_GOES: Duration = Duration::from_millis(5);

/// A process that was forked for a transaction.
pub(crate) struct Member {
    pub(crate) seat: usize,
    pub(crate) pidfd: OwnedFd,
    /// How it ended, once it has been reaped.
    ended: Option<Status>,
}

/// The processes that are dying.
pub(crate) struct Crew {
    regions: Arc<[Region]>,
    index: usize,
    dying: Vec<(Member, u64)>,
    /// Keepers whose transactions are gone; they go by themselves, and have to be reaped.
    keepers: Vec<i32>,
    /// The keeper of the process that was waited for last, where it had one.
    last_keeper: Option<i32>,
}

impl Crew {
    pub(crate) fn new(regions: &Arc<[Region]>, index: usize) -> Self {
        Self {
            regions: Arc::clone(regions),
            index,
            dying: Vec::with_capacity(SEATS),
            keepers: Vec::new(),
            last_keeper: None,
        }
    }

    fn region(&self) -> &Region {
        &self.regions[self.index]
    }

    fn children(&self) -> &Mailbox {
        self.region().daemon_mailbox()
    }

    /// Notes a process that was just forked for `seat` where the root would look for it.
    pub(crate) fn expect(&self, seat: usize, pid: i32) {
        self.children().children[seat].store(pid, Ordering::Relaxed);
    }

    /// The same, and follows it by a pidfd.
    pub(crate) fn follow(&self, seat: usize, pid: i32) -> Result<Member, Errno> {
        self.expect(seat, pid);
        match event::pidfd(pid) {
            Ok(pidfd) => Ok(Member { seat, pidfd, ended: None }),
            Err(errno) => {
                process::end_child(pid);
                self.children().children[seat].store(0, Ordering::Relaxed);
                Err(errno)
            }
        }
    }

    /// The process in a seat.
    pub(crate) fn pid(&self, seat: usize) -> Option<i32> {
        Some(self.children().children[seat].load(Ordering::Relaxed)).filter(|pid| *pid > 0)
    }

    /// A seat that is neither one of `taken` nor a dying process's, if there is one.
    pub(crate) fn free_seat(&self, taken: [Option<usize>; 3]) -> Option<usize> {
        let is_free =
            |seat: &usize| !taken.contains(&Some(*seat)) && self.dying.iter().all(|(member, _)| member.seat != *seat);
        (0..SEATS).find(is_free)
    }

    /// The same; where there is none, waits until the first dying process is gone.
    pub(crate) fn wait_for_seat(&mut self, taken: [Option<usize>; 3]) -> Result<usize, Errno> {
        loop {
            if let Some(seat) = self.free_seat(taken) {
                return Ok(seat);
            }
            self.wait_for_first()?;
        }
    }

    /// Waits until the first of the dying is gone; whether there was one.
    pub(crate) fn wait_for_first(&mut self) -> Result<bool, Errno> {
        if self.dying.is_empty() {
            return Ok(false);
        }
        let (mut member, until_ns) = self.dying.remove(0);
        let left = Duration::from_nanos(until_ns.saturating_sub(clock::now_ns()));
        self.wait_until_gone(&mut member, left)?;
        Ok(true)
    }

    /// Whether the process of this seat is dying.
    pub(crate) fn is_dying(&self, seat: usize) -> bool {
        self.dying.iter().any(|(member, _)| member.seat == seat)
    }

    /// Whether a member has this process id.
    pub(crate) fn knows(&self, pid: i32) -> bool {
        self.children().children.iter().any(|child| child.load(Ordering::Relaxed) == pid)
    }

    /// Waits until the process is gone and reaps it; kills it where that takes longer than `patience`.
    pub(crate) fn wait_until_gone(&mut self, member: &mut Member, patience: Duration) -> Result<Status, Errno> {
        if let Some(status) = member.ended {
            return Ok(status);
        }
        // Once it is reaped, its id may be another's.
        self.region().seat(member.seat).standby.sleeper.store(0, Ordering::Relaxed);
        self.region().seat(member.seat).chain.pid.store(0, Ordering::Relaxed);
        let status = notice::wait_until_gone(&member.pidfd, patience)?;
        self.children().children[member.seat].store(0, Ordering::Relaxed);
        member.ended = Some(status);
        // The word may have been written over: no process of ours but a keeper is waited for by it.
        let keeper = self.region().seat(member.seat).keeper.swap(0, Ordering::Relaxed);
        self.last_keeper = Some(keeper).filter(|keeper| *keeper > 0 && !self.knows(*keeper));
        self.keepers.extend(self.last_keeper);
        Ok(status)
    }

    /// What is left of the process in `seat`, which has ended or told of its crash: it was the last one waited for.
    pub(crate) fn remains(&self, seat: usize) -> Remains {
        match self.pid(seat) {
            Some(process) => Remains { seat, process: Some(process), ..Remains::default() },
            None => {
                let keeper = self.last_keeper.filter(|pid| process::is_own_child(*pid));
                Remains { seat, keeper, ..Remains::default() }
            }
        }
    }

    /// Leaves a process to its death. It is killed if it is there still after `patience`.
    pub(crate) fn bury(&mut self, member: Member, patience: Duration) {
        if member.ended.is_some() {
            return;
        }
        if patience.is_zero() {
            let _ = event::signal(&member.pidfd, libc::SIGKILL);
        }
        let patience = u64::try_from(patience.max(PATIENCE).as_nanos()).unwrap_or(u64::MAX);
        self.dying.push((member, clock::now_ns().saturating_add(patience)));
        self.reap();
    }

    /// Reaps the dying that are gone, and kills those that take too long.
    pub(crate) fn reap(&mut self) {
        for (mut member, until_ns) in std::mem::take(&mut self.dying) {
            let is_late = clock::now_ns() > until_ns;
            let gone = event::wait_readable([member.pidfd.as_fd()], Some(Duration::ZERO));
            if is_late || matches!(gone, Ok([true])) {
                // A process that cannot be waited for is none of ours any more.
                let _ = self.wait_until_gone(&mut member, Duration::ZERO);
            } else {
                self.dying.push((member, until_ns));
            }
        }
        self.keepers.retain(|keeper| !process::reap_if_gone(*keeper));
    }

    /// How long the daemon may sleep before there may be a keeper to reap, of which nothing else tells.
    pub(crate) fn until_reaping(&self) -> Duration {
        if self.has_keepers() { KEEPER_GOES } else { Duration::MAX }
    }

    /// Whether there are keepers to reap.
    pub(crate) fn has_keepers(&self) -> bool {
        !self.keepers.is_empty()
    }

    /// What tells that a dying process is gone, of the first of them.
    pub(crate) fn first_dying(&self) -> Option<BorrowedFd<'_>> {
        self.dying.first().map(|(member, _)| member.pidfd.as_fd())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for (mut member, _) in std::mem::take(&mut self.dying) {
            let _ = self.wait_until_gone(&mut member, PATIENCE);
        }
        let until_ns = clock::now_ns() + u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX);
        while !self.keepers.is_empty() && clock::now_ns() < until_ns {
            self.reap();
            let _ = event::wait_any(&[], Some(Duration::from_micros(200)));
        }
    }
}
