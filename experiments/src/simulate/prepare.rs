//! From the command line to parameters and a fleet.

use super::fit::{self, FitError, Wanted};
use super::fleet::Fleet;
use super::parameters::{HOUR_NS, Parameters};
use crate::cli::SimulateArgs;
use crate::results::{self, ResultsError};
use crate::trace::{Trace, TraceError};
use std::path::{Path, PathBuf};

/// Why nothing could be simulated.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The file of parameters cannot be read.
    #[error("cannot read the parameters `{}`: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds no parameters.
    #[error("{}, {problem}", file.display())]
    Parameters {
        /// The file.
        file: PathBuf,
        /// What is wrong where, and what would be right.
        problem: String,
    },
    /// The run cannot be read.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// Its recorded crashes cannot be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// It does not say enough.
    #[error("{}: {source}", folder.display())]
    Fit {
        /// Its folder.
        folder: PathBuf,
        /// What it does not say.
        source: Box<FitError>,
    },
}

impl SimulateError {
    /// The program's exit status: 2 where the user asked for something wrong, 1 where the run does not say enough.
    pub fn status(&self) -> u8 {
        match self {
            Self::Unreadable { .. } | Self::Parameters { .. } => 2,
            Self::Fit { source, .. } => source.status(),
            Self::Results(_) | Self::Trace(_) => 1,
        }
    }
}

/// A week.
const WEEK_HOURS: f64 = 168.0;

impl SimulateArgs {
    /// The parameters, and what is to be said of them.
    ///
    /// # Errors
    /// [`SimulateError`].
    pub fn read(&self) -> Result<(Parameters, Vec<String>), SimulateError> {
        // Above 0 and at most a million hours, which is less than 2⁶² ns.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let ns = |hours: f64| ((hours * HOUR_NS as f64) as u64).max(1);
        match (&self.from, &self.parameters) {
            (Some(folder), _) => {
                let mut read = self.fit(folder, ns(self.mtbf_hours.unwrap_or(WEEK_HOURS)))?;
                if self.mtbf_hours.is_none() {
                    read.1.push("mtbf_ns: a week, as nothing else was asked for".to_owned());
                }
                Ok(read)
            }
            (None, file) => {
                // One of the two was asked for.
                let file = file.clone().unwrap_or_default();
                let text = std::fs::read_to_string(&file)
                    .map_err(|source| SimulateError::Unreadable { file: file.clone(), source })?;
                let mut parameters =
                    Parameters::parse(&text).map_err(|problem| SimulateError::Parameters { file, problem })?;
                parameters.mtbf_ns = self.mtbf_hours.map_or(parameters.mtbf_ns, ns);
                Ok((parameters, Vec::new()))
            }
        }
    }

    fn fit(&self, folder: &Path, mtbf_ns: u64) -> Result<(Parameters, Vec<String>), SimulateError> {
        let results = results::load(folder)?;
        let crashes = match Trace::load(folder) {
            Ok(trace) => trace.crashes,
            // The trials say enough.
            Err(TraceError::NotRecorded { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let Self { mechanism, workload, spare, region, load, .. } = self;
        let wanted = Wanted {
            mechanism: mechanism.clone(),
            workload: workload.clone(),
            spare: spare.clone(),
            region: *region,
            load: load.clone(),
        };
        let fitted = fit::fit(&results, &crashes, &wanted, mtbf_ns)
            .map_err(|source| SimulateError::Fit { folder: folder.to_owned(), source: Box::new(source) })?;
        Ok((fitted.parameters, fitted.notes))
    }

    /// The fleet.
    pub fn fleet(&self) -> Fleet {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.map_or_else(processors, usize::from);
        Fleet { processes: self.processes, years: self.years, seed: self.seed, threads }
    }
}
