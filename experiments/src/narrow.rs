//! Narrowing a suite by the command line: fewer levels, other numbers, a corpus of one's own.

use crate::names;
use crate::suite::Suite;
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
    /// More trials than a run's files and the plan in memory should hold.
    #[error(
        "{trials} trials of each of {cells} cells are too many; the most in one run is {MOST_TRIALS}, that is, \
         {most} of each"
    , most = MOST_TRIALS / cells)]
    TooMany {
        /// Trials of each cell.
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
    /// Narrows `suite`. Levels stay in the suite's order. A corpus, be it the suite's or the command line's, is made
    /// absolute and must be there, so that the run's folder alone says what was read.
    ///
    /// # Errors
    /// [`NarrowError`]; `suite` may then be half narrowed.
    pub fn apply(self, suite: &mut Suite) -> Result<(), NarrowError> {
        let Suite { name, factors, workload, seed, .. } = suite;
        keep(name, "policy", &mut factors.policy, self.policy)?;
        keep(name, "mechanism", &mut factors.mechanism, self.mechanism)?;
        keep(name, "workload", &mut factors.workload, self.workload)?;
        keep(name, "fault", &mut factors.fault, self.fault)?;
        factors.trials = self.trials.unwrap_or(factors.trials);
        *seed = self.seed.or(*seed);
        let cells = factors.cells();
        if factors.trials.saturating_mul(cells) > MOST_TRIALS {
            return Err(NarrowError::TooMany { trials: factors.trials, cells });
        }
        let reads_documents = factors.workload.iter().any(|level| level == "documents");
        if self.corpus.is_some() && !reads_documents {
            return Err(NarrowError::NoDocuments { workloads: factors.workload.join(", ") });
        }
        if let Some(folder) = self.corpus.as_ref().or(workload.documents.corpus.as_ref()).filter(|_| reads_documents) {
            workload.documents.corpus = Some(readable(folder)?);
        }
        Ok(())
    }
}

/// Keeps those levels of one factor that are asked for.
fn keep(
    suite: &str,
    factor: &'static str,
    levels: &mut Vec<String>,
    asked: Option<Vec<String>>,
) -> Result<(), NarrowError> {
    let Some(asked) = asked else { return Ok(()) };
    if let Some(level) = asked.iter().find(|level| !levels.contains(level)) {
        let nearest = names::nearest(level, levels.iter().map(String::as_str)).unwrap_or_default();
        return Err(NarrowError::NotInSuite {
            factor,
            level: level.clone(),
            suite: suite.to_owned(),
            nearest: nearest.to_owned(),
            levels: levels.join(", "),
        });
    }
    levels.retain(|level| asked.contains(level));
    Ok(())
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
mod tests {
    use super::*;
    use crate::catalog;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_left_is_what_was_asked_for_in_the_suites_order(picks in proptest::collection::vec(0_usize..100, 1..9)) {
            let mut suite = catalog::load("quick").unwrap();
            let all = suite.factors.fault.clone();
            let asked: Vec<String> = picks.iter().map(|pick| all[pick % all.len()].clone()).collect();
            Narrowing { fault: Some(asked.clone()), ..Narrowing::default() }.apply(&mut suite).unwrap();
            let expected: Vec<_> = all.iter().filter(|level| asked.contains(level)).cloned().collect();
            prop_assert_eq!(suite.factors.fault, expected);
        }
    }

    #[test]
    fn a_level_that_the_suite_has_not_is_refused_with_those_it_has() {
        let mut suite = catalog::load("documents").unwrap();
        let narrowing = Narrowing { workload: Some(vec!["kv".into()]), ..Narrowing::default() };
        let error = narrowing.apply(&mut suite).unwrap_err().to_string();
        assert!(error.contains("has no workload `kv`"), "{error}");
        assert!(error.contains("it has: documents"), "{error}");
    }

    #[test]
    fn a_run_has_a_bounded_number_of_trials() {
        let narrow = |trials| {
            let mut suite = catalog::load("quick").unwrap();
            Narrowing { trials: Some(trials), ..Narrowing::default() }.apply(&mut suite).map(|()| suite.factors.cells())
        };
        let cells = narrow(1).unwrap();
        assert!(narrow(MOST_TRIALS / cells).is_ok());
        for trials in [MOST_TRIALS / cells + 1, u64::MAX] {
            assert!(matches!(narrow(trials), Err(NarrowError::TooMany { .. })));
        }
    }

    #[test]
    fn a_corpus_must_be_read_by_someone_be_there_and_hold_something() {
        let folder = tempfile::tempdir().unwrap();
        let narrow = |suite: &str, corpus: &Path| {
            let mut suite = catalog::load(suite).unwrap();
            let narrowing = Narrowing { corpus: Some(corpus.to_owned()), ..Narrowing::default() };
            narrowing.apply(&mut suite).map(|()| suite)
        };
        assert!(matches!(narrow("documents", folder.path()), Err(NarrowError::Empty { .. })));
        assert!(matches!(narrow("documents", &folder.path().join("x")), Err(NarrowError::Unreadable { .. })));
        let file = folder.path().join("one.json");
        std::fs::write(&file, "{}").unwrap();
        assert!(matches!(narrow("documents", &file), Err(NarrowError::Unreadable { .. })));
        assert!(matches!(narrow("state-integrity", folder.path()), Err(NarrowError::NoDocuments { .. })));
        let suite = narrow("documents", folder.path()).unwrap();
        assert_eq!(suite.workload.documents.corpus, Some(folder.path().canonicalize().unwrap()));
    }

    #[test]
    fn a_suites_own_corpus_must_be_there_too() {
        let mut suite = catalog::load("documents").unwrap();
        suite.workload.documents.corpus = Some("/nowhere/at/all".into());
        assert!(matches!(Narrowing::default().apply(&mut suite), Err(NarrowError::Unreadable { .. })));
    }
}
