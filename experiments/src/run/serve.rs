//! A daemon of a run: makes trials and measures floors on its own region.

use super::message::{CrashReply, Ended, NEIGHBOUR, Reply, Times, TrialReply};
use super::strike::{Shape, Strikes, strikes};
use super::work::{NoTarget, Tested, Work};
use crate::faults::{Fault, Injector};
use crate::suite::Suite;
use crate::workloads::digest::Digest;
use crate::workloads::documents::Document;
use crashbed::{BareNotice, BareStart, Crash, Daemon, Error, Failure, Intensity, Outcome, Recovery, Tx};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// A daemon with what its trials need.
pub(super) struct Bench<'a, W> {
    daemon: &'a mut Daemon<Tested<W>>,
    suite: &'a Suite,
    corpus: &'a [Document],
    injector: &'static Injector,
    intensity: Intensity,
    /// The seed of the newest trial, whose script the floor is measured with.
    last_seed: Option<u64>,
}

impl<'a, W: Work> Bench<'a, W> {
    pub(super) fn new(
        daemon: &'a mut Daemon<Tested<W>>,
        suite: &'a Suite,
        corpus: &'a [Document],
        injector: &'static Injector,
        intensity: Intensity,
    ) -> Self {
        Self { daemon, suite, corpus, injector, intensity, last_seed: None }
    }

    pub(super) fn wait_readable(&self, source: BorrowedFd<'_>) -> crashbed::Result<()> {
        self.daemon.wait_readable(source)
    }

    /// The crash that this incarnation of the daemon succeeds, and when the root knew.
    pub(super) fn own_crash(&self) -> Option<(CrashReply, u64)> {
        let crash = self.daemon.crash()?;
        // A daemon has no operations of its own: what its state holds is what its successor begins with.
        let operations = self.daemon.operations();
        let mut reply = crash_reply(crash, Some(operations));
        reply.words = reply.words.replacen(" in operation 0", " in the daemon", 1);
        Some((reply, crash.noticed_ns))
    }

    /// Makes a trial.
    pub(super) fn trial(&mut self, policy: &str, fault: &str, seed: u64, resume: bool) -> crashbed::Result<Reply> {
        let Some(policy) = crashbed_policies::by_name(policy) else {
            return Ok(Reply::Refused(format!("unknown policy `{policy}`")));
        };
        let script = match W::script(self.suite, self.corpus, seed) {
            Ok(script) => script,
            Err(why) => return Ok(Reply::Refused(why)),
        };
        let commit_every = W::commit_every(self.suite);
        let next_update = |index| W::next_update(&script, index);
        let shape = Shape { total: W::total(&script), commit_every, next_update: &next_update };
        let strikes = match strikes(fault, seed, self.suite, shape) {
            Ok(strikes) => strikes,
            Err(why) => return Ok(Reply::Refused(why)),
        };
        self.last_seed = Some(seed);
        if !resume || policy.name() == "zero-state" {
            self.daemon.zero()?;
        }
        if !resume && let Some(strikes) = &strikes {
            self.arm(strikes)?;
        }
        let kill_first = strikes.filter(|_| !resume).and_then(|strikes| strikes.kill_first);
        let injector = self.injector;
        let prepared = self.daemon.prepare(&policy).intensity(self.intensity).on_crash(&W::decide);
        let outcome = prepared.run(|tx, state| pass(tx, state, &script, commit_every, injector, kill_first, resume))?;
        injector.disarm();
        Ok(Reply::Trial(Box::new(self.reply(outcome, strikes.as_ref()))))
    }

    fn arm(&mut self, strikes: &Strikes) -> crashbed::Result<()> {
        if strikes.plan.fault() == Fault::ForeignWrite {
            let neighbour = self.daemon.peer::<u64>(NEIGHBOUR)?;
            let injector = self.injector;
            self.daemon.read(&neighbour, Duration::from_secs(1), |value| injector.aim(value))?;
        }
        self.injector.arm(&strikes.plan).map_err(Error::program)
    }

    fn reply(&self, outcome: Outcome<()>, strikes: Option<&Strikes>) -> TrialReply {
        let report = self.daemon.report();
        let state = self.daemon.state();
        let counts = strikes.map(|_| self.injector.counts()).unwrap_or_default();
        let strike = strikes.and_then(|_| self.injector.strike(0));
        let (ended, failure) = match outcome {
            Outcome::Done(()) => (Ended::Done, None),
            Outcome::Failed(failure) => (Ended::Failed, Some(failure.to_string())),
            Outcome::GaveUp(_) => (Ended::GaveUp, None),
        };
        let program = strikes.is_some_and(|strikes| strikes.plan.fault().row().kind == crate::faults::Kind::Program);
        let (figures, quarantined) = state.work.figures();
        TrialReply {
            ended,
            failed_as_injected: failure.is_some() && program && counts.injected > 0,
            failure,
            first: report.recoveries.first().map(|first| crash_reply(&first.crash, resumed(&report.recoveries))),
            crashes: report.crashes,
            times: report.recoveries.first().map(times),
            first_operation_ns: report.first_operation_ns,
            lost_operations: lost(&report.recoveries),
            planned: counts.planned,
            injected: counts.injected,
            activated: counts.activated,
            strike: strike.map(|strike| (strike.fault_ns, strike.operation)),
            operations: self.daemon.operations(),
            digest: Digest(state.work.digest()).to_string(),
            complaint: state.work.check().err().filter(|_| state.work.is_loaded()),
            redone: state.redone.map(|(operations, digest)| (operations, Digest(digest).to_string())),
            counts: figures,
            quarantined,
        }
    }

    /// Measures the floor with the newest trial's state and script.
    pub(super) fn floor(&mut self, notice: &str, laps: u64) -> crashbed::Result<Reply> {
        let notice = match notice {
            "kill" => BareNotice::Kill,
            "heartbeat" => BareNotice::Heartbeat(Duration::from_millis(self.suite.heartbeat.deadline_ms)),
            _ => BareNotice::Waitpid,
        };
        let script = self.last_seed.and_then(|seed| W::script(self.suite, self.corpus, seed).ok());
        let Some(script) = script.filter(|_| self.daemon.state().work.is_loaded()) else {
            return Ok(Reply::Floor(Vec::new()));
        };
        let mut measured = Vec::new();
        for lap in 0..laps {
            let index = lap * 7 % W::total(&script);
            let lap = self.daemon.floor(notice, BareStart::Cold, |state| {
                // An operation that the state refuses costs what it costs; nothing of it is kept.
                let _ = state.work.operate(None, &script, index, || ());
            })?;
            measured.push((lap.hand_over_ns, lap.recovery_ns));
        }
        Ok(Reply::Floor(measured))
    }
}

/// One pass over a script: what the transaction does, and where faults may strike.
fn pass<W: Work>(
    tx: &mut Tx<'_>,
    state: &mut Tested<W>,
    script: &W::Script,
    commit_every: u64,
    injector: &Injector,
    kill_first: Option<u64>,
    resumes: bool,
) -> Result<(), Failure> {
    if !state.work.is_loaded() {
        state.work.load(script);
        tx.commit()?;
    }
    // At the latest after the first operation, so that every recovered state is looked at.
    let next = tx.operations() + 1;
    let redone_at = tx.crash().map(|crash| crash.operation.max(next)).or(resumes.then_some(next));
    for index in tx.operations()..W::total(script) {
        if tx.skips(index) {
            state.work.skip(script, index);
        } else {
            if kill_first == Some(index) && tx.crash().is_none() {
                kill_this_process();
            }
            injector.before(index, state)?;
            let between = || {
                // Only stops strike here, which do not come back.
                let _ = injector.between(index, &mut NoTarget(Vec::new()));
            };
            state.work.operate(Some(tx), script, index, between)?;
        }
        tx.done();
        let done = index + 1;
        if redone_at == Some(done) {
            state.redone = Some((done, state.work.digest()));
        }
        // The last commit of all follows by itself.
        if done % commit_every == 0 && done < W::total(script) {
            tx.commit()?;
        }
    }
    state.work.check().map_err(Failure::new)
}

/// SIGKILL to this very process.
fn kill_this_process() {
    let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::SIGKILL);
}

/// Operations that the state held that was found after the first crash: by its successor, or, where that crashed in
/// the restore, by a later one.
fn resumed(recoveries: &[Recovery]) -> Option<u64> {
    recoveries.iter().find_map(|recovery| recovery.resumed_operations)
}

/// Operations that were done and had to be done again, over all recoveries.
fn lost(recoveries: &[Recovery]) -> u64 {
    let (mut reached, mut lost) = (0, 0);
    for recovery in recoveries {
        reached = recovery.crash.operation.max(reached);
        if let Some(resumed) = recovery.resumed_operations {
            lost += reached.saturating_sub(resumed);
            reached = resumed;
        }
    }
    lost
}

fn crash_reply(crash: &Crash, resumed_operations: Option<u64>) -> CrashReply {
    CrashReply {
        signal: crash.cause.signal().map(crashbed::crash::signal_name),
        notice: crash.notice.to_string(),
        words: crash.to_string(),
        image_offset: crash.place.and_then(|place| place.image_offset),
        operation: crash.operation,
        committed_operations: crash.committed_operations,
        resumed_operations,
    }
}

fn times(recovery: &Recovery) -> Times {
    Times {
        happened_ns: recovery.crash.happened_ns,
        noticed_ns: recovery.crash.noticed_ns,
        gone_ns: recovery.gone_ns,
        decided_ns: recovery.decided_ns,
        restored_ns: recovery.restored_ns,
        started_ns: recovery.started_ns,
        first_operation_ns: recovery.first_operation_ns,
        redone_ns: recovery.redone_ns,
    }
}
