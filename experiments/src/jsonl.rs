//! Files of one JSON object a line, written as things happen.
//!
//! A run that was killed may have left half a line at the end: that one is left out, and its number told. Any other bad
//! line is an error that names file, line and key.

use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// A line that is not what its file holds.
#[derive(Debug, thiserror::Error)]
#[error("{}, line {line}: not {what}: {}{problem}", path.display(), place(.key))]
pub struct BadLine {
    path: PathBuf,
    line: usize,
    what: &'static str,
    key: String,
    problem: String,
}

fn place(key: &str) -> String {
    // What stands for "the whole line", or is not known.
    if matches!(key, "." | "?") { String::new() } else { format!("`{key}`: ") }
}

/// The values of all lines of `text`, which is that of the file `path`, and the number of a last line, from 1, that was
/// cut off and left out. `what` is what a line holds, as "a trial".
///
/// # Errors
/// [`BadLine`].
pub fn read<T: DeserializeOwned>(
    path: &Path,
    text: &[u8],
    what: &'static str,
) -> Result<(Vec<T>, Option<usize>), BadLine> {
    let mut values = Vec::new();
    for (line, bytes) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let value = serde_path_to_error::deserialize(&mut json);
        match value.map_err(|error| (error.path().to_string(), error.into_inner().to_string())).and_then(|value| {
            json.end().map_err(|error| (".".to_owned(), error.to_string()))?;
            Ok(value)
        }) {
            Ok(value) => values.push(value),
            // Only the last line can be without its end.
            Err(_) if !bytes.ends_with(b"\n") => return Ok((values, Some(line))),
            Err((key, problem)) => return Err(BadLine { path: path.to_owned(), line, what, key, problem }),
        }
    }
    Ok((values, None))
}
