//! The end of a run: summary, plots and report from what is in its folder. `report` and `plot` come here again later.

use crate::faults::{Fault, Kind};
use crate::output::OutputError;
use crate::plots::{self, PlotError};
use crate::record::Summary;
use crate::report::{self, ReportError};
use crate::results::{self, Results, ResultsError};
use crate::summary::{self, Run};
use crate::{catalog, output};
use std::path::{Path, PathBuf};

/// Why a run could not be concluded.
#[derive(Debug, thiserror::Error)]
pub enum ConcludeError {
    /// The folder cannot be read.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// A plot cannot be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// The report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The summary cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Whether the fault of this name changes memory behind the program's back.
pub fn is_memory_fault(name: &str) -> bool {
    name.parse::<Fault>().is_ok_and(|fault| fault.row().kind == Kind::Memory)
}

/// Writes summary, plots and report of the run in `folder`; answers the summary.
///
/// # Errors
/// [`ConcludeError`].
pub fn report(folder: &Path) -> Result<Summary, ConcludeError> {
    let (results, summary) = summarized(folder)?;
    output::write_summary(folder, &summary)?;
    plots::draw_all(folder, &summary, &results.trials)?;
    report::write(folder, &results.manifest, &summary, &results.trials)?;
    Ok(summary)
}

/// Draws the plots of the run in `folder` again; answers their files.
///
/// # Errors
/// [`ConcludeError`].
pub fn plot(folder: &Path) -> Result<Vec<PathBuf>, ConcludeError> {
    let (results, summary) = summarized(folder)?;
    Ok(plots::draw_all(folder, &summary, &results.trials)?)
}

fn summarized(folder: &Path) -> Result<(Results, Summary), ConcludeError> {
    let results = results::load(folder)?;
    let manifest = &results.manifest;
    // The settings were written by this program; where they are not its own any more, the trials speak for themselves.
    let (planned_trials, planned_rounds) = match catalog::parse("the manifest's settings", &manifest.settings) {
        Ok(suite) => (suite.trials(), suite.rounds()),
        Err(_) => (results.trials.len() as u64, 0),
    };
    // A run of measures alone that has no measurements was cut off before the first of them.
    let before_the_first = if planned_trials == 0 { planned_rounds } else { 0 };
    let run = Run {
        suite: &manifest.suite,
        trials: &results.trials,
        planned_trials,
        missing_rounds: results.measurements.missing_rounds.unwrap_or(before_the_first),
        floors: results.floors.clone(),
        measurements: results.measurements.measurements.clone(),
        skipped: results.torn.iter().chain(&results.measurements.skipped).cloned().collect(),
    };
    let summary = summary::summarize(run, is_memory_fault);
    Ok((results, summary))
}
