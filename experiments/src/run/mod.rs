//! A run: the program orders one trial after the other from its tree, judges each, and writes down what came of it.
//!
//! The program draws progress, holds the files and the oracle; the tree (another process, started by exec) holds what
//! crashes. A trial that does not end in time ends its tree; the next trial gets a new one.

mod judge;
mod launch;
pub mod message;
mod serve;
pub mod strike;
pub mod tree;
pub mod work;

use crate::output::OutputError;
use crate::plan::{Batch, Plan, Planned};
use crate::record::{Distribution, Floor, Outcome, Trial, Verdict};
use crate::suite::Suite;
use crate::symbols::Symbols;
use crate::workloads::corpus;
use crate::workloads::documents::{self, CorpusError, Document};
use judge::{DaemonCrash, Judge};
use launch::{Heard, Tree};
use message::{CrashReply, DaemonSetup, Order, Reply, Setup, TrialReply};
use std::path::PathBuf;
use std::time::Duration;

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The tree could not be started or spoken to.
    #[error("the tree of processes: {0}")]
    Tree(#[from] std::io::Error),
    /// The tree ended by itself; what it said of it is on standard error.
    #[error("the tree of processes could not go on ({0}); what it said stands above")]
    Ended(String),
    /// The tree refused an order.
    #[error("{0}")]
    Refused(String),
    /// The corpus cannot be read or made.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The folder cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// A run under way.
pub struct Runner<'a> {
    suite: &'a Suite,
    daemons: Vec<DaemonSetup>,
    tree: Option<Tree>,
    corpus: Vec<Document>,
    corpus_folder: Option<PathBuf>,
    /// The corpus that the run made; it is removed with this.
    _made: Option<tempfile::TempDir>,
    floors: Vec<Laps>,
    /// The program's symbols; `None` where it was stripped of them.
    symbols: Option<Symbols>,
    interrupted: &'a dyn Fn() -> bool,
}

/// The laps of one floor.
struct Laps {
    daemon: usize,
    notice: &'static str,
    hand_over_ns: Vec<u64>,
    recovery_ns: Vec<u64>,
}

impl<'a> Runner<'a> {
    /// Makes ready for the cells of `plan`. `interrupted` is asked now and then.
    ///
    /// # Errors
    /// Where the corpus cannot be read or made.
    pub fn new(suite: &'a Suite, plan: &Plan, interrupted: &'a dyn Fn() -> bool) -> Result<Self, RunError> {
        let daemons = launch::daemons(plan.cells.iter());
        let (mut corpus_folder, mut made, mut list) = (None, None, Vec::new());
        if plan.cells.iter().any(|cell| cell.workload == "documents") {
            let settings = &suite.workload.documents;
            let folder = match &settings.corpus {
                Some(folder) => folder.clone(),
                None => {
                    let folder = tempfile::tempdir()?;
                    corpus::write(folder.path(), plan.seed, settings.documents, settings.hostile)?;
                    made.insert(folder).path().to_owned()
                }
            };
            list = documents::list(&folder)?;
            corpus_folder = Some(folder);
        }
        let floors = floors(suite, plan, &daemons);
        let symbols = std::env::current_exe().ok().and_then(|exe| Symbols::load(&exe).ok());
        Ok(Self { suite, daemons, tree: None, corpus: list, corpus_folder, _made: made, floors, symbols, interrupted })
    }

    /// Makes the trials of a batch; `None` where it was interrupted.
    ///
    /// # Errors
    /// Where the tree fails; a trial that merely hangs is a trial.
    pub fn batch(&mut self, batch: &Batch) -> Result<Option<Vec<Trial>>, RunError> {
        batch.trials.iter().map(|planned| self.trial(planned)).collect()
    }

    /// Makes a trial; `None` where it was interrupted.
    fn trial(&mut self, planned: &Planned) -> Result<Option<Trial>, RunError> {
        let daemon = self.daemon_of(planned);
        let order = |resume| Order::Trial {
            policy: planned.levels.policy.clone(),
            fault: planned.levels.fault.clone(),
            seed: planned.seed,
            resume,
        };
        let patience = self.patience();
        let interrupted = self.interrupted;
        let mut crash: Option<DaemonCrash> = None;
        self.tree()?.order(daemon, &order(false))?;
        loop {
            match self.tree()?.hear(patience, interrupted)? {
                Heard::Reply(Reply::Trial(mut reply)) => {
                    if let Some(first) = &mut reply.first {
                        self.place(first);
                    }
                    let judge = Judge { suite: self.suite, corpus: &self.corpus };
                    return Ok(Some(judge.judge(planned, *reply, crash)));
                }
                Heard::Reply(Reply::Restarted { crash: mut new, noticed_ns }) => {
                    self.place(&mut new);
                    match &mut crash {
                        Some(first) => first.count += 1,
                        None => crash = Some(DaemonCrash { crash: new, noticed_ns, count: 1 }),
                    }
                    self.tree()?.order(daemon, &order(true))?;
                }
                Heard::Reply(Reply::Refused(why)) => return Err(RunError::Refused(why)),
                Heard::Reply(Reply::Floor(_)) => {}
                Heard::Ended(how) => return Err(RunError::Ended(how)),
                Heard::Nothing if interrupted() => return Ok(None),
                Heard::Nothing => {
                    self.end()?;
                    return Ok(Some(self.hung(planned)));
                }
            }
        }
    }

    /// Adds function, file and line to a crash's words, here, where nothing is dying.
    fn place(&self, crash: &mut CrashReply) {
        let place = self.symbols.as_ref().zip(crash.image_offset).and_then(|(symbols, at)| symbols.describe(at));
        if let Some(place) = place {
            crash.words = format!("{}, in {place}", crash.words);
        }
    }

    /// Measures `laps` laps of floor number `floor`, as far as there is a state to measure with.
    ///
    /// # Errors
    /// Where the tree fails.
    pub fn floor(&mut self, floor: usize, laps: u64) -> Result<(), RunError> {
        let Laps { daemon, notice, .. } = self.floors[floor];
        let (patience, interrupted) = (self.patience(), self.interrupted);
        self.tree()?.order(daemon, &Order::Floor { notice: notice.to_owned(), laps })?;
        match self.tree()?.hear(patience, interrupted)? {
            Heard::Reply(Reply::Floor(laps)) => {
                for (hand_over_ns, recovery_ns) in laps {
                    self.floors[floor].hand_over_ns.push(hand_over_ns);
                    self.floors[floor].recovery_ns.push(recovery_ns);
                }
                Ok(())
            }
            Heard::Reply(Reply::Refused(why)) => Err(RunError::Refused(why)),
            Heard::Ended(how) => Err(RunError::Ended(how)),
            Heard::Reply(_) | Heard::Nothing => Ok(()),
        }
    }

    /// The floors that are due, each with its laps, when `done` of `trials` trials are made: spread over the run, so that a machine
    /// that drifts hits floors and trials alike.
    pub fn due(&self, done: u64, trials: u64) -> Vec<(usize, u64)> {
        let wanted = |floor: &Laps| {
            if floor.notice == "heartbeat" { self.suite.floor.trials.div_ceil(6) } else { self.suite.floor.trials }
        };
        let behind = |floor: &Laps| {
            let due = u128::from(wanted(floor)) * u128::from(done) / u128::from(trials.max(1));
            u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(floor.hand_over_ns.len() as u64)
        };
        let numbered = self.floors.iter().enumerate();
        numbered.map(|(number, floor)| (number, behind(floor))).filter(|(_, laps)| *laps > 0).collect()
    }

    /// The floors as measured.
    pub fn floors(&self) -> Vec<Floor> {
        let floor = |laps: &Laps| {
            let daemon = &self.daemons[laps.daemon];
            let path = match laps.notice {
                "heartbeat" => "deadline + SIGKILL + waitpid + fork",
                "kill" => "SIGKILL + waitpid + fork",
                _ => "waitpid + fork",
            };
            Some(Floor {
                path: path.to_owned(),
                notice: laps.notice.to_owned(),
                mechanism: daemon.mechanism.clone(),
                workload: daemon.workload.clone(),
                region_bytes: daemon.region_bytes,
                hand_over_ns: Distribution::of(laps.hand_over_ns.clone())?,
                recovery_ns: Distribution::of(laps.recovery_ns.clone())?,
            })
        };
        self.floors.iter().filter_map(floor).collect()
    }

    /// Ends the tree.
    ///
    /// # Errors
    /// Where it does not end.
    pub fn end(&mut self) -> Result<(), RunError> {
        // A tree that works on an order does not hear that there are no more: it is told by SIGTERM soon.
        self.tree.take().map_or(Ok(()), |tree| Ok(tree.end(Duration::from_millis(500))?))
    }

    fn tree(&mut self) -> Result<&mut Tree, RunError> {
        if self.tree.is_none() {
            let setup = Setup {
                suite: self.suite.clone(),
                corpus: self.corpus_folder.clone(),
                daemons: self.daemons.clone(),
                neighbour: -1,
                replies: -1,
            };
            self.tree = Some(Tree::start(setup)?);
        }
        self.tree.as_mut().ok_or_else(|| RunError::Ended("not started".to_owned()))
    }

    fn daemon_of(&self, planned: &Planned) -> usize {
        let levels = &planned.levels;
        let same = |daemon: &DaemonSetup| {
            daemon.workload == levels.workload
                && daemon.mechanism == levels.mechanism
                && daemon.region_bytes == levels.region_bytes
        };
        // Every planned trial's levels are among the plan's cells, of which the daemons were made.
        self.daemons.iter().position(same).unwrap_or_default()
    }

    /// How long a trial may take: each restart may wait out a heartbeat.
    fn patience(&self) -> Duration {
        let deadline = Duration::from_millis(self.suite.heartbeat.deadline_ms);
        Duration::from_secs(30) + deadline.saturating_mul(self.suite.intensity.restarts.saturating_add(2))
    }

    /// The record of a trial that did not end.
    fn hung(&self, planned: &Planned) -> Trial {
        let judge = Judge { suite: self.suite, corpus: &self.corpus };
        let mut trial = judge.judge(planned, TrialReply::default(), None);
        trial.outcome = Outcome::Hung;
        trial.verdict = Verdict::Hung;
        trial.remark = Some(format!("no end within {} s; the tree was ended", self.patience().as_secs()));
        trial.digest = None;
        trial
    }
}

/// The floors that a plan asks for: each daemon's, by the notices that its faults lead to.
fn floors(suite: &Suite, plan: &Plan, daemons: &[DaemonSetup]) -> Vec<Laps> {
    let silent = |fault: &str| matches!(fault, "hang" | "stop" | "livelock");
    let killed = |fault: &str| matches!(fault, "kill" | "exit" | "crash-during-commit" | "crash-during-restore");
    let any = |which: &dyn Fn(&str) -> bool| plan.cells.iter().any(|cell| which(&cell.fault));
    let notices = [("signal", true), ("kill", any(&killed)), ("heartbeat", any(&silent))];
    if suite.floor.trials == 0 {
        return Vec::new();
    }
    let each = (0..daemons.len()).flat_map(|daemon| notices.map(|notice| (daemon, notice)));
    each.filter(|(_, (_, wanted))| *wanted)
        .map(|(daemon, (notice, _))| Laps { daemon, notice, hand_over_ns: Vec::new(), recovery_ns: Vec::new() })
        .collect()
}
