//! A transaction, as its own code sees it: operations, scratch, threads. Its commits are in `commits.rs`,
//! its life around all that in `life.rs`.

use crate::arena::Arena;
use crate::cache::{self, Cache, Plain};
use crate::change::Change;
use crate::commits::Outstanding;
use crate::crash::{Crash, Phase};
use crate::environment;
use crate::error::Result;
use crate::failure::Failure;
use crate::here::{self, Source};
use crate::life;
use crate::mailbox::Mailbox;
use crate::mechanism::Mechanism;
use crate::peer::Peer;
use crate::point::{self, Point};
use crate::prefault;
use crate::pulse;
use crate::recoverable::Recoverable;
use crate::region::Region;
use crate::state_head::StateHead;
use crate::sys::{clock, event, process, processors};
use crate::threads::{self, Scope};
use crate::turn::Turn;
use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A transaction, as its own code sees it.
pub struct Tx<'a> {
    pub(crate) region: &'a Region,
    pub(crate) mailbox: &'a Mailbox,
    pub(crate) mechanism: &'static dyn Mechanism,
    pub(crate) crash: Option<Crash>,
    pub(crate) crashes: u64,
    pub(crate) incarnation: u64,
    /// The longest silence that it may keep.
    pub(crate) heartbeat: Duration,
    pub(crate) scratch_depth: Cell<usize>,
    /// Whether it has gone steady, as a successor.
    pub(crate) steady: Cell<bool>,
    /// Whether operations need only be counted from here on.
    pub(crate) settled: Cell<bool>,
    /// When this process began to work.
    pub(crate) begun_ns: Cell<u64>,
    /// Whether this incarnation is prepared for its end, by being a spare or by [`prepare`](Self::prepare).
    pub(crate) prepared: Cell<bool>,
    /// The commit that was asked for and not waited for.
    pub(crate) outstanding: Cell<Option<Outstanding>>,
    /// The number of the newest commit that this incarnation has made and knows to be true; 0 before.
    pub(crate) made: Cell<u64>,
    /// When it looked last for somebody else's crash handler, where it does not do so at each commit.
    pub(crate) handler_seen_ns: Cell<u64>,
}

impl<'a> Tx<'a> {
    /// What a bare successor works in: no crash before it, no silence too long, no keeper.
    pub(crate) fn bare(region: &'a Region, mailbox: &'a Mailbox, mechanism: &'static dyn Mechanism) -> Self {
        Self {
            region,
            mailbox,
            mechanism,
            crash: None,
            crashes: 0,
            incarnation: 0,
            heartbeat: Duration::MAX,
            scratch_depth: Cell::new(0),
            steady: Cell::new(false),
            settled: Cell::new(false),
            begun_ns: Cell::new(0),
            prepared: Cell::new(true),
            outstanding: Cell::new(None),
            made: Cell::new(0),
            handler_seen_ns: Cell::new(0),
        }
    }
}

impl<'a> Tx<'a> {
    /// Takes a declared cache ([`Declaration::cache`](crate::Declaration::cache)) into use: memory that no commit saves,
    /// and that each incarnation finds empty or as it was, as declared.
    ///
    /// It is whole for as long as it is held, over commits and in threads too; what does not fill an element is left
    /// out. In the fresh memory, and in what an incarnation has not written, are zeros.
    ///
    /// ```no_run
    /// use crashbed::{Failure, Tx};
    ///
    /// /// Squares, of which each that was computed once is remembered by its number, over crashes too.
    /// fn square(tx: &Tx, n: u64) -> Result<u64, Failure> {
    ///     let mut known = tx.cache::<[u64; 3]>("squares")?;
    ///     let slot = usize::try_from(n)? % known.len();
    ///     match known[slot] {
    ///         // A crash may have torn it: believe it only with its check.
    ///         [number, square, check] if number == n && check == n ^ square ^ u64::MAX => Ok(square),
    ///         _ => {
    ///             let square = n * n;
    ///             known[slot] = [n, square, n ^ square ^ u64::MAX];
    ///             Ok(square)
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// Where the daemon declares no such cache, and where it is in use already.
    pub fn cache<T: Plain>(&self, name: &str) -> std::result::Result<Cache<'a, T>, Failure> {
        cache::take(self.region, name)
    }
}

impl Tx<'_> {
    #[inline]
    pub(crate) fn head(&self) -> &StateHead {
        self.region.head()
    }

    pub(crate) fn enter_phase(&self, phase: Phase) {
        self.mailbox.phase.store(phase as u32, Ordering::Relaxed);
    }

    /// Operations completed, over all transactions of this state: the index of the operation to do next. Part of the
    /// commit, so a successor finds the number that belongs to the state it found.
    #[inline]
    pub fn operations(&self) -> u64 {
        self.head().operations.load(Ordering::Relaxed)
    }

    /// The operation in flight is done: counts it, and is a sign of life. Its effect is kept by the next commit.
    #[inline]
    pub fn done(&mut self) {
        self.count();
    }

    #[inline]
    pub(crate) fn count(&self) {
        let operations = self.operations() + 1;
        self.head().operations.store(operations, Ordering::Relaxed);
        self.mailbox.operation.store(operations, Ordering::Relaxed);
        if !self.settled.get() {
            self.sign(operations);
        }
    }

    /// Gives a sign of life with its time. Notes when the first operation of this incarnation was done, and when all lost
    /// work was done again.
    #[cold]
    fn sign(&self, operations: u64) {
        let mailbox = self.mailbox;
        let now = clock::now_ns();
        mailbox.beat_ns.store(now, Ordering::Relaxed);
        if mailbox.first_operation_ns.load(Ordering::Relaxed) == 0 {
            mailbox.first_operation_ns.store(now, Ordering::Relaxed);
            let before = mailbox.faults_before.load(Ordering::Relaxed);
            mailbox.faults.store(process::page_faults().saturating_sub(before), Ordering::Relaxed);
            self.go_steady();
        }
        self.prepare(now);
        let is_redone = operations >= mailbox.redo_target.load(Ordering::Relaxed);
        if is_redone && mailbox.redone_ns.load(Ordering::Relaxed) == 0 {
            mailbox.redone_ns.store(now, Ordering::Relaxed);
        }
        self.settled.set(is_redone && self.prepared.get() && pulse::is_counted(self.heartbeat));
    }

    /// Once, after the first operation or at the first commit: what a recovery has put off.
    pub(crate) fn go_steady(&self) {
        if self.crash.is_none() || self.steady.replace(true) {
            return;
        }
        // A successor has what was its daemon's until here.
        processors::ask_usual_slices();
        if matches!(Turn::of(&self.mailbox.standby), Turn::Taken | Turn::Ordered) {
            // Its daemon may sleep until the predecessor is gone, and has the next successor to make ready.
            self.mailbox.moved.keep_off(here::parent());
            event::raise(here::event());
        }
    }

    /// A sign of life from within a long operation.
    pub fn beat(&self) {
        let now = clock::now_ns();
        self.mailbox.beat_ns.store(now, Ordering::Relaxed);
        self.prepare(now);
    }

    /// Prepares for a crash, once this incarnation has lived so long that it is cheap beside it: so neither a short
    /// transaction pays for it, nor the first operation after a crash.
    #[inline]
    fn prepare(&self, now_ns: u64) {
        const LONG_NS: u64 = 1_000_000;
        if !self.prepared.get() && now_ns.saturating_sub(self.begun_ns.get()) > LONG_NS {
            self.prepare_now();
        }
    }

    #[cold]
    fn prepare_now(&self) {
        // A keeper ends with the thread that made it.
        if process::thread_id() == process::id() {
            self.prepared.set(true);
            prefault::touch_handler(self.region);
            if self.region.declaration.wants_keeper() {
                life::start_keeper(self.region, self.mailbox);
            }
        }
    }

    /// Waits until `source` can be read. A transaction that waits for input is not silent, however long it takes.
    ///
    /// # Errors
    /// Where `source` cannot be waited for.
    pub fn wait_readable(&self, source: BorrowedFd<'_>) -> std::result::Result<(), Failure> {
        let step = self.heartbeat / 4;
        loop {
            self.beat();
            let waited = event::wait_readable([source], Some(step));
            if waited.map_err(|errno| Failure::new(format_args!("waiting for input: {errno}")))? == [true] {
                return Ok(());
            }
        }
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
    /// While it runs, a change is under way, as by [`change`](Self::change): a crash in it is told as one, and what its
    /// threads have half done is not kept.
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
        let _change = self.change();
        threads::scope(self.region, work)
    }

    /// Marks that a change begins, until the guard is dropped: a crash in it is told as one
    /// ([`Crash::changing`](crate::Crash::changing)), and the crashed state is not kept. A scope of
    /// [`threads`](Self::threads) is a change by itself; its threads can hold no guard.
    pub fn change(&self) -> Change<'_> {
        Change::begin(self)
    }

    /// How many threads the program is to run in a scope: those that its daemon declares, fewer where the policy has
    /// changed the environment ([`Environment::fewer_threads`](crate::Environment::fewer_threads)), and not below one
    /// where there is one.
    pub fn thread_count(&self) -> usize {
        let declared = self.region.parts.thread_count();
        declared.saturating_sub(environment::present().fewer_threads.into()).max(declared.min(1))
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
