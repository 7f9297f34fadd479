//! A run's folder: what is written when, so that nothing half-written looks whole.
//!
//! `manifest.json` comes first, `trials.jsonl` grows by one write a trial, `crashes.jsonl` by one before it, and
//! `summary.json`, plots and `report.html` come last. Whole files are written beside their place and renamed into it; a
//! line of `trials.jsonl` that does not fit on the disk is taken back. So a folder without `summary.json` is a run that
//! was cut off, and says so; and a trial on record has all its crashes on record, where they are recorded at all.

use crate::packed::{self, PackedError};
use crate::record::{Manifest, RecordedCrash, Summary, Trial};
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file of what was run where.
pub const MANIFEST: &str = "manifest.json";
/// The file with one trial a line.
pub const TRIALS: &str = "trials.jsonl";
/// The file with one crash a line.
pub const CRASHES: &str = "crashes.jsonl";
/// The file of what was measured beside the trials.
pub const MEASUREMENTS: &str = "measurements.json";
/// The file with one object a cell.
pub const SUMMARY: &str = "summary.json";

/// The folder that a run writes.
#[derive(Debug)]
pub struct Output {
    folder: PathBuf,
    trials: Lines,
    /// `None` where crashes are not recorded.
    crashes: Option<Lines>,
}

/// A file of lines.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: File,
    /// Bytes that are whole lines.
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
    /// There is no manifest.
    #[error("{} is not there: {} is not the folder of a run", file.display(), file.parent().unwrap_or(file).display())]
    NotARun {
        /// The file that would be the manifest.
        file: PathBuf,
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
    #[error("{} has no line {line}; {}", file.display(), there_are(*lines))]
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
        let trials = Lines::create(folder.join(TRIALS)).map_err(not_writable)?;
        Ok(Self { folder: folder.to_owned(), trials, crashes: None })
    }

    /// Records crashes too from here on, in an empty `crashes.jsonl`.
    ///
    /// # Errors
    /// [`OutputError::NotWritable`].
    pub fn record_crashes(&mut self) -> Result<(), OutputError> {
        let made = Lines::create(self.folder.join(CRASHES));
        let made = made.map_err(|source| OutputError::NotWritable { folder: self.folder.clone(), source })?;
        self.crashes = Some(made);
        Ok(())
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

    /// Whether nothing was measured yet: no trial was written, and no row of a measure.
    pub fn is_empty(&self) -> bool {
        self.trials.whole == 0 && !self.folder.join(MEASUREMENTS).exists()
    }

    /// Takes back what was made, for a run that could not measure anything: the folder can be used again.
    pub fn discard(self) {
        for file in [MANIFEST, TRIALS, CRASHES] {
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

    /// Adds a trial's crashes to `crashes.jsonl`, where they are recorded, then the trial to `trials.jsonl`, each by one
    /// write. Where one fails in the middle, the piece is taken back.
    ///
    /// # Errors
    /// [`OutputError::Write`]: the trials before this one are on record, this one is not.
    pub fn append(&mut self, trial: &Trial, crashes: &[RecordedCrash]) -> Result<(), OutputError> {
        if let Some(lines) = self.crashes.as_mut().filter(|_| !crashes.is_empty()) {
            lines.append(crashes)?;
        }
        self.trials.append(std::slice::from_ref(trial))
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), OutputError> {
        let mut json = to_json(&self.folder.join(name), value, true)?;
        json.push(b'\n');
        let file = self.folder.join(name);
        write_whole(&file, &json).map_err(|source| OutputError::Write { file, source })
    }
}

impl Lines {
    fn create(path: PathBuf) -> io::Result<Self> {
        let file = File::create_new(&path)?;
        Ok(Self { path, file, whole: 0 })
    }

    fn append(&mut self, values: &[impl Serialize]) -> Result<(), OutputError> {
        let mut text = Vec::new();
        for value in values {
            text.append(&mut to_json(&self.path, value, false)?);
            text.push(b'\n');
        }
        if let Err(source) = self.file.write_all(&text) {
            // Shortening a file needs no room. Where even that fails the line has no end, and reading it back says so.
            let _ = self.file.set_len(self.whole);
            return Err(OutputError::Write { file: self.path.clone(), source });
        }
        self.whole += text.len() as u64;
        Ok(())
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
    let text = fs::read(&file).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => OutputError::NotARun { file: file.clone() },
        _ => OutputError::Read { file: file.clone(), source },
    })?;
    serde_json::from_slice(&text).map_err(|source| {
        let line = source.line() as u64;
        OutputError::Malformed { file, line, source }
    })
}

/// Which lines there are.
fn there_are(lines: u64) -> String {
    if lines == 0 { "it has none".to_owned() } else { format!("it has those from 1 to {lines}") }
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
