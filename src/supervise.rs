//! The life of a transaction as its daemon sees it: fork, watch, and after a crash decide, restore, start a successor.
//!
//! ```text
//! begin → fork → watch ─┬─ done, failed, gave up ────────────────────────────────────▶ end
//!           ▲           ├─ a spare took over: write it down ──▶ watch
//!           │           └─ crash: record, decide ─┬─ give up, limit ─────────────────▶ end
//!           └─ or order a spare ◀── restore ◀── delay ◀┘
//! ```
//!
//! What waits and wakes is in `watch.rs`, the processes themselves are in `crew.rs`, a spare's own life in `standby.rs`.

use crate::crash::Crash;
use crate::crew::{Member, PATIENCE};
use crate::daemon_core::Core;
use crate::declaration::Declaration;
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::life::{self, Begin, Program};
use crate::mailbox::{End, Mailbox};
use crate::mechanism::{Mechanism, Slot};
use crate::notice::{self, Ending};
use crate::point::{self, Point};
use crate::policy::{self, Action, Decision, History, Intensity, RestartPolicy};
use crate::prefault;
use crate::region::Region;
use crate::report::{Recovery, Report};
use crate::spare::{Spare, Start};
use crate::sys::event::Status;
use crate::sys::process::{self, Forked};
use crate::sys::processors::{self, Processors};
use crate::sys::{Errno, clock, event};
use crate::watch::{Decided, Event};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How a transaction is supervised.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) heartbeat: Duration,
    pub(crate) intensity: Intensity,
    pub(crate) spare: Spare,
}

impl Settings {
    /// What a daemon declares.
    pub(crate) fn of(declared: &Declaration) -> Self {
        Self { heartbeat: declared.heartbeat, intensity: declared.intensity, spare: declared.spare }
    }
}

/// How a transaction ended.
pub(crate) enum Ended {
    /// Done; its result lives at this address of the state (0: it has none).
    Done(u64),
    Failed(Failure),
    GaveUp(Box<Crash>),
}

pub(crate) fn failed(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::system(what, errno)
}

/// Runs a transaction until it is done, fails, or is given up.
pub(crate) fn run(
    core: &mut Core,
    program: &Program<'_>,
    policy: &dyn RestartPolicy,
    settings: Settings,
) -> Result<Ended> {
    supervise(core, program, policy, settings, Action::Resume)
}

/// Makes the state anew by a transaction that does nothing else; a crash in it is not retried.
pub(crate) fn make_state(core: &mut Core, program: &Program<'_>) -> Result<Ended> {
    let declared = &core.region().declaration;
    let settings = Settings { spare: Spare::Cold, ..Settings::of(declared) };
    supervise(core, program, &GiveUp, settings, Action::Zero)
}

/// The policy of the transaction that makes the state.
struct GiveUp;

impl RestartPolicy for GiveUp {
    fn name(&self) -> &str {
        "give-up"
    }
    fn decide(&self, _: &Crash, _: &History) -> Decision {
        Decision::now(Action::GiveUp)
    }
}

fn supervise(
    core: &mut Core,
    program: &Program<'_>,
    policy: &dyn RestartPolicy,
    settings: Settings,
    action: Action,
) -> Result<Ended> {
    let mechanism = core.mechanism();
    let regions = Arc::clone(&core.regions);
    let region = &regions[core.index];
    let live_before = crate::heap::live_bytes(region.head());
    let commits_before = region.ledger().commit.load(Ordering::Relaxed);
    let mut report = std::mem::take(&mut core.report);
    report.clear();

    let began_ns = clock::now_ns();
    let transaction = region.ledger().incarnations.load(Ordering::Relaxed) + 1;
    let mut supervision = Supervision {
        region,
        mechanism,
        program,
        policy,
        settings,
        transaction,
        began_ns,
        history: History::new(),
        redo_target: 0,
        report,
        active: None,
        spare: None,
        crashed_seat: None,
        spare_due_ns: 0,
        spares_lost: 0,
        drawn: None,
        core,
    };
    let ended = supervision.run(action);
    if ended.is_err() {
        // Whatever runs still must not when its state is restored.
        supervision.end_all();
        mechanism.restore(region);
    }
    supervision.dismiss_spare();
    mechanism.end(region).map_err(failed("opening the gate"))?;

    let mut report = std::mem::take(&mut supervision.report);
    report.live_bytes = (live_before, crate::heap::live_bytes(region.head()));
    report.commits = region.ledger().commit.load(Ordering::Relaxed) - commits_before;
    if ended.is_ok() {
        core.measured.add(clock::now_ns() - began_ns, report.crashes);
    }
    core.report = report;
    ended
}

/// A transaction under way.
pub(crate) struct Supervision<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) region: &'a Region,
    pub(crate) mechanism: &'static dyn Mechanism,
    pub(crate) program: &'a Program<'a>,
    pub(crate) policy: &'a dyn RestartPolicy,
    pub(crate) settings: Settings,
    /// Its number: that of its first incarnation.
    pub(crate) transaction: u64,
    pub(crate) began_ns: u64,
    pub(crate) history: History,
    /// The furthest operation that was reached: lost work is done again when a successor gets there.
    pub(crate) redo_target: u64,
    pub(crate) report: Report,
    /// The process that works.
    pub(crate) active: Option<Member>,
    pub(crate) spare: Option<Spared>,
    /// The seat of the newest crash: a spare that was ordered reads there what happened.
    pub(crate) crashed_seat: Option<usize>,
    /// When the next spare may be forked: not while a successor starts.
    pub(crate) spare_due_ns: u64,
    pub(crate) spares_lost: u32,
    /// The processors of the daemon, while it is drawn to that of a crash.
    pub(crate) drawn: Option<Processors>,
}

/// A spare, and how many crashes its copy of the history holds.
pub(crate) struct Spared {
    pub(crate) member: Member,
    pub(crate) crashes: u64,
}

impl Supervision<'_> {
    /// Incarnation after incarnation. On return the state part holds the last commit, unless the engine itself failed.
    fn run(&mut self, action: Action) -> Result<Ended> {
        let begin = self.begin(None, action, None);
        self.mechanism.begin(self.region).map_err(failed("closing the gate"))?;
        self.fork(begin)?;
        loop {
            match self.watch()? {
                Event::TookOver => self.took_over()?,
                Event::Ended { ending, noticed_ns, decided } => {
                    if let Some(ended) = self.ended(ending, noticed_ns, decided)? {
                        return Ok(ended);
                    }
                }
            }
        }
    }

    /// The mailbox of the process that works.
    pub(crate) fn mailbox(&self) -> &Mailbox {
        self.region.seat(self.active.as_ref().map_or(0, |member| member.seat))
    }

    /// How the next incarnation begins, but for its seat and its number.
    pub(crate) fn begin(&self, crash: Option<Crash>, action: Action, set_aside: Option<Slot>) -> Begin {
        Begin {
            transaction: self.transaction,
            incarnation: 0,
            seat: 0,
            crash,
            zero: action == Action::Zero,
            asks: action == Action::ProcessDecides,
            set_aside,
            daemon: process::id(),
            address_space: self.core.address_space,
            drawn: self.drawn,
            heartbeat: self.settings.heartbeat,
            event: self.core.event.as_raw_fd(),
        }
    }

    /// Gives `begin` a seat and a number, and empties the seat's mailbox.
    pub(crate) fn prepare(&self, begin: &mut Begin, seat: usize) {
        begin.seat = seat;
        begin.incarnation = self.region.ledger().incarnations.fetch_add(1, Ordering::Relaxed) + 1;
        self.region.seat(seat).prepare(begin.incarnation, self.redo_target, clock::now_ns());
    }

    /// The seats that are not free, those of the dying apart.
    pub(crate) fn seats(&self) -> [Option<usize>; 3] {
        let active = self.active.as_ref().map(|member| member.seat);
        [active, self.spare.as_ref().map(|spare| spare.member.seat), self.crashed_seat]
    }

    /// Forks the process that works; in the child, works.
    fn fork(&mut self, mut begin: Begin) -> Result<()> {
        let taken = self.seats();
        let seat = self.core.crew.wait_for_seat(taken).map_err(failed("waiting for a transaction to end"))?;
        self.prepare(&mut begin, seat);
        // SAFETY: a daemon has one thread (its closure cannot start another: no stack could be mapped for it).
        match unsafe { fork() }? {
            Forked::Child => life::run(self.region, self.program, &self.history, begin),
            Forked::Parent(pid) => {
                self.core.crew.expect(seat, pid);
                self.step_aside();
                let followed = self.core.crew.follow(seat, pid);
                self.active = Some(followed.map_err(failed("following a transaction by a pidfd"))?);
                Ok(())
            }
        }
    }

    /// The spare has taken over by itself: writes down what it knew and decided.
    fn took_over(&mut self) -> Result<()> {
        let (Some(dead), Some(spare)) = (self.active.take(), self.spare.take()) else { return Ok(()) };
        let predecessor = self.region.seat(dead.seat);
        let words = &self.region.seat(spare.member.seat).standby;
        self.report.complete(predecessor);
        let committed = self.region.head().operations.load(Ordering::Relaxed);
        let noticed_ns = words.noticed_ns.load(Ordering::Relaxed);
        let crash = notice::read(predecessor, &Ending::Handled, noticed_ns, committed);
        self.history.push(crash);
        let action = Action::from_word(words.action.load(Ordering::Relaxed));
        let decision = action.map_or_else(|| policy::decide(self.policy, &crash, &self.history), Decision::now);
        self.history.decided(decision);
        self.redo_target = self.redo_target.max(crash.operation);
        let decided_ns = words.decided_ns.load(Ordering::Relaxed);
        self.report.add(recovery(crash, decision, noticed_ns, decided_ns, decided_ns));
        self.weigh(spare.member.seat);
        self.core.crew.bury(dead, PATIENCE);
        let works = self.region.seat(spare.member.seat).first_operation_ns.load(Ordering::Relaxed) != 0;
        self.active = Some(spare.member);
        self.after_hand_over(works);
        // A commit of several pieces may have been under way.
        self.mechanism.begin(self.region).map_err(failed("closing the gate"))
    }

    /// The process that worked has ended, or is stopped for good. Answers how the transaction ended, or starts a
    /// successor.
    fn ended(&mut self, ending: Ending, noticed_ns: u64, decided: Option<Decided>) -> Result<Option<Ended>> {
        let region = self.region;
        let Some(dead) = self.active.take() else { return Ok(None) };
        let mailbox = region.seat(dead.seat);
        self.crashed_seat = Some(dead.seat);
        self.drawn = notice::drawn(mailbox);
        let next = self.succeed(mailbox, ending, noticed_ns, decided);
        self.step_aside();
        // Off the recovery path.
        self.core.crew.bury(dead, PATIENCE);
        next
    }

    /// Where the crash has drawn the daemon to its processor, leaves that to the successor.
    fn step_aside(&mut self) {
        if let Some(processors) = self.drawn.take() {
            processors.give(0);
            processors::step_aside();
        }
    }

    /// Touches what the next crash makes the daemon write: since the fork, the first write to each page copies it.
    pub(crate) fn make_writable(&mut self) {
        self.history.make_writable();
        self.report.make_writable();
        flush();
        prefault::touch_frames();
    }

    /// What follows on the end of the process whose mailbox this is.
    fn succeed(
        &mut self,
        mailbox: &Mailbox,
        ending: Ending,
        noticed_ns: u64,
        decided: Option<Decided>,
    ) -> Result<Option<Ended>> {
        let (region, mechanism) = (self.region, self.mechanism);
        let gone_ns = if ending == Ending::Handled { noticed_ns } else { clock::now_ns() };
        self.report.complete(mailbox);
        if let Some(ended) = self.end_without_a_crash(mailbox, &ending) {
            // Where all is committed and the process has exited in order, there is nothing to go back from.
            if !matches!((&ended, ending), (Ended::Done(_), Ending::Status(Status::Exited(0)))) {
                mechanism.restore(region);
            }
            return Ok(Some(ended));
        }
        let operations = mechanism.committed(region).operations.load(Ordering::Relaxed);
        let mut new = notice::read(mailbox, &ending, noticed_ns, operations);
        new.heap_locked = mechanism.heap_locked(region);
        self.history.push(new);
        let (decision, decided_ns) = match decided {
            Some(Decided { decision, decided_ns }) => (decision, decided_ns),
            None => (policy::decide(self.policy, &new, &self.history), clock::now_ns()),
        };
        self.history.decided(decision);
        self.redo_target = self.redo_target.max(new.operation);
        let gives_up = decision.action == Action::GiveUp || self.settings.intensity.exceeded(&self.history);
        let mut set_aside = None;
        if !gives_up {
            if let (Some(processors), false) = (&self.drawn, decision.delay.is_zero()) {
                processors.give(0);
            }
            self.wait(decision.delay)?;
            if decision.action == Action::ProcessDecides && self.program.decide.is_some() {
                set_aside = mechanism.set_aside(region);
            }
        }
        point::pass(Point::DaemonRestore);
        if gives_up || decision.action != Action::Zero {
            mechanism.restore(region);
        }
        self.report.add(recovery(new, decision, gone_ns, decided_ns, clock::now_ns()));
        if gives_up {
            return Ok(Some(Ended::GaveUp(Box::new(new))));
        }
        mechanism.begin(region).map_err(failed("closing the gate"))?;
        if !self.order_spare(&ending, &new, decision.action, set_aside) {
            self.dismiss_spare();
            let begin = self.begin(Some(new), decision.action, set_aside);
            self.fork(begin)?;
        }
        self.after_hand_over(false);
        Ok(None)
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

    /// Ends what runs, and waits until it is gone.
    fn end_all(&mut self) {
        let spare = self.spare.take().map(|spare| spare.member);
        for mut member in [self.active.take(), spare].into_iter().flatten() {
            // One that cannot be waited for is none of ours any more.
            let _ = self.core.crew.wait_until_gone(&mut member, Duration::ZERO);
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

fn flush() {
    use std::io::Write;
    let _ = std::io::stdout().flush();
}

/// Forks, with nothing in the buffers that would be printed twice.
///
/// # Safety
/// As for [`process::fork`].
pub(crate) unsafe fn fork() -> Result<Forked> {
    flush();
    // SAFETY: as the caller vouches.
    unsafe { process::fork() }.map_err(failed("forking a transaction"))
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
    }
}
