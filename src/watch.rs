//! Watching the process that works: its requests, its crash, its silence, its end; and the tree's shutdown.

use crate::crew::PATIENCE;
use crate::error::{Error, Result};
use crate::link;
use crate::mailbox::{ANSWER_DONE, ANSWER_REFUSED, Request};
use crate::mechanism::Taken;
use crate::notice::{self, Ending};
use crate::point::{self, Point};
use crate::policy::{Action, Decision};
use crate::pulse::Silence;
use crate::standby;
use crate::supervise::{Supervision, failed};
use crate::sys::{clock, event};
use crate::turn::Turn;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What came of the process that worked.
pub(crate) enum Event {
    /// It crashed, and the spare works already.
    TookOver,
    /// It has ended, or can write no more; when that was known, and what a spare has decided about it.
    Ended { ending: Ending, noticed_ns: u64, decided: Option<Decided> },
}

/// What a spare decided and left to the daemon to do.
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    pub(crate) decided_ns: u64,
}

impl Supervision<'_> {
    /// Follows the process that works to its end, or to its successor's start.
    pub(crate) fn watch(&mut self) -> Result<Event> {
        let mut silence = Silence::of(self.mailbox(), self.settings.heartbeat);
        self.make_writable();
        let (mut ended, mut shutdown, mut woke_ns) = (false, false, clock::now_ns());
        let mut looked_once = false;
        loop {
            // While whoever has moved it is one of those that are looked at.
            self.come_back();
            if self.follow_forks()? {
                // What ended was forked from, if anything.
                silence = Silence::of(self.mailbox(), self.settings.heartbeat);
                ended = false;
            }
            self.give_seats_back();
            // What happened while the daemon was at work becomes known only now.
            let noticed_ns = if self.serve()? { clock::now_ns() } else { woke_ns };
            if let Some(event) = self.crashed(noticed_ns, ended)? {
                return Ok(event);
            }
            if self.forked().is_some() {
                // Since the look above: what tells of it, or of its crash, may have been lowered already.
                continue;
            }
            if ended {
                let status = self.gone(PATIENCE)?;
                return Ok(Event::Ended { ending: Ending::Status(status), noticed_ns, decided: None });
            }
            if shutdown {
                return Err(Error::Stopping);
            }
            if let Some(silent) = silence.is_too_long(self.mailbox(), noticed_ns, clock::now_ns)
                && link::pending(self.mailbox()).is_none()
            {
                match self.end_silent(silent, noticed_ns)? {
                    Some(event) => return Ok(event),
                    None => continue,
                }
            }
            // Not before the first look: a transaction may have asked for something by then.
            if !std::mem::replace(&mut looked_once, true) {
                self.open_page_table();
            }
            self.tend_spare()?;
            let left = silence.until_next_look(clock::now_ns());
            let Some(active) = &self.active else { return Err(Error::Stopping) };
            // What there is none of is watched by the shutdown's descriptor once more.
            let shutdown_fd = self.core.shutdown.as_fd();
            let spare_fd = self.spare.as_ref().map_or(shutdown_fd, |spare| spare.member.pidfd.as_fd());
            let dying_fd = self.core.crew.first_dying().unwrap_or(shutdown_fd);
            let fds = [self.core.event.as_fd(), active.pidfd.as_fd(), shutdown_fd, spare_fd, dying_fd];
            let left = left.min(self.until_spare()).min(self.core.crew.until_reaping());
            let woken = event::wait_readable(fds, Some(left)).map_err(failed("watching a transaction"))?;
            woke_ns = clock::now_ns();
            let [raised, _, _, spare_ended, dead] = woken;
            [_, ended, shutdown, _, _] = woken;
            if raised {
                event::lower(&self.core.event);
            }
            if (dead && !shutdown) || self.core.crew.has_keepers() {
                self.core.crew.reap();
            }
            // One that has taken over and died since is a crash like any other, and seen to above.
            if spare_ended && !shutdown && self.spare_turn() != Some(Turn::Taken) {
                self.lose_spare();
            }
        }
    }

    /// Takes the daemon's own processors back where a child has moved it.
    pub(crate) fn come_back(&mut self) {
        for seat in self.seats().into_iter().flatten() {
            let moved = &self.region.seat(seat).moved;
            if moved.is_kept_off() {
                // By a successor that works: it need not be left alone any longer.
                self.spare_due_ns = 0;
            }
            moved.come_back(self.own.as_ref());
        }
    }

    fn gone(&mut self, patience: Duration) -> Result<event::Status> {
        let Some(active) = &mut self.active else { return Err(Error::Stopping) };
        self.core.crew.wait_until_gone(active, patience).map_err(failed("waiting for a transaction to end"))
    }

    /// What the crash handler's record says, if there is one: who goes on. `is_over`: the process runs no more.
    fn crashed(&mut self, noticed_ns: u64, is_over: bool) -> Result<Option<Event>> {
        // Until it has told, the handler may release the spare at any moment, and then goes on to wake the daemon, or to
        // die. Where a spare is released already, the word may be late: the handler has lent it the processor.
        let is_released = matches!(self.spare_turn(), Some(Turn::Released | Turn::Taken | Turn::Referred));
        if !notice::is_complete(self.mailbox()) || !(is_over || is_released || notice::is_told(self.mailbox())) {
            return Ok(None);
        }
        // One that crashed when it had forked is not what works any more.
        if self.forked().is_some() {
            return Ok(None);
        }
        let noticed_ns = known_ns(noticed_ns, self.mailbox().notice.when_ns.load(Ordering::Relaxed), clock::now_ns);
        let ended = |ending, noticed_ns, decided| Ok(Some(Event::Ended { ending, noticed_ns, decided }));
        match self.settled_spare() {
            Some(Turn::Taken) => Ok(Some(Event::TookOver)),
            Some(Turn::Referred) => {
                let seat = self.spare.as_ref().map_or(0, |spare| spare.member.seat);
                let words = &self.region.seat(seat).standby;
                let decided_ns = words.decided_ns.load(Ordering::Relaxed);
                let decision = standby::told(words).unwrap_or(Decision::now(Action::GiveUp));
                let noticed_ns = words.noticed_ns.load(Ordering::Relaxed);
                ended(Ending::Handled, noticed_ns, Some(Decided { decision, decided_ns }))
            }
            _ if notice::is_stopped(self.mailbox()) => ended(Ending::Handled, noticed_ns, None),
            _ => {
                let status = self.gone(PATIENCE)?;
                ended(Ending::Status(status), noticed_ns, None)
            }
        }
    }

    /// Ends a process that gives no sign of life; `None` where it turns out that a fork of it works.
    fn end_silent(&mut self, silent: Duration, noticed_ns: u64) -> Result<Option<Event>> {
        let stopped = self.active.as_ref().is_some_and(|active| event::is_stopped(&active.pidfd));
        self.gone(Duration::ZERO)?;
        if self.forked().is_some() {
            return Ok(None);
        }
        // It may have crashed at the last moment, and a spare may have taken over.
        if let Some(event) = self.crashed(noticed_ns, true)? {
            return Ok(Some(event));
        }
        Ok(Some(Event::Ended { ending: Ending::Silent { silent, stopped }, noticed_ns, decided: None }))
    }

    /// Does what the process that works asks for; whether it asked.
    pub(crate) fn serve(&mut self) -> Result<bool> {
        let region = self.region;
        let mailbox = region.seat(self.active.as_ref().map_or(0, |member| member.seat));
        let Some(request) = link::pending(mailbox) else { return Ok(false) };
        let began_ns = mailbox.beat_ns.load(Ordering::Relaxed);
        let mut taken = Taken::Refused;
        let done = if [Request::Commit as u32, Request::CommitInPlace as u32].contains(&request) {
            point::pass(Point::Log);
            taken = self.mechanism.take(region, mailbox).map_err(failed("making a commit"))?;
            if taken == Taken::Whole {
                // What is frozen is older than that.
                self.fold(0);
            }
            point::pass(Point::Acknowledge);
            taken != Taken::Refused
        } else if request == Request::Seat as u32 {
            self.free_seat_for_a_fork()?
        } else {
            request == Request::Keep as u32 && self.mechanism.put_back(self.region)
        };
        // The time that the daemon took is not the transaction's silence.
        let now_ns = clock::now_ns();
        mailbox.beat_ns.store(now_ns, Ordering::Relaxed);
        link::answer(mailbox, if done { ANSWER_DONE } else { ANSWER_REFUSED });
        // The transaction goes on meanwhile. It gave a sign of life when it began with what it asked for.
        let took_ns = now_ns.saturating_sub(began_ns);
        match (&mut self.core.auto, taken) {
            (Some(auto), Taken::Part) => auto.took_piece(took_ns),
            (Some(auto), Taken::Whole) => auto.committed(region, self.mechanism, took_ns),
            _ => {}
        }
        Ok(true)
    }
}

/// When a crash at `when_ns` became known to a daemon that woke at `woke_ns`: one that was awake for another reason finds
/// crashes that are younger than that.
fn known_ns(woke_ns: u64, when_ns: u64, now_ns: impl FnOnce() -> u64) -> u64 {
    if when_ns > woke_ns { now_ns() } else { woke_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_crash_is_known_before_it_happened() {
        assert_eq!(known_ns(20, 10, || 30), 20);
        assert_eq!(known_ns(20, 20, || 30), 20);
        assert_eq!(known_ns(20, 25, || 30), 30);
        // A wild write over the record cannot move the notice into the future.
        assert_eq!(known_ns(20, u64::MAX, || 30), 30);
    }
}
