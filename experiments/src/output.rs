//! A run's folder: what is written when, so that nothing half-written looks whole.
//!
//! `manifest.json` comes first, `trials.jsonl` grows by one write a trial, and `summary.json`, plots and `report.html`
//! come last. Whole files are written beside their place and renamed into it; a line of `trials.jsonl` that does not fit
//! on the disk is taken back. So a folder without `summary.json` is a run that was cut off, and says so.

use crate::packed::{self, PackedError};
use crate::record::{Manifest, Summary, Trial};
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file of what was run where.
pub const MANIFEST: &str = "manifest.json";
/// The file with one trial a line.
pub const TRIALS: &str = "trials.jsonl";
/// The file with one object a cell.
pub const SUMMARY: &str = "summary.json";

/// The folder that a run writes.
#[derive(Debug)]
pub struct Output {
    folder: PathBuf,
    trials: File,
    /// Bytes of `trials.jsonl` that are whole lines.
    whole: u64,
}

/// Why a folder cannot be written, or read back.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// It has something in it.
    #[error("the output folder `{}` is not empty; name another, or a new one", folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// Nothing can be made in it.
    #[error("the output folder `{}` is not writable: {source}", folder.display())]
    NotWritable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written, as on a full disk.
    #[error("cannot write `{}`: {source}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read `{}`: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The trials could not be read.
    #[error(transparent)]
    Trials(#[from] PackedError),
    /// A file holds something else.
    #[error("{}:{line}: {source}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// The line in it, from 1.
        line: u64,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// There is no such line.
    #[error("{} has {lines} lines, so there is no line {line} (the first is 1)", file.display())]
    NoSuchLine {
        /// The file.
        file: PathBuf,
        /// The line asked for.
        line: u64,
        /// How many there are.
        lines: u64,
    },
}

impl Output {
    /// Makes `folder`, which must be empty or not there yet, and an empty `trials.jsonl` in it.
    ///
    /// # Errors
    /// [`OutputError::NotEmpty`] or [`OutputError::NotWritable`]; nothing was written then.
    pub fn create(folder: &Path) -> Result<Self, OutputError> {
        let not_writable = |source| OutputError::NotWritable { folder: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(not_writable)?;
        if folder.read_dir().map_err(not_writable)?.next().is_some() {
            return Err(OutputError::NotEmpty { folder: folder.to_owned() });
        }
        let trials = File::create_new(folder.join(TRIALS)).map_err(not_writable)?;
        Ok(Self { folder: folder.to_owned(), trials, whole: 0 })
    }

    /// Makes a fresh folder for a run of `suite` in `runs`, named after the suite and the present time (UTC).
    ///
    /// # Errors
    /// [`OutputError::NotWritable`].
    pub fn fresh(runs: &Path, suite: &str) -> Result<Self, OutputError> {
        let not_writable = |folder: &Path, source| OutputError::NotWritable { folder: folder.to_owned(), source };
        fs::create_dir_all(runs).map_err(|source| not_writable(runs, source))?;
        let name = format!("{suite}-{}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
        // Runs that begin in the same second are told apart by a number; making a folder is atomic.
        for number in 1_u64.. {
            let folder = if number == 1 { runs.join(&name) } else { runs.join(format!("{name}-{number}")) };
            match fs::create_dir(&folder) {
                Ok(()) => return Self::create(&folder),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(not_writable(&folder, error)),
            }
        }
        unreachable!("there are more numbers than folders")
    }

    /// Whether no trial was written yet.
    pub fn is_empty(&self) -> bool {
        self.whole == 0
    }

    /// Takes back what was made, for a run that could not make a single trial: the folder can be used again.
    pub fn discard(self) {
        for file in [MANIFEST, TRIALS] {
            // What cannot be removed stays; the error that led here is the one to tell.
            let _ = fs::remove_file(self.folder.join(file));
        }
        // Only where it is empty.
        let _ = fs::remove_dir(&self.folder);
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes `manifest.json`.
    ///
    /// # Errors
    /// [`OutputError::Write`].
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), OutputError> {
        self.write_json(MANIFEST, manifest)
    }

    /// Adds a line to `trials.jsonl`, by one write. Where that fails in the middle, the piece is taken back.
    ///
    /// # Errors
    /// [`OutputError::Write`]: the trials before this one are on record, this one is not.
    pub fn append(&mut self, trial: &Trial) -> Result<(), OutputError> {
        let file = self.folder.join(TRIALS);
        let mut line = to_json(&file, trial, false)?;
        line.push(b'\n');
        if let Err(source) = self.trials.write_all(&line) {
            // Shortening a file needs no room. Where even that fails the line has no end, and reading it back says so.
            let _ = self.trials.set_len(self.whole);
            return Err(OutputError::Write { file, source });
        }
        self.whole += line.len() as u64;
        Ok(())
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), OutputError> {
        let mut json = to_json(&self.folder.join(name), value, true)?;
        json.push(b'\n');
        let file = self.folder.join(name);
        write_whole(&file, &json).map_err(|source| OutputError::Write { file, source })
    }
}

fn to_json(file: &Path, value: &impl Serialize, pretty: bool) -> Result<Vec<u8>, OutputError> {
    let json = if pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    json.map_err(|error| OutputError::Write { file: file.to_owned(), source: error.into() })
}

/// Writes `summary.json` into `folder`, whole or not at all.
///
/// # Errors
/// [`OutputError::Write`].
pub fn write_summary(folder: &Path, summary: &Summary) -> Result<(), OutputError> {
    let file = folder.join(SUMMARY);
    let mut json = to_json(&file, summary, true)?;
    json.push(b'\n');
    write_whole(&file, &json).map_err(|source| OutputError::Write { file, source })
}

/// Writes beside the place and renames into it (`rename(2)` is atomic). The temporary file is removed on an error.
pub(crate) fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new()
        .prefix(".unfinished-")
        // As other files; the process's mask takes away from it. The default is for secrets.
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(file)?;
    Ok(())
}

/// Reads a run's `manifest.json`.
///
/// # Errors
/// [`OutputError::Read`] or [`OutputError::Malformed`].
pub fn read_manifest(folder: &Path) -> Result<Manifest, OutputError> {
    let file = folder.join(MANIFEST);
    let text = fs::read(&file).map_err(|source| OutputError::Read { file: file.clone(), source })?;
    serde_json::from_slice(&text).map_err(|source| {
        let line = source.line() as u64;
        OutputError::Malformed { file, line, source }
    })
}

/// Reads one line, from 1, of a run's trials.
///
/// # Errors
/// [`OutputError::Trials`], [`OutputError::NoSuchLine`] or [`OutputError::Malformed`].
pub fn read_trial(folder: &Path, line: u64) -> Result<Trial, OutputError> {
    let (file, text) = packed::trials(folder)?;
    // What ends the text after a last newline is no line.
    let lines = || text.split_inclusive(|byte| *byte == b'\n');
    let Some((_, found)) = (1_u64..).zip(lines()).find(|(number, _)| *number == line) else {
        return Err(OutputError::NoSuchLine { file, line, lines: lines().count() as u64 });
    };
    serde_json::from_slice(found).map_err(|source| OutputError::Malformed { file, line, source })
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
