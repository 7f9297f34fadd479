//! The recorded crashes of a run, read back: from its folder, or from the file alone.

use crate::jsonl::{self, BadLine};
use crate::output::{CRASHES, MANIFEST, OutputError, read_manifest};
use crate::packed::{self, PackedError};
use crate::record::{FORMAT, RecordedCrash};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Recorded crashes.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The crashes, in the order in which their trials were made.
    pub crashes: Vec<RecordedCrash>,
    /// What was left out, each with its reason.
    pub skipped: Vec<String>,
}

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The run did not record its crashes.
    #[error(
        "{} is not there: the run did not record its crashes; it does with `crashes = true` under `[output]` in its suite",
        path.display()
    )]
    NotRecorded {
        /// The file that would hold them.
        path: PathBuf,
    },
    /// The run was written in another version of the formats.
    #[error("{} is in format {found}; this program reads format {FORMAT}", path.display())]
    Format {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] OutputError),
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] PackedError),
    /// A line is no crash.
    #[error(transparent)]
    Line(#[from] BadLine),
}

impl Trace {
    /// Reads the trace of the run in the folder `path`, or the file `path`, packed or not.
    ///
    /// # Errors
    /// [`TraceError`].
    pub fn load(path: &Path) -> Result<Self, TraceError> {
        let (file, text) = if path.is_file() {
            (path.to_owned(), packed::file(path)?)
        } else {
            let manifest = read_manifest(path)?;
            if manifest.format != FORMAT {
                return Err(TraceError::Format { path: path.join(MANIFEST), found: manifest.format });
            }
            packed::lines(path, CRASHES).map_err(|error| match error {
                PackedError::Read { path, source } if source.kind() == ErrorKind::NotFound => {
                    TraceError::NotRecorded { path }
                }
                other => other.into(),
            })?
        };
        let (crashes, torn) = jsonl::read(&file, &text, "a crash")?;
        let told = |line| format!("line {line} of {CRASHES}: skipped, because it was cut off while it was written");
        Ok(Self { crashes, skipped: torn.map(told).into_iter().collect() })
    }
}
