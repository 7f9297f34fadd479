//! The tree of a run: a root that was started by exec, one daemon for each workload, mechanism and region size, and a
//! neighbour whose region others try to write.

use super::daemon_policy::OfTrial;
use super::message::{DaemonSetup, NEIGHBOUR, Order, Reply, Setup};
use super::serve::{Bench, Tools};
use super::witness::Witness;
use super::work::Work;
use crate::catalog::minimum_region;
use crate::faults::Injector;
use crate::workloads::documents::{self, Index};
use crate::workloads::kv::KvState;
use crate::workloads::native::Summaries;
use crate::workloads::stencil::Grids;
use crashbed::{Daemon, Declaration, Error, Intensity, MIB, MechanismKind, Root};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// The stack of a workload's thread.
const STACK: usize = 256 << 10;

/// Runs the tree until the program closes the pipes of orders.
///
/// # Errors
/// What the engine says, and what is wrong with the setup.
pub fn run(setup: &Setup) -> crashbed::Result<()> {
    let injector = Injector::listening().map_err(Error::program)?;
    // The root's own, too, which asks for the daemons' policy as long as it lives.
    let witness: &Witness = Box::leak(Box::new(Witness::new().map_err(Error::program)?));
    let corpus = match &setup.corpus {
        Some(folder) => documents::list(folder).map_err(Error::program)?,
        None => Vec::new(),
    };
    let suite = &setup.suite;
    let intensity = Intensity {
        restarts: suite.intensity.restarts as usize,
        within: Duration::from_millis(suite.intensity.within_ms),
    };
    let tools = Tools { suite, corpus: &corpus, injector, witness, intensity };
    let mut root =
        Root::new().declare(Declaration::new(NEIGHBOUR, MIB).scratch(0), |daemon| neighbour(daemon, setup, injector));
    for daemon in &setup.daemons {
        let mechanism: MechanismKind = daemon.mechanism.parse().map_err(Error::program)?;
        let bytes = usize::try_from(daemon.region_bytes).map_err(Error::program)?;
        let declaration = Declaration::new(daemon.name(), bytes)
            .mechanism(mechanism)
            .heartbeat(Duration::from_millis(suite.heartbeat.deadline_ms))
            .kept_commits(suite.commits.kept)
            // The trial is what gives up, by its policy or its limit: the daemon outlives it.
            .policy(OfTrial { witness, intensity })
            .intensity(Intensity::UNLIMITED);
        root = match daemon.workload.as_str() {
            "kv" => declare::<KvState>(root, declaration, setup, daemon, tools),
            "documents" => declare::<Index>(root, declaration, setup, daemon, tools),
            "native" => declare::<Summaries>(root, declaration, setup, daemon, tools),
            "stencil" => declare::<Grids>(root, declaration, setup, daemon, tools),
            other => return Err(Error::program(format_args!("unknown workload `{other}`"))),
        };
    }
    root.run()
}

/// Holds a region that others try to write, and kills who asks for it, until the run is over.
fn neighbour(daemon: &mut Daemon<u64>, setup: &Setup, injector: &Injector) -> crashbed::Result<()> {
    const OVER: u64 = 0;
    const ASKED: u64 = 1;
    // SAFETY: the program left this descriptor open for this daemon alone.
    let until = unsafe { OwnedFd::from_raw_fd(setup.neighbour) };
    // SAFETY: the program left this descriptor open for the replies; a process of the tree has its own copy.
    let mut replies = unsafe { File::from_raw_fd(setup.replies) };
    let either = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(Error::program)?;
    either.add(&until, EpollEvent::new(EpollFlags::EPOLLIN, OVER)).map_err(Error::program)?;
    either.add(injector.asked(), EpollEvent::new(EpollFlags::EPOLLIN, ASKED)).map_err(Error::program)?;
    say(&mut replies, &Reply::Ready)?;
    loop {
        daemon.wait_readable(either.0.as_fd())?;
        let mut ready = [EpollEvent::empty(); 2];
        let count = either.wait(&mut ready, EpollTimeout::ZERO).map_err(Error::program)?;
        if ready[..count].iter().any(|event| event.data() == OVER) {
            return Ok(());
        }
        injector.kill_who_asked();
    }
}

fn declare<'a, W: Work>(
    root: Root<'a>,
    declaration: Declaration,
    setup: &'a Setup,
    daemon: &'a DaemonSetup,
    tools: Tools<'a>,
) -> Root<'a> {
    let needed = minimum_region(&setup.suite.workload, &daemon.workload).bytes();
    // An allocation needs room for its alignment to a class of sizes too, which are up to a sixteenth apart.
    let unneeded = daemon.region_bytes.saturating_sub(needed) / 8 * 7;
    let unneeded = usize::try_from(unneeded).unwrap_or(usize::MAX);
    let declaration = declaration.threads(W::threads(&setup.suite), STACK);
    root.declare(declaration, move |this| {
        let mechanism = daemon.mechanism.parse().map_err(Error::program)?;
        let bench = Bench::<W>::new(this, tools, mechanism, unneeded);
        serve(bench, daemon, setup.replies)
    })
}

/// Takes orders until there are no more.
fn serve<W: Work>(mut bench: Bench<'_, W>, daemon: &DaemonSetup, replies: i32) -> crashbed::Result<()> {
    // SAFETY: the program left this descriptor open for this daemon alone; its former incarnations are gone.
    let orders = unsafe { OwnedFd::from_raw_fd(daemon.orders) };
    // SAFETY: the program left this descriptor open for the replies; a process of the tree has its own copy.
    let mut replies = unsafe { File::from_raw_fd(replies) };
    let mut orders = BufReader::new(File::from(orders));
    say(&mut replies, &bench.own_crash().unwrap_or(Reply::Ready))?;
    loop {
        bench.wait_readable(orders.get_ref().as_fd())?;
        let mut line = String::new();
        if orders.read_line(&mut line).map_err(Error::program)? == 0 {
            return Ok(());
        }
        let order: Order = serde_json::from_str(&line).map_err(Error::program)?;
        let reply = match order {
            Order::Trial { policy, fault, spare, seed, resumes } => {
                bench.trial(&policy, &fault, &spare, seed, resumes)?
            }
            Order::Batch { policy, fault, spare, seeds, touch } => {
                bench.batch(&policy, &fault, &spare, &seeds, touch)?
            }
            Order::Floor { notice, start, laps } => bench.floor(&notice, &start, laps)?,
        };
        say(&mut replies, &reply)?;
    }
}

/// One line, in one write.
fn say(replies: &mut File, reply: &Reply) -> crashbed::Result<()> {
    let mut line = serde_json::to_vec(reply).map_err(Error::program)?;
    line.push(b'\n');
    replies.write_all(&line).map_err(Error::program)
}
