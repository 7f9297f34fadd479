//! Narrowing a suite by the command line: fewer levels, other numbers, a corpus of one's own.

use crate::names;
use crate::suite::{Factors, Suite};
use std::path::{Path, PathBuf};

/// The most trials of one run: at some 1 KiB a line, they make 1 GiB of results.
pub const MOST_TRIALS: u64 = 1_000_000;

/// What the command line says about a suite; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct Narrowing {
    /// The policies to keep.
    pub policy: Option<Vec<String>>,
    /// The mechanisms to keep.
    pub mechanism: Option<Vec<String>>,
    /// The workloads to keep.
    pub workload: Option<Vec<String>>,
    /// The faults to keep.
    pub fault: Option<Vec<String>>,
    /// The spares to keep.
    pub spare: Option<Vec<String>>,
    /// The loads to keep.
    pub load: Option<Vec<String>>,
    /// The corpus of `documents`.
    pub corpus: Option<PathBuf>,
    /// The run's seed.
    pub seed: Option<u64>,
    /// Trials of each cell.
    pub trials: Option<u64>,
}

/// Why a suite cannot be narrowed so.
#[derive(Debug, thiserror::Error)]
pub enum NarrowError {
    /// A level that the suite has not.
    #[error(
        "--{factor} {level}: the suite `{suite}` has no {factor} `{level}`; the nearest that it has is `{nearest}` \
         (it has: {levels})"
    )]
    NotInSuite {
        /// The factor, as `policy`.
        factor: &'static str,
        /// The level asked for.
        level: String,
        /// The suite's name.
        suite: String,
        /// The suite's level that is named most alike.
        nearest: String,
        /// The suite's levels.
        levels: String,
    },
    /// Something about the trials of a suite that makes none.
    #[error("--{option}: the suite `{suite}` makes no trials, only measures, so there is nothing to narrow by it")]
    NoTrials {
        /// The option, as `policy`.
        option: &'static str,
        /// The suite's name.
        suite: String,
    },
    /// Levels that the suite has, but in no cell together.
    #[error(
        "the suite `{suite}` has each of these levels, but no cell that has them all: its cells are those of {blocks} \
         grids, one a `[[factors]]`"
    )]
    NothingLeft {
        /// The suite's name.
        suite: String,
        /// Its blocks.
        blocks: usize,
    },
    /// More trials than a run's files and the plan in memory should hold.
    #[error(
        "{trials} trials in {cells} cells are too many; the most in one run is {MOST_TRIALS}, that is, {most} of each \
         cell"
    , most = MOST_TRIALS / cells)]
    TooMany {
        /// Trials in all.
        trials: u64,
        /// Cells.
        cells: u64,
    },
    /// A corpus for a suite that reads none.
    #[error("--corpus is for the workload `documents`, which is not among those to run: {workloads}")]
    NoDocuments {
        /// The workloads to run.
        workloads: String,
    },
    /// A corpus that cannot be read.
    #[error("cannot read the corpus `{}`: {source}", folder.display())]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A corpus without a file.
    #[error("the corpus `{}` is empty; it must be a folder with documents in it", folder.display())]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
}

impl Narrowing {
    /// Narrows `suite`. Levels stay in the suite's order, and blocks that have none left go. A corpus, be it the suite's or the command line's, is made
    /// absolute and must be there, so that the run's folder alone says what was read.
    ///
    /// # Errors
    /// [`NarrowError`]; `suite` may then be half narrowed.
    pub fn apply(self, suite: &mut Suite) -> Result<(), NarrowError> {
        suite.seed = self.seed.or(suite.seed);
        if suite.factors.is_empty() {
            return self
                .about_trials()
                .map_or(Ok(()), |option| Err(NarrowError::NoTrials { option, suite: suite.name.clone() }));
        }
        let Self { policy, mechanism, workload, fault, spare, load, corpus, trials, .. } = self;
        keep(suite, "policy", |block| &mut block.policy, policy)?;
        keep(suite, "mechanism", |block| &mut block.mechanism, mechanism)?;
        keep(suite, "workload", |block| &mut block.workload, workload)?;
        keep(suite, "fault", |block| &mut block.fault, fault)?;
        keep(suite, "spare", |block| &mut block.spare, spare)?;
        keep(suite, "load", |block| &mut block.load, load)?;
        let blocks = suite.factors.len();
        suite.factors.retain(|block| block.cells() > 0);
        if suite.factors.is_empty() {
            return Err(NarrowError::NothingLeft { suite: suite.name.clone(), blocks });
        }
        for block in &mut suite.factors {
            block.trials = trials.unwrap_or(block.trials);
        }
        let (trials, cells) = (suite.trials(), suite.cells());
        if trials > MOST_TRIALS {
            return Err(NarrowError::TooMany { trials, cells });
        }
        let reads_documents = suite.has_workload("documents");
        if corpus.is_some() && !reads_documents {
            let workloads = levels_of(suite, |block| &mut block.workload);
            return Err(NarrowError::NoDocuments { workloads: workloads.join(", ") });
        }
        let documents = &mut suite.workload.documents;
        if let Some(folder) = corpus.as_ref().or(documents.corpus.as_ref()).filter(|_| reads_documents) {
            documents.corpus = Some(readable(folder)?);
        }
        Ok(())
    }

    /// The first option that is about trials.
    fn about_trials(&self) -> Option<&'static str> {
        let Self { policy, mechanism, workload, fault, spare, load, corpus, seed: _, trials } = self;
        let levels = [
            ("policy", policy),
            ("mechanism", mechanism),
            ("workload", workload),
            ("fault", fault),
            ("spare", spare),
            ("load", load),
        ];
        let asked = levels.into_iter().map(|(option, asked)| (option, asked.is_some()));
        let others = [("corpus", corpus.is_some()), ("trials", trials.is_some())];
        asked.chain(others).find(|(_, asked)| *asked).map(|(option, _)| option)
    }
}

/// Keeps those levels of one factor that are asked for; a block may have none of them.
fn keep(
    suite: &mut Suite,
    factor: &'static str,
    of: fn(&mut Factors) -> &mut Vec<String>,
    asked: Option<Vec<String>>,
) -> Result<(), NarrowError> {
    let Some(asked) = asked else { return Ok(()) };
    let levels = levels_of(suite, of);
    if let Some(level) = asked.iter().find(|level| !levels.contains(level)) {
        let nearest = names::nearest(level, levels.iter().map(String::as_str)).unwrap_or_default();
        return Err(NarrowError::NotInSuite {
            factor,
            level: level.clone(),
            suite: suite.name.clone(),
            nearest: nearest.to_owned(),
            levels: levels.join(", "),
        });
    }
    for block in &mut suite.factors {
        of(block).retain(|level| asked.contains(level));
    }
    Ok(())
}

/// All levels that a factor has in some block, each once.
fn levels_of(suite: &mut Suite, of: fn(&mut Factors) -> &mut Vec<String>) -> Vec<String> {
    let mut levels: Vec<String> = Vec::new();
    for level in suite.factors.iter_mut().flat_map(|block| of(block).iter()) {
        if !levels.contains(level) {
            levels.push(level.clone());
        }
    }
    levels
}

/// The folder as an absolute path, if it can be read and has something in it.
fn readable(folder: &Path) -> Result<PathBuf, NarrowError> {
    let unreadable = |source| NarrowError::Unreadable { folder: folder.to_owned(), source };
    let mut entries = folder.read_dir().map_err(unreadable)?;
    match entries.next() {
        None => Err(NarrowError::Empty { folder: folder.to_owned() }),
        Some(Err(source)) => Err(unreadable(source)),
        Some(Ok(_)) => folder.canonicalize().map_err(unreadable),
    }
}

#[cfg(test)]
#[path = "narrow_tests.rs"]
mod tests;
