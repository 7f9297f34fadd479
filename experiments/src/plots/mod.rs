//! The plots of a run, each as SVG and PNG: what a reader sees first.
//!
//! A plot is a pure function of the trials and the floors. It is laid out as a sheet (`sheet.rs`), which both back ends
//! draw. A plot without data is still drawn and says why it is empty.

mod axis;
mod costs;
mod ecdf;
mod heading;
mod heartbeat;
mod legend;
mod lost_operations;
mod outcomes;
mod panels;
mod phases;
mod plane;
mod recovery_ecdf;
mod sheet;
mod starts;
mod style;

use crate::output::write_whole;
use crate::record::{Summary, Trial};
use crate::units::count;
use sheet::Sheet;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// One of the plots of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plot {
    /// Recovery latency as ECDF by policy.
    RecoveryEcdf,
    /// The median of each phase, stacked.
    Phases,
    /// Verdicts by fault and policy, as a heat map.
    Outcomes,
    /// Lost operations by policy.
    LostOperations,
    /// Recovery latency as ECDF by start.
    Starts,
    /// Recovery latency against what spares take.
    Costs,
    /// A heartbeat's deadline against false alarms and the time to notice a hang.
    Heartbeat,
}

/// Why a plot could not be drawn or written.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The drawing itself failed.
    #[error("cannot draw: {0}")]
    Draw(String),
    /// A file or folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl PlotError {
    fn back_end(error: impl Display) -> Self {
        Self::Draw(error.to_string())
    }
}

impl Plot {
    /// All plots, in the order of the report.
    pub const ALL: [Self; 7] = [
        Self::Starts,
        Self::Costs,
        Self::Outcomes,
        Self::RecoveryEcdf,
        Self::Phases,
        Self::LostOperations,
        Self::Heartbeat,
    ];

    /// The plots that a run asks for, in the order of the report: those of starts, costs and heartbeats only where it
    /// varied or measured these, all others wherever it made trials.
    pub fn of(summary: &Summary, trials: &[Trial]) -> Vec<Self> {
        let applies = |plot: &Self| match plot {
            Self::Starts => starts::applies(trials),
            Self::Costs => costs::applies(summary),
            Self::Heartbeat => heartbeat::applies(summary),
            Self::Outcomes | Self::RecoveryEcdf | Self::Phases | Self::LostOperations => !trials.is_empty(),
        };
        Self::ALL.into_iter().filter(applies).collect()
    }

    /// The name of its files, without their ending.
    pub fn name(self) -> &'static str {
        match self {
            Self::RecoveryEcdf => "recovery-ecdf",
            Self::Phases => "phases",
            Self::Outcomes => "outcomes",
            Self::LostOperations => "lost-operations",
            Self::Starts => "recovery-by-start",
            Self::Costs => "spare-costs",
            Self::Heartbeat => "heartbeat",
        }
    }

    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Self::RecoveryEcdf => recovery_ecdf::TITLE,
            Self::Phases => phases::TITLE,
            Self::Outcomes => outcomes::TITLE,
            Self::LostOperations => lost_operations::TITLE,
            Self::Starts => starts::TITLE,
            Self::Costs => costs::TITLE,
            Self::Heartbeat => heartbeat::TITLE,
        }
    }

    /// How to read it, in a few sentences.
    pub fn reading(self) -> &'static str {
        match self {
            Self::RecoveryEcdf => recovery_ecdf::READING,
            Self::Phases => phases::READING,
            Self::Outcomes => outcomes::READING,
            Self::LostOperations => lost_operations::READING,
            Self::Starts => starts::READING,
            Self::Costs => costs::READING,
            Self::Heartbeat => heartbeat::READING,
        }
    }

    fn sheet(self, summary: &Summary, trials: &[Trial]) -> Sheet {
        match self {
            Self::RecoveryEcdf => recovery_ecdf::sheet(summary, trials),
            Self::Phases => phases::sheet(trials),
            Self::Outcomes => outcomes::sheet(trials),
            Self::LostOperations => lost_operations::sheet(trials),
            Self::Starts => starts::sheet(summary, trials),
            Self::Costs => costs::sheet(summary),
            Self::Heartbeat => heartbeat::sheet(summary),
        }
    }

    /// The plot as an SVG document.
    ///
    /// # Errors
    /// [`PlotError::Draw`] where the back end fails.
    pub fn svg(self, summary: &Summary, trials: &[Trial]) -> Result<String, PlotError> {
        self.sheet(summary, trials).svg()
    }

    /// The plot as a PNG file's bytes.
    ///
    /// # Errors
    /// [`PlotError::Draw`] where the back end fails.
    pub fn png(self, summary: &Summary, trials: &[Trial]) -> Result<Vec<u8>, PlotError> {
        self.sheet(summary, trials).png()
    }
}

/// Draws the plots that the run asks for into `dir/plots/`, as SVG and PNG, and returns the files' paths. A file is there whole or not at
/// all; one of an earlier drawing is replaced.
///
/// # Errors
/// [`PlotError`] with the path where a file cannot be written, as on a full disk.
pub fn draw_all(dir: &Path, summary: &Summary, trials: &[Trial]) -> Result<Vec<PathBuf>, PlotError> {
    let folder = dir.join("plots");
    std::fs::create_dir_all(&folder).map_err(|source| PlotError::Write { path: folder.clone(), source })?;
    let mut paths = Vec::new();
    for plot in Plot::of(summary, trials) {
        let sheet = plot.sheet(summary, trials);
        for (ending, bytes) in [("svg", sheet.svg()?.into_bytes()), ("png", sheet.png()?)] {
            let path = folder.join(format!("{}.{ending}", plot.name()));
            write_whole(&path, &bytes).map_err(|source| PlotError::Write { path: path.clone(), source })?;
            paths.push(path);
        }
    }
    Ok(paths)
}

/// Why a plot has nothing to show.
fn why_empty(trials: &[Trial]) -> String {
    let crashed = trials.iter().filter(|trial| trial.crashes > 0).count();
    match (trials.len(), crashed) {
        (0, _) => "no trial was made".to_owned(),
        (made, 0) => format!("nothing crashed in {}", count(made as u64, "trial", "trials")),
        (_, crashed) => format!("none of {} recovered", count(crashed as u64, "crashed trial", "crashed trials")),
    }
}

#[cfg(test)]
mod tests;
