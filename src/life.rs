//! The life of a transaction's process, from its first instruction to its exit.
//!
//! ```text
//!             fork                 enter, make or decide          closure returns Ok
//!  (daemon) ────────▶ starting ──────────────▶ running ──────────────▶ committing ────▶ ending ─▶ exit 0
//!                                               ▲   │ commit                │
//!                                               └───┴──────────────────────┘
//!  error, panic: exit 0 with `End::Failed`; everything else that ends it is a crash, and the last commit stands
//! ```
//!
//! A spare (`standby.rs`) has the first part of this behind it when it takes over.

use crate::crash::{Crash, Phase};
use crate::environment::Environment;
use crate::failure::{Failure, FailureKind};
use crate::here::{self, Kind, Source};
use crate::link;
use crate::mailbox::{End, Mailbox, Request, SEATS};
use crate::mechanism::{Mechanism, Slot, Until};
use crate::panics;
use crate::point::{self, Point};
use crate::policy::{Action, History};
use crate::region::Region;
use crate::scene::{Answered, CrashedRegion};
use crate::spare::Start;
use crate::state_head::StateHead;
use crate::sys::processors::{self, Processors};
use crate::sys::{Errno, clock, keeper, process};
use crate::transaction::Tx;
use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a transaction runs, without its types. Lives in the daemon's private memory; the fork carries it along.
pub(crate) struct Program<'a> {
    /// Makes a state and answers where it lives.
    pub(crate) make: &'a dyn Fn() -> u64,
    /// Runs the work on the state at an address; answers where the result lives, or 0.
    pub(crate) work: &'a dyn Fn(&mut Tx<'_>, u64) -> Result<u64, Failure>,
    /// The program's own decision about a crash, on the last commit at an address.
    pub(crate) decide: Option<&'a Decide<'a>>,
    /// Drops the result that an earlier transaction left at an address.
    pub(crate) drop_result: Option<unsafe fn(u64)>,
    /// Whether the state's type promises that it may be kept after a crash outside of a change.
    pub(crate) is_guarded: bool,
}

/// Asks the program about a crash; applies a repair at once, where it may.
pub(crate) type Decide<'a> = dyn Fn(&Situation<'_>) -> Answered + 'a;

/// What there is to decide about.
pub(crate) struct Situation<'a> {
    pub(crate) crash: &'a Crash,
    pub(crate) history: &'a History,
    pub(crate) root: u64,
    pub(crate) operations: u64,
    pub(crate) crashed: Option<CrashedRegion<'a>>,
    /// Whether what is changed now is taken back by a crash, without having been declared.
    pub(crate) may_repair: bool,
}

/// Why a repair was not made.
const NO_REPAIR: &str = "under undo-log `Answer::Repair` cannot declare what it changes, so it was not run: answer \
     `Answer::Resume`, and repair where the transaction begins again (`Tx::crash` tells it to)";

/// How an incarnation begins.
#[derive(Clone, Copy)]
pub(crate) struct Begin {
    /// The number of the transaction: that of its first incarnation.
    pub(crate) transaction: u64,
    /// The number of this incarnation.
    pub(crate) incarnation: u64,
    /// The seat that it takes.
    pub(crate) seat: usize,
    /// The mechanism that it works under.
    pub(crate) mechanism: &'static dyn Mechanism,
    /// The crash that it succeeds.
    pub(crate) crash: Option<Crash>,
    /// What it finds.
    pub(crate) how: How,
    /// The daemon's process id.
    pub(crate) daemon: i32,
    /// The most bytes of address space: what is mapped.
    pub(crate) address_space: u64,
    /// The longest silence that it may keep.
    pub(crate) heartbeat: Duration,
    /// The processors that it may run on, as its daemon may; and whether its daemon was drawn to one of them.
    pub(crate) own: Option<Processors>,
    pub(crate) drawn: bool,
    /// The event descriptor that wakes the daemon.
    pub(crate) event: i32,
}

/// What an incarnation finds, and in which environment.
#[derive(Clone, Copy)]
pub(crate) struct How {
    pub(crate) action: Action,
    pub(crate) environment: Environment,
    /// Where the daemon has set the crashed state aside, if it has.
    pub(crate) set_aside: Option<Slot>,
    /// Whether the crashed state is in place, and is to be made a commit.
    pub(crate) kept: bool,
}

impl How {
    /// As the action says, and nothing else.
    pub(crate) fn plain(action: Action) -> Self {
        Self { action, environment: Environment::USUAL, set_aside: None, kept: false }
    }
}

/// Why a transaction could not begin: the call, and what the kernel said.
type Refusal = (&'static str, Errno);

/// Runs a transaction, from its first instruction on. In the fork's child.
pub(crate) fn run(region: &Region, program: &Program<'_>, history: &History, begin: Begin) -> ! {
    region.seat(begin.seat).started_ns.store(clock::now_ns(), Ordering::Relaxed);
    if let (Some(own), true) = (&begin.own, begin.drawn) {
        own.give(0);
    }
    if begin.crash.is_none() {
        processors::ask_usual_slices();
    }
    become_transaction(region, &begin);
    point::pass(Point::Restore);
    let entered = enter(region, &begin);
    work(region, program, history, begin, entered)
}

/// Makes a fresh process a transaction: it dies with its daemon, and its crash gives notice.
pub(crate) fn become_transaction(region: &Region, begin: &Begin) {
    if !process::die_with_parent(begin.daemon) {
        process::exit_now(1);
    }
    let seats: [&Mailbox; SEATS] = std::array::from_fn(|seat| region.seat(seat));
    here::know_others(begin.daemon, seats);
    let (state, scratch) = (region.parts.state, region.parts.scratch);
    here::become_kind(Kind::Transaction, state, scratch, seats[begin.seat], begin.event);
}

/// Puts the state in place, and closes the address space.
pub(crate) fn enter(region: &Region, begin: &Begin) -> Result<(), Refusal> {
    let mechanism = begin.mechanism;
    region.seat(begin.seat).lingers.store(mechanism.lingers().into(), Ordering::Relaxed);
    // SAFETY: this process has not borrowed anything from the state yet.
    unsafe { mechanism.enter(region) }.map_err(|errno| ("mapping the state", errno))?;
    process::limit_address_space(begin.address_space).map_err(|errno| ("limiting the address space", errno))
}

/// Starts this process's one keeper. To be called once, in its main thread.
pub(crate) fn start_keeper(region: &Region, mailbox: &Mailbox) {
    // SAFETY: this part of the region is this incarnation's private memory, for its one keeper.
    let started = unsafe { keeper::start(region.parts.keeper_stack, &mailbox.keeper) };
    // Without one, a kill is noticed later.
    let _ = started;
}

/// The crashed state, where the daemon has set it aside.
fn crashed<'a>(region: &'a Region, begin: &Begin) -> Result<Option<CrashedRegion<'a>>, Refusal> {
    let Some(slot) = begin.how.set_aside else { return Ok(None) };
    // It is mapped on top of what there is.
    process::limit_address_space(begin.address_space + region.parts.backing.len as u64)
        .map_err(|errno| ("limiting the address space", errno))?;
    let mechanism = begin.mechanism;
    // SAFETY: the daemon says that it has set a crashed state aside there.
    let bytes =
        unsafe { mechanism.crashed_state(region, slot) }.map_err(|errno| ("mapping the crashed state", errno))?;
    Ok(Some(CrashedRegion { bytes, base: region.parts.state.start as u64 }))
}

/// Works on the state that is in place, to the exit.
pub(crate) fn work(
    region: &Region,
    program: &Program<'_>,
    history: &History,
    begin: Begin,
    entered: Result<(), Refusal>,
) -> ! {
    let mailbox = region.seat(begin.seat);
    let mut tx = Tx {
        region,
        mailbox,
        mechanism: begin.mechanism,
        crash: begin.crash,
        crashes: history.total(),
        incarnation: begin.incarnation,
        heartbeat: begin.heartbeat,
        scratch_depth: Cell::new(0),
        steady: Cell::new(false),
        settled: Cell::new(false),
        outstanding: Cell::new(None),
        begun_ns: Cell::new(mailbox.started_ns.load(Ordering::Relaxed)),
        prepared: Cell::new(mailbox.standby.started_by.load(Ordering::Relaxed) != Start::Cold as u32),
        handler_seen_ns: Cell::new(0),
    };
    let result = match entered.and_then(|()| crashed(region, &begin)) {
        Ok(crashed) => panics::catch(|| live(&mut tx, program, history, begin, crashed)).and_then(|result| result),
        Err((what, errno)) => Err(Failure::engine(FailureKind::Error, &format_args!("{what}: {errno}"))),
    };
    here::set_source(Source::Private);
    // Where it gave up it is as if it had failed.
    // In a fork of the process that began, perhaps.
    if result.is_err() || tx.mailbox.end() == End::GaveUp {
        // The stage is the daemon's until then.
        let _ = tx.wait_for_outstanding();
        tx.mechanism.leave(region, tx.mailbox);
    }
    if let Err(failure) = result {
        tx.mailbox.fail(&failure);
    }
    flush();
    process::exit_now(0)
}

/// From the state in place to the last commit, or to the failure that there is instead.
fn live(
    tx: &mut Tx<'_>,
    program: &Program<'_>,
    history: &History,
    begin: Begin,
    crashed: Option<CrashedRegion<'_>>,
) -> Result<(), Failure> {
    tx.mechanism.start(tx.region);
    here::set_source(Source::Region);
    begin.how.environment.set();
    if begin.how.kept {
        commit_kept(tx)?;
    }
    if begin.how.action == Action::Zero || tx.head().root.load(Ordering::Relaxed) == 0 {
        make_state(tx, program)?;
    }
    let result = tx.head().result.swap(0, Ordering::Relaxed);
    if let (Some(drop_result), true) = (program.drop_result, result != 0) {
        // SAFETY: the daemon handed on the function that belongs to the type of the result that this state holds.
        unsafe { drop_result(result) };
    }
    report_operations(tx);
    let action = begin.how.action;
    if let (Action::Skip, Some(crash)) = (action, begin.crash)
        && !skipped(tx, crash.operation)?
    {
        return Ok(());
    }
    if let (Action::ProcessDecides, Some(crash), Some(decide)) = (action, begin.crash, program.decide) {
        tx.enter_phase(Phase::Deciding);
        if !decided(tx, program, history, decide, &crash, crashed)? {
            return Ok(());
        }
        report_operations(tx);
    }
    tx.enter_phase(Phase::Running);
    let root = tx.head().root.load(Ordering::Relaxed);
    let result = (program.work)(tx, root)?;
    tx.head().result.store(result, Ordering::Relaxed);
    tx.head().done.store(begin.transaction, Ordering::Relaxed);
    tx.commit_as(Until::LastOfAll).map(|_| ())
}

/// Tells the daemon where this incarnation begins.
pub(crate) fn report_operations(tx: &Tx<'_>) {
    let mailbox = tx.mailbox;
    mailbox.operation.store(tx.operations(), Ordering::Relaxed);
    mailbox.resumed_operation.store(tx.operations(), Ordering::Relaxed);
}

/// Makes the state anew and commits it.
fn make_state(tx: &mut Tx<'_>, program: &Program<'_>) -> Result<(), Failure> {
    tx.mechanism.before_made_anew(tx.region);
    // SAFETY: what was in the state is given up; nothing borrows from it yet.
    unsafe { StateHead::format(tx.region.parts.state) };
    let root = (program.make)();
    tx.head().root.store(root, Ordering::Relaxed);
    tx.commit_through_daemon()
}

/// The crashed state is in place, and is to be kept: makes a commit of it, unless the daemon has.
fn commit_kept(tx: &Tx<'_>) -> Result<(), Failure> {
    if tx.mechanism.commits_what_is_kept() {
        return Ok(());
    }
    tx.head().forget_the_end();
    tx.commit_through_daemon()
}

/// Decides to skip `operation`, for good; false, and given up, where there is no room for a further skip.
fn skipped(tx: &mut Tx<'_>, operation: u64) -> Result<bool, Failure> {
    if tx.head().skip(operation) {
        tx.commit_through_daemon()?;
        return Ok(true);
    }
    tx.mailbox.end.store(End::GaveUp as u32, Ordering::Release);
    Ok(false)
}

/// Asks the program, does what it answers, and commits what that changed. False where it gave up.
fn decided(
    tx: &mut Tx<'_>,
    program: &Program<'_>,
    history: &History,
    decide: &Decide<'_>,
    crash: &Crash,
    crashed: Option<CrashedRegion<'_>>,
) -> Result<bool, Failure> {
    let root = tx.head().root.load(Ordering::Relaxed);
    let operations = tx.operations();
    let may_repair = !tx.region.declaration.mechanism.needs_declared_writes();
    let situation = Situation { crash, history, root, operations, crashed, may_repair };
    let answered = decide(&situation);
    tx.mailbox.answered.store(answered as u32, Ordering::Relaxed);
    match answered {
        Answered::Resume => {}
        Answered::Zero => make_state(tx, program)?,
        Answered::Repair if situation.may_repair => tx.commit_through_daemon()?,
        Answered::Repair => return Err(Failure::engine(FailureKind::Error, &NO_REPAIR)),
        Answered::Skip => return skipped(tx, crash.operation),
        Answered::Keep if situation.crashed.is_some() => {
            let kept = link::ask_and_wait(tx.mailbox, Request::Keep, true);
            kept.map_err(|_| Failure::engine(FailureKind::Error, &"the crashed state could not be put back"))?;
            // What this process has noted is about the state that was here.
            tx.mechanism.start(tx.region);
            commit_kept(tx)?;
        }
        // Nothing was kept to go on with: what was asked for cannot be done.
        Answered::Keep | Answered::GiveUp => {
            tx.mailbox.end.store(End::GaveUp as u32, Ordering::Release);
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes out what the program printed: the exit that follows would lose it.
pub(crate) fn flush() {
    use std::io::Write;
    let _ = std::io::stdout().flush();
}
