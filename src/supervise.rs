//! The life of a transaction as its daemon sees it: fork, watch, and after a crash decide, restore, start a successor.
//!
//! ```text
//! begin → fork → watch ─┬─ done, failed, gave up ────────────────────────────────────▶ end
//!           ▲           ├─ a spare took over: write it down ──▶ watch
//!           │           └─ crash: record, decide ─┬─ give up, limit ─────────────────▶ end
//!           └─ or order a spare ◀── restore ◀── delay ◀┘
//! ```
//!
//! What waits and wakes is in `watch.rs`, what follows on an end in `recover.rs`, the processes themselves are in `crew.rs`, a spare's own life in `standby.rs`.

use crate::checkpoints::Checkpoints;
use crate::crash::Crash;
use crate::crew::Member;
use crate::daemon_core::Core;
use crate::declaration::Declaration;
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::life::{self, Begin, How, Program};
use crate::mailbox::Mailbox;
use crate::mechanism::{Mechanism, Remains, auto};
use crate::policy::{Action, Decision, History, Intensity, RestartPolicy};
use crate::prefault;
use crate::region::Region;
use crate::report::Report;
use crate::spare::Spare;
use crate::sys::pagemap::Pagemap;
use crate::sys::process::{self, Forked};
use crate::sys::processors::{self, Processors};
use crate::sys::{Errno, clock};
use crate::watch::Event;
use std::os::fd::AsRawFd;
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
    let choice = core.choose_mechanism();
    let mechanism = core.mechanism();
    let regions = Arc::clone(&core.regions);
    let region = &regions[core.index];
    let live_before = crate::heap::live_bytes(region.head());
    let commits_before = region.ledger().commit.load(Ordering::Relaxed);
    let mut report = std::mem::take(&mut core.report);
    report.clear();
    report.add_choice(choice);

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
        checkpoints: Checkpoints::default(),
        crashed_seat: None,
        spare_due_ns: 0,
        spares_lost: 0,
        drawn: false,
        went_back: 0,
        page_table: None,
        own: Processors::of(0),
        core,
    };
    let ended = supervision.run(action);
    // Under `auto` it may be another by now.
    let mechanism = supervision.mechanism;
    if ended.is_err() {
        // Whatever runs still must not when its state is restored.
        supervision.end_all();
        mechanism.restore(region, &Remains::default(), 0).map_err(failed("restoring a commit"))?;
    }
    supervision.dismiss_spare();
    supervision.fold(0);
    // Whoever was killed may have moved it last.
    supervision.go_home();
    mechanism.end(region).map_err(failed("opening the gate"))?;

    let mut report = std::mem::take(&mut supervision.report);
    report.live_bytes = (live_before, crate::heap::live_bytes(region.head()));
    report.commits =
        supervision.checkpoints.commits + region.ledger().commit.load(Ordering::Relaxed) + supervision.went_back
            - commits_before;
    if ended.is_ok() {
        core.measured.add(clock::now_ns() - began_ns, report.crashes);
    }
    report.mechanism = auto::in_use(region);
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
    pub(crate) checkpoints: Checkpoints,
    /// The seat of the newest crash: a spare that was ordered reads there what happened.
    pub(crate) crashed_seat: Option<usize>,
    /// When the next spare may be forked: not while a successor starts.
    pub(crate) spare_due_ns: u64,
    pub(crate) spares_lost: u32,
    /// The daemon's own processors, while nobody moves it; `None` where the kernel does not say.
    pub(crate) own: Option<Processors>,
    /// Whether it is drawn to that of a crash.
    pub(crate) drawn: bool,
    /// Commits that were given up, as a policy resumed an older one.
    pub(crate) went_back: u64,
    /// The page table of the process that works, where a restore will read it: to open it takes some 10 µs.
    pub(crate) page_table: Option<Pagemap>,
}

/// A spare, and how many crashes its copy of the history holds.
pub(crate) struct Spared {
    pub(crate) member: Member,
    pub(crate) crashes: u64,
}

impl Supervision<'_> {
    /// Incarnation after incarnation. On return the state part holds the last commit, unless the engine itself failed.
    fn run(&mut self, action: Action) -> Result<Ended> {
        self.set_pool();
        let begin = self.begin(None, How::plain(action));
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
    pub(crate) fn begin(&self, crash: Option<Crash>, how: How) -> Begin {
        Begin {
            transaction: self.transaction,
            incarnation: 0,
            seat: 0,
            mechanism: self.mechanism,
            crash,
            how,
            daemon: process::id(),
            address_space: self.core.address_space,
            own: self.own,
            drawn: self.drawn,
            heartbeat: self.settings.heartbeat,
            event: self.core.event.as_raw_fd(),
        }
    }

    /// Gives `begin` a seat and a number, and empties the seat's mailbox.
    pub(crate) fn prepare(&self, begin: &mut Begin, seat: usize) {
        begin.seat = seat;
        begin.incarnation = self.number(seat);
    }

    /// Empties the seat's mailbox for an incarnation, and answers the number of that.
    pub(crate) fn number(&self, seat: usize) -> u64 {
        let incarnation = self.region.ledger().incarnations.fetch_add(1, Ordering::Relaxed) + 1;
        self.region.seat(seat).prepare(incarnation, self.redo_target, clock::now_ns());
        incarnation
    }

    /// The seats that are not free, those of the dying apart.
    pub(crate) fn seats(&self) -> [Option<usize>; 3] {
        let active = self.active.as_ref().map(|member| member.seat);
        [active, self.spare.as_ref().map(|spare| spare.member.seat), self.crashed_seat]
    }

    /// Forks the process that works; in the child, works.
    pub(crate) fn fork(&mut self, mut begin: Begin) -> Result<()> {
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

    /// Gives the daemon its own processors back.
    pub(crate) fn go_home(&self) {
        if let Some(own) = &self.own {
            own.give(0);
        }
    }

    /// Where the crash has drawn the daemon to its processor, leaves that to the successor.
    pub(crate) fn step_aside(&mut self) {
        if std::mem::take(&mut self.drawn) {
            self.go_home();
            processors::step_aside();
        }
    }

    /// Opens what a restore will read.
    pub(crate) fn open_page_table(&mut self) {
        let active = self.active.as_ref().filter(|_| self.mechanism.lingers());
        let pid = active.and_then(|member| self.core.crew.pid(member.seat));
        // Where it cannot be opened now, a restore tries again.
        self.page_table = pid.and_then(|pid| Pagemap::of(pid).ok());
    }

    /// Touches what the next crash makes the daemon write: since the fork, the first write to each page copies it.
    pub(crate) fn make_writable(&mut self) {
        self.history.make_writable();
        self.report.make_writable();
        life::flush();
        prefault::touch_frames();
    }

    /// Ends what runs, and waits until it is gone.
    fn end_all(&mut self) {
        // There may be a fork that nobody has seen yet; where the kernel refuses even that, it dies with this daemon.
        let _ = self.follow_forks();
        let spare = self.spare.take().map(|spare| spare.member);
        for mut member in [self.active.take(), spare].into_iter().flatten() {
            // One that cannot be waited for is none of ours any more.
            let _ = self.core.crew.wait_until_gone(&mut member, Duration::ZERO);
        }
    }
}

/// Forks, with nothing in the buffers that would be printed twice.
///
/// # Safety
/// As for [`process::fork`].
pub(crate) unsafe fn fork() -> Result<Forked> {
    life::flush();
    // SAFETY: as the caller vouches.
    unsafe { process::fork() }.map_err(failed("forking a transaction"))
}
