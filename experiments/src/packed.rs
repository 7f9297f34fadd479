//! The lines of a run's folder as text, from `trials.jsonl` or from `trials.jsonl.gz`, and so those of its crashes.
//!
//! A run writes plain lines, so that whoever interrupts it keeps them. A folder that is kept may be packed afterwards,
//! by `gzip -9 -n trials.jsonl`, to a tenth of its size; everything that reads a folder reads it all the same.

use crate::output::TRIALS;
use flate2::read::MultiGzDecoder;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// What a packed file's name has more than a plain one's.
const PACKED: &str = ".gz";

/// Why a folder's lines could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PackedError {
    /// They are there twice, and may differ.
    #[error("{} holds both {name} and {name}{PACKED}; remove the one that is not meant", folder.display())]
    Both {
        /// The folder.
        folder: PathBuf,
        /// The plain file's name.
        name: &'static str,
    },
    /// A file could not be read, or not be unpacked.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The file that holds the trials of the run in `folder`, and its text, unpacked.
///
/// # Errors
/// [`PackedError`]; with neither file there, [`PackedError::Read`] of the plain one.
pub fn trials(folder: &Path) -> Result<(PathBuf, Vec<u8>), PackedError> {
    lines(folder, TRIALS)
}

/// The file called `name`, or that packed, in `folder`, and its text, unpacked.
///
/// # Errors
/// [`PackedError`]; with neither file there, [`PackedError::Read`] of the plain one.
pub fn lines(folder: &Path, name: &'static str) -> Result<(PathBuf, Vec<u8>), PackedError> {
    let (plain, packed) = (folder.join(name), folder.join(name.to_owned() + PACKED));
    match (std::fs::read(&plain), std::fs::read(&packed)) {
        (Ok(_), Ok(_)) => Err(PackedError::Both { folder: folder.to_owned(), name }),
        (Ok(text), Err(error)) if error.kind() == ErrorKind::NotFound => Ok((plain, text)),
        (Err(error), Ok(bytes)) if error.kind() == ErrorKind::NotFound => {
            let text = unpack(&packed, &bytes)?;
            Ok((packed, text))
        }
        (Ok(_), Err(source)) => Err(PackedError::Read { path: packed, source }),
        (Err(source), _) => Err(PackedError::Read { path: plain, source }),
    }
}

/// The text of `path`, unpacked where its name says that it is packed.
///
/// # Errors
/// [`PackedError::Read`].
pub fn file(path: &Path) -> Result<Vec<u8>, PackedError> {
    let bytes = std::fs::read(path).map_err(|source| PackedError::Read { path: path.to_owned(), source })?;
    if path.as_os_str().as_encoded_bytes().ends_with(PACKED.as_bytes()) { unpack(path, &bytes) } else { Ok(bytes) }
}

fn unpack(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, PackedError> {
    let mut text = Vec::new();
    match MultiGzDecoder::new(bytes).read_to_end(&mut text) {
        Ok(_) => Ok(text),
        Err(source) => Err(PackedError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, GzBuilder};
    use std::io::Write;

    const PACKED_TRIALS: &str = "trials.jsonl.gz";

    fn pack(text: &[u8]) -> Vec<u8> {
        let mut packer = GzBuilder::new().write(Vec::new(), Compression::best());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn packed_trials_are_the_same_text() {
        let folder = tempfile::tempdir().unwrap();
        let text: Vec<u8> = (0..5_000).flat_map(|line| format!("{{\"trial\": {line}}}\n").into_bytes()).collect();
        std::fs::write(folder.path().join(TRIALS), &text).unwrap();
        assert_eq!(trials(folder.path()).unwrap(), (folder.path().join(TRIALS), text.clone()));

        std::fs::write(folder.path().join(PACKED_TRIALS), pack(&text)).unwrap();
        assert!(matches!(trials(folder.path()).unwrap_err(), PackedError::Both { .. }));
        std::fs::remove_file(folder.path().join(TRIALS)).unwrap();
        assert_eq!(trials(folder.path()).unwrap(), (folder.path().join(PACKED_TRIALS), text.clone()));
        assert_eq!(file(&folder.path().join(PACKED_TRIALS)).unwrap(), text);
    }

    #[test]
    fn a_packed_file_that_is_cut_off_or_damaged_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let whole = pack(b"{}\n{}\n");
        let mut damaged = whole.clone();
        // A bit of the checksum, which precedes the length's four bytes at the end.
        damaged[whole.len() - 5] ^= 1;
        for bytes in [&whole[..whole.len() - 1], &whole[..12], &damaged, b"{}\n"] {
            std::fs::write(folder.path().join(PACKED_TRIALS), bytes).unwrap();
            let error = trials(folder.path()).unwrap_err().to_string();
            assert!(error.contains(PACKED_TRIALS), "{error}");
        }
    }

    #[test]
    fn without_either_the_plain_file_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let error = trials(folder.path()).unwrap_err().to_string();
        assert!(error.contains(TRIALS) && !error.contains(PACKED_TRIALS), "{error}");
    }
}
