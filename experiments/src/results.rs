//! A run's folder, read back: what `crashbed report` and `crashbed plot` make everything from again.
//!
//! `manifest.json` and `trials.jsonl` say it all; `floors.json` and `measurements.json` keep what was measured beside
//! the trials. The trials may have been packed since, to `trials.jsonl.gz`. A run that was killed may have left half a line at the end of `trials.jsonl`: that line is left out, and
//! said to be.

use crate::jsonl::{self, BadLine};
use crate::output::{MEASUREMENTS, write_whole};
use crate::packed::{self, PackedError};
use crate::record::{FORMAT, Floor, Manifest, Measurements, Summary, Trial};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};

/// The file of a run's manifest.
pub const MANIFEST: &str = "manifest.json";
/// The file of its trials, one a line.
pub const TRIALS: &str = "trials.jsonl";
/// The file of its floors, a list.
pub const FLOORS: &str = "floors.json";
/// The file of its summary.
pub const SUMMARY: &str = "summary.json";

/// What a run left in its folder.
#[derive(Clone, Debug)]
pub struct Results {
    /// What was run where.
    pub manifest: Manifest,
    /// The trials, in the order in which they were made.
    pub trials: Vec<Trial>,
    /// The floors; none where the run ended before it had measured them.
    pub floors: Vec<Floor>,
    /// What was measured beside the trials; nothing where the suite asked for nothing, or the run ended before.
    pub measurements: Measurements,
    /// The summary; `None` where the run ended before it was written.
    pub summary: Option<Summary>,
    /// That the last line of the trials was cut off and left out, in words for the summary's `skipped`.
    pub torn: Option<String>,
}

/// Why a run's folder could not be read or added to.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// There is no such file: the folder is not a run's.
    #[error("{} is not there: {} is not the folder of a run", path.display(), path.parent().unwrap_or(path).display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The trials could not be read.
    #[error(transparent)]
    Trials(#[from] PackedError),
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else than a run writes.
    #[error("{}, line {line}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A line of a file of lines is something else.
    #[error(transparent)]
    Line(#[from] BadLine),
    /// The run was written in another version of the formats.
    #[error("{} is in format {found}; this program reads format {FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// Reads the folder of a run. A summary, floors or measurements that are not there are left out; a trial that cannot be read is an
/// error, except for a last line that was cut off.
///
/// # Errors
/// [`ResultsError`] with file and line.
pub fn load(dir: &Path) -> Result<Results, ResultsError> {
    let path = dir.join(MANIFEST);
    let manifest: Manifest = json(&path)?.ok_or_else(|| ResultsError::Missing { path: path.clone() })?;
    if manifest.format != FORMAT {
        return Err(ResultsError::Format { path, found: manifest.format });
    }
    let (path, text) = packed::trials(dir)?;
    let (trials, torn) = jsonl::read(&path, &text, "a trial")?;
    let torn =
        torn.map(|line| format!("line {line} of {TRIALS}: skipped, because it was cut off while it was written"));
    let floors = json(&dir.join(FLOORS))?.unwrap_or_default();
    let measurements = json(&dir.join(MEASUREMENTS))?.unwrap_or_default();
    let path = dir.join(SUMMARY);
    let summary: Option<Summary> = json(&path)?;
    if let Some(found) = summary.as_ref().map(|summary| summary.format).filter(|format| *format != FORMAT) {
        return Err(ResultsError::Format { path, found });
    }
    Ok(Results { manifest, trials, floors, measurements, summary, torn })
}

/// Writes `floors.json`, whole or not at all.
///
/// # Errors
/// [`ResultsError::Write`] where the file cannot be written.
pub fn write_floors(dir: &Path, floors: &[Floor]) -> Result<(), ResultsError> {
    write_json(&dir.join(FLOORS), floors)
}

/// Writes `measurements.json`, whole or not at all.
///
/// # Errors
/// [`ResultsError::Write`] where the file cannot be written.
pub fn write_measurements(dir: &Path, measurements: &Measurements) -> Result<(), ResultsError> {
    write_json(&dir.join(MEASUREMENTS), measurements)
}

fn write_json<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<(), ResultsError> {
    let failed = |source| ResultsError::Write { path: path.to_owned(), source };
    let bytes = serde_json::to_vec_pretty(value).map_err(|error| failed(error.into()))?;
    write_whole(path, &bytes).map_err(failed)
}

/// A JSON file's value; `None` where the file is not there.
fn json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ResultsError> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| ResultsError::Content {
        path: path.to_owned(),
        line: error.line(),
        problem: error.to_string(),
    })
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, ResultsError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ResultsError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample_trials::run;
    use std::collections::BTreeMap;
    use std::io::Write;

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT,
            suite: "quick".to_owned(),
            question: "does it work?".to_owned(),
            settings: String::new(),
            seed: 7,
            started: "2026-01-01T00:00:00Z".to_owned(),
            version: "0.1.0".to_owned(),
            revision: "unknown".to_owned(),
            machine: BTreeMap::new(),
        }
    }

    /// A run's folder with three trials, and the text of those.
    fn folder() -> (tempfile::TempDir, Vec<Trial>, String) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(MANIFEST), serde_json::to_vec(&manifest()).unwrap()).unwrap();
        let trials = run(&["zero-state"], &["full-copy"], &["kv"], &["abort".to_owned()], 3);
        let lines: String = trials.iter().map(|trial| serde_json::to_string(trial).unwrap() + "\n").collect();
        std::fs::write(dir.path().join(TRIALS), &lines).unwrap();
        (dir, trials, lines)
    }

    #[test]
    fn what_a_run_wrote_is_read_back() {
        let (dir, trials, _) = folder();
        let floors: Vec<Floor> = Vec::new();
        write_floors(dir.path(), &floors).unwrap();
        let results = load(dir.path()).unwrap();
        assert_eq!((results.trials, results.manifest, results.floors), (trials, manifest(), floors));
        assert_eq!((results.summary, results.torn), (None, None));
    }

    #[test]
    fn a_last_line_cut_off_anywhere_is_left_out_and_said_to_be() {
        let (dir, trials, lines) = folder();
        let last = lines.trim_end().rfind('\n').unwrap() + 1;
        for cut in last + 1..lines.len() - 1 {
            std::fs::write(dir.path().join(TRIALS), &lines[..cut]).unwrap();
            let results = load(dir.path()).unwrap();
            assert_eq!(results.trials, trials[..2], "cut at byte {cut}");
            assert!(results.torn.unwrap().contains("line 3 "), "cut at byte {cut}");
        }
        // Only the newline is missing: the trial is whole.
        std::fs::write(dir.path().join(TRIALS), lines.trim_end()).unwrap();
        assert_eq!(load(dir.path()).unwrap().trials, trials);
    }

    #[test]
    fn packed_trials_are_read_as_plain_ones_are() {
        let (dir, trials, lines) = folder();
        for (text, read, is_torn) in
            [(lines.as_str(), &trials[..], false), (&lines[..lines.len() - 9], &trials[..2], true)]
        {
            let file = std::fs::File::create(dir.path().join("trials.jsonl.gz")).unwrap();
            let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::best());
            packer.write_all(text.as_bytes()).unwrap();
            packer.finish().unwrap();
            let _ = std::fs::remove_file(dir.path().join(TRIALS));
            let results = load(dir.path()).unwrap();
            assert_eq!((&results.trials[..], results.torn.is_some()), (read, is_torn));
        }
        std::fs::write(dir.path().join(TRIALS), lines).unwrap();
        let error = load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("holds both trials.jsonl and trials.jsonl.gz"), "{error}");
    }

    #[test]
    fn any_other_bad_line_is_an_error_with_file_and_line() {
        let (dir, _, lines) = folder();
        let broken = lines.replacen("\"zero-state\"", "zero", 2);
        std::fs::write(dir.path().join(TRIALS), broken).unwrap();
        let error = load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("trials.jsonl, line 1: not a trial"), "{error}");
    }

    #[test]
    fn a_folder_that_is_no_run_and_another_format_are_refused() {
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(load(empty.path()).unwrap_err(), ResultsError::Missing { .. }));
        let (dir, ..) = folder();
        let newer = Manifest { format: FORMAT + 1, ..manifest() };
        std::fs::write(dir.path().join(MANIFEST), serde_json::to_vec(&newer).unwrap()).unwrap();
        let error = load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("format 2; this program reads format 1"), "{error}");
        std::fs::write(dir.path().join(MANIFEST), "{\n\"format\": ?").unwrap();
        let error = load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("manifest.json, line 2"), "{error}");
    }
}
