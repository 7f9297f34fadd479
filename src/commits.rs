//! Commits, as a transaction makes them: waited for, or with a ticket to be waited for later.

use crate::crash::Phase;
use crate::failure::{Failure, FailureKind};
use crate::link;
use crate::mechanism::{Until, fork};
use crate::notice;
use crate::transaction::Tx;
use std::sync::atomic::Ordering;

impl Tx<'_> {
    /// Makes the present state the one that a crash goes back to.
    ///
    /// Under the mechanism [`Fork`](crate::MechanismKind::Fork) a successor *returns from here*, with the stack and the
    /// locals of this moment, as often as there are crashes: [`crashes`](Self::crashes) and [`crash`](Self::crash) tell one
    /// from the first return. Under all others the program's function begins anew.
    ///
    /// # Errors
    /// Where the daemon finds that what was staged is damaged; the commit before stands. Return the error.
    pub fn commit(&mut self) -> std::result::Result<(), Failure> {
        if self.region.declaration.forks() { fork::commit(self) } else { self.commit_through_daemon() }
    }

    /// The same; the commit is one of the daemon's under every mechanism.
    pub(crate) fn commit_through_daemon(&self) -> std::result::Result<(), Failure> {
        self.commit_as(Until::Answered)
    }

    /// The same without waiting until the daemon has made it true, where the mechanism can (copy on write, dirty
    /// pages). The ticket says when it is ([`Ticket::is_done`], [`wait`](Self::wait)); the next commit waits for it. A
    /// crash meanwhile goes back to this commit or to the one before: the number of the ticket ([`Ticket::number`]) and
    /// [`Crash::commit`](crate::Crash::commit) say to which. What must not be seen before the commit waits for the ticket.
    ///
    /// Under copy on write it takes about half as long as [`commit`](Self::commit) where much was written. Under dirty pages
    /// the pages have to be copied aside first, which takes no less than waiting for an idle daemon; it pays where that has
    /// more to do, as where older commits are kept. It waits all the same where a reader in another daemon does, which could
    /// not get in else.
    ///
    /// # Errors
    /// As [`commit`](Self::commit); or from the ticket.
    pub fn commit_later(&mut self) -> std::result::Result<Ticket, Failure> {
        if self.region.declaration.forks() {
            fork::commit(self)?;
        } else {
            self.commit_as(Until::Asked)?;
        }
        Ok(Ticket { commit: self.commit_number() })
    }

    /// Waits until the commit that the ticket is for is true, or a later one, which holds all that it does.
    ///
    /// # Errors
    /// As [`commit`](Self::commit), however often it is asked and whoever was told before: where the commit was refused,
    /// and no later one has been made.
    pub fn wait(&mut self, ticket: Ticket) -> std::result::Result<(), Failure> {
        if self.made.get() < ticket.commit {
            self.wait_for_outstanding()?;
        }
        if self.made.get() < ticket.commit { Err(refused()) } else { Ok(()) }
    }

    /// The number of the commit that this incarnation has asked for last, or else has found ([`Ticket::number`]). Part of
    /// the commit, so a successor finds the number that belongs to the state it found.
    pub fn commit_number(&self) -> u64 {
        self.head().commit.load(Ordering::Relaxed)
    }

    /// Waits for the answer to the commit that was not waited for, if there is one.
    pub(crate) fn wait_for_outstanding(&self) -> std::result::Result<(), Failure> {
        let Some(Outstanding { commit, request }) = self.outstanding.take() else { return Ok(()) };
        let answered = link::wait(self.mailbox, request).map_err(|_| refused());
        self.beat();
        answered?;
        self.made.set(commit);
        self.mechanism.settle(self.region, self.mailbox);
        Ok(())
    }

    pub(crate) fn commit_as(&self, until: Until) -> std::result::Result<(), Failure> {
        self.wait_for_outstanding()?;
        let was_running = self.mailbox.phase.load(Ordering::Relaxed) == Phase::Running as u32;
        let is_quick = self.mechanism.commits_by_itself() && until != Until::LastOfAll;
        self.beat();
        self.begin_commit(is_quick)?;
        let committed = self.mechanism.commit(self.region, self.mailbox, until);
        if !is_quick {
            self.beat();
        }
        if was_running {
            self.go_steady();
        }
        self.enter_phase(if until == Until::LastOfAll { Phase::Ending } else { Phase::Running });
        let commit = self.commit_number();
        match committed.map_err(|_| refused())? {
            Some(request) => self.outstanding.set(Some(Outstanding { commit, request })),
            None => self.made.set(commit),
        }
        Ok(())
    }

    /// What comes before a commit of any kind.
    pub(crate) fn begin_commit(&self, is_quick: bool) -> std::result::Result<(), Failure> {
        self.enter_phase(Phase::Committing);
        self.mechanism.examine(self.region)?;
        self.head().forget_passed_skips(self.operations());
        // A system call, which a commit at the speed of memory does not make each time, nor a process that was just forked.
        if (!is_quick || self.handler_is_due()) && !notice::is_installed() {
            self.mailbox.foreign_handler.store(1, Ordering::Relaxed);
        }
        self.head().commit.store(self.commit_number() + 1, Ordering::Relaxed);
        Ok(())
    }

    /// What comes after a commit that was a fork, in the process that goes on: it has prepared nothing yet.
    pub(crate) fn end_commit(&self, now_ns: u64) {
        self.begun_ns.set(now_ns);
        self.prepared.set(false);
        self.settled.set(false);
        self.made.set(self.commit_number());
        self.go_steady();
        self.enter_phase(Phase::Running);
    }

    /// Whether it is time to look for somebody else's crash handler again.
    fn handler_is_due(&self) -> bool {
        const AGAIN_NS: u64 = 1_000_000;
        let now_ns = self.mailbox.beat_ns.load(Ordering::Relaxed);
        let is_due = now_ns.saturating_sub(self.handler_seen_ns.get()) > AGAIN_NS;
        if is_due {
            self.handler_seen_ns.set(now_ns);
        }
        is_due
    }
}

/// A commit whose answer is outstanding: its number, and that of its request.
#[derive(Clone, Copy)]
pub(crate) struct Outstanding {
    commit: u64,
    request: u32,
}

/// A commit that was not waited for; see [`Tx::commit_later`].
#[derive(Clone, Copy, Debug)]
#[must_use = "the commit may not be true yet"]
pub struct Ticket {
    commit: u64,
}

impl Ticket {
    /// The number of the commit. The first one of a state, which makes it, has 1, and each that is asked for one more, over
    /// all transactions and crashes. So it tells what a crash has found, to whoever has noted it where no crash takes it
    /// back: this commit or a later one where [`Crash::commit`](crate::Crash::commit) is not below it, else an earlier one.
    ///
    /// A commit that was refused has used its number up. Where an older commit is gone back to on purpose, the numbers behind
    /// it are given again; a state that is made anew begins with 1.
    pub fn number(&self) -> u64 {
        self.commit
    }

    /// Whether the commit is true already, or was refused: [`Tx::wait`] does not wait.
    pub fn is_done(&self, tx: &Tx<'_>) -> bool {
        let is_answered = |outstanding: Outstanding| link::is_answered(tx.mailbox, outstanding.request);
        tx.made.get() >= self.commit || tx.outstanding.get().is_none_or(is_answered)
    }
}

fn refused() -> Failure {
    let what = "it could not be staged, or the daemon found what was staged damaged; the commit before stands";
    Failure::engine(FailureKind::CommitRefused, &what)
}
