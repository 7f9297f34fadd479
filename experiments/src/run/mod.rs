//! A run: the program orders one trial after the other from its tree, judges each, and writes down what came of it.
//!
//! The program draws progress, holds the files and the oracle; the tree (another process, started by exec) holds what
//! crashes. A trial that does not end in time ends its tree; the next trial gets a new one.

mod account;
mod alone;
mod course;
mod daemon_policy;
mod floors;
mod judge;
mod launch;
pub mod message;
mod phases;
mod resident;
mod serve;
pub mod strike;
pub mod tree;
mod witness;
pub mod work;

use crate::load::Load;
use crate::output::OutputError;
use crate::plan::{Batch, Plan, Planned, Way};
use crate::record::{Floor, Levels, Outcome, RecordedCrash, Recovered, Trial, Verdict};
use crate::suite::Suite;
use crate::symbols::Symbols;
use crate::workloads::corpus;
use crate::workloads::documents::{self, CorpusError, Document};
use floors::{Floors, Path};
use judge::{DaemonCrash, Judge};
use launch::{Heard, Tree, setup_of};
use message::{CrashReply, DaemonSetup, Order, Reply, Setup, TrialReply};
use std::collections::BTreeSet;
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
    /// What is to run beside the trials could not be started.
    #[error("the processes beside the trials: {0}")]
    Load(std::io::Error),
    /// The corpus cannot be read or made.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The folder cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// How long a daemon may take to make its state.
const START: Duration = Duration::from_secs(60);

/// A trial that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its record.
    pub trial: Trial,
    /// Its crashes, where the suite has them recorded.
    pub crashes: Vec<RecordedCrash>,
}

/// A run under way.
pub struct Runner<'a> {
    suite: &'a Suite,
    daemons: Vec<DaemonSetup>,
    tree: Option<Tree>,
    corpus: Vec<Document>,
    /// Names of the documents that crash the parser; `None` of a corpus that the run did not make.
    crashing: Option<BTreeSet<String>>,
    corpus_folder: Option<PathBuf>,
    /// The corpus that the run made; it is removed with this.
    _made: Option<tempfile::TempDir>,
    floors: Floors,
    /// The program's symbols; `None` where it was stripped of them.
    symbols: Option<Symbols>,
    interrupted: &'a dyn Fn() -> bool,
}

impl<'a> Runner<'a> {
    /// Makes ready for the cells of `plan`. `interrupted` is asked now and then.
    ///
    /// # Errors
    /// Where the corpus cannot be read or made.
    pub fn new(suite: &'a Suite, plan: &Plan, interrupted: &'a dyn Fn() -> bool) -> Result<Self, RunError> {
        let daemons = launch::daemons(plan.cells.iter());
        let (mut corpus_folder, mut made, mut list, mut crashing) = (None, None, Vec::new(), None);
        if plan.cells.iter().any(|cell| cell.workload == "documents") {
            let settings = &suite.workload.documents;
            let folder = match &settings.corpus {
                Some(folder) => folder.clone(),
                None => {
                    let folder = tempfile::tempdir()?;
                    let written = corpus::write(folder.path(), plan.seed, settings.documents, settings.hostile)?;
                    crashing = Some(written.crashing.into_iter().collect());
                    made.insert(folder).path().to_owned()
                }
            };
            list = documents::list(&folder)?;
            corpus_folder = Some(folder);
        }
        let floors = Floors::new(suite, plan, &daemons);
        let symbols = std::env::current_exe().ok().and_then(|exe| Symbols::load(&exe).ok());
        Ok(Self {
            suite,
            daemons,
            tree: None,
            corpus: list,
            crashing,
            corpus_folder,
            _made: made,
            floors,
            symbols,
            interrupted,
        })
    }

    /// Makes the trials of a batch, beside their load; `None` where it was interrupted.
    ///
    /// # Errors
    /// Where the tree or the load fails; a trial that merely hangs is a trial.
    pub fn batch(&mut self, batch: &Batch) -> Result<Option<Vec<Made>>, RunError> {
        let Some(first) = batch.trials.first() else { return Ok(Some(Vec::new())) };
        let _load = Load::start(&first.levels.load).map_err(RunError::Load)?;
        match batch.way {
            Way::Alone => batch.trials.iter().map(|planned| self.trial(planned)).collect(),
            Way::Resident { touch } => self.resident(&batch.trials, first, touch),
        }
    }

    /// Makes trials by one resident transaction.
    fn resident(&mut self, batch: &[Planned], first: &Planned, touch: bool) -> Result<Option<Vec<Made>>, RunError> {
        let daemon = self.daemon_of(first);
        let Levels { policy, fault, spare, .. } = first.levels.clone();
        let seeds = batch.iter().map(|planned| planned.seed).collect();
        let patience = self.patience(batch.len() as u64);
        let interrupted = self.interrupted;
        self.tree()?.order(daemon, &Order::Batch { policy, fault, spare, seeds, touch })?;
        loop {
            let why = match self.tree()?.hear(patience, interrupted)? {
                Heard::Reply(Reply::Batch(mut replies)) => {
                    for crash in replies.iter_mut().filter_map(|reply| reply.first.as_mut()) {
                        self.place(crash);
                    }
                    let crashes: Vec<_> =
                        replies.iter_mut().map(|reply| std::mem::take(&mut reply.recovered)).collect();
                    let trials = self.judge().judge_batch(batch, replies);
                    let made = trials.into_iter().zip(crashes);
                    return Ok(Some(made.map(|(trial, crashes)| Made::new(trial, first, crashes)).collect()));
                }
                Heard::Reply(Reply::Refused(why)) => return Err(RunError::Refused(why)),
                Heard::Ended(how) => return Err(RunError::Ended(how)),
                // No fault of a batch is aimed at its daemon, and what was going on in it is gone with it.
                Heard::Reply(Reply::Restarted { crash, .. }) => format!("the daemon crashed: {}", crash.words),
                Heard::Reply(_) => continue,
                Heard::Nothing if interrupted() => return Ok(None),
                Heard::Nothing => {
                    self.end()?;
                    format!("the batch did not end within {} s; the tree was ended", patience.as_secs())
                }
            };
            let hung = |planned| Made::new(self.hung(planned, why.clone()), first, Vec::new());
            return Ok(Some(batch.iter().map(hung).collect()));
        }
    }

    /// Makes a trial; `None` where it was interrupted.
    fn trial(&mut self, planned: &Planned) -> Result<Option<Made>, RunError> {
        let daemon = self.daemon_of(planned);
        let order = |resumes| Order::Trial {
            policy: planned.levels.policy.clone(),
            fault: planned.levels.fault.clone(),
            spare: planned.levels.spare.clone(),
            seed: planned.seed,
            resumes,
        };
        let patience = self.patience(1);
        let interrupted = self.interrupted;
        let mut crash: Option<DaemonCrash> = None;
        let mut recovered = Vec::new();
        self.tree()?.order(daemon, &order(false))?;
        loop {
            match self.tree()?.hear(patience, interrupted)? {
                Heard::Reply(Reply::Trial(mut reply)) => {
                    if let Some(first) = &mut reply.first {
                        self.place(first);
                    }
                    recovered.append(&mut reply.recovered);
                    let trial = self.judge().judge(planned, *reply, crash);
                    return Ok(Some(Made::new(trial, planned, recovered)));
                }
                Heard::Reply(Reply::Restarted { crash: mut new, in_full, noticed_ns }) => {
                    self.place(&mut new);
                    if self.suite.records_crashes() {
                        recovered.push(Recovered { number: recovered.len() as u64, ..*in_full });
                    }
                    let first = crash.get_or_insert(DaemonCrash { crash: new, noticed_ns, count: 0 });
                    first.count += 1;
                    self.tree()?.order(daemon, &order(true))?;
                }
                Heard::Reply(Reply::Refused(why)) => return Err(RunError::Refused(why)),
                Heard::Reply(Reply::Ready | Reply::Floor(_) | Reply::Batch(_)) => {}
                Heard::Ended(how) => return Err(RunError::Ended(how)),
                Heard::Nothing if interrupted() => return Ok(None),
                Heard::Nothing => {
                    self.end()?;
                    let why = format!("no end within {} s; the tree was ended", patience.as_secs());
                    return Ok(Some(Made::new(self.hung(planned, why), planned, recovered)));
                }
            }
        }
    }

    fn judge(&self) -> Judge<'_> {
        Judge { suite: self.suite, corpus: &self.corpus, crashing: self.crashing.as_ref() }
    }

    /// Adds function, file and line to a crash's words, here, where nothing is dying.
    fn place(&self, crash: &mut CrashReply) {
        let place = self.symbols.as_ref().zip(crash.image_offset).and_then(|(symbols, at)| symbols.describe(at));
        if let Some(place) = place {
            crash.words = format!("{}, in {place}", crash.words);
        }
    }

    /// Measures `laps` laps of floor number `floor` beside its load, as far as there is a state to measure with.
    ///
    /// # Errors
    /// Where the tree or the load fails.
    pub fn floor(&mut self, floor: usize, laps: u64) -> Result<(), RunError> {
        let Path { daemon, notice, start, load } = self.floors.path(floor);
        let _load = Load::start(&load).map_err(RunError::Load)?;
        let (patience, interrupted) = (self.patience(laps), self.interrupted);
        let order = Order::Floor { notice: notice.to_owned(), start: start.to_owned(), laps };
        self.tree()?.order(daemon, &order)?;
        match self.tree()?.hear(patience, interrupted)? {
            Heard::Reply(Reply::Floor(measured)) => {
                self.floors.add(floor, measured);
                Ok(())
            }
            Heard::Reply(Reply::Refused(why)) => Err(RunError::Refused(why)),
            Heard::Ended(how) => Err(RunError::Ended(how)),
            Heard::Nothing if !interrupted() => {
                Err(RunError::Ended(format!("no end of a floor within {} s", patience.as_secs())))
            }
            Heard::Reply(_) | Heard::Nothing => Ok(()),
        }
    }

    /// The floors that are due when `done` of `trials` trials are made, each with its laps.
    pub fn due(&self, done: u64, trials: u64) -> Vec<(usize, u64)> {
        self.floors.due(done, trials)
    }

    /// The floors as measured.
    pub fn floors(&self) -> Vec<Floor> {
        self.floors.records(&self.daemons)
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
            let mut tree = Tree::start(setup)?;
            self.wait_until_ready(&mut tree)?;
            self.tree = Some(tree);
        }
        self.tree.as_mut().ok_or_else(|| RunError::Ended("not started".to_owned()))
    }

    /// Waits until each daemon, the neighbour too, has made its state.
    fn wait_until_ready(&self, tree: &mut Tree) -> Result<(), RunError> {
        for _ in 0..=self.daemons.len() {
            match tree.hear(START, self.interrupted)? {
                Heard::Reply(Reply::Ready) => {}
                Heard::Ended(how) => return Err(RunError::Ended(how)),
                // It is asked again, and ends what it has begun.
                Heard::Nothing if (self.interrupted)() => return Ok(()),
                Heard::Nothing | Heard::Reply(_) => {
                    return Err(RunError::Ended(format!(
                        "a daemon did not say within {} s that it is ready",
                        START.as_secs()
                    )));
                }
            }
        }
        Ok(())
    }

    fn daemon_of(&self, planned: &Planned) -> usize {
        let setup = setup_of(&planned.levels);
        // Every planned trial's levels are among the plan's cells, of which the daemons were made.
        self.daemons.iter().position(|daemon| *daemon == setup).unwrap_or_default()
    }

    /// How long so many trials or laps in one go may take: each restart may wait out a heartbeat.
    fn patience(&self, trials: u64) -> Duration {
        let Suite { heartbeat, intensity, batch, .. } = self.suite;
        let deadline = Duration::from_millis(heartbeat.deadline_ms);
        let each = deadline + Duration::from_micros(2 * batch.pause_us);
        let count = u32::try_from(trials).unwrap_or(u32::MAX);
        let restarts = deadline.saturating_mul(intensity.restarts.saturating_add(2));
        Duration::from_secs(30).saturating_add(restarts).saturating_add(each.saturating_mul(count))
    }

    /// The record of a trial that did not end: why.
    fn hung(&self, planned: &Planned, why: String) -> Trial {
        let mut trial = self.judge().judge(planned, TrialReply::default(), None);
        trial.outcome = Outcome::Hung;
        trial.verdict = Verdict::Hung;
        trial.remark = Some(why);
        trial.digest = None;
        trial.course = None;
        trial
    }
}

impl Made {
    /// A trial with its crashes. `first` is the first trial of the same transaction.
    fn new(trial: Trial, first: &Planned, recovered: Vec<Recovered>) -> Self {
        let line = |recovered| RecordedCrash {
            trial: trial.trial,
            transaction: first.trial,
            levels: trial.levels.clone(),
            recovered,
        };
        let crashes = recovered.into_iter().map(line).collect();
        Self { trial, crashes }
    }
}
