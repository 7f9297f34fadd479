//! The oracle's word on a trial: what the tree says it did, held against what must have come of it.
//!
//! The judge runs in the program, outside the tree, and computes every digest anew from the seed.

use super::course;
use super::message::{CrashReply, Ended, TrialReply};
use super::phases::{daemon_phases, phases};
use crate::faults::Fault;
use crate::oracle;
use crate::plan::Planned;
use crate::record::{InFlight, Outcome, Phases, Poison, Trial, Verdict};
use crate::suite::{Suite, drawn, mix_of};
use crate::workloads::documents::Document;
use crate::workloads::native::corpus::{Corpus, Sort};
use crate::workloads::stencil::Heat;
use crate::workloads::ycsb::{Plan, operation_name};
use std::collections::BTreeSet;

/// What the judge knows of a run.
pub(super) struct Judge<'a> {
    pub(super) suite: &'a Suite,
    pub(super) corpus: &'a [Document],
    /// Names of the documents that crash the parser; `None` of a corpus that nobody vouches for.
    pub(super) crashing: Option<&'a BTreeSet<String>>,
}

/// A crash of the daemon itself in a trial.
pub(super) struct DaemonCrash {
    pub(super) crash: CrashReply,
    pub(super) noticed_ns: u64,
    pub(super) count: u64,
}

impl Judge<'_> {
    /// The digests after each of `after` operations, as they must be.
    fn digests(&self, planned: &Planned, after: &[u64], quarantined: &[String]) -> Result<Vec<String>, String> {
        let settings = &self.suite.workload;
        let excluded: BTreeSet<String> = quarantined.iter().cloned().collect();
        let digests = match planned.levels.workload.as_str() {
            "kv" => {
                let kv = &settings.kv;
                let plan = Plan::new(planned.seed, kv.mix, kv.records, kv.operations);
                oracle::kv_digests(&plan.map_err(|error| error.to_string())?, after, &excluded)
            }
            "native" => oracle::native_digests(&settings.native.corpus(planned.seed), after, &excluded),
            "stencil" => oracle::stencil_digests(Heat::new(planned.seed, settings.stencil.size), after),
            _ => {
                let digest = |&after: &u64| {
                    let first = usize::try_from(after).unwrap_or(usize::MAX).min(self.corpus.len());
                    oracle::index(&self.corpus[..first], &excluded).digest
                };
                after.iter().map(digest).collect()
            }
        };
        Ok(digests.iter().map(ToString::to_string).collect())
    }

    /// The trial's record.
    pub(super) fn judge(&self, planned: &Planned, reply: TrialReply, daemon: Option<DaemonCrash>) -> Trial {
        let end = self.end(planned, &reply, reply.ended);
        self.record(planned, reply, daemon, &end)
    }

    /// The records of a batch's trials, which have one end and one script: that of the first one's seed.
    pub(super) fn judge_batch(&self, batch: &[Planned], replies: Vec<TrialReply>) -> Vec<Trial> {
        let Some((first, last)) = batch.first().zip(replies.last()) else { return Vec::new() };
        let end = self.end(first, last, last.ended);
        let record = |(planned, reply)| Trial {
            course: None,
            script_operations: None,
            ..self.record(planned, reply, None, &end)
        };
        batch.iter().zip(replies).map(record).collect()
    }

    /// What came of the operations that crash whenever they are met: poisoned inputs, hostile documents, and the operation
    /// that the fault `poison` strikes.
    fn poison(&self, planned: &Planned, fault: &str, reply: &TrialReply) -> Option<Poison> {
        let skipped = &reply.quarantined;
        if fault == Fault::Poison.name() {
            let struck = reply.strike?.1;
            return course::poison(reply, skipped, |operation| operation == struck, operation_name);
        }
        match planned.levels.workload.as_str() {
            "native" => {
                let corpus = self.suite.workload.native.corpus(planned.seed);
                let is_poison = |number| matches!(corpus.sort(number), Sort::Poisoned(_));
                course::poison(reply, skipped, is_poison, Corpus::name)
            }
            "documents" => {
                let name = |number| {
                    let document = usize::try_from(number).ok().and_then(|number: usize| self.corpus.get(number));
                    document.map_or_else(String::new, |document| document.name.clone())
                };
                let crashing = self.crashing?;
                course::poison(reply, skipped, |number| crashing.contains(&name(number)), name)
            }
            _ => None,
        }
    }

    fn record(&self, planned: &Planned, reply: TrialReply, mut daemon: Option<DaemonCrash>, end: &End) -> Trial {
        if let Some(daemon) = &mut daemon {
            let commit_every = self.suite.workload.commit_every(&planned.levels.workload);
            complete(&mut daemon.crash, &reply, commit_every);
        }
        let daemon_crashes = daemon.as_ref().map_or(0, |daemon| daemon.count);
        // The report of a daemon begins anew with each that a policy has ended.
        let by_policy = reply.seen.daemons;
        let crashes = if by_policy == 0 { reply.crashes } else { reply.seen.decisions } + daemon_crashes;
        // The crash of a daemon comes before those of the transactions that it made again afterwards.
        let first = daemon.as_ref().map(|daemon| &daemon.crash).or(reply.first.as_ref());
        let fault = drawn(&planned.levels.fault, planned.seed, &self.suite.mix).unwrap_or("none");
        let (verdict, remark) = verdict(planned, fault, &reply, first, crashes.saturating_sub(by_policy), end);
        let mut phases = match (&daemon, reply.times) {
            (Some(daemon), _) => daemon_phases(&reply, daemon.noticed_ns),
            (None, Some(times)) => phases(reply.strike, times),
            (None, None) => Phases::default(),
        };
        let struck_at = reply.strike.map(|(_, operation)| operation);
        phases.take_over_faults = reply.take_over_faults;
        phases.undetected_operations =
            first.zip(struck_at).map(|(crash, struck)| crash.operation.saturating_sub(struck));
        let lost_otherwise = match (reply.ended, struck_at, &daemon) {
            (Ended::Failed, Some(struck), _) => struck.saturating_sub(reply.operations),
            (_, Some(struck), Some(daemon)) if daemon_crashes > by_policy => {
                struck.saturating_sub(daemon.crash.resumed_operations.unwrap_or(0))
            }
            _ => 0,
        };
        let in_flight = first.map(|crash| match crash.resumed_operations {
            Some(resumed) if resumed > crash.operation => InFlight::Done,
            Some(_) => InFlight::NotDone,
            None => InFlight::Unknown,
        });
        let (course, poison) = (course::course(&reply, daemon_crashes), self.poison(planned, fault, &reply));
        Trial {
            trial: planned.trial,
            levels: planned.levels.clone(),
            seed: planned.seed,
            planned: reply.planned,
            injected: reply.injected,
            activated: reply.activated,
            noticed: noticed(&reply, crashes, verdict),
            signal: first.and_then(|crash| crash.signal.clone()),
            notice: first.map(|crash| crash.notice.clone()),
            crash: first.map(|crash| crash.words.clone()),
            started_by: reply.started_by,
            mechanism_in_use: reply.mechanism_in_use,
            spare_processor_ns: reply.spare_processor_ns,
            spare_memory_bytes: reply.spare_memory_bytes,
            daemon_private_bytes: reply.daemon_private_bytes,
            crashes,
            outcome: match reply.ended {
                Ended::Done => Outcome::Done,
                Ended::Failed => Outcome::Failed,
                Ended::GaveUp => Outcome::GaveUp,
            },
            verdict,
            remark: remark.or_else(|| reply.failure.clone()),
            lost_operations: reply.lost_operations + lost_otherwise,
            in_flight,
            operations: reply.operations,
            committed_operations: first.map_or(reply.operations, |crash| crash.committed_operations),
            phases,
            drawn_fault: mix_of(&planned.levels.fault).map(|_| fault.to_owned()),
            script_operations: reply.script_operations,
            took_ns: reply.seen.took_ns,
            course: Some(course),
            poison,
            counts: reply.counts,
            quarantined_files: reply.quarantined,
            digest: Some(reply.digest),
        }
    }

    /// What the oracle says of the state that was left, by the seed of the script.
    fn end(&self, script: &Planned, reply: &TrialReply, ended: Ended) -> End {
        let mut asked = vec![reply.operations];
        asked.extend(reply.redone.as_ref().map(|(operations, _)| *operations));
        let right = match self.digests(script, &asked, &reply.quarantined) {
            Ok(right) => right,
            Err(why) => return End::Unknown(why),
        };
        // A state that was never loaded has no digest of the workload's.
        let unloaded = reply.operations == 0 && ended != Ended::Done;
        if !unloaded && right[0] != reply.digest {
            return End::Wrong("at the end");
        }
        match reply.redone.as_ref().is_none_or(|(_, digest)| right[1] == *digest) {
            true => End::Right,
            false => End::Wrong("once the lost work was redone"),
        }
    }
}

/// What the oracle says of the state that a transaction left.
enum End {
    Right,
    /// It is not what it must be: when.
    Wrong(&'static str),
    /// The oracle cannot tell: why.
    Unknown(String),
}

fn verdict(
    planned: &Planned,
    fault: &str,
    reply: &TrialReply,
    first: Option<&CrashReply>,
    crashes: u64,
    end: &End,
) -> (Verdict, Option<String>) {
    if reply.planned > 0 && reply.activated == 0 {
        let why = if reply.injected == 0 { "never struck" } else { "had no effect" };
        return (Verdict::Inconclusive, Some(format!("the planned fault {why}")));
    }
    if let End::Unknown(why) = end {
        return (Verdict::Unknown, Some(why.clone()));
    }
    let own = reply.complaint.clone().or_else(|| reply.failure.clone().filter(|_| !reply.failed_as_injected));
    if let Some(complaint) = own {
        return (Verdict::CorruptDetected, Some(complaint));
    }
    if let End::Wrong(when) = end {
        return (Verdict::CorruptSilent, Some(format!("the oracle expects another digest {when}")));
    }
    if reply.ended == Ended::GaveUp {
        return (Verdict::GaveUp, None);
    }
    // The fault `crash-during-restore` needs a crash of its own first.
    let expected = reply.injected + u64::from(fault == "crash-during-restore");
    if fault != "none" && crashes > expected {
        let further: String = reply.further.iter().map(|words| format!("; {words}")).collect();
        let words = format!("{crashes} crashes, of which {expected} were injected{further}");
        return (Verdict::CrashedAgain, Some(words));
    }
    let Some(crash) = first else { return (Verdict::Exact, None) };
    match crash.resumed_operations {
        Some(0) if planned.levels.policy == "zero-state" => (Verdict::Zeroed, None),
        Some(resumed) if resumed >= crash.committed_operations => (Verdict::Exact, None),
        Some(0) => (Verdict::Zeroed, None),
        Some(_) => (Verdict::OlderCommit, None),
        None => (Verdict::Unknown, Some("no successor began".to_owned())),
    }
}

/// Completes what a daemon's crash left out. A daemon does no operations itself: the one in flight was its
/// transaction's, as the strike tells; the commit before it follows from the workload's rhythm, not from what the
/// crashed daemon left behind.
fn complete(crash: &mut CrashReply, reply: &TrialReply, commit_every: u64) {
    let struck = reply.strike.map_or(0, |(_, operation)| operation);
    crash.operation = struck;
    crash.committed_operations = struck / commit_every * commit_every;
}

/// Strikes that the tree noticed: by a crash, by the failure that was injected, or by the program's own check.
fn noticed(reply: &TrialReply, crashes: u64, verdict: Verdict) -> u64 {
    let told = u64::from(reply.failed_as_injected) + u64::from(verdict == Verdict::CorruptDetected);
    (crashes + told).min(reply.activated)
}
