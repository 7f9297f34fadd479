//! Workload `native`: summaries of settings files, read by a C parser that has bugs.
//!
//! The parser is `experiments/native/parser.c`, compiled into the program; [`Bug`](corpus::Bug) says what reaches each bug
//! and how the process then ends. Its memory is the C library's heap, of which each transaction has a private copy: what a
//! bug does there is gone with the incarnation. In that copy lies, besides, what the daemon had allocated before the fork,
//! such as the script; a bug that hits it and crashes nothing would show as a wrong summary. Nothing keeps a bug from the
//! region, as with any native code, but none of these is aimed at it.
//!
//! The state is a summary of each input, and the totals over all of them: the two parts of a change.

pub mod corpus;
mod parser;

pub use parser::parse;

use super::digest::{Digest, Digester};
use crate::faults::Live;
use crashbed::Recoverable;
use std::collections::BTreeMap;

/// What an input holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Recoverable)]
pub struct Summary {
    /// Names that are set at its end.
    pub entries: u64,
    /// Values that are numbers, those in lists too.
    pub numbers: u64,
    /// Values that are texts.
    pub texts: u64,
    /// Values that are lists.
    pub lists: u64,
    /// The sum of all numbers, modulo 2⁶⁴.
    pub sum: u64,
    /// FNV-1a (64 bits) of names and values in the order of their first setting.
    pub digest: u64,
}

impl Summary {
    /// All of its figures.
    pub fn figures(&self) -> [&u64; 6] {
        let Self { entries, numbers, texts, lists, sum, digest } = self;
        [entries, numbers, texts, lists, sum, digest]
    }

    /// Adds another's figures to these, modulo 2⁶⁴.
    fn add(&mut self, other: &Self) {
        let Self { entries, numbers, texts, lists, sum, digest } = self;
        for (own, other) in [entries, numbers, texts, lists, sum, digest].into_iter().zip(other.figures()) {
            *own = own.wrapping_add(*other);
        }
    }
}

/// An input that is not as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Recoverable, thiserror::Error)]
#[error("line {line} is wrong")]
pub struct Wrong {
    /// The first line that is wrong, from 1.
    pub line: u64,
}

/// What was read, and what became of the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Recoverable)]
pub struct Summaries {
    /// The summary of each input that is sound, by its number.
    parsed: BTreeMap<u64, Summary>,
    /// The sum of all summaries: the second part of every change.
    totals: Summary,
    /// The first wrong line of each input that has one, by its number.
    pub failed: BTreeMap<u64, u64>,
    /// Names of the inputs that were skipped because they crash the parser.
    pub quarantined: Vec<String>,
}

/// That summaries and totals do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the summaries of {inputs} inputs add up to {sum:?}, but the totals are {totals:?}")]
pub struct Torn {
    /// Inputs with a summary.
    pub inputs: usize,
    /// What they add up to.
    pub sum: Box<Summary>,
    /// What the state says.
    pub totals: Box<Summary>,
}

impl Summaries {
    /// Notes what came of the input with this number; `between` is called between summary and totals.
    pub fn note(&mut self, number: u64, read: Result<Summary, Wrong>, between: impl Fn()) {
        match read {
            Ok(summary) => {
                self.parsed.insert(number, summary);
                between();
                self.totals.add(&summary);
            }
            Err(Wrong { line }) => {
                self.failed.insert(number, line);
            }
        }
    }

    /// Notes an input that crashes the parser.
    pub fn quarantine(&mut self, name: String) {
        self.quarantined.push(name);
    }

    /// Inputs with a summary.
    pub fn parsed(&self) -> u64 {
        self.parsed.len() as u64
    }

    /// The program's own check of its state: the summaries add up to the totals.
    ///
    /// # Errors
    /// [`Torn`].
    pub fn verify(&self) -> Result<(), Torn> {
        let mut sum = Summary::default();
        self.parsed.values().for_each(|summary| sum.add(summary));
        if sum == self.totals {
            return Ok(());
        }
        Err(Torn { inputs: self.parsed.len(), sum: Box::new(sum), totals: Box::new(self.totals) })
    }

    /// The data that a memory fault may hit: summaries, totals, and which line is wrong.
    pub fn live(&self, visit: &mut dyn FnMut(Live)) {
        for summary in self.parsed.values().chain([&self.totals]) {
            summary.figures().into_iter().for_each(|figure| visit(Live::of(figure)));
        }
        self.failed.values().for_each(|line| visit(Live::of(line)));
    }

    /// The digest of all that was read. It does not see inputs that were skipped: it equals that of a pass that never met
    /// them.
    pub fn digest(&self) -> Digest {
        let mut digester = Digester::new();
        for (number, summary) in &self.parsed {
            digester.number(*number);
            summary.figures().into_iter().for_each(|figure| digester.number(*figure));
        }
        self.totals.figures().into_iter().for_each(|figure| digester.number(*figure));
        for (number, line) in &self.failed {
            digester.number(*number);
            digester.number(*line);
        }
        digester.finish()
    }
}

#[cfg(test)]
#[path = "native_tests.rs"]
mod tests;
