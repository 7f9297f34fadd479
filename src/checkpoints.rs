//! A daemon's frozen processes: the commits of a transaction that forks. Following the forks, letting the oldest go, waking
//! one after a crash.
//!
//! ```text
//! frozen, oldest first        works
//! A ── B ── C ──────────────▶ D          a commit: D freezes, E goes on; A is ended where `depth` is 3
//!           C, ordered ─────▶ C          a crash of D: C is what works until it has forked again, and freezes
//! ```
//!
//! The process that works forks without asking. It takes a seat from the pool, says in its mailbox in which, and the
//! kernel writes the fork's id there before that runs. So the daemon finds each fork, whenever it looks, and whoever has
//! died by then: it believes an id that is a child of its own and none that it knows.

use crate::crash::Crash;
use crate::crew::Member;
use crate::error::{Error, Result};
use crate::mailbox::{Chain, Mailbox, SEATS};
use crate::mechanism::fork::Order;
use crate::notice::{self, Ending};
use crate::state_head::Committed;
use crate::supervise::{Supervision, failed};
use crate::sys::{event, process};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The frozen processes of a transaction.
#[derive(Default)]
pub(crate) struct Checkpoints {
    /// Oldest first.
    frozen: Vec<Frozen>,
    /// Seats of the pool that were taken and are not given back, a bit each.
    taken: u32,
    /// One was ordered to work: its next fork is no commit, it is what works again.
    pub(crate) is_woken: bool,
    /// One was let go since the last commit through the daemon: that is not the one before the oldest frozen.
    has_gap: bool,
    /// Commits that were made by forks.
    pub(crate) commits: u64,
}

/// A frozen process.
struct Frozen {
    member: Member,
    /// Which commit it is, as it said when it was frozen: later its mailbox may be written over.
    committed: Committed,
}

impl Supervision<'_> {
    /// Takes note of the forks that the process that works has made: the newest of them is what works now. Whether there
    /// are any.
    pub(crate) fn follow_forks(&mut self) -> Result<bool> {
        let mut are_any = false;
        while let Some((seat, pid)) = self.forked() {
            let member = self.core.crew.follow(seat, pid).map_err(failed("following a fork by a pidfd"))?;
            self.checkpoints.taken |= 1 << seat;
            if !std::mem::take(&mut self.checkpoints.is_woken) {
                self.checkpoints.commits += 1;
                self.checkpoints.has_gap &= !self.checkpoints.frozen.is_empty();
            }
            let Chain { commit, operations, .. } = &self.mailbox().chain;
            let [commit, operations] = [commit, operations].map(|word| word.load(Ordering::Relaxed));
            let committed = Committed { commit, operations };
            let frozen = self.active.replace(member).map(|member| Frozen { member, committed });
            self.checkpoints.frozen.extend(frozen);
            are_any = true;
        }
        if are_any {
            // It has a successor.
            self.dismiss_spare();
            self.fold(self.region.declaration.depth());
        }
        Ok(are_any)
    }

    /// Whether there is a process that a crash would wake: no spare is needed then.
    pub(crate) fn has_checkpoints(&self) -> bool {
        self.checkpoints.is_woken || !self.checkpoints.frozen.is_empty()
    }

    /// The fork of the process that works, where it has one: its seat, and its id.
    pub(crate) fn forked(&self) -> Option<(usize, i32)> {
        if !self.region.declaration.forks() {
            return None;
        }
        let successor = self.mailbox().chain.successor.load(Ordering::Acquire) as usize;
        let seat = successor.checked_sub(1).filter(|seat| (SEATS..self.region.seats()).contains(seat))?;
        if self.is_taken(seat) {
            return None;
        }
        let pid = self.region.seat(seat).chain.pid.load(Ordering::Acquire);
        (pid > 0 && !self.core.crew.knows(pid) && process::is_own_child(pid)).then_some((seat, pid))
    }

    fn is_taken(&self, seat: usize) -> bool {
        self.seats().contains(&Some(seat))
            || self.checkpoints.frozen.iter().any(|frozen| frozen.member.seat == seat)
            || self.core.crew.is_dying(seat)
    }

    /// Ends the oldest frozen processes, but for so many.
    pub(crate) fn fold(&mut self, keep: usize) {
        let over = self.checkpoints.frozen.len().saturating_sub(keep);
        self.checkpoints.has_gap = keep > 0 && (self.checkpoints.has_gap || over > 0);
        for frozen in self.checkpoints.frozen.drain(..over) {
            self.core.crew.bury(frozen.member, Duration::ZERO);
        }
    }

    /// Gives the seats back that are free again.
    pub(crate) fn give_seats_back(&mut self) {
        for seat in SEATS..self.region.seats() {
            if self.checkpoints.taken & 1 << seat != 0 && !self.is_taken(seat) {
                self.checkpoints.taken &= !(1 << seat);
                self.region.pool().give(seat);
            }
        }
    }

    /// Sets the pool right. To be called while no process may take a seat.
    pub(crate) fn set_pool(&mut self) {
        if self.region.declaration.forks() {
            self.region.pool().set(self.region.seats(), |seat| !self.is_taken(seat));
            self.checkpoints.taken =
                (SEATS..self.region.seats()).filter(|seat| self.is_taken(*seat)).map(|s| 1 << s).sum();
        }
    }

    /// The process that works waits for a seat: waits until there is one. False where it waits in vain.
    pub(crate) fn free_seat_for_a_fork(&mut self) -> Result<bool> {
        if !self.region.declaration.forks() {
            return Ok(false);
        }
        loop {
            self.set_pool();
            if !self.region.pool().is_empty() {
                return Ok(true);
            }
            if !self.core.crew.wait_for_first().map_err(failed("waiting for a frozen process to end"))? {
                return Ok(false);
            }
        }
    }

    /// The last commit: that of the newest frozen process, or the daemon's own.
    pub(crate) fn committed(&mut self) -> Committed {
        self.forget_dead_checkpoints();
        let newest = self.checkpoints.frozen.last().map(|frozen| frozen.committed);
        newest.unwrap_or_else(|| self.mechanism.committed(self.region).committed())
    }

    /// Who has killed a frozen process has taken a commit away.
    fn forget_dead_checkpoints(&mut self) {
        let (region, crew) = (self.region, &mut self.core.crew);
        let is_dead = |Frozen { member, .. }: &mut Frozen| {
            let is_dying = notice::is_complete(region.seat(member.seat));
            is_dying || matches!(event::wait_readable([member.pidfd.as_fd()], Some(Duration::ZERO)), Ok([true]))
        };
        for frozen in self.checkpoints.frozen.extract_if(.., is_dead) {
            crew.bury(frozen.member, Duration::ZERO);
        }
    }

    /// Gives up the newest `back` commits; answers how many of the daemon's own are to be given up besides.
    pub(crate) fn give_up_newest(&mut self, back: u8) -> u8 {
        let Checkpoints { frozen, has_gap, .. } = &mut self.checkpoints;
        let least = usize::from(*has_gap).min(frozen.len());
        let kept = frozen.len().saturating_sub(usize::from(back)).max(least);
        let beyond = if kept > 0 { 0 } else { usize::from(back) - frozen.len() };
        for given_up in frozen.drain(kept..) {
            self.core.crew.bury(given_up.member, Duration::ZERO);
        }
        u8::try_from(beyond).unwrap_or(u8::MAX)
    }

    /// Has the newest frozen process go on; false where there is none.
    pub(crate) fn wake_checkpoint(&mut self, ending: &Ending, crash: &Crash) -> bool {
        self.forget_dead_checkpoints();
        // While it is one of them: its own seat is none to take.
        self.set_pool();
        let Some(Frozen { member, committed }) = self.checkpoints.frozen.pop() else { return false };
        let mailbox = self.empty_mailbox(&member);
        self.tell_of_crash(mailbox, ending, crash, committed);
        let (chain, seat) = (&mailbox.chain, self.crashed_seat.and_then(|seat| u32::try_from(seat).ok()));
        chain.crashed.store(seat.unwrap_or(0), Ordering::Relaxed);
        chain.crashes.store(self.history.total(), Ordering::Relaxed);
        self.call(member, Order::Work);
        true
    }

    /// Empties the mailbox of a frozen process, which looks at nothing in it but for an order: whoever crashed may have
    /// written over it. Its keeper is its own still.
    fn empty_mailbox(&self, member: &Member) -> &Mailbox {
        let mailbox = self.region.seat(member.seat);
        let keeper = mailbox.keeper.load(Ordering::Relaxed);
        self.number(member.seat);
        mailbox.keeper.store(keeper, Ordering::Relaxed);
        mailbox
    }

    /// Makes a frozen process, whose mailbox was emptied, the one that works, and tells it what to do.
    fn call(&mut self, member: Member, order: Order) {
        let Mailbox { chain, incarnation, .. } = self.region.seat(member.seat);
        chain.order.store(order.seal(incarnation.load(Ordering::Relaxed)), Ordering::SeqCst);
        chain.call.store(1, Ordering::SeqCst);
        event::futex_wake(&chain.call);
        self.active = Some(member);
        self.checkpoints.is_woken = true;
    }

    /// Has the newest frozen process make its state a commit of the daemon's, so that the last commit outlives the
    /// processes; then there are no frozen ones any more. Where its fork dies in it again and again, the one before it has
    /// its turn.
    pub(crate) fn hand_in(&mut self) -> Result<()> {
        const TRIES: u32 = 3;
        let region = self.region;
        let before = region.ledger().commit.load(Ordering::Relaxed);
        let mut tries = 0;
        while region.ledger().commit.load(Ordering::Relaxed) == before {
            self.forget_dead_checkpoints();
            // While it is one of them: its own seat is none to take.
            self.set_pool();
            let Some(Frozen { member, .. }) = self.checkpoints.frozen.pop() else { return Ok(()) };
            if tries == TRIES {
                tries = 0;
                self.core.crew.bury(member, Duration::ZERO);
                continue;
            }
            tries += 1;
            self.mechanism.begin(region).map_err(failed("closing the gate"))?;
            self.empty_mailbox(&member);
            self.call(member, Order::HandIn);
            self.serve_to_its_end()?;
        }
        // That commit was counted when it was forked.
        self.checkpoints.commits -= 1;
        self.fold(0);
        Ok(())
    }

    /// Serves the process that works, and its fork, until that has ended. One that does nothing is killed for it.
    fn serve_to_its_end(&mut self) -> Result<()> {
        loop {
            self.come_back();
            self.follow_forks()?;
            self.serve()?;
            let Some(active) = &self.active else { return Ok(()) };
            let fds = [self.core.event.as_fd(), active.pidfd.as_fd(), self.core.shutdown.as_fd()];
            let woken = event::wait_readable(fds, Some(self.settings.heartbeat));
            let [raised, ended, shutdown] = woken.map_err(failed("waiting for a frozen process"))?;
            if raised {
                event::lower(&self.core.event);
            }
            if shutdown {
                return Err(Error::Stopping);
            }
            if ended || !raised {
                if self.forked().is_some() {
                    continue;
                }
                // What it asked for last is done; how it ended does not matter.
                self.come_back();
                self.serve()?;
                self.checkpoints.is_woken = false;
                if let Some(mut active) = self.active.take() {
                    // None that is to write the stage after it may find it at work there.
                    let gone = self.core.crew.wait_until_gone(&mut active, Duration::ZERO);
                    gone.map_err(failed("waiting for a frozen process to end"))?;
                }
                return Ok(());
            }
        }
    }
}
