//! Starting a run's tree by exec, and ending it.
//!
//! The tree's root must have one thread and die with this program, so it is this program again ([`child`]). Orphans of
//! a dead root become this program's children (`PR_SET_CHILD_SUBREAPER`), so that none is left as a zombie.

use super::message::{DaemonSetup, Order, Reply, Setup};
use crate::child;
use crate::record::Levels;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A running tree.
pub(super) struct Tree {
    child: Child,
    orders: Vec<File>,
    replies: PipeReader,
    /// What was read of a reply that is not whole yet.
    partial: Vec<u8>,
}

/// What comes of waiting for a reply.
pub(super) enum Heard {
    /// A reply.
    Reply(Reply),
    /// None in time.
    Nothing,
    /// The tree has ended: how, in words.
    Ended(String),
}

impl Tree {
    /// Starts a tree. `setup` says all but the descriptors, which are made here.
    pub(super) fn start(mut setup: Setup) -> io::Result<Self> {
        nix::sys::prctl::set_child_subreaper(true)?;
        let (replies, replies_up) = io::pipe()?;
        let mut theirs: Vec<std::os::fd::OwnedFd> = Vec::new();
        let mut orders = Vec::new();
        for daemon in &mut setup.daemons {
            let (down, ours) = io::pipe()?;
            daemon.orders = down.as_raw_fd();
            theirs.push(down.into());
            orders.push(File::from(std::os::fd::OwnedFd::from(ours)));
        }
        let (down, ours) = io::pipe()?;
        setup.neighbour = down.as_raw_fd();
        theirs.push(down.into());
        orders.push(File::from(std::os::fd::OwnedFd::from(ours)));
        setup.replies = replies_up.as_raw_fd();
        theirs.push(replies_up.into());
        let raw: Vec<i32> = theirs.iter().map(AsRawFd::as_raw_fd).collect();
        let mut command = child::again("tree", raw)?;
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn()?;
        drop(theirs);
        if let Some(mut stdin) = child.stdin.take() {
            serde_json::to_writer(&mut stdin, &setup)?;
        }
        Ok(Self { child, orders, replies, partial: Vec::new() })
    }

    /// Gives daemon number `daemon` an order.
    pub(super) fn order(&mut self, daemon: usize, order: &Order) -> io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.orders[daemon].write_all(&line)
    }

    /// Waits at most `patience` for a reply; `interrupted` ends the wait early.
    pub(super) fn hear(&mut self, patience: Duration, interrupted: impl Fn() -> bool) -> io::Result<Heard> {
        const STEP: u16 = 100;
        let until = Instant::now() + patience;
        loop {
            if let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.partial.drain(..=end).collect();
                return Ok(Heard::Reply(serde_json::from_slice(&line)?));
            }
            let mut fds = [PollFd::new(self.replies.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::from(STEP)) {
                Ok(0) | Err(Errno::EINTR) if interrupted() || Instant::now() > until => return Ok(Heard::Nothing),
                Ok(0) | Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
                Ok(_) => {}
            }
            let mut buffer = [0; 1 << 16];
            match self.replies.read(&mut buffer)? {
                0 => return Ok(Heard::Ended(self.child.wait()?.to_string())),
                n => self.partial.extend_from_slice(&buffer[..n]),
            }
        }
    }

    /// Ends the tree in order: no more orders. One that has not ended within `grace` gets SIGTERM, then SIGKILL.
    pub(super) fn end(mut self, grace: Duration) -> io::Result<()> {
        self.orders.clear();
        let pid = Pid::from_raw(self.child.id().cast_signed());
        for (signal, patience) in [
            (None, grace),
            (Some(Signal::SIGTERM), Duration::from_secs(8)),
            (Some(Signal::SIGKILL), Duration::from_secs(60)),
        ] {
            if let Some(signal) = signal {
                // The child has not been waited for, so the id is still its own.
                let _ = kill(pid, signal);
            }
            let until = Instant::now() + patience;
            while Instant::now() < until {
                if self.child.try_wait()?.is_some() {
                    reap_orphans();
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        Err(io::Error::other(format!("the tree's root, process {pid}, does not end")))
    }
}

/// Reaps the orphans of a root that is gone, until there are none; they die with it, so this takes a moment at most.
fn reap_orphans() {
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(2)),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// The daemon that makes the trials of a cell; its descriptor is made when it starts.
pub(super) fn setup_of(levels: &Levels) -> DaemonSetup {
    DaemonSetup {
        workload: levels.workload.clone(),
        mechanism: levels.mechanism.clone(),
        region_bytes: levels.region_bytes,
        orders: -1,
    }
}

/// The daemons of a run: one for each combination of workload, mechanism and region size.
pub(super) fn daemons<'a>(levels: impl Iterator<Item = &'a Levels>) -> Vec<DaemonSetup> {
    let mut daemons: Vec<DaemonSetup> = Vec::new();
    for levels in levels {
        let daemon = setup_of(levels);
        if !daemons.contains(&daemon) {
            daemons.push(daemon);
        }
    }
    daemons
}
