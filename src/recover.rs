//! What follows on the end of a transaction's process: write it down, decide, restore, start a successor; or the end of
//! the transaction. In the daemon.

use crate::arena;
use crate::crash::{Crash, Phase};
use crate::crew::PATIENCE;
use crate::error::{Error, Result};
use crate::life::How;
use crate::mailbox::{End, Mailbox};
use crate::mechanism::Remains;
use crate::notice::{self, Ending};
use crate::point::{self, Point};
use crate::policy::{self, Action, Decision};
use crate::report::Recovery;
use crate::spare::Start;
use crate::standby;
use crate::state_head::STATE_ARENA;
use crate::supervise::{Ended, Supervision, failed};
use crate::sys::event::Status;
use crate::sys::{clock, event, process};
use crate::watch::Decided;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The status that a daemon exits with where a policy has decided to restart it.
const RESTART: i32 = 75;

impl Supervision<'_> {
    /// The spare has taken over by itself: writes down what it knew and decided.
    pub(crate) fn took_over(&mut self) -> Result<()> {
        let (Some(dead), Some(spare)) = (self.active.take(), self.spare.take()) else { return Ok(()) };
        let predecessor = self.region.seat(dead.seat);
        let words = &self.region.seat(spare.member.seat).standby;
        self.report.complete(predecessor);
        let committed = self.region.head().committed();
        let noticed_ns = words.noticed_ns.load(Ordering::Relaxed);
        let crash = notice::read(predecessor, &Ending::Handled, noticed_ns, committed);
        self.note_crash(crash);
        let decision = standby::told(words).unwrap_or_else(|| policy::decide(self.policy, &crash, &self.history));
        self.history.decided(decision);
        self.redo_target = self.redo_target.max(crash.operation);
        let decided_ns = words.decided_ns.load(Ordering::Relaxed);
        self.report.add(recovery(crash, decision, noticed_ns, decided_ns, decided_ns));
        self.weigh(spare.member.seat);
        // It may have died while it moved the daemon.
        if predecessor.moved.come_back(self.own.as_ref()) {
            predecessor.moved.clear();
        }
        self.core.crew.bury(dead, PATIENCE);
        let works = self.region.seat(spare.member.seat).first_operation_ns.load(Ordering::Relaxed) != 0;
        self.active = Some(spare.member);
        self.after_hand_over(works);
        // A commit of several pieces may have been under way.
        self.mechanism.begin(self.region).map_err(failed("closing the gate"))
    }

    /// The process that worked has ended, or is stopped for good. Answers how the transaction ended, or starts a
    /// successor.
    pub(crate) fn ended(&mut self, ending: Ending, noticed_ns: u64, decided: Option<Decided>) -> Result<Option<Ended>> {
        let region = self.region;
        let Some(dead) = self.active.take() else { return Ok(None) };
        let mailbox = region.seat(dead.seat);
        self.crashed_seat = Some(dead.seat);
        // It may have been about to wait for an answer.
        self.drawn = notice::has_drawn(mailbox) || mailbox.moved.is();
        mailbox.moved.clear();
        let remains = Remains { table: self.page_table.take(), ..self.core.crew.remains(dead.seat) };
        let next = self.succeed(mailbox, remains, ending, noticed_ns, decided);
        // What it wrote has been read.
        mailbox.lingers.store(0, Ordering::Release);
        self.step_aside();
        // Off the recovery path.
        self.core.crew.bury(dead, PATIENCE);
        next
    }

    /// What follows on the end of the process whose mailbox this is.
    fn succeed(
        &mut self,
        mailbox: &Mailbox,
        mut remains: Remains,
        ending: Ending,
        noticed_ns: u64,
        decided: Option<Decided>,
    ) -> Result<Option<Ended>> {
        let (region, mechanism) = (self.region, self.mechanism);
        // One that was woken and has died before it forked is a crash like any other.
        self.checkpoints.is_woken = false;
        let gone_ns = if ending == Ending::Handled { noticed_ns } else { clock::now_ns() };
        self.report.complete(mailbox);
        if ending == Ending::Status(Status::Exited(0)) && matches!(mailbox.end(), End::Failed | End::GaveUp) {
            remains.listed = mailbox.written.load(Ordering::Acquire).checked_sub(1);
        }
        let restore = |back| mechanism.restore(region, &remains, back).map_err(failed("restoring a commit"));
        if let Some(ended) = self.end_without_a_crash(mailbox, &ending) {
            self.hand_in()?;
            // Where all is committed and the process has exited in order, there is nothing to go back from.
            if !matches!((&ended, ending), (Ended::Done(_), Ending::Status(Status::Exited(0)))) {
                restore(0)?;
            }
            return Ok(Some(ended));
        }
        let committed = self.committed();
        let mut new = notice::read(mailbox, &ending, noticed_ns, committed);
        new.heap_locked = mechanism.heap_locked(region);
        self.note_crash(new);
        let (decision, decided_ns) = match decided {
            Some(Decided { decision, decided_ns }) => (decision, decided_ns),
            None => (policy::decide(self.policy, &new, &self.history), clock::now_ns()),
        };
        self.history.decided(decision);
        self.redo_target = self.redo_target.max(new.operation);
        let gives_up = decision.action == Action::GiveUp || self.settings.intensity.exceeded(&self.history);
        let mut how = How { environment: decision.environment, ..How::plain(decision.action) };
        if !gives_up {
            if self.drawn && !decision.delay.is_zero() {
                self.go_home();
            }
            self.wait(decision.delay)?;
            if decision.action == Action::ProcessDecides && self.program.decide.is_some() {
                how.set_aside = mechanism.set_aside(region);
            }
            how.kept = decision.action == Action::KeepIfIntact && self.is_intact(&new);
        }
        point::pass(Point::DaemonRestore);
        if gives_up || ends_the_process(decision.action, self.program.decide.is_some()) {
            self.hand_in()?;
        }
        let last = region.ledger().commit.load(Ordering::Relaxed);
        match decision.action {
            _ if gives_up => restore(0)?,
            Action::Zero => {
                self.fold(0);
                mechanism.give_up(region, &remains).map_err(failed("giving up a state"))?;
            }
            Action::Older(back) => restore(self.give_up_newest(back))?,
            _ if how.kept => mechanism.keep(region),
            _ => restore(0)?,
        }
        // No fork is to have the page table open.
        drop(remains);
        self.went_back += last.saturating_sub(region.ledger().commit.load(Ordering::Relaxed));
        let recovery = recovery(new, decision, gone_ns, decided_ns, clock::now_ns());
        self.report.add(Recovery { kept: how.kept, ..recovery });
        if gives_up {
            return Ok(Some(Ended::GaveUp(Box::new(new))));
        }
        if decision.action == Action::RestartDaemon {
            // The end of a daemon that crashes: what it has is the root's to see to.
            process::exit_now(RESTART);
        }
        let is_restored = decision.action != Action::Zero && !how.kept;
        if is_restored && how.set_aside.is_none() && self.spare.is_none() {
            self.choose_mechanism()?;
        }
        self.mechanism.begin(region).map_err(failed("closing the gate"))?;
        if !self.wake_checkpoint(&ending, &new) && !self.order_spare(&ending, &new, &how) {
            self.dismiss_spare();
            let begin = self.begin(Some(new), how);
            self.fork(begin)?;
        }
        self.after_hand_over(false);
        Ok(None)
    }

    /// A transaction's process has crashed.
    fn note_crash(&mut self, crash: Crash) {
        self.history.push(crash);
        if let Some(auto) = &mut self.core.auto {
            auto.crashed();
        }
    }

    /// Under `auto`, where the last commit was restored and nobody has entered the state yet: lets the successor have the
    /// mechanism that is best by now.
    fn choose_mechanism(&mut self) -> Result<()> {
        if self.core.auto.is_some() {
            // The gate is as the mechanism wants it that was in use.
            self.mechanism.end(self.region).map_err(failed("opening the gate"))?;
            let choice = self.core.choose_mechanism();
            self.report.add_choice(choice);
            self.mechanism = self.core.mechanism();
        }
        Ok(())
    }

    /// Whether the crashed state, which is still in place, may be kept.
    fn is_intact(&self, crash: &Crash) -> bool {
        self.program.is_guarded
            && self.mechanism.works_in_place()
            && matches!(crash.phase, Phase::Running | Phase::Committing)
            && !crash.changing
            && self.region.head().root.load(Ordering::Relaxed) != 0
            // SAFETY: the state is mapped in its daemon, and no thread of the crashed process writes any more.
            && unsafe { arena::is_whole(self.region.parts.state.behind(STATE_ARENA)) }
    }

    /// The ends that are no crashes: a last commit that says that the work is done, however the process ended; and what
    /// a process tells itself, believed with exit status 0.
    fn end_without_a_crash(&self, mailbox: &Mailbox, ending: &Ending) -> Option<Ended> {
        let committed = self.mechanism.committed(self.region);
        if committed.done.load(Ordering::Relaxed) == self.transaction {
            return Some(Ended::Done(committed.result.load(Ordering::Relaxed)));
        }
        if *ending != Ending::Status(Status::Exited(0)) {
            return None;
        }
        match mailbox.end() {
            End::Failed => Some(Ended::Failed(mailbox.failure())),
            End::GaveUp => self.history.entries().last().map(|last| Ended::GaveUp(Box::new(last.crash))),
            End::None | End::Done => None,
        }
    }

    /// Waits out a policy's delay, unless the tree shuts down.
    fn wait(&self, delay: Duration) -> Result<()> {
        let until = clock::now_ns().saturating_add(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX));
        loop {
            let left = Duration::from_nanos(until.saturating_sub(clock::now_ns()));
            if left.is_zero() {
                return Ok(());
            }
            let [shutdown] =
                event::wait_readable([self.core.shutdown.as_fd()], Some(left)).map_err(failed("waiting"))?;
            if shutdown {
                return Err(Error::Stopping);
            }
        }
    }
}

/// Whether an answer leaves no process to go on in the middle of its work, or asks for code that a frozen one cannot run.
fn ends_the_process(action: Action, program_decides: bool) -> bool {
    match action {
        Action::GiveUp | Action::RestartDaemon => true,
        Action::ProcessDecides => program_decides,
        _ => false,
    }
}

/// A recovery, as far as the daemon knows it; the successor's part is added later.
fn recovery(crash: Crash, decision: Decision, gone_ns: u64, decided_ns: u64, restored_ns: u64) -> Recovery {
    Recovery {
        crash,
        decision,
        answered: None,
        gone_ns,
        decided_ns,
        restored_ns,
        started_by: Start::Cold,
        started_ns: 0,
        first_operation_ns: 0,
        redone_ns: 0,
        faults: 0,
        resumed_operations: None,
        kept: false,
    }
}
