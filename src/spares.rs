//! A daemon's spares: forking, replacing, releasing and dismissing them.
//!
//! A spare is forked as soon as the closure of a transaction exists, or, after a hand-over, when the successor has had
//! time for its first operation: not on the recovery path.

use crate::crash::Crash;
use crate::error::Result;
use crate::life::How;
use crate::mailbox::Mailbox;
use crate::notice::Ending;
use crate::policy::Action;
use crate::spare::{Picked, Spare, Start};
use crate::standby::{self, Standby};
use crate::state_head::Committed;
use crate::supervise::{Spared, Supervision, failed, fork};
use crate::sys::process::Forked;
use crate::sys::{clock, event};
use crate::turn::{self, Turn};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a successor is left alone before its own spare is forked.
const QUIET_NS: u64 = 100_000;
/// How long a released spare may take to react before it is given up.
const REACTION: Duration = Duration::from_secs(1);
/// So many spares may be lost by themselves in one transaction; then there are no more.
const MOST_LOST: u32 = 8;

impl Supervision<'_> {
    /// Forks a spare, where there is to be one and it is time.
    pub(crate) fn tend_spare(&mut self) -> Result<()> {
        if self.spare.is_some()
            || self.has_checkpoints()
            || self.spares_lost > MOST_LOST
            || clock::now_ns() < self.spare_due_ns
        {
            return Ok(());
        }
        let start = self.wanted();
        if start == Start::Cold {
            return Ok(());
        }
        // Without a free seat, one of the dying will make room when it is gone.
        let Some(seat) = self.core.crew.free_seat(self.seats()) else { return Ok(()) };
        self.fork_spare(seat, start)
    }

    /// How the next successor is to start. Asked anew each time, as `auto` may change its mind.
    fn wanted(&mut self) -> Start {
        match self.settings.spare {
            Spare::Cold => Start::Cold,
            Spare::Warm => Start::Warm,
            Spare::Hot(_) => Start::Hot,
            Spare::Auto => {
                let picked = self.pick();
                self.report.picked = Some(picked);
                picked.start
            }
        }
    }

    fn pick(&self) -> Picked {
        let age_ns = clock::now_ns().saturating_sub(self.began_ns);
        self.core.measured.pick(age_ns, self.history.total(), self.settings.spare.spin().most, self.core.processors)
    }

    /// How long until [`tend_spare`](Self::tend_spare) has something to do that nobody would wake the daemon for.
    pub(crate) fn until_spare(&self) -> Duration {
        let now_ns = clock::now_ns();
        let wants_none = self.settings.spare == Spare::Cold || self.spare.is_some() || self.spares_lost > MOST_LOST;
        if wants_none || self.has_checkpoints() {
            return Duration::MAX;
        }
        let due_ns = match self.settings.spare {
            Spare::Auto => self.began_ns.saturating_add(self.core.measured.age_for_a_spare_ns()),
            _ => self.spare_due_ns,
        };
        match due_ns.max(self.spare_due_ns).saturating_sub(now_ns) {
            // It is time already, but there is no seat, or nothing pays: something else will wake the daemon.
            0 => Duration::MAX,
            left => Duration::from_nanos(left),
        }
    }

    fn fork_spare(&mut self, seat: usize, start: Start) -> Result<()> {
        let Some(predecessor) = self.active.as_ref().map(|member| member.seat) else { return Ok(()) };
        let mut begin = self.begin(None, How::plain(Action::Resume));
        self.prepare(&mut begin, seat);
        let began_ns = clock::now_ns();
        let spin = self.settings.spare.spin();
        let spin_ns = if start == Start::Hot { self.core.spin_budget.grant(spin, began_ns) } else { 0 };
        // SAFETY: a daemon has one thread (its closure cannot start another: no stack could be mapped for it).
        match unsafe { fork() }? {
            Forked::Child => {
                // That of its predecessor.
                self.page_table = None;
                Standby {
                    region: self.region,
                    program: self.program,
                    policy: self.policy,
                    intensity: self.settings.intensity,
                    is_heir: self.mechanism.restores_by_itself(),
                    spin_ns,
                    weighs: self.core.spare_bytes == 0,
                    history: &mut self.history,
                    begin,
                    predecessor,
                }
                .live()
            }
            Forked::Parent(pid) => {
                let member = self.core.crew.follow(seat, pid).map_err(failed("following a spare by a pidfd"))?;
                self.report.spares.forked += 1;
                self.report.spares.fork_ns += clock::now_ns() - began_ns;
                self.spare = Some(Spared { member, crashes: self.history.total() });
                Ok(())
            }
        }
    }

    /// Where the spare stands.
    pub(crate) fn spare_turn(&self) -> Option<Turn> {
        self.spare.as_ref().map(|spare| Turn::of(&self.region.seat(spare.member.seat).standby))
    }

    /// Where the spare stands, once it has made up its mind; `None` where there is none (any more).
    pub(crate) fn settled_spare(&mut self) -> Option<Turn> {
        /// Between two looks.
        const STEP: Duration = Duration::from_micros(50);
        let spare = self.spare.as_ref()?;
        let standby = &self.region.seat(spare.member.seat).standby;
        let until_ns = clock::now_ns() + u64::try_from(REACTION.as_nanos()).unwrap_or(u64::MAX);
        while Turn::of(standby) == Turn::Released {
            let gone = event::wait_readable([spare.member.pidfd.as_fd()], Some(STEP));
            if matches!(gone, Ok([true])) || clock::now_ns() > until_ns {
                // What it did last counts: it may have taken over and died.
                if Turn::of(standby) != Turn::Released {
                    break;
                }
                self.lose_spare();
                return None;
            }
        }
        Some(Turn::of(standby))
    }

    /// Releases the spare to succeed a process that ended in this way; false where there is none that could.
    pub(crate) fn order_spare(&mut self, ending: &Ending, crash: &Crash, how: &How) -> bool {
        // One that was forked before another crash does not know of it.
        let Some(spare) = self.spare.take_if(|spare| spare.crashes + 1 == self.history.total()) else { return false };
        let mailbox = self.region.seat(spare.member.seat);
        let words = &mailbox.standby;
        let committed = Committed { commit: crash.commit, operations: crash.committed_operations };
        self.tell_of_crash(mailbox, ending, crash, committed);
        words.set_aside.store(how.set_aside.map_or(0, |slot| slot + 1), Ordering::Relaxed);
        words.kept.store(u32::from(how.kept), Ordering::Relaxed);
        mailbox.redo_target.store(self.redo_target, Ordering::Relaxed);
        mailbox.beat_ns.store(clock::now_ns(), Ordering::Relaxed);
        let pid = self.core.crew.pid(spare.member.seat);
        let ordered = turn::order(words, pid);
        if ordered {
            self.weigh(spare.member.seat);
            self.active = Some(spare.member);
        } else {
            self.spare = Some(spare);
        }
        ordered
    }

    /// Writes down for who is to go on what happened, what was decided, and what the commit holds that is gone back to.
    pub(crate) fn tell_of_crash(&self, mailbox: &Mailbox, ending: &Ending, crash: &Crash, committed: Committed) {
        let words = &mailbox.standby;
        for (word, value) in words.ending.iter().zip(standby::encode(ending)) {
            word.store(value, Ordering::Relaxed);
        }
        let heap_locked = crash.heap_locked.map_or(0, |locked| 1 + u32::from(locked));
        words.heap_locked.store(heap_locked, Ordering::Relaxed);
        words.noticed_ns.store(crash.noticed_ns, Ordering::Relaxed);
        for (word, value) in words.committed.iter().zip([committed.commit, committed.operations]) {
            word.store(value, Ordering::Relaxed);
        }
        if let Some(decision) = self.history.entries().last().and_then(|newest| newest.decision) {
            standby::tell(words, &decision);
        }
    }

    /// A successor has started: its own spare can wait until it `works`.
    pub(crate) fn after_hand_over(&mut self, works: bool) {
        self.spare_due_ns = clock::now_ns() + if works { 0 } else { QUIET_NS };
    }

    /// The spare has ended by itself, or does not react.
    pub(crate) fn lose_spare(&mut self) {
        self.spares_lost += 1;
        self.report.spares.lost += 1;
        self.spare_due_ns = clock::now_ns() + (QUIET_NS << self.spares_lost.min(16));
        self.dismiss_spare();
    }

    /// Ends the spare: it is not needed, or stale.
    pub(crate) fn dismiss_spare(&mut self) {
        if let Some(spare) = self.spare.take() {
            self.weigh(spare.member.seat);
            self.core.crew.bury(spare.member, Duration::ZERO);
        }
    }

    /// Takes note of what a spare has cost.
    pub(crate) fn weigh(&mut self, seat: usize) {
        let Mailbox { standby, .. } = self.region.seat(seat);
        let (ready_ns, spun_ns) = (standby.ready_ns.load(Ordering::Relaxed), standby.spun_ns.load(Ordering::Relaxed));
        self.report.spares.processor_ns += ready_ns + spun_ns;
        self.core.spin_budget.spend(spun_ns);
        let memory_bytes = standby.memory_bytes.load(Ordering::Relaxed);
        if memory_bytes > 0 {
            self.core.spare_bytes = memory_bytes;
        }
        self.report.spares.memory_bytes = self.core.spare_bytes;
        if ready_ns > 0 {
            let forks = self.report.spares.forked.max(1);
            self.core.measured.add_cost(ready_ns + self.report.spares.fork_ns / forks);
        }
    }
}
