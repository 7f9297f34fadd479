//! A daemon of a run: makes trials and measures floors on its own region.

use super::account::{account, crash_reply, in_full, who_gave_up};
use super::alone;
use super::message::{Ended, NEIGHBOUR, Reply, TrialReply};
use super::resident::{self, Blow};
use super::strike::{Shape, Strikes, strikes};
use super::witness::{Watched, Witness};
use super::work::{Tested, Work};
use crate::faults::{Fault, Injector};
use crate::record::Recovered;
use crate::suite::Suite;
use crate::workloads::digest::Digest;
use crate::workloads::documents::Document;
use crashbed::{BareNotice, BareStart, Daemon, Error, Intensity, MechanismKind, Outcome, Recovery};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Crashes that a batch recovers from besides those that its trials planned. With them the engine still reports all.
const MORE_CRASHES: usize = 8;

/// What the daemons of a run have in common.
#[derive(Clone, Copy)]
pub(super) struct Tools<'a> {
    pub(super) suite: &'a Suite,
    pub(super) corpus: &'a [Document],
    pub(super) injector: &'static Injector,
    pub(super) witness: &'a Witness,
    /// The limit on a transaction's restarts.
    pub(super) intensity: Intensity,
}

/// A daemon with what its trials need.
pub(super) struct Bench<'a, W> {
    daemon: &'a mut Daemon<Tested<W>>,
    suite: &'a Suite,
    corpus: &'a [Document],
    injector: &'static Injector,
    witness: &'a Witness,
    intensity: Intensity,
    mechanism: MechanismKind,
    /// Bytes of the region that no workload needs.
    unneeded: usize,
    /// The seed of the newest trial, whose script the floor is measured with.
    last_seed: Option<u64>,
    /// Laps of floors so far: each does another operation first.
    laps: u64,
}

impl<'a, W: Work> Bench<'a, W> {
    pub(super) fn new(
        daemon: &'a mut Daemon<Tested<W>>,
        tools: Tools<'a>,
        mechanism: MechanismKind,
        unneeded: usize,
    ) -> Self {
        let Tools { suite, corpus, injector, witness, intensity } = tools;
        Self { daemon, suite, corpus, injector, witness, intensity, mechanism, unneeded, last_seed: None, laps: 0 }
    }

    pub(super) fn wait_readable(&self, source: BorrowedFd<'_>) -> crashbed::Result<()> {
        self.daemon.wait_readable(source)
    }

    /// What to say of the crash that this incarnation of the daemon succeeds; `None` of the first one.
    pub(super) fn own_crash(&self) -> Option<Reply> {
        let crash = self.daemon.crash()?;
        // A daemon has no operations of its own: what its state holds is what its successor begins with.
        let operations = self.daemon.operations();
        let mut reply = crash_reply(crash, Some(operations));
        reply.words = reply.words.replacen(" in operation 0", " in the daemon", 1);
        let in_full = Box::new(Recovered::of_daemon(*crash));
        Some(Reply::Restarted { crash: reply, in_full, noticed_ns: crash.noticed_ns })
    }

    /// Makes a trial, or goes on with one in which the daemon was made again; that is over where it was given up.
    pub(super) fn trial(
        &mut self,
        policy: &str,
        fault: &str,
        spare: &str,
        seed: u64,
        resumes: bool,
    ) -> crashbed::Result<Reply> {
        let Some(policy) = crashbed_policies::by_name(policy) else {
            return Ok(Reply::Refused(format!("unknown policy `{policy}`")));
        };
        let spare = self.suite.spin.spare(spare).map_err(Error::program)?;
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
        if !resumes {
            // A commit of the trial before is none that a policy may go back to.
            (0..=self.suite.commits.kept).try_for_each(|_| self.daemon.zero())?;
            self.witness.begin(Some(policy.name()));
            if let Some(strikes) = &strikes {
                self.arm(strikes)?;
            }
        }
        let kill_first = strikes.filter(|_| !resumes).and_then(|strikes| strikes.kill_first);
        let (injector, witness) = (self.injector, self.witness);
        let given_up = witness.daemon_given_up();
        let outcome = match self.daemon.crash().filter(|_| given_up.is_some()) {
            Some(crash) => Outcome::GaveUp(Box::new(*crash)),
            None => {
                let pass = alone::Pass { script: &script, commit_every, injector, witness, kill_first, resumes };
                let prepared = self.daemon.prepare(Watched { policy: &policy, witness });
                let prepared = prepared.intensity(self.intensity).spare(spare).on_crash(&W::decide);
                // What that fault allocates is no change under a guard.
                let exhausts = strikes.as_ref().is_some_and(|strikes| strikes.plan.fault() == Fault::RegionExhausted);
                let prepared = if exhausts { prepared } else { W::promise(prepared) };
                prepared.run(|tx, state| pass.run(tx, state))?
            }
        };
        injector.disarm();
        let reply = self.reply(&outcome, strikes.as_ref());
        let gave_up_by = match &outcome {
            Outcome::GaveUp(_) => Some(given_up.unwrap_or_else(|| who_gave_up(self.daemon.report().recoveries.last()))),
            _ => None,
        };
        let keeps_nothing = match self.mechanism {
            private @ (MechanismKind::CopyOnWrite | MechanismKind::Fork) => {
                Some(format!("under {private} a crashed state is gone with its process"))
            }
            _ => W::KEEPS_NOTHING.map(str::to_owned),
        };
        let seen = witness.seen();
        let lost_operations = seen.lost_operations;
        Ok(Reply::Trial(Box::new(TrialReply {
            script_operations: Some(W::total(&script)),
            gave_up_by,
            daemon_given_up: given_up.is_some(),
            seen,
            keeps_nothing,
            lost_operations,
            ..reply
        })))
    }

    fn arm(&mut self, strikes: &Strikes) -> crashbed::Result<()> {
        if strikes.plan.fault() == Fault::ForeignWrite {
            let neighbour = self.daemon.peer::<u64>(NEIGHBOUR)?;
            let injector = self.injector;
            self.daemon.read(&neighbour, Duration::from_secs(1), |value| injector.aim(value))?;
        }
        self.injector.arm(&strikes.plan).map_err(Error::program)
    }

    /// Makes a batch: as many trials as there are seeds, each a crash of one transaction.
    pub(super) fn batch(
        &mut self,
        policy: &str,
        fault: &str,
        spare: &str,
        seeds: &[u64],
        touch: bool,
    ) -> crashbed::Result<Reply> {
        let Some(policy) = crashbed_policies::by_name(policy) else {
            return Ok(Reply::Refused(format!("unknown policy `{policy}`")));
        };
        let spare = self.suite.spin.spare(spare).map_err(Error::program)?;
        let seed = seeds.first().copied().unwrap_or_default();
        let made = W::script(self.suite, self.corpus, seed).and_then(|script| {
            let blows = resident::blows(seeds, W::total(&script), self.suite.batch.pause_us);
            let fault: Fault = fault.parse().map_err(|error: crate::faults::UnknownFault| error.to_string())?;
            let plan = resident::plan(fault, &blows, seed).map_err(|error| error.to_string())?;
            Ok((script, blows, plan))
        });
        let (script, blows, plan) = match made {
            Ok(made) => made,
            Err(why) => return Ok(Reply::Refused(why)),
        };
        self.last_seed = Some(seed);
        self.daemon.zero()?;
        // No fault of a batch is aimed at its daemon.
        self.witness.begin(None);
        self.injector.arm(&plan).map_err(Error::program)?;
        let batch = resident::Batch {
            script: &script,
            commit_every: W::commit_every(self.suite),
            blows: &blows,
            injector: self.injector,
            ballast: if touch { self.unneeded } else { 0 },
        };
        // Each trial is a crash that was asked for; a few more are recovered from, and told, but not without end.
        let intensity = Intensity { restarts: blows.len() + MORE_CRASHES, within: Duration::MAX };
        let prepared = self.daemon.prepare(&policy).intensity(intensity).spare(spare).on_crash(&W::decide);
        let outcome = prepared.run(|tx, state| resident::pass(tx, state, &batch))?;
        self.injector.disarm();
        Ok(Reply::Batch(self.batch_replies(&outcome, &blows, batch.ballast)))
    }

    /// The trials of a batch, each with its own strike and what followed it.
    fn batch_replies(&self, outcome: &Outcome<()>, blows: &[Blow], ballast: usize) -> Vec<TrialReply> {
        let end = self.end(outcome);
        let recoveries = &self.daemon.report().recoveries;
        let counts = self.injector.counts();
        let strikes: Vec<_> = (0..blows.len() as u64).map(|nth| self.injector.strike(nth)).collect();
        let reply = |number: usize| {
            let strike = strikes[number];
            // Every recovery belongs to the strike before it.
            let of = |strike: Option<crate::faults::Strike>| strike.map_or(u64::MAX, |strike| strike.fault_ns);
            let (from, to) = (of(strike), strikes.get(number + 1).map_or(u64::MAX, |next| of(*next)));
            let is_own = |recovery: &Recovery| (from..to).contains(&recovery.crash.noticed_ns);
            let own: Vec<_> = recoveries.iter().filter(|recovery| is_own(recovery)).copied().collect();
            // A later strike was made by an incarnation that had recovered from this one.
            let went_on = strikes.get(number + 1).is_some_and(Option::is_some);
            let injected = u64::from(strike.is_some());
            let came_back = counts.activated < counts.injected && own.is_empty();
            let mut reply = TrialReply {
                ended: if went_on { Ended::Done } else { end.ended },
                failure: end.failure.clone().filter(|_| !went_on),
                planned: 1,
                injected,
                activated: if came_back { 0 } else { injected },
                strike: strike.map(|strike| (strike.fault_ns, strike.operation)),
                recovered: self.in_full(is_own),
                ..account(&own, self.daemon.report(), end.clone())
            };
            reply.crashes = own.len() as u64;
            if ballast > 0 {
                reply.counts.insert("touched_bytes".to_owned(), ballast as u64);
            }
            reply
        };
        (0..blows.len()).map(reply).collect()
    }

    fn reply(&self, outcome: &Outcome<()>, strikes: Option<&Strikes>) -> TrialReply {
        let report = self.daemon.report();
        let counts = strikes.map(|_| self.injector.counts()).unwrap_or_default();
        let strike = strikes.and_then(|_| self.injector.strike(0));
        let program = strikes.is_some_and(|strikes| strikes.plan.fault().row().kind == crate::faults::Kind::Program);
        let end = self.end(outcome);
        TrialReply {
            failed_as_injected: end.failure.is_some() && program && counts.injected > 0,
            planned: counts.planned,
            injected: counts.injected,
            activated: counts.activated,
            strike: strike.map(|strike| (strike.fault_ns, strike.operation)),
            recovered: self.in_full(|_| true),
            ..account(&report.recoveries, report, end)
        }
    }

    /// The wanted crashes in full, where the suite has them recorded.
    fn in_full(&self, wanted: impl Fn(&Recovery) -> bool) -> Vec<Recovered> {
        if self.suite.records_crashes() { in_full(self.daemon.report(), wanted) } else { Vec::new() }
    }

    /// How the transaction ended, and what it left.
    fn end(&self, outcome: &Outcome<()>) -> TrialReply {
        let state = self.daemon.state();
        let (ended, failure) = match outcome {
            Outcome::Done(()) => (Ended::Done, None),
            Outcome::Failed(failure) => (Ended::Failed, Some(failure.to_string())),
            Outcome::GaveUp(_) => (Ended::GaveUp, None),
        };
        let (counts, quarantined) = state.work.figures();
        TrialReply {
            ended,
            failure,
            crashes: self.daemon.report().crashes,
            daemon_private_bytes: self.daemon.private_bytes().ok(),
            operations: self.daemon.operations(),
            digest: Digest(state.work.digest()).to_string(),
            complaint: state.work.check().err().filter(|_| state.work.is_loaded()),
            redone: state.redone.map(|(operations, digest)| (operations, Digest(digest).to_string())),
            counts,
            quarantined,
            ..TrialReply::default()
        }
    }

    /// Measures the floor with the newest trial's state and script.
    pub(super) fn floor(&mut self, notice: &str, start: &str, laps: u64) -> crashbed::Result<Reply> {
        let notice = match notice {
            "kill" => BareNotice::Kill,
            "heartbeat" => BareNotice::Heartbeat(Duration::from_millis(self.suite.heartbeat.deadline_ms)),
            "waitpid" => BareNotice::Waitpid,
            _ => BareNotice::Signal,
        };
        let start = match start {
            "warm" => BareStart::Warm,
            "hot" => BareStart::Hot,
            _ => BareStart::Cold,
        };
        let script = self.last_seed.and_then(|seed| W::script(self.suite, self.corpus, seed).ok());
        let Some(script) = script.filter(|_| self.daemon.state().work.is_loaded()) else {
            return Ok(Reply::Floor(Vec::new()));
        };
        let work = Duration::from_micros(self.suite.batch.pause_us);
        let mut measured = Vec::new();
        for _ in 0..laps {
            let Some(index) = self.floor_operation(&script) else { break };
            let lap = self.daemon.floor(notice, start, work, |tx, state| {
                // As each operation of a trial, it looks first whether it is to be struck.
                let _ = self.injector.before(index, state);
                // An operation that the state refuses costs what it costs; nothing of it is kept.
                let _ = state.work.operate_bare(tx, &script, index);
            })?;
            measured.push((lap.hand_over_ns, lap.recovery_ns, lap.faults));
        }
        Ok(Reply::Floor(measured))
    }

    /// The operation that the next lap does first: one that the newest trial has done, so that it crashes nobody; `None`
    /// where there is none.
    fn floor_operation(&mut self, script: &W::Script) -> Option<u64> {
        // No script has a multiple of this for its length by habit, so that all of it gets its turn.
        const STRIDE: u64 = 7;
        let work = &self.daemon.state().work;
        let done: Vec<u64> = (0..self.daemon.operations()).filter(|index| !work.has_skipped(script, *index)).collect();
        self.laps += 1;
        let place = (self.laps * STRIDE).checked_rem(done.len() as u64)?;
        done.get(usize::try_from(place).ok()?).copied()
    }
}
