//! The life of a transaction as its daemon sees it: fork, watch, and after a crash notice, decide, restore, fork again.
//!
//! ```text
//! begin → fork → watch ─┬─ done, failed, gave up ──────────────────────────────▶ end
//!           ▲           └─ crash: stop it, record, decide ─┬─ give up, limit ──▶ end
//!           └──────── restore ◀── delay ◀──────────────────┘
//! ```

use crate::crash::Crash;
use crate::daemon_core::Core;
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::link;
use crate::mailbox::{ANSWER_DONE, ANSWER_REFUSED, End, Mailbox, Request};
use crate::mechanism::Taken;
use crate::notice::{self, Ending};
use crate::point::{self, Point};
use crate::policy::{self, Action, Decision, History, Intensity, RestartPolicy};
use crate::region::Region;
use crate::report::{Recovery, Report};
use crate::spare::{Spare, Start};
use crate::sys::process::{self, Forked};
use crate::sys::{Errno, clock, event};
use crate::transaction::{self, Begin, Program};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a crashed process may take to die by itself before it is killed.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a transaction is supervised.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) heartbeat: Duration,
    pub(crate) intensity: Intensity,
    pub(crate) spare: Spare,
}

/// How a transaction ended.
pub(crate) enum Ended {
    /// Done; its result lives at this address of the state (0: it has none).
    Done(u64),
    Failed(Failure),
    GaveUp(Box<Crash>),
}

fn failed(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::system(what, errno)
}

/// Runs a transaction until it is done, fails, or is given up.
pub(crate) fn run(
    core: &mut Core,
    program: &Program<'_>,
    policy: &dyn RestartPolicy,
    settings: Settings,
) -> Result<Ended> {
    supervise(core, program, policy, settings, None)
}

/// Makes the state anew by a transaction that does nothing else; a crash in it is not retried.
pub(crate) fn make_state(core: &mut Core, program: &Program<'_>) -> Result<Ended> {
    let declared = &core.region().declaration;
    let settings = Settings { heartbeat: declared.heartbeat, intensity: declared.intensity, spare: Spare::Cold };
    supervise(core, program, &GiveUp, settings, Some(Action::Zero))
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
    mut action: Option<Action>,
) -> Result<Ended> {
    let mechanism = core.mechanism();
    let live_before = crate::heap::live_bytes(core.region().head());
    let commits_before = core.region().ledger().commit.load(Ordering::Relaxed);
    let mut report = std::mem::take(&mut core.report);
    report.recoveries.clear();
    report.crashes = 0;

    let ended = attempts(core, program, policy, settings, &mut action, &mut report);
    if ended.is_err() {
        mechanism.restore(core.region());
    }
    mechanism.end(core.region()).map_err(failed("opening the gate"))?;

    report.live_bytes = (live_before, crate::heap::live_bytes(core.region().head()));
    report.commits = core.region().ledger().commit.load(Ordering::Relaxed) - commits_before;
    core.report = report;
    ended
}

/// Incarnation after incarnation. On return the state part holds the last commit, unless the engine itself failed.
fn attempts(
    core: &Core,
    program: &Program<'_>,
    policy: &dyn RestartPolicy,
    settings: Settings,
    action: &mut Option<Action>,
    report: &mut Report,
) -> Result<Ended> {
    let (region, mechanism) = (core.region(), core.mechanism());
    let ledger = region.ledger();
    let transaction = ledger.incarnations.load(Ordering::Relaxed) + 1;
    let mut history = History::new();
    let mut crash: Option<Crash> = None;
    let mut set_aside = false;
    let mut redo_target = 0;
    loop {
        mechanism.begin(region).map_err(failed("closing the gate"))?;
        let incarnation = ledger.incarnations.fetch_add(1, Ordering::Relaxed) + 1;
        region.mailbox().prepare(incarnation, redo_target, clock::now_ns());
        let begin = Begin {
            transaction,
            incarnation,
            zero: *action == Some(Action::Zero),
            crash,
            asks: *action == Some(Action::ProcessDecides),
            history: &history,
            set_aside,
            daemon: process::id(),
            address_space: core.address_space,
            event: core.event.as_raw_fd(),
        };
        let child = fork(core, program, begin)?;
        let watched = watch(core, &child, settings.heartbeat);
        if watched.is_err() {
            // It may run still, and must not when its state is restored.
            let _ = notice::wait_until_gone(&child, Duration::ZERO);
        }
        region.daemon_mailbox().child.store(0, Ordering::Relaxed);
        let (ending, noticed_ns) = watched?;
        let gone_ns = clock::now_ns();
        report.complete(region.mailbox());

        let committed = mechanism.committed(region);
        if committed.done.load(Ordering::Relaxed) == transaction {
            if !matches!(ending, Ending::Status(event::Status::Exited(0))) {
                mechanism.restore(region);
            }
            return Ok(Ended::Done(region.head().result.load(Ordering::Relaxed)));
        }
        let committed_operations = committed.operations.load(Ordering::Relaxed);
        let mut new = notice::read(region.mailbox(), &ending, noticed_ns, committed_operations);
        if let Some(ended) = told_end(region, &ending, crash) {
            mechanism.restore(region);
            return Ok(ended);
        }
        new.heap_locked = mechanism.heap_locked(region);
        history.push(new);
        let decision = policy::decide(policy, &new, &history);
        history.decided(decision);
        let decided_ns = clock::now_ns();
        redo_target = redo_target.max(new.operation);
        let gives_up = decision.action == Action::GiveUp || settings.intensity.exceeded(&history);
        set_aside = false;
        if !gives_up {
            wait(core, decision.delay)?;
            set_aside =
                decision.action == Action::ProcessDecides && program.decide.is_some() && mechanism.set_aside(region);
        }
        point::pass(Point::DaemonRestore);
        if gives_up || decision.action != Action::Zero {
            mechanism.restore(region);
        }
        report.add(Recovery {
            crash: new,
            decision,
            answered: None,
            gone_ns,
            decided_ns,
            restored_ns: clock::now_ns(),
            started_ns: 0,
            first_operation_ns: 0,
            redone_ns: 0,
            resumed_operations: None,
            started_by: Start::Cold,
            faults: 0,
        });
        if gives_up {
            return Ok(Ended::GaveUp(Box::new(new)));
        }
        crash = Some(new);
        *action = Some(decision.action);
    }
}

/// The ends that a process tells itself, and that are no crashes: believed with exit status 0.
fn told_end(region: &Region, ending: &Ending, crash: Option<Crash>) -> Option<Ended> {
    let mailbox = region.mailbox();
    match ending {
        Ending::Status(event::Status::Exited(0)) => match mailbox.end() {
            End::Failed => Some(Ended::Failed(mailbox.failure())),
            End::GaveUp => crash.map(|crash| Ended::GaveUp(Box::new(crash))),
            End::None | End::Done => None,
        },
        _ => None,
    }
}

/// Forks a transaction; in the child, runs it.
fn fork(core: &Core, program: &Program<'_>, begin: Begin<'_>) -> Result<OwnedFd> {
    use std::io::Write;
    event::lower(&core.event);
    // What is buffered must not be printed twice.
    let _ = std::io::stdout().flush();
    // SAFETY: a daemon has one thread (its closure cannot start another: no stack could be mapped for it).
    match unsafe { process::fork() }.map_err(failed("forking a transaction"))? {
        Forked::Child => transaction::run(core.region(), program, begin),
        Forked::Parent(pid) => {
            core.region().daemon_mailbox().child.store(pid, Ordering::Relaxed);
            event::pidfd(pid).map_err(|errno| {
                process::end_child(pid);
                core.region().daemon_mailbox().child.store(0, Ordering::Relaxed);
                Error::system("following a transaction by a pidfd", errno)
            })
        }
    }
}

/// Follows a transaction to its end, which it answers together with when it was noticed. The process has been reaped.
fn watch(core: &Core, child: &OwnedFd, heartbeat: Duration) -> Result<(Ending, u64)> {
    let region = core.region();
    let mailbox = region.mailbox();
    let gone = |patience| notice::wait_until_gone(child, patience).map_err(failed("waiting for a transaction to end"));
    let mut alive_ns = mailbox.beat_ns.load(Ordering::Relaxed);
    loop {
        let left = heartbeat.saturating_sub(silence(&mut alive_ns, mailbox, clock::now_ns()));
        let fds = [core.event.as_fd(), child.as_fd(), core.shutdown.as_fd()];
        let [raised, ended, shutdown] =
            event::wait_readable(fds, Some(left)).map_err(failed("watching a transaction"))?;
        let mut noticed_ns = clock::now_ns();
        if raised {
            event::lower(&core.event);
        }
        if serve(core)? {
            // What happened while the daemon was at work becomes known only now.
            noticed_ns = clock::now_ns();
        }
        if notice::is_complete(mailbox) || ended {
            return Ok((Ending::Status(gone(PATIENCE)?), noticed_ns));
        }
        if shutdown {
            gone(Duration::ZERO)?;
            return Err(Error::Stopping);
        }
        let silent = silence(&mut alive_ns, mailbox, noticed_ns);
        if silent >= heartbeat && link::pending(mailbox).is_none() {
            let stopped = event::is_stopped(child);
            gone(Duration::ZERO)?;
            return Ok((Ending::Silent { silent, stopped }, noticed_ns));
        }
    }
}

/// How long a transaction has given no sign of life, the last of which was at `alive_ns`. A time that has not come yet
/// is none: a wild write over the mailbox must not keep a process that hangs from being noticed.
fn silence(alive_ns: &mut u64, mailbox: &Mailbox, now_ns: u64) -> Duration {
    let beat_ns = mailbox.beat_ns.load(Ordering::Relaxed);
    if beat_ns <= now_ns {
        *alive_ns = beat_ns.max(*alive_ns);
    }
    Duration::from_nanos(now_ns.saturating_sub(*alive_ns))
}

/// Does what the transaction asks for; whether it asked.
fn serve(core: &Core) -> Result<bool> {
    let (region, mechanism) = (core.region(), core.mechanism());
    let mailbox = region.mailbox();
    let Some(request) = link::pending(mailbox) else { return Ok(false) };
    let done = if request == Request::Commit as u32 {
        point::pass(Point::Log);
        let taken = mechanism.take(region).map_err(failed("making a commit"))?;
        point::pass(Point::Acknowledge);
        taken != Taken::Refused
    } else {
        request == Request::Keep as u32 && mechanism.put_back(region)
    };
    // The time that the daemon took is not the transaction's silence.
    mailbox.beat_ns.store(clock::now_ns(), Ordering::Relaxed);
    link::answer(mailbox, if done { ANSWER_DONE } else { ANSWER_REFUSED });
    Ok(true)
}

/// Waits out a policy's delay, unless the tree shuts down.
fn wait(core: &Core, delay: Duration) -> Result<()> {
    let until = clock::now_ns().saturating_add(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX));
    loop {
        let left = Duration::from_nanos(until.saturating_sub(clock::now_ns()));
        if left.is_zero() {
            return Ok(());
        }
        let [shutdown] = event::wait_readable([core.shutdown.as_fd()], Some(left)).map_err(failed("waiting"))?;
        if shutdown {
            return Err(Error::Stopping);
        }
    }
}
