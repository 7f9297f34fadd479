//! The root: owns all memory, forks the daemons, makes them again when they crash, and never crashes itself.
//!
//! It has one thread and does next to nothing: between two events it sleeps in `ppoll`. What has threads of its own
//! (progress, pages, network) is another process, which starts the root by exec.

use crate::crash::Crash;
use crate::daemon::Daemon;
use crate::daemon_core::Core;
use crate::declaration::{self, Declaration};
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::here::{self, Kind};
use crate::mailbox::End;
use crate::mechanism;
use crate::mechanism_kind::MechanismKind;
use crate::notice::{self, Ending};
use crate::panics;
use crate::policy::{self, Action, History};
use crate::prime;
use crate::recoverable::Recoverable;
use crate::region::{self, Region};
use crate::report::Report;
use crate::sys::process::{self, Forked};
use crate::sys::signal::StopSignals;
use crate::sys::{Errno, clock, event};
use nix::sys::resource::Resource;
use std::any::TypeId;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long daemons may take to end by themselves when the tree shuts down.
const GRACE: Duration = Duration::from_secs(5);

/// A process tree to be: its daemons, declared one by one, then [`run`](Self::run).
///
/// ```no_run
/// # use crashbed::{Daemon, Root, MIB};
/// # #[derive(Default, crashbed::Recoverable)] struct Index;
/// Root::new()
///     .daemon("indexer", 64 * MIB, |daemon: &mut Daemon<Index>| Ok(()))
///     .run()?;
/// # Ok::<(), crashbed::Error>(())
/// ```
#[derive(Default)]
pub struct Root<'a> {
    daemons: Vec<Declared<'a>>,
}

struct Declared<'a> {
    declaration: Declaration,
    state_type: TypeId,
    /// The daemon's life, in its own process: its state's genesis, then its closure.
    main: Main<'a>,
}

/// A daemon's life; the flag asks for its state to be made anew.
type Main<'a> = Box<dyn Fn(Core, bool) -> Result<()> + 'a>;

impl<'a> Root<'a> {
    /// A tree without daemons.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a daemon with a state of type `S` in a region of `bytes`, everything else as in
    /// [`Declaration::new`].
    pub fn daemon<S, F>(self, name: &str, bytes: usize, main: F) -> Self
    where
        S: Recoverable + Default,
        F: Fn(&mut Daemon<S>) -> Result<()> + 'a,
    {
        self.declare(Declaration::new(name, bytes), main)
    }

    /// Declares a daemon. `main` runs in its process: once, and again whenever the daemon was made again after a crash
    /// of its own. Its place in its work belongs in the state.
    pub fn declare<S, F>(mut self, declaration: Declaration, main: F) -> Self
    where
        S: Recoverable + Default,
        F: Fn(&mut Daemon<S>) -> Result<()> + 'a,
    {
        let main = move |core: Core, zero: bool| {
            let mut daemon = Daemon { core, state: PhantomData };
            daemon.genesis(zero)?;
            main(&mut daemon)
        };
        self.daemons.push(Declared { declaration, state_type: TypeId::of::<S>(), main: Box::new(main) });
        self
    }

    /// Commits and maps all regions, forks the daemons, and follows them until all have ended.
    ///
    /// # Errors
    /// Before anything is forked: a declaration that makes no sense, or does not fit, or a process with several
    /// threads. Afterwards: the first daemon's failure, when all have ended; [`Error::Stopped`] after SIGINT or
    /// SIGTERM. In every case nothing of the tree is left running. (Processes that the program forked by itself are its own
    /// to end; those that have ended are reaped here, also if they were there before.)
    pub fn run(self) -> Result<()> {
        let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
        if threads != 1 {
            return Err(Error::Threads { threads });
        }
        self.check()?;
        prime::prime()?;
        let stop = StopSignals::block().map_err(|errno| Error::system("blocking SIGINT and SIGTERM", errno))?;
        process::adopt_orphans(true).map_err(|errno| Error::system("adopting orphans", errno))?;
        let ended = self.map().and_then(|(regions, mains)| {
            let tree = Tree::new(&regions, mains)?;
            let ended = tree.run(stop);
            regions.iter().for_each(Region::unmap);
            ended
        });
        process::reap_orphans();
        let _ = process::adopt_orphans(false);
        ended
    }

    fn check(&self) -> Result<()> {
        for (i, daemon) in self.daemons.iter().enumerate() {
            daemon.declaration.check()?;
            let name = &daemon.declaration.name;
            if self.daemons[..i].iter().any(|other| other.declaration.name == *name) {
                return Err(Error::Declaration { daemon: name.clone(), what: "another daemon has this name".into() });
            }
        }
        let declared: Vec<_> = self
            .daemons
            .iter()
            .map(|daemon| (daemon.declaration.name.clone(), region::bytes_declared(&daemon.declaration)))
            .collect();
        let largest = declared.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
        prime::check_limit(Resource::RLIMIT_FSIZE, "the size of files (ulimit -f), bytes", largest)?;
        declaration::check_fits(&declared, declaration::available()?)
    }

    /// The regions and, in the same order, the daemons' lives.
    fn map(self) -> Result<(Arc<[Region]>, Vec<Main<'a>>)> {
        let several = self.daemons.len() > 1;
        let (mut regions, mut mains) = (Vec::<Region>::new(), Vec::new());
        for daemon in self.daemons {
            let start = region::address_after(regions.last());
            let readers = several && !daemon.declaration.hidden;
            match Region::map(daemon.declaration, start, daemon.state_type, readers) {
                Ok(region) => regions.push(region),
                Err(error) => {
                    regions.iter().for_each(Region::unmap);
                    return Err(error);
                }
            }
            mains.push(daemon.main);
        }
        Ok((regions.into(), mains))
    }
}

/// One daemon as the root follows it.
struct Followed {
    life: Life,
    history: History,
    restarts: u64,
}

enum Life {
    Running(OwnedFd),
    /// To be forked at this time.
    Waiting {
        until_ns: u64,
        zero: bool,
        crash: Box<Crash>,
    },
    Ended,
}

struct Tree<'t, 'a> {
    regions: &'t Arc<[Region]>,
    mains: Vec<Main<'a>>,
    followed: Vec<Followed>,
    /// Raised by a daemon's crash handler.
    event: OwnedFd,
    shutdown: Arc<OwnedFd>,
    first_error: Option<Error>,
}

impl<'t, 'a> Tree<'t, 'a> {
    fn new(regions: &'t Arc<[Region]>, mains: Vec<Main<'a>>) -> Result<Self> {
        let eventfd = || event::eventfd().map_err(|errno| Error::system("an event descriptor", errno));
        let (event, shutdown) = (eventfd()?, Arc::new(eventfd()?));
        Ok(Self { regions, mains, followed: Vec::new(), event, shutdown, first_error: None })
    }

    fn run(mut self, mut stop: StopSignals) -> Result<()> {
        for index in 0..self.mains.len() {
            let life = match self.fork(index, false, None, 0) {
                Ok(pidfd) => Life::Running(pidfd),
                Err(error) => {
                    self.end_all(Duration::ZERO);
                    return Err(error);
                }
            };
            self.followed.push(Followed { life, history: History::new(), restarts: 0 });
        }
        while self.followed.iter().any(|daemon| !matches!(daemon.life, Life::Ended)) {
            if let Err(error) = self.step(&stop) {
                self.end_all(GRACE);
                return Err(error);
            }
            if let Some(signal) = stop.take() {
                self.end_all(GRACE);
                return Err(Error::Stopped { signal });
            }
        }
        self.first_error.map_or(Ok(()), Err)
    }

    /// Waits for the next event and sees to it.
    fn step(&mut self, stop: &StopSignals) -> Result<()> {
        let now = clock::now_ns();
        let due = self.followed.iter().filter_map(|daemon| match daemon.life {
            Life::Waiting { until_ns, .. } => Some(until_ns),
            _ => None,
        });
        let timeout = due.min().map(|until| Duration::from_nanos(until.saturating_sub(now)));
        let mut fds: Vec<BorrowedFd<'_>> = vec![stop.as_fd(), self.event.as_fd()];
        let mut running = Vec::new();
        for (index, daemon) in self.followed.iter().enumerate() {
            if let Life::Running(pidfd) = &daemon.life {
                running.push(index);
                fds.push(pidfd.as_fd());
            }
        }
        let readable = event::wait_any(&fds, timeout).map_err(|errno| Error::system("watching the daemons", errno))?;
        drop(fds);
        let noticed_ns = clock::now_ns();
        if readable[1] {
            event::lower(&self.event);
        }
        for (i, index) in running.into_iter().enumerate() {
            if readable[2 + i] {
                self.ended(index, noticed_ns)?;
            }
        }
        for index in 0..self.followed.len() {
            if let Life::Waiting { until_ns, zero, crash } = &self.followed[index].life
                && *until_ns <= clock::now_ns()
            {
                let (zero, crash) = (*zero, **crash);
                let restarts = self.followed[index].restarts;
                let pidfd = self.fork(index, zero, Some(crash), restarts)?;
                self.followed[index].life = Life::Running(pidfd);
            }
        }
        Ok(())
    }

    /// A daemon has ended: done, failed, or crashed.
    fn ended(&mut self, index: usize, noticed_ns: u64) -> Result<()> {
        let Life::Running(pidfd) = &self.followed[index].life else { return Ok(()) };
        let status = event::reap(pidfd).map_err(|errno| Error::system("waiting for a daemon to end", errno))?;
        let region = &self.regions[index];
        let name = region.declaration.name.clone();
        let mailbox = region.daemon_mailbox();
        end_orphan(mailbox.child.load(Ordering::Relaxed));
        let followed = &mut self.followed[index];
        // An exit before the daemon said how its life ended is a crash, as it is of a transaction.
        if status == event::Status::Exited(0) && mailbox.end() != End::None {
            followed.life = Life::Ended;
            if mailbox.end() == End::Failed {
                let message = mailbox.failure().message().to_owned();
                self.first_error.get_or_insert(Error::Daemon { daemon: name, message });
            }
            return Ok(());
        }
        let committed = mechanism::of(region.declaration.mechanism).committed(region);
        let operations = committed.operations.load(Ordering::Relaxed);
        let crash = notice::read(mailbox, &Ending::Status(status), noticed_ns, operations);
        followed.history.push(crash);
        let declared = &region.declaration;
        let decision = policy::decide(&*declared.policy, &crash, &followed.history);
        followed.history.decided(decision);
        if decision.action == Action::GiveUp || declared.intensity.exceeded(&followed.history) {
            followed.life = Life::Ended;
            let restarts = followed.restarts;
            let gave_up = Error::DaemonGaveUp { daemon: name, restarts, crash: Box::new(crash) };
            self.first_error.get_or_insert(gave_up);
            return Ok(());
        }
        followed.restarts += 1;
        let delay = u64::try_from(decision.delay.as_nanos()).unwrap_or(u64::MAX / 2);
        followed.life = Life::Waiting {
            until_ns: clock::now_ns().saturating_add(delay),
            zero: decision.action == Action::Zero,
            crash: Box::new(crash),
        };
        Ok(())
    }

    /// Forks daemon `index`; in the child, lives its life.
    fn fork(&self, index: usize, zero: bool, crash: Option<Crash>, restarts: u64) -> Result<OwnedFd> {
        let region = &self.regions[index];
        let incarnation = restarts + 1;
        region.daemon_mailbox().prepare(incarnation, 0, clock::now_ns());
        let root = process::id();
        let name = &region.declaration.name;
        // SAFETY: `Root::run` has checked that this process has one thread; it starts none.
        let forked = unsafe { process::fork() };
        match forked.map_err(|errno| Error::system(format!("forking daemon `{name}`"), errno))? {
            Forked::Child => self.live(index, root, zero, crash, restarts),
            Forked::Parent(pid) => event::pidfd(pid).map_err(|errno| {
                process::end_child(pid);
                Error::system(format!("following daemon `{name}` by a pidfd"), errno)
            }),
        }
    }

    /// A daemon's life, from its first instruction to its exit.
    fn live(&self, index: usize, root: i32, zero: bool, crash: Option<Crash>, restarts: u64) -> ! {
        if !process::die_with_parent(root) {
            process::exit_now(1);
        }
        let region = &self.regions[index];
        let mailbox = region.daemon_mailbox();
        here::become_kind(Kind::Daemon, region.parts.state, region.parts.scratch, mailbox, self.event.as_raw_fd());
        let life = || -> Result<()> {
            let core = self.settle(index, crash, restarts)?;
            (self.mains[index])(core, zero)
        };
        let result = panics::catch(life).map_err(|panic| {
            let place = if panic.place().is_empty() { String::new() } else { format!(" at {}", panic.place()) };
            format!("panicked{place}: {}", panic.message())
        });
        match result {
            Ok(Ok(()) | Err(Error::Stopping)) => mailbox.end.store(End::Done as u32, Ordering::Release),
            Ok(Err(error)) => mailbox.fail(&Failure::new(error)),
            Err(panic) => mailbox.fail(&Failure::new(panic)),
        }
        use std::io::Write;
        let _ = std::io::stdout().flush();
        process::exit_now(0)
    }

    /// Makes a fresh process the daemon that it is to be.
    fn settle(&self, index: usize, crash: Option<Crash>, restarts: u64) -> Result<Core> {
        let region = &self.regions[index];
        let failed = |what: &'static str| move |errno: Errno| Error::system(what, errno);
        // SAFETY: the signal stack is this region's own, and this is the main thread of its daemon.
        unsafe { process::use_signal_stack(region.parts.signal_stack) }.map_err(failed("the signal stack"))?;
        notice::install_handler().map_err(failed("the crash handler"))?;
        prime::be_killed_before_the_root();
        for (other, foreign) in self.regions.iter().enumerate() {
            if other != index {
                foreign.disown()?;
            }
        }
        region.adopt()?;
        mechanism::of(region.declaration.mechanism).recover(region).map_err(failed("finishing a commit under way"))?;
        let event = event::eventfd().map_err(failed("an event descriptor"))?;
        let mapped = prime::bytes_mapped()?;
        process::limit_address_space(mapped).map_err(failed("limiting the address space"))?;
        Ok(Core {
            regions: Arc::clone(self.regions),
            index,
            event,
            shutdown: Arc::clone(&self.shutdown),
            address_space: mapped - region.bytes_kept_from_transactions() as u64,
            restarted: restarts,
            crash,
            drop_result: None,
            report: Report::default(),
        })
    }

    /// Shuts the tree down: asks every daemon to end, and kills those that have not ended within `grace`.
    fn end_all(&mut self, grace: Duration) {
        event::raise(self.shutdown.as_raw_fd());
        let until = clock::now_ns() + u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX / 2);
        for (index, daemon) in self.followed.iter_mut().enumerate() {
            if let Life::Running(pidfd) = &daemon.life {
                // What it says now does not matter any more: it is gone, that is what counts.
                let left = Duration::from_nanos(until.saturating_sub(clock::now_ns()));
                let _ = notice::wait_until_gone(pidfd, left);
                end_orphan(self.regions[index].daemon_mailbox().child.load(Ordering::Relaxed));
            }
            daemon.life = Life::Ended;
        }
    }
}

/// Ends and reaps a dead daemon's transaction. It dies with its daemon; this waits until it has, so that no successor
/// meets it. The id comes from memory that a crashed process could write, so only a child of the root is touched.
fn end_orphan(pid: i32) {
    if pid <= 0 || !process::is_own_child(pid) {
        return;
    }
    if let Ok(pidfd) = event::pidfd(pid) {
        let _ = notice::wait_until_gone(&pidfd, Duration::from_secs(1));
    }
}

impl std::fmt::Debug for Root<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<(&str, usize, MechanismKind)> = self
            .daemons
            .iter()
            .map(|d| (d.declaration.name.as_str(), d.declaration.bytes, d.declaration.mechanism))
            .collect();
        f.debug_struct("Root").field("daemons", &names).finish()
    }
}
