//! The root at work: forks the daemons, follows them, makes them again when they crash, and shuts the tree down.

use crate::crash::Crash;
use crate::crew::Crew;
use crate::daemon_core::Core;
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::here::{self, Kind};
use crate::mailbox::End;
use crate::mechanism;
use crate::mechanism::auto::{self, Auto};
use crate::notice::{self, Ending};
use crate::panics;
use crate::policy::{self, Action, History};
use crate::prime;
use crate::region::Region;
use crate::report::Report;
use crate::spare::{Measured, SpinBudget};
use crate::sys::process::{self, Forked};
use crate::sys::signal::StopSignals;
use crate::sys::{Errno, clock, event, processors};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long daemons may take to end by themselves when the tree shuts down.
const GRACE: Duration = Duration::from_secs(5);

/// A daemon's life; the flag asks for its state to be made anew.
pub(crate) type Main<'a> = Box<dyn Fn(Core, bool) -> Result<()> + 'a>;

/// One daemon as the root follows it.
struct Followed {
    life: Life,
    history: History,
    restarts: u64,
}

enum Life {
    /// Its process, by a pidfd and by its id.
    Running(OwnedFd, i32),
    /// To be forked at this time.
    Waiting {
        until_ns: u64,
        zero: bool,
        crash: Box<Crash>,
    },
    Ended,
}

pub(crate) struct Tree<'t, 'a> {
    regions: &'t Arc<[Region]>,
    mains: Vec<Main<'a>>,
    followed: Vec<Followed>,
    /// Raised by a daemon's crash handler.
    event: OwnedFd,
    shutdown: Arc<OwnedFd>,
    first_error: Option<Error>,
    /// Keepers whose transactions died with their daemon.
    strays: Vec<i32>,
}

impl<'t, 'a> Tree<'t, 'a> {
    pub(crate) fn new(regions: &'t Arc<[Region]>, mains: Vec<Main<'a>>) -> Result<Self> {
        let eventfd = || event::eventfd().map_err(|errno| Error::system("an event descriptor", errno));
        let (event, shutdown) = (eventfd()?, Arc::new(eventfd()?));
        Ok(Self { regions, mains, followed: Vec::new(), event, shutdown, first_error: None, strays: Vec::new() })
    }

    /// Forks all daemons and follows them until the last has ended.
    pub(crate) fn run(mut self, mut stop: StopSignals) -> Result<()> {
        for index in 0..self.mains.len() {
            let life = match self.fork(index, false, None, 0) {
                Ok(life) => life,
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
        self.end_strays();
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
            if let Life::Running(pidfd, _) = &daemon.life {
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
                self.followed[index].life = self.fork(index, zero, Some(crash), restarts)?;
            }
        }
        Ok(())
    }

    /// A daemon has ended: done, failed, or crashed.
    fn ended(&mut self, index: usize, noticed_ns: u64) -> Result<()> {
        let Life::Running(pidfd, _) = &self.followed[index].life else { return Ok(()) };
        let status = event::reap(pidfd).map_err(|errno| Error::system("waiting for a daemon to end", errno))?;
        let region = &self.regions[index];
        let name = region.declaration.name.clone();
        let mailbox = region.daemon_mailbox();
        let orphans = mailbox.children.each_ref().map(|child| child.load(Ordering::Relaxed));
        orphans.into_iter().chain(forks(region)).for_each(|pid| self.end_orphan(pid));
        self.strays.extend(keepers(region));
        self.strays.retain(|&pid| process::is_own_child(pid) && !process::reap_if_gone(pid));
        // Of one that was forked in its daemon's last moment nobody knows.
        process::reap_orphans(|pid| self.follows(pid));
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
        let committed = mechanism::in_use(region).committed(region);
        let crash = notice::read(mailbox, &Ending::Status(status), noticed_ns, committed.committed());
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
    fn fork(&self, index: usize, zero: bool, crash: Option<Crash>, restarts: u64) -> Result<Life> {
        let region = &self.regions[index];
        let incarnation = restarts + 1;
        region.daemon_mailbox().prepare(incarnation, 0, clock::now_ns());
        let root = process::id();
        let name = &region.declaration.name;
        region.let_forks_have(true)?;
        // SAFETY: `Root::run` has checked that this process has one thread; it starts none.
        let forked = unsafe { process::fork() };
        match forked.map_err(|errno| Error::system(format!("forking daemon `{name}`"), errno))? {
            Forked::Child => self.live(index, root, zero, crash, restarts),
            Forked::Parent(pid) => {
                region.let_forks_have(false)?;
                event::pidfd(pid).map(|pidfd| Life::Running(pidfd, pid)).map_err(|errno| {
                    process::end_child(pid);
                    Error::system(format!("following daemon `{name}` by a pidfd"), errno)
                })
            }
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
        region.adopt()?;
        // SAFETY: the signal stack is this region's own, and this is the main thread of its daemon.
        unsafe { process::use_signal_stack(region.parts.signal_stack) }.map_err(failed("the signal stack"))?;
        notice::install_handler().map_err(failed("the crash handler"))?;
        prime::be_killed_before_the_root();
        // It does little at a time, and others wait for it.
        processors::ask_short_slices();
        processors::find_out();
        for (other, foreign) in self.regions.iter().enumerate() {
            if other != index {
                foreign.disown()?;
            }
        }
        mechanism::in_use(region).recover(region).map_err(failed("finishing a commit under way"))?;
        // Keepers of dead transactions become the daemon's.
        process::adopt_orphans(true).map_err(failed("adopting orphans"))?;
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
            report: Report { mechanism: auto::in_use(region), ..Report::default() },
            crew: Crew::new(self.regions, index),
            auto: Auto::of(region),
            measured: Measured::default(),
            spin_budget: SpinBudget::default(),
            spare_bytes: 0,
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        })
    }

    /// Ends and reaps a dead daemon's transaction, or such a one's keeper. It dies with its daemon; this waits until it has, so that no successor
    /// meets it. The id comes from memory that a crashed process could write, so only a child of the root is touched,
    /// and no daemon.
    fn end_orphan(&self, pid: i32) {
        if pid <= 0 || self.follows(pid) || !process::is_own_child(pid) {
            return;
        }
        if let Ok(pidfd) = event::pidfd(pid) {
            let _ = notice::wait_until_gone(&pidfd, Duration::from_secs(1));
        }
    }

    /// Whether `pid` is a daemon that runs, or has ended and has not been reaped yet.
    fn follows(&self, pid: i32) -> bool {
        self.followed.iter().any(|daemon| matches!(daemon.life, Life::Running(_, other) if other == pid))
    }

    /// Shuts the tree down: asks every daemon to end, and kills those that have not ended within `grace`.
    fn end_all(&mut self, grace: Duration) {
        event::raise(self.shutdown.as_raw_fd());
        let until = clock::now_ns() + u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX / 2);
        let mut orphans = Vec::new();
        for daemon in &self.followed {
            if let Life::Running(pidfd, _) = &daemon.life {
                // What it says now does not matter any more: it is gone, that is what counts.
                let left = Duration::from_nanos(until.saturating_sub(clock::now_ns()));
                let _ = notice::wait_until_gone(pidfd, left);
            }
        }
        for (daemon, region) in self.followed.iter_mut().zip(self.regions.iter()) {
            if !matches!(std::mem::replace(&mut daemon.life, Life::Ended), Life::Ended) {
                self.strays.extend(keepers(region));
                orphans.extend(region.daemon_mailbox().children.each_ref().map(|child| child.load(Ordering::Relaxed)));
                orphans.extend(forks(region));
            }
        }
        orphans.into_iter().for_each(|pid| self.end_orphan(pid));
        self.end_strays();
    }

    /// Waits until the keepers of dead transactions are gone, which takes them a few milliseconds.
    fn end_strays(&mut self) {
        std::mem::take(&mut self.strays).into_iter().for_each(|pid| self.end_orphan(pid));
    }
}

/// The keepers of a region's transactions, as far as their mailboxes can be believed.
fn keepers(region: &Region) -> impl Iterator<Item = i32> {
    (0..region.seats()).map(|seat| region.seat(seat).keeper.load(Ordering::Relaxed)).filter(|pid| *pid > 0)
}

/// The processes that a region's transactions have forked at their commits, of which their daemon may not have known yet.
fn forks(region: &Region) -> impl Iterator<Item = i32> {
    (0..region.seats()).map(|seat| region.seat(seat).chain.pid.load(Ordering::Relaxed)).filter(|pid| *pid > 0)
}
