//! A daemon: owns a region, forks transactions, and makes them again when they crash.

use crate::cache::{self, Plain};
use crate::change::Guarded;
use crate::crash::Crash;
use crate::daemon_core::Core;
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::heap;
use crate::here::{self, Source};
use crate::life::{Program, Situation};
use crate::peer::Peer;
use crate::policy::{Intensity, RestartPolicy};
use crate::prime;
use crate::recoverable::Recoverable;
use crate::report::Report;
use crate::scene::{Answer, Answered, Scene};
use crate::spare::Spare;
use crate::supervise::{self, Ended, Settings};
use crate::sys::event;
use crate::transaction::Tx;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<T> {
    /// It is done, and committed; this is a clone of its result.
    Done(T),
    /// An error or a panic ended it; the last commit stands.
    Failed(Failure),
    /// It crashed, and the policy, the program's own code or the restart intensity gave up; the last commit stands.
    GaveUp(Box<Crash>),
}

/// A daemon whose state is an `S`, as its own code sees it. Lives in the daemon's process.
pub struct Daemon<S> {
    pub(crate) core: Core,
    pub(crate) state: PhantomData<S>,
}

impl<S: Recoverable + Default> Daemon<S> {
    /// Runs `work` as a transaction: in a process of its own, made again by `policy` when it crashes, until it is done,
    /// fails or is given up.
    ///
    /// What `work` allocates lives in the region; its changes to the state are kept by commits, the last of which is
    /// made when it returns `Ok`. An error or a panic goes back to the commit before. It may run several times, and
    /// may find itself in the middle of its work ([`Tx::operations`]).
    ///
    /// # Errors
    /// Where the kernel refuses what the engine needs, and [`Error::Stopping`] when the tree shuts down.
    pub fn transaction<T, F>(&mut self, policy: impl RestartPolicy, work: F) -> Result<Outcome<T>>
    where
        T: Recoverable + Clone,
        F: Fn(&mut Tx<'_>, &mut S) -> std::result::Result<T, Failure> + Sync,
    {
        self.prepare(policy).run(work)
    }

    /// A transaction with settings of its own.
    pub fn prepare<'d, P: RestartPolicy>(&'d mut self, policy: P) -> Prepared<'d, S, P> {
        let settings = Settings::of(&self.core.region().declaration);
        Prepared { daemon: self, policy, settings, on_crash: None, is_guarded: false }
    }

    /// The state, as of the last commit.
    pub fn state(&self) -> &S {
        let root = self.core.region().head().root.load(Ordering::Acquire);
        // SAFETY: a daemon's closure runs only after the first commit, which has a root of type S; the state part holds
        // the last commit while no transaction runs, and none runs while this borrows the daemon. Under the undo log a
        // restore leads there by the promise of `Declaration::undo_log`, here and below.
        unsafe { &*(root as *const S) }
    }

    /// Makes the state anew, by a transaction: `S::default()`, and no operation done.
    ///
    /// # Errors
    /// As for [`transaction`](Self::transaction), and where `S::default()` fails or crashes.
    pub fn zero(&mut self) -> Result<()> {
        self.genesis(true)
    }

    /// Makes the first commit where there is none, or `anew`.
    pub(crate) fn genesis(&mut self, anew: bool) -> Result<()> {
        if !anew && self.core.region().ledger().commit.load(Ordering::Acquire) > 0 {
            return Ok(());
        }
        let program =
            Program { make: &make::<S>, work: &|_, _| Ok(0), decide: None, drop_result: None, is_guarded: false };
        let message = match supervise::make_state(&mut self.core, &program)? {
            Ended::Done(_) => return Ok(()),
            Ended::Failed(failure) => failure.to_string(),
            Ended::GaveUp(crash) => crash.to_string(),
        };
        Err(Error::Genesis { daemon: self.name().to_owned(), message })
    }

    /// Waits until `source` can be read, as a daemon does that takes its orders from a pipe or a socket.
    ///
    /// # Errors
    /// [`Error::Stopping`] when the tree shuts down: return it.
    pub fn wait_readable(&self, source: BorrowedFd<'_>) -> Result<()> {
        loop {
            let fds = [source, self.core.shutdown.as_fd()];
            let waited = event::wait_readable(fds, None);
            let [readable, shutdown] = waited.map_err(|errno| Error::system("waiting for input", errno))?;
            if shutdown {
                return Err(Error::Stopping);
            }
            if readable {
                return Ok(());
            }
        }
    }

    /// The daemon's name.
    pub fn name(&self) -> &str {
        &self.core.region().declaration.name
    }

    /// Operations that the last commit holds.
    pub fn operations(&self) -> u64 {
        self.core.region().head().operations.load(Ordering::Relaxed)
    }

    /// Bytes of private memory that this daemon has in use, outside of its region. Every fork copies the page tables of
    /// it, and every later write to it copies a page: beyond some 16 MiB, forks take noticeably longer. Data belongs in
    /// the state.
    ///
    /// # Errors
    /// Where `/proc/self/status` cannot be read.
    pub fn private_bytes(&self) -> Result<u64> {
        prime::private_bytes()
    }

    /// Bytes of the region in use, as of the last commit.
    pub fn live_bytes(&self) -> u64 {
        heap::live_bytes(self.core.region().head())
    }

    /// A cache that comes back as it was ([`Declaration::cache`](crate::Declaration::cache)), between two transactions:
    /// to look at, to fill, or to clear where the state that it was made from is gone.
    ///
    /// # Errors
    /// Where this daemon declares no such cache, or one that comes back empty.
    pub fn cache<T: Plain>(&mut self, name: &str) -> Result<&mut [T]> {
        let place = cache::place(self.core.region(), name)?;
        // SAFETY: this is one of the daemon's caches; a transaction, as any other loan, needs the daemon mutably, which the
        // result borrows.
        Ok(unsafe { cache::elements(place) })
    }

    /// How often this daemon was made again.
    pub fn restarts(&self) -> u64 {
        self.core.restarted
    }

    /// The crash of the daemon that this incarnation of it succeeds.
    pub fn crash(&self) -> Option<&Crash> {
        self.core.crash.as_ref()
    }

    /// What the newest transaction went through.
    pub fn report(&self) -> &Report {
        &self.core.report
    }

    /// Another daemon's region, to read.
    ///
    /// # Errors
    /// Where no other daemon has that name, its state has another type, or it is hidden.
    pub fn peer<P: Recoverable>(&self, name: &str) -> Result<Peer<P>> {
        Peer::find(&self.core.regions, self.core.index, name)
    }

    /// Calls `read` with another daemon's last commit, and keeps that daemon from changing it meanwhile.
    ///
    /// While `read` runs, the other daemon's commits wait; one that takes longer than [`LEASE`](crate::LEASE) while a
    /// commit waits is ended like a process without a heartbeat. Clone out what is needed, and compute on the clone.
    ///
    /// # Errors
    /// [`Error::Busy`] where there is no whole commit within `within`.
    pub fn read<P: Recoverable, R>(
        &mut self,
        peer: &Peer<P>,
        within: Duration,
        read: impl FnOnce(&P) -> R,
    ) -> Result<R> {
        peer.read(within, read)
    }
}

/// A transaction with its settings, ready to [`run`](Self::run).
pub struct Prepared<'d, S, P> {
    daemon: &'d mut Daemon<S>,
    policy: P,
    settings: Settings,
    on_crash: Option<&'d OnCrash<'d, S>>,
    is_guarded: bool,
}

/// The program's own decision about a crash.
pub type OnCrash<'a, S> = dyn Fn(&Scene<'_, S>) -> Answer<S> + Sync + 'a;

impl<'d, S: Recoverable + Default, P: RestartPolicy> Prepared<'d, S, P> {
    /// How long the transaction may give no sign of life; as declared for the daemon unless set.
    pub fn heartbeat(mut self, deadline: Duration) -> Self {
        self.settings.heartbeat = deadline;
        self
    }

    /// How many crashes in what time are too many; as declared for the daemon unless set.
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.settings.intensity = intensity;
        self
    }

    /// How a successor is made ready; as declared for the daemon unless set.
    pub fn spare(mut self, spare: Spare) -> Self {
        self.settings.spare = spare;
        self
    }

    /// What the program's own code decides when the policy leaves it to the process. It runs in the successor, so a
    /// crash in it is a crash like any other. Without it, the successor resumes the last commit and sees the crash by
    /// [`Tx::crash`].
    pub fn on_crash(mut self, decide: &'d OnCrash<'d, S>) -> Self {
        self.on_crash = Some(decide);
        self
    }

    /// Lets a policy keep the crashed state ([`Action::KeepIfIntact`](crate::Action::KeepIfIntact)): the program makes
    /// every change to it under a guard ([`Tx::change`]), as [`Guarded`] promises.
    pub fn keep_if_intact(mut self) -> Self
    where
        S: Guarded,
    {
        self.is_guarded = true;
        self
    }

    /// Runs `work`; see [`Daemon::transaction`].
    ///
    /// # Errors
    /// As there.
    pub fn run<T, F>(self, work: F) -> Result<Outcome<T>>
    where
        T: Recoverable + Clone,
        F: Fn(&mut Tx<'_>, &mut S) -> std::result::Result<T, Failure> + Sync,
    {
        let Self { daemon, policy, settings, on_crash, is_guarded } = self;
        let work = |tx: &mut Tx<'_>, root: u64| {
            // SAFETY: the engine passes the address of the state of type S, which is a commit (see `state`) or was vouched
            // for; nothing else borrows it: a transaction has one closure.
            let state = unsafe { &mut *(root as *mut S) };
            let result = work(tx, state)?;
            let keep = size_of::<T>() != 0 || std::mem::needs_drop::<T>();
            Ok(if keep { Box::into_raw(Box::new(result)) as u64 } else { 0 })
        };
        let decide = on_crash.map(|on_crash| move |situation: &Situation<'_>| ask(on_crash, situation));
        let program = Program {
            make: &make::<S>,
            work: &work,
            decide: decide.as_ref().map(|decide| decide as _),
            drop_result: daemon.core.drop_result.take(),
            is_guarded,
        };
        let ended = supervise::run(&mut daemon.core, &program, &policy, settings);
        // Where the engine itself failed, the last commit may be this transaction's or the one before: the result is
        // then left where it is.
        let ended = ended?;
        daemon.core.drop_result = program.drop_result;
        Ok(match ended {
            Ended::Failed(failure) => Outcome::Failed(failure),
            Ended::GaveUp(crash) => Outcome::GaveUp(crash),
            Ended::Done(result) => {
                daemon.core.drop_result = Some(drop_result::<T>);
                let result = if result == 0 { std::ptr::dangling::<T>() } else { result as *const T };
                // SAFETY: the transaction left a T there, in its last commit; or T is of size zero without a drop, for
                // which any aligned address will do.
                Outcome::Done(unsafe { &*result }.clone())
            }
        })
    }
}

/// Makes a state in the region.
fn make<S: Default>() -> u64 {
    Box::into_raw(Box::<S>::default()) as u64
}

/// Drops a result of an earlier transaction, in the transaction that follows.
///
/// # Safety
/// `result` is the address of a boxed `T` in this process's state, and nothing else drops it.
unsafe fn drop_result<T>(result: u64) {
    // SAFETY: as the caller vouches.
    drop(unsafe { Box::from_raw(result as *mut T) });
}

/// Asks the program's own code, with its types.
fn ask<S>(on_crash: &OnCrash<'_, S>, situation: &Situation<'_>) -> Answered {
    let answer = {
        let scene = Scene {
            crash: situation.crash,
            history: situation.history,
            // SAFETY: the engine passes the address of the state of type S, which is the last commit (see `Daemon::state`);
            // nothing changes it while the program looks.
            commit: unsafe { &*(situation.root as *const S) },
            operations: situation.operations,
            crashed: situation.crashed,
        };
        // What the program makes while it looks (a static that initialises itself) must outlive a state that is made
        // anew or put back.
        let before = here::set_source(Source::Private);
        let answer = on_crash(&scene);
        here::set_source(before);
        answer
    };
    if let (Answer::Repair(repair), true) = (&answer, situation.may_repair) {
        // SAFETY: as above, and the look at it is over.
        repair(unsafe { &mut *(situation.root as *mut S) }, situation.crash);
    }
    answer.answered()
}
