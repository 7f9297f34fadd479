//! Workload `documents`: an index of the words and paths of a folder of JSON files.
//!
//! Documents are parsed by `serde_json` with its recursion limit off, as a program might that must take deep ones: the
//! stack then ends where the document says, and 100,000 opening brackets overflow one of 8 MiB. That is the crash that
//! nobody injects. A file that cannot be read, is not UTF-8 or not JSON is an error instead, and the pass goes on.

use super::digest::{Digest, Digester};
use crate::faults::Live;
use crashbed::Recoverable;
use serde::de::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The index, and what became of the documents that are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Recoverable)]
pub struct Index {
    /// How often each word occurs.
    pub words: HashMap<String, u64>,
    /// How often a value stands at each path.
    pub paths: HashMap<String, u64>,
    /// Documents in the index.
    pub indexed: u64,
    /// Documents that are errors: name, and why.
    pub failed: Vec<(String, String)>,
    /// Names of documents that were skipped because they crash the program.
    pub quarantined: Vec<String>,
}

/// What one document adds to the index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Recoverable)]
pub struct Extract {
    /// How often each word occurs.
    pub words: HashMap<String, u64>,
    /// How often a value stands at each path.
    pub paths: HashMap<String, u64>,
}

/// Why a document is not in the index.
#[derive(Clone, Debug, PartialEq, Eq, Recoverable, thiserror::Error)]
pub enum DocumentError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {reason}")]
    Unreadable {
        /// Where it is.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The bytes are not text.
    #[error("not UTF-8: the byte at {at} begins no character")]
    NotUtf8 {
        /// The first such byte, from 0.
        at: u64,
    },
    /// The text is not one JSON value.
    #[error("not JSON: {reason}")]
    NotJson {
        /// What the parser said, with line and column.
        reason: String,
    },
}

impl Index {
    /// Adds what a document holds; `between` is called between words and paths.
    pub fn add(&mut self, extract: &Extract, between: impl Fn()) {
        merge(&mut self.words, &extract.words);
        between();
        merge(&mut self.paths, &extract.paths);
        self.indexed += 1;
    }

    /// Notes a document that is an error.
    pub fn fail(&mut self, name: &str, why: &DocumentError) {
        self.failed.push((name.to_owned(), why.to_string()));
    }

    /// Notes a document that crashes the program.
    pub fn quarantine(&mut self, name: &str) {
        self.quarantined.push(name.to_owned());
    }

    /// The data that a memory fault may hit: the counts.
    pub fn live(&self, visit: &mut dyn FnMut(Live)) {
        for count in self.words.values().chain(self.paths.values()) {
            visit(Live::of(count));
        }
    }

    /// The digest of words and paths. It does not see the order of the maps, nor the documents that are not in the
    /// index: it equals that of a pass that never met them.
    pub fn digest(&self) -> Digest {
        let mut digester = Digester::new();
        digester.counts(self.words.iter().map(|(word, count)| (word.as_str(), *count)));
        digester.counts(self.paths.iter().map(|(path, count)| (path.as_str(), *count)));
        digester.finish()
    }
}

fn merge(into: &mut HashMap<String, u64>, from: &HashMap<String, u64>) {
    for (name, count) in from {
        add(into, name, *count);
    }
}

/// Adds to a count; only a new name is copied.
fn add(counts: &mut HashMap<String, u64>, name: &str, count: u64) {
    match counts.get_mut(name) {
        Some(known) => *known += count,
        None => {
            counts.insert(name.to_owned(), count);
        }
    }
}

/// Reads a document.
///
/// # Errors
/// [`DocumentError::Unreadable`] with what the system said.
pub fn read(path: &Path) -> Result<Vec<u8>, DocumentError> {
    std::fs::read(path)
        .map_err(|error| DocumentError::Unreadable { path: path.display().to_string(), reason: error.to_string() })
}

/// Parses a document and takes out its words and paths. **A deep document overflows the stack.**
///
/// Words are the runs of letters and digits in string values (not in names), in lower case. A path leads to a value
/// that is no object and no array, as `a.b[].c`; that of a document which is only such a value is empty. A name's own
/// dots are not told from the path's: paths are there to be counted, not to be followed back.
///
/// # Errors
/// [`DocumentError::NotUtf8`], [`DocumentError::NotJson`].
pub fn parse(bytes: &[u8]) -> Result<Extract, DocumentError> {
    let text = std::str::from_utf8(bytes).map_err(|error| DocumentError::NotUtf8 { at: error.valid_up_to() as u64 })?;
    let mut parser = serde_json::Deserializer::from_str(text);
    parser.disable_recursion_limit();
    let value = Value::deserialize(&mut parser)
        .and_then(|value| parser.end().map(|()| value))
        .map_err(|error| DocumentError::NotJson { reason: error.to_string() })?;
    let mut extract = Extract::default();
    walk(&value, &mut String::new(), &mut extract);
    Ok(extract)
}

/// Takes in a value at `path`, which is as it was afterwards.
fn walk(value: &Value, path: &mut String, extract: &mut Extract) {
    let here = path.len();
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if here > 0 {
                    path.push('.');
                }
                path.push_str(name);
                walk(member, path, extract);
                path.truncate(here);
            }
            return;
        }
        Value::Array(elements) => {
            path.push_str("[]");
            for element in elements {
                walk(element, path, extract);
            }
            path.truncate(here);
            return;
        }
        Value::String(text) => {
            for word in text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()) {
                add(&mut extract.words, &word.to_lowercase(), 1);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    add(&mut extract.paths, path, 1);
}

/// A document of a corpus.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Document {
    /// Its path within the corpus, which is its name in results.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// Why there is no corpus.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The folder, or one inside it, is missing or cannot be read or written.
    #[error("corpus {}: {source}", path.display())]
    Io {
        /// Which folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The path leads to something else than a folder.
    #[error("corpus {} is not a folder: give a folder with JSON files in it", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// No document is in it.
    #[error("corpus {} has no file that ends in .json, nor has a folder inside it", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

/// The documents of a folder and of the folders in it, by name: regular files that end in `.json`, in any case.
/// Symbolic links inside it are not followed.
///
/// # Errors
/// [`CorpusError`] where the folder is missing, is none, or has no document, or a folder in it cannot be read.
pub fn list(folder: &Path) -> Result<Vec<Document>, CorpusError> {
    let metadata = std::fs::metadata(folder).map_err(|source| CorpusError::Io { path: folder.to_owned(), source })?;
    if !metadata.is_dir() {
        return Err(CorpusError::NotAFolder { path: folder.to_owned() });
    }
    let mut documents = Vec::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_owned();
            let source = error.into_io_error().unwrap_or_else(|| std::io::Error::other("a loop of links"));
            CorpusError::Io { path, source }
        })?;
        let is_json = entry.path().extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        if entry.file_type().is_file() && is_json {
            let path = entry.into_path();
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            documents.push(Document { name, path });
        }
    }
    if documents.is_empty() {
        return Err(CorpusError::Empty { path: folder.to_owned() });
    }
    documents.sort();
    Ok(documents)
}

#[cfg(test)]
#[path = "documents_tests.rs"]
mod tests;
