//! A transaction: the process that is expected to crash, from its first instruction to its exit.
//!
//! ```text
//!             fork                 enter, make or decide          closure returns Ok
//!  (daemon) ────────▶ starting ──────────────▶ running ──────────────▶ committing ────▶ ending ─▶ exit 0
//!                                               ▲   │ commit                │
//!                                               └───┴──────────────────────┘
//!  error, panic: exit 0 with `End::Failed`; everything else that ends it is a crash, and the last commit stands
//! ```

use crate::arena::Arena;
use crate::crash::{Crash, Phase};
use crate::error::Result;
use crate::failure::{Failure, FailureKind};
use crate::here::{self, Kind, Source};
use crate::link;
use crate::mailbox::{End, Mailbox, Request};
use crate::mechanism::{self, Mechanism};
use crate::panics;
use crate::peer::Peer;
use crate::point::{self, Point};
use crate::policy::History;
use crate::recoverable::Recoverable;
use crate::region::{Region, StateHead};
use crate::scene::{Answered, CrashedRegion};
use crate::sys::{clock, process};
use crate::threads::{self, Scope};
use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A transaction, as its own code sees it.
pub struct Tx<'a> {
    region: &'a Region,
    mechanism: &'static dyn Mechanism,
    crash: Option<Crash>,
    crashes: u64,
    incarnation: u64,
    scratch_depth: Cell<usize>,
}

impl Tx<'_> {
    fn head(&self) -> &StateHead {
        self.region.head()
    }

    fn mailbox(&self) -> &Mailbox {
        self.region.mailbox()
    }

    fn enter_phase(&self, phase: Phase) {
        self.mailbox().phase.store(phase as u32, Ordering::Relaxed);
    }

    /// Operations completed, over all transactions of this state: the index of the operation to do next. Part of the
    /// commit, so a successor finds the number that belongs to the state it found.
    pub fn operations(&self) -> u64 {
        self.head().operations.load(Ordering::Relaxed)
    }

    /// The operation in flight is done: counts it, and is a sign of life. Its effect is kept by the next commit.
    pub fn done(&mut self) {
        let operations = self.operations() + 1;
        self.head().operations.store(operations, Ordering::Relaxed);
        let mailbox = self.mailbox();
        mailbox.operation.store(operations, Ordering::Relaxed);
        let now = clock::now_ns();
        mailbox.beat_ns.store(now, Ordering::Relaxed);
        if mailbox.first_operation_ns.load(Ordering::Relaxed) == 0 {
            mailbox.first_operation_ns.store(now, Ordering::Relaxed);
        }
        if operations >= mailbox.redo_target.load(Ordering::Relaxed) && mailbox.redone_ns.load(Ordering::Relaxed) == 0 {
            mailbox.redone_ns.store(now, Ordering::Relaxed);
        }
    }

    /// A sign of life from within a long operation.
    pub fn beat(&self) {
        self.mailbox().beat_ns.store(clock::now_ns(), Ordering::Relaxed);
    }

    /// Makes the present state the one that a crash goes back to.
    ///
    /// # Errors
    /// Where the daemon finds that what was staged is damaged; the commit before stands. Return the error.
    pub fn commit(&mut self) -> std::result::Result<(), Failure> {
        self.commit_as(false)
    }

    fn commit_as(&self, last_of_all: bool) -> std::result::Result<(), Failure> {
        self.enter_phase(Phase::Committing);
        self.beat();
        self.head().forget_passed_skips(self.operations());
        let committed = self.mechanism.commit(self.region, last_of_all);
        self.beat();
        self.enter_phase(if last_of_all { Phase::Ending } else { Phase::Running });
        committed.map_err(|_| {
            let what = "it could not be staged, or the daemon found what was staged damaged; the commit before stands";
            Failure::engine(FailureKind::CommitRefused, &what)
        })
    }

    /// Runs `work` with temporaries in scratch, which is emptied afterwards, and answers a clone of its result that
    /// lives in the region.
    ///
    /// Temporaries made in the region cost pages in the next commit; in scratch they cost nothing. `work` cannot change
    /// the state by itself (it is `Fn`); handing it a `&mut` of the state through a lock would break the promise of
    /// [`Heap::new`](crate::Heap::new).
    pub fn scratch<R: Recoverable + Clone>(&self, work: impl Fn() -> R + Sync) -> R {
        let outer = here::source();
        // SAFETY: scratch stays mapped, and holds zeros until it is formatted.
        let used = unsafe { Arena::at(here::scratch().start) }.is_some_and(|arena| arena.live_bytes() > 0);
        // What is still in use was kept by something that outlives the scope, such as a static made in it: it stays.
        if self.scratch_depth.get() == 0 && !used {
            // SAFETY: scratch is this incarnation's own memory, and no block of it is in use.
            unsafe { Arena::format(here::scratch()) };
        }
        self.scratch_depth.set(self.scratch_depth.get() + 1);
        let back = Back { source: outer };
        here::set_source(Source::Scratch);
        let made = work();
        here::set_source(outer);
        let result = made.clone();
        here::set_source(Source::Scratch);
        drop(made);
        drop(back);
        // A panic above leaves the depth as it is: its payload lives in scratch, which is then never emptied again.
        self.scratch_depth.set(self.scratch_depth.get() - 1);
        result
    }

    /// Runs threads in a scope, on stacks that the daemon declared
    /// ([`Declaration::threads`](crate::Declaration::threads)); all have ended when it returns.
    ///
    /// ```no_run
    /// # use crashbed::{Tx, Failure};
    /// fn square_all(tx: &mut Tx, numbers: &mut [u64]) -> Result<(), Failure> {
    ///     let halves = numbers.split_at_mut(numbers.len() / 2);
    ///     tx.threads(|scope| {
    ///         for half in [halves.0, halves.1] {
    ///             scope.spawn(|| half.iter_mut().for_each(|n| *n *= *n))?;
    ///         }
    ///         Ok(())
    ///     })?
    /// }
    /// ```
    ///
    /// # Errors
    /// The first panic of a thread.
    pub fn threads<'env, R>(
        &'env mut self,
        work: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
    ) -> std::result::Result<R, Failure> {
        threads::scope(self.region, work)
    }

    /// Whether the program decided to skip `operation` ([`Answer::Skip`](crate::Answer::Skip)).
    pub fn skips(&self, operation: u64) -> bool {
        self.head().skips(operation)
    }

    /// The crash that this incarnation succeeds; `None` in the first one.
    pub fn crash(&self) -> Option<&Crash> {
        self.crash.as_ref()
    }

    /// How many crashes this transaction has had.
    pub fn crashes(&self) -> u64 {
        self.crashes
    }

    /// A number that no other incarnation of this region has or had: to seed what must not repeat after a crash, such
    /// as random numbers and ids, which a fork would otherwise draw again.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Passes a point in the program's code, where a fault may strike ([`set_hook`](crate::point::set_hook)).
    pub fn point(&self, name: &'static str) {
        point::pass(Point::Named(name));
    }

    /// Reads another daemon's last commit; see [`Daemon::read`](crate::Daemon::read).
    ///
    /// # Errors
    /// Where there is no whole commit within `within`.
    pub fn read<S: Recoverable, R>(
        &mut self,
        peer: &Peer<S>,
        within: Duration,
        read: impl FnOnce(&S) -> R,
    ) -> Result<R> {
        peer.read(within, read)
    }
}

/// Puts a thread's source of memory back, also when it unwinds.
struct Back {
    source: Source,
}

impl Drop for Back {
    fn drop(&mut self) {
        here::set_source(self.source);
    }
}

/// What a transaction runs, without its types. Lives in the daemon's private memory; the fork carries it along.
pub(crate) struct Program<'a> {
    /// Makes a state and answers where it lives.
    pub(crate) make: &'a dyn Fn() -> u64,
    /// Runs the work on the state at an address; answers where the result lives, or 0.
    pub(crate) work: &'a dyn Fn(&mut Tx<'_>, u64) -> std::result::Result<u64, Failure>,
    /// The program's own decision about a crash, on the last commit at an address.
    pub(crate) decide: Option<&'a Decide<'a>>,
    /// Drops the result that an earlier transaction left at an address.
    pub(crate) drop_result: Option<unsafe fn(u64)>,
}

/// Asks the program about a crash; applies a repair at once.
pub(crate) type Decide<'a> = dyn Fn(&Situation<'_>) -> Answered + 'a;

/// What there is to decide about.
pub(crate) struct Situation<'a> {
    pub(crate) crash: &'a Crash,
    pub(crate) history: &'a History,
    pub(crate) root: u64,
    pub(crate) operations: u64,
    pub(crate) crashed: Option<CrashedRegion<'a>>,
}

/// How an incarnation begins.
#[derive(Clone, Copy)]
pub(crate) struct Begin<'a> {
    /// The number of the transaction: that of its first incarnation.
    pub(crate) transaction: u64,
    /// The number of this incarnation.
    pub(crate) incarnation: u64,
    /// The crash that it succeeds.
    pub(crate) crash: Option<Crash>,
    /// Whether the state is to be made anew.
    pub(crate) zero: bool,
    /// Whether the program's own code is asked about the crash.
    pub(crate) asks: bool,
    /// The crashes so far.
    pub(crate) history: &'a History,
    /// Whether the daemon has set the crashed state aside.
    pub(crate) set_aside: bool,
    /// The daemon's process id.
    pub(crate) daemon: i32,
    /// The most bytes of address space: what is mapped.
    pub(crate) address_space: u64,
    /// The event descriptor that wakes the daemon.
    pub(crate) event: i32,
}

/// Runs a transaction, from its first instruction on. In the fork's child.
pub(crate) fn run(region: &Region, program: &Program<'_>, begin: Begin<'_>) -> ! {
    let mailbox = region.mailbox();
    mailbox.started_ns.store(clock::now_ns(), Ordering::Relaxed);
    if !process::die_with_parent(begin.daemon) {
        process::exit_now(1);
    }
    here::become_kind(Kind::Transaction, region.parts.state, region.parts.scratch, mailbox, begin.event);
    point::pass(Point::Restore);
    let mechanism = mechanism::of(region.declaration.mechanism);
    // SAFETY: this process has not borrowed anything from the state yet.
    let entered = unsafe { mechanism.enter(region) }.map_err(|errno| ("mapping the state", errno));
    let ready = entered.and_then(|()| {
        let crashed = begin.set_aside.then(|| {
            // SAFETY: the daemon says that it has set a crashed state aside.
            unsafe { mechanism.crashed_state(region) }
        });
        let crashed = crashed.transpose().map_err(|errno| ("mapping the crashed state", errno))?;
        let base = region.parts.state.start as u64;
        let crashed = crashed.map(|bytes| CrashedRegion { bytes, base });
        // What was mapped for the crashed state comes on top.
        let more = crashed.as_ref().map_or(0, |_| region.parts.backing.len as u64);
        process::limit_address_space(begin.address_space + more)
            .map_err(|errno| ("limiting the address space", errno))?;
        Ok(crashed)
    });
    let mut tx = Tx {
        region,
        mechanism,
        crash: begin.crash,
        crashes: begin.history.total(),
        incarnation: begin.incarnation,
        scratch_depth: Cell::new(0),
    };
    let result = match ready {
        Ok(crashed) => panics::catch(|| live(&mut tx, program, begin, crashed)).and_then(|result| result),
        Err((what, errno)) => Err(Failure::engine(FailureKind::Error, &format_args!("{what}: {errno}"))),
    };
    here::set_source(Source::Private);
    if let Err(failure) = result {
        mailbox.fail(&failure);
    }
    flush();
    process::exit_now(0)
}

/// From the state in place to the last commit, or to the failure that there is instead.
fn live(
    tx: &mut Tx<'_>,
    program: &Program<'_>,
    begin: Begin<'_>,
    crashed: Option<CrashedRegion<'_>>,
) -> std::result::Result<(), Failure> {
    here::set_source(Source::Region);
    if begin.zero || tx.head().root.load(Ordering::Relaxed) == 0 {
        make_state(tx, program)?;
    }
    let result = tx.head().result.swap(0, Ordering::Relaxed);
    if let (Some(drop_result), true) = (program.drop_result, result != 0) {
        // SAFETY: the daemon handed on the function that belongs to the type of the result that this state holds.
        unsafe { drop_result(result) };
    }
    report_operations(tx);
    if let (true, Some(crash), Some(decide)) = (begin.asks, begin.crash, program.decide) {
        tx.enter_phase(Phase::Deciding);
        if !decided(tx, program, begin, decide, &crash, crashed)? {
            return Ok(());
        }
        report_operations(tx);
    }
    tx.enter_phase(Phase::Running);
    let root = tx.head().root.load(Ordering::Relaxed);
    let result = (program.work)(tx, root)?;
    tx.head().result.store(result, Ordering::Relaxed);
    tx.head().done.store(begin.transaction, Ordering::Relaxed);
    tx.commit_as(true)
}

/// Tells the daemon where this incarnation begins.
fn report_operations(tx: &Tx<'_>) {
    let mailbox = tx.mailbox();
    mailbox.operation.store(tx.operations(), Ordering::Relaxed);
    mailbox.resumed_operation.store(tx.operations(), Ordering::Relaxed);
}

/// Makes the state anew and commits it.
fn make_state(tx: &mut Tx<'_>, program: &Program<'_>) -> std::result::Result<(), Failure> {
    // SAFETY: what was in the state is given up; nothing borrows from it yet.
    unsafe { StateHead::format(tx.region.parts.state) };
    let root = (program.make)();
    tx.head().root.store(root, Ordering::Relaxed);
    tx.commit()
}

/// Asks the program, does what it answers, and commits what that changed. False where it gave up.
fn decided(
    tx: &mut Tx<'_>,
    program: &Program<'_>,
    begin: Begin<'_>,
    decide: &Decide<'_>,
    crash: &Crash,
    crashed: Option<CrashedRegion<'_>>,
) -> std::result::Result<bool, Failure> {
    let root = tx.head().root.load(Ordering::Relaxed);
    let operations = tx.operations();
    let situation = Situation { crash, history: begin.history, root, operations, crashed };
    let answered = decide(&situation);
    tx.mailbox().answered.store(answered as u32, Ordering::Relaxed);
    match answered {
        Answered::Resume => {}
        Answered::Zero => make_state(tx, program)?,
        Answered::Repair => tx.commit()?,
        Answered::Skip if tx.head().skip(crash.operation) => tx.commit()?,
        Answered::Keep if situation.crashed.is_some() => {
            let kept = link::ask(tx.mailbox(), Request::Keep, true);
            kept.map_err(|_| Failure::engine(FailureKind::Error, &"the crashed state could not be put back"))?;
            // The crash may have struck in the last commit of all, whose marks are not true of this state.
            tx.head().done.store(0, Ordering::Relaxed);
            tx.head().result.store(0, Ordering::Relaxed);
            tx.commit()?;
        }
        // No room for a further skip, or nothing kept to go on with: what was asked for cannot be done.
        Answered::Skip | Answered::Keep | Answered::GiveUp => {
            tx.mailbox().end.store(End::GaveUp as u32, Ordering::Release);
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes out what the program printed: the exit that follows would lose it.
fn flush() {
    use std::io::Write;
    let _ = std::io::stdout().flush();
}
