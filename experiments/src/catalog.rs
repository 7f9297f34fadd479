//! Where suites come from: the ones in the program, and files. And what must hold between the parts of one.

use crate::measures;
use crate::names;
use crate::size::Size;
use crate::suite::{Suite, Workloads};
use crate::workloads::stencil::Grids;
use crate::workloads::ycsb::Mix;
use check::check;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

mod check;

/// The suites in the program, each with its text.
const EMBEDDED: [(&str, &str); 9] = [
    ("quick", include_str!("../suites/quick.toml")),
    ("state-integrity", include_str!("../suites/state-integrity.toml")),
    ("documents", include_str!("../suites/documents.toml")),
    ("recovery-latency", include_str!("../suites/recovery-latency.toml")),
    ("nested", include_str!("../suites/nested.toml")),
    ("mechanism-cost", include_str!("../suites/mechanism-cost.toml")),
    ("goodput", include_str!("../suites/goodput.toml")),
    ("poison", include_str!("../suites/poison.toml")),
    ("policies", include_str!("../suites/policies.toml")),
];

/// Why there is no suite to run.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// Neither a suite in the program nor a file.
    #[error("no suite and no file is named `{name}`; the nearest suite is `{nearest}` (there are: {known})")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The suite that is named most alike.
        nearest: String,
        /// All suites in the program.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read the suite `{file}`: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not a suite.
    #[error("{file}:{line}: {problem}{}\n{line:>5} | {text}", place(.key))]
    Invalid {
        /// The file.
        file: String,
        /// The line in it, from 1.
        line: usize,
        /// The key that it is about or in, as `factors.policy`; empty at the top.
        key: String,
        /// What is wrong, and what would be right.
        problem: String,
        /// The line's text.
        text: String,
    },
}

fn place(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!(" (in `{key}`)") }
}

/// All suites in the program.
pub fn embedded() -> Vec<Suite> {
    // A test reads each of them, so none is left out here.
    EMBEDDED.iter().filter_map(|(name, text)| parse(name, text).ok()).collect()
}

/// The suite in the program that is named so, else the one in the file that is named so.
///
/// # Errors
/// [`SuiteError`], with file and line where there is one.
pub fn load(name: &str) -> Result<Suite, SuiteError> {
    if let Some((name, text)) = EMBEDDED.iter().find(|(known, _)| *known == name) {
        return parse(&format!("{name}.toml"), text);
    }
    let looks_like_file = name.ends_with(".toml") || name.contains('/');
    if !looks_like_file && !Path::new(name).exists() {
        let known: Vec<_> = EMBEDDED.iter().map(|(name, _)| *name).collect();
        let nearest = names::nearest(name, known.iter().copied()).unwrap_or_default().to_owned();
        return Err(SuiteError::Unknown { name: name.to_owned(), nearest, known: known.join(", ") });
    }
    let text =
        std::fs::read_to_string(name).map_err(|source| SuiteError::Unreadable { file: name.to_owned(), source })?;
    parse(name, &text)
}

/// Reads a suite from its text. `file` is for the errors.
///
/// # Errors
/// [`SuiteError::Invalid`].
pub fn parse(file: &str, text: &str) -> Result<Suite, SuiteError> {
    let misread = |error: toml::de::Error, inside: &str| {
        let key = [inside.to_owned(), key(error.clone())].into_iter().filter(|part| !part.is_empty());
        invalid(file, text, error.span().unwrap_or(0..0), key.collect::<Vec<_>>().join("."), explain(error.message()))
    };
    let suite: Suite = toml::from_str(text).map_err(|error| misread(error, ""))?;
    check_measures(text).map_err(|error| misread(error, "measure"))?;
    check(&suite).map_err(|wrong| {
        let span = span_of(text, wrong.key, wrong.block).unwrap_or(0..0);
        invalid(file, text, span, wrong.key.join("."), wrong.problem)
    })?;
    Ok(suite)
}

/// The least region that a workload under these settings fits into: its records, index or grids, and room for the heap's
/// own. An estimate from above: a `kv` record of YCSB's 1,000 bytes takes up to 2 KiB with its key, its lists and the
/// map's nodes; a document of the corpus that a run makes adds up to 4 KiB of words and paths; an input of `native` leaves
/// a summary, or its name; a large block takes up to a sixteenth more than it holds.
pub fn minimum_region(settings: &Workloads, workload: &str) -> Size {
    const BASE: u64 = 512 << 10;
    let bytes = match workload {
        "kv" => {
            let inserts = match settings.kv.mix {
                // 5 % of the operations, twice over: they are drawn.
                Mix::D | Mix::E => settings.kv.operations / 10 + 1,
                _ => 0,
            };
            settings.kv.records.saturating_add(inserts).saturating_mul(2 << 10)
        }
        "native" => settings.native.inputs.saturating_mul(256),
        "stencil" => Grids::bytes(settings.stencil.size) / 16 * 17,
        _ => {
            let documents = &settings.documents;
            (u64::from(documents.documents) + u64::from(documents.hostile)).saturating_mul(4 << 10)
        }
    };
    Size::at_least(bytes.saturating_add(BASE))
}

/// The settings of each measure, whose keys depend on its name. The text is known to be a suite.
fn check_measures(text: &str) -> Result<(), toml::de::Error> {
    let mut document = DeTable::parse(text)?.into_inner();
    let Some(DeValue::Array(measures)) = document.remove("measure").map(Spanned::into_inner) else { return Ok(()) };
    for mut measure in measures {
        let DeValue::Table(table) = measure.get_mut() else { continue };
        let name = table.remove("name");
        for common in ["rounds", "laps"] {
            table.remove(common);
        }
        let name = name.as_ref().and_then(|name| name.get_ref().as_str()).unwrap_or_default();
        measures::check(name, ValueDeserializer::from(measure))?;
    }
    Ok(())
}

fn invalid(file: &str, text: &str, span: Range<usize>, key: String, problem: String) -> SuiteError {
    let before = &text.as_bytes()[..span.start.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count();
    let text = text.lines().nth(line).unwrap_or_default().to_owned();
    SuiteError::Invalid { file: file.to_owned(), line: line + 1, key, problem, text }
}

/// The key that an error of `toml` is about. It is only in what it prints, and only without the document.
fn key(mut error: toml::de::Error) -> String {
    error.set_input(None);
    let printed = error.to_string();
    let last = printed.trim_end().rsplit('\n').next().unwrap_or_default();
    last.strip_prefix("in `").and_then(|rest| rest.strip_suffix('`')).unwrap_or_default().to_owned()
}

/// serde's words for an unknown key or value, with the nearest valid one; other messages stay.
fn explain(message: &str) -> String {
    // serde writes: unknown field `a`, expected one of `b`, `c`
    let what = match message {
        m if m.starts_with("unknown field") => "key",
        m if m.starts_with("unknown variant") => "value",
        m => return m.to_owned(),
    };
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next() else {
        return message.to_owned();
    };
    let valid: Vec<_> = quoted.collect();
    let Some(nearest) = names::nearest(unknown, valid.iter().copied()) else {
        return message.to_owned();
    };
    format!("unknown {what} `{unknown}`; the nearest is `{nearest}` (there are: {})", valid.join(", "))
}

/// Where the value of a key stands in a document that parses. Of a list of tables, table number `block` counts.
fn span_of(text: &str, path: &[&str], block: usize) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let (first, inner) = path.split_first()?;
    let mut value = document.get_ref().get(*first)?;
    if let DeValue::Array(tables) = value.get_ref() {
        value = tables.get(block)?;
    }
    for name in inner {
        value = value.get_ref().as_table()?.get(*name)?;
    }
    Some(value.span())
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
