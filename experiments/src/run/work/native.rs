//! Workload `native` as a transaction: an operation is an input, which the C parser may crash on.

use super::{Tested, Work};
use crate::faults::Live;
use crate::suite::Suite;
use crate::workloads::documents::Document;
use crate::workloads::native::corpus::Corpus;
use crate::workloads::native::{Summaries, parse};
use crashbed::{Answer, Failure, Scene, Tx};
use std::collections::BTreeMap;

impl Work for Summaries {
    type Script = Corpus;

    fn script(suite: &Suite, _: &[Document], seed: u64) -> Result<Corpus, String> {
        Ok(suite.workload.native.corpus(seed))
    }
    fn total(corpus: &Corpus) -> u64 {
        corpus.inputs
    }
    fn commit_every(suite: &Suite) -> u64 {
        suite.workload.native.commit_every
    }
    fn next_update(corpus: &Corpus, index: u64) -> Option<u64> {
        (index..corpus.inputs).find(|number| corpus.is_sound(*number))
    }
    fn is_loaded(&self) -> bool {
        true
    }
    fn load(&mut self, _: &Corpus) {}
    fn operate(&mut self, tx: &mut Tx<'_>, corpus: &Corpus, index: u64, between: impl Fn()) -> Result<(), Failure> {
        self.note(index, tx.scratch(|| parse(&corpus.input(index))), between);
        Ok(())
    }
    fn operate_bare(&mut self, tx: &Tx<'_>, corpus: &Corpus, index: u64) -> Result<(), Failure> {
        self.note(index, tx.scratch(|| parse(&corpus.input(index))), || ());
        Ok(())
    }
    fn skip(&mut self, _: &Corpus, index: u64) {
        self.quarantine(Corpus::name(index));
    }
    fn has_skipped(&self, _: &Corpus, index: u64) -> bool {
        self.quarantined.contains(&Corpus::name(index))
    }
    fn check(&self) -> Result<(), String> {
        self.verify().map_err(|error| error.to_string())
    }
    fn digest(&self) -> u64 {
        Summaries::digest(self).0
    }
    fn live(&self, visit: &mut dyn FnMut(Live)) {
        Summaries::live(self, visit);
    }
    /// An input that has crashed the parser twice is skipped; a first crash may have had another cause, such as damage that
    /// the one before left in the C heap. A commit whose totals are wrong is no good: start over.
    fn decide(scene: &Scene<'_, Tested<Self>>) -> Answer<Tested<Self>> {
        if scene.commit().work.verify().is_err() {
            return Answer::Zero;
        }
        match scene.history().crashes_in_operation(scene.crash().operation) {
            0 | 1 => Answer::Resume,
            _ => Answer::Skip,
        }
    }
    fn figures(&self) -> (BTreeMap<String, u64>, Vec<String>) {
        let counts = BTreeMap::from([
            ("parsed".to_owned(), self.parsed()),
            ("failed".to_owned(), self.failed.len() as u64),
            ("quarantined".to_owned(), self.quarantined.len() as u64),
        ]);
        (counts, self.quarantined.clone())
    }
}
