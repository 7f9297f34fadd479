//! Workloads as transactions: what one operation does, what a fault may hit, what the program decides about a crash.

mod native;
mod stencil;

use crate::faults::{Live, Target};
use crate::suite::Suite;
use crate::workloads::documents::{self, Document, Index};
use crate::workloads::kv::KvState;
use crate::workloads::ycsb::{Plan, operation_name};
use crashbed::{Answer, Failure, Guarded, Prepared, Recoverable, RestartPolicy, Scene, Tx};
use std::collections::BTreeMap;

/// The state of a trial: the workload's own, and what the trial keeps beside it.
#[derive(Default, Recoverable)]
pub struct Tested<W> {
    /// The workload's state.
    pub work: W,
    /// Digest when the lost work had been done again, and the number of operations then.
    pub redone: Option<(u64, u64)>,
    /// What the fault `region-exhausted` allocates.
    pub hoard: Vec<Vec<u8>>,
    /// Memory that is read and never written: reserved, and empty.
    pub ballast: Vec<u8>,
}

impl<W: Work> Target for Tested<W> {
    fn live(&self, visit: &mut dyn FnMut(Live)) {
        self.work.live(visit);
    }
    fn hoard(&mut self) -> &mut Vec<Vec<u8>> {
        &mut self.hoard
    }
}

/// Nothing to aim at: between the two parts of an update the state is borrowed.
pub struct NoTarget(pub Vec<Vec<u8>>);

impl Target for NoTarget {
    fn live(&self, _: &mut dyn FnMut(Live)) {}
    fn hoard(&mut self) -> &mut Vec<Vec<u8>> {
        &mut self.0
    }
}

/// A workload.
pub trait Work: Recoverable + Default {
    /// What it does, made before the fork from the suite's settings and a trial's seed.
    type Script: Sync;

    /// Makes the script of a trial.
    ///
    /// # Errors
    /// In words, where the settings make none.
    fn script(suite: &Suite, corpus: &[Document], seed: u64) -> Result<Self::Script, String>;
    /// Operations in it.
    fn total(script: &Self::Script) -> u64;
    /// Operations between two commits.
    fn commit_every(suite: &Suite) -> u64;
    /// Why no crashed state can be kept ([`Action::KeepIfIntact`](crashbed::Action::KeepIfIntact)); `None` where one can:
    /// then every change to the state is made under a guard, here and in [`change`].
    const KEEPS_NOTHING: Option<&str> = Some("its changes are not made under guards");

    /// Lets a policy keep the crashed state, where the workload makes the promise that this needs.
    fn promise<P: RestartPolicy>(prepared: Prepared<'_, Tested<Self>, P>) -> Prepared<'_, Tested<Self>, P> {
        prepared
    }

    /// Threads that its operations may run at a time, besides the main one.
    fn threads(_: &Suite) -> usize {
        0
    }
    /// The first operation from `index` on that has two parts; `None` where there is none.
    fn next_update(script: &Self::Script, index: u64) -> Option<u64>;
    /// Whether operations can be done on the state as it is.
    fn is_loaded(&self) -> bool;
    /// Makes the state ready for the first operation.
    fn load(&mut self, script: &Self::Script);
    /// Does operation `index` and counts it; `between` is called between its two parts.
    ///
    /// # Errors
    /// What the program finds wrong with its state.
    fn operate_counted(
        &mut self,
        tx: &mut Tx<'_>,
        script: &Self::Script,
        index: u64,
        between: impl Fn(),
    ) -> Result<(), Failure> {
        self.operate(tx, script, index, between)?;
        tx.done();
        Ok(())
    }
    /// Does operation `index`; `between` is called between its two parts.
    ///
    /// # Errors
    /// What the program finds wrong with its state.
    fn operate(
        &mut self,
        tx: &mut Tx<'_>,
        script: &Self::Script,
        index: u64,
        between: impl Fn(),
    ) -> Result<(), Failure>;
    /// Does operation `index` in a bare process, which has no threads: for a floor.
    ///
    /// # Errors
    /// As [`operate`](Self::operate).
    fn operate_bare(&mut self, tx: &Tx<'_>, script: &Self::Script, index: u64) -> Result<(), Failure>;
    /// Notes that operation `index` is skipped.
    fn skip(&mut self, script: &Self::Script, index: u64);
    /// Whether operation `index` was skipped.
    fn has_skipped(&self, script: &Self::Script, index: u64) -> bool;
    /// The program's own check of its state.
    ///
    /// # Errors
    /// What is wrong, in words.
    fn check(&self) -> Result<(), String>;
    /// The state's digest.
    fn digest(&self) -> u64;
    /// The data that a memory fault may hit.
    fn live(&self, visit: &mut dyn FnMut(Live));
    /// The program's own decision about a crash.
    fn decide(scene: &Scene<'_, Tested<Self>>) -> Answer<Tested<Self>>;
    /// The workload's own figures, and the names of what it quarantined.
    fn figures(&self) -> (BTreeMap<String, u64>, Vec<String>);
}

// SAFETY: in a trial of its own, which alone makes the promise, the state of workload `kv` changes in five places, each
// under a guard: the load, an operation, one that is skipped, the digest that the trial keeps (all in `alone.rs`, by
// `change` or `operate_counted`), and what the fault `region-exhausted` allocates, under which no promise is made
// (`serve.rs`). An operation's change ends by `Change::done`. Memory faults write into values of which every bit pattern is
// one (`Live`).
unsafe impl Guarded for Tested<KvState> {}

/// Changes the state under a guard; not as an operation.
pub(super) fn change<R>(tx: &Tx<'_>, work: impl FnOnce() -> R) -> R {
    let _guard = tx.change();
    work()
}

impl Work for KvState {
    type Script = Plan;

    const KEEPS_NOTHING: Option<&str> = None;

    fn promise<P: RestartPolicy>(prepared: Prepared<'_, Tested<Self>, P>) -> Prepared<'_, Tested<Self>, P> {
        prepared.keep_if_intact()
    }
    fn operate_counted(&mut self, tx: &mut Tx<'_>, plan: &Plan, index: u64, between: impl Fn()) -> Result<(), Failure> {
        let change = tx.change();
        self.apply(plan, index, between)?;
        change.done();
        Ok(())
    }

    fn script(suite: &Suite, _: &[Document], seed: u64) -> Result<Plan, String> {
        let kv = &suite.workload.kv;
        Plan::new(seed, kv.mix, kv.records, kv.operations).map_err(|error| error.to_string())
    }
    fn total(plan: &Plan) -> u64 {
        plan.operations()
    }
    fn commit_every(suite: &Suite) -> u64 {
        suite.workload.kv.commit_every
    }
    fn next_update(plan: &Plan, index: u64) -> Option<u64> {
        plan.next_write(index)
    }
    fn is_loaded(&self) -> bool {
        KvState::is_loaded(self)
    }
    fn load(&mut self, plan: &Plan) {
        KvState::load(self, plan);
    }
    fn operate(&mut self, _: &mut Tx<'_>, plan: &Plan, index: u64, between: impl Fn()) -> Result<(), Failure> {
        Ok(self.apply(plan, index, between)?)
    }
    fn operate_bare(&mut self, _: &Tx<'_>, plan: &Plan, index: u64) -> Result<(), Failure> {
        Ok(self.apply(plan, index, || ())?)
    }
    fn skip(&mut self, _: &Plan, index: u64) {
        KvState::skip(self, index);
    }
    fn has_skipped(&self, _: &Plan, index: u64) -> bool {
        self.skipped().contains(&index)
    }
    fn check(&self) -> Result<(), String> {
        self.verify().map_err(|error| error.to_string())
    }
    fn digest(&self) -> u64 {
        KvState::digest(self).0
    }
    fn live(&self, visit: &mut dyn FnMut(Live)) {
        KvState::live(self, visit);
    }
    /// A commit that does not pass the store's own check is no good: start over. An operation that has crashed three
    /// times will crash again, and a store must not leave one out: give up.
    fn decide(scene: &Scene<'_, Tested<Self>>) -> Answer<Tested<Self>> {
        if scene.history().crashes_in_operation(scene.crash().operation) >= 3 {
            Answer::GiveUp
        } else if scene.commit().work.is_loaded() && scene.commit().work.verify().is_err() {
            Answer::Zero
        } else {
            Answer::Resume
        }
    }
    fn figures(&self) -> (BTreeMap<String, u64>, Vec<String>) {
        (BTreeMap::new(), self.skipped().iter().map(|index| operation_name(*index)).collect())
    }
}

impl Work for Index {
    type Script = Vec<Document>;

    fn script(_: &Suite, corpus: &[Document], _: u64) -> Result<Vec<Document>, String> {
        Ok(corpus.to_vec())
    }
    fn total(documents: &Vec<Document>) -> u64 {
        documents.len() as u64
    }
    fn commit_every(suite: &Suite) -> u64 {
        suite.workload.documents.commit_every
    }
    fn next_update(documents: &Vec<Document>, index: u64) -> Option<u64> {
        (index < documents.len() as u64).then_some(index)
    }
    fn is_loaded(&self) -> bool {
        true
    }
    fn load(&mut self, _: &Vec<Document>) {}
    fn operate(
        &mut self,
        tx: &mut Tx<'_>,
        documents: &Vec<Document>,
        index: u64,
        between: impl Fn(),
    ) -> Result<(), Failure> {
        take_in(self, tx, document(documents, index)?, between);
        Ok(())
    }
    fn operate_bare(&mut self, tx: &Tx<'_>, documents: &Vec<Document>, index: u64) -> Result<(), Failure> {
        take_in(self, tx, document(documents, index)?, || ());
        Ok(())
    }
    fn skip(&mut self, documents: &Vec<Document>, index: u64) {
        if let Ok(document) = document(documents, index) {
            self.quarantine(&document.name);
        }
    }
    fn has_skipped(&self, documents: &Vec<Document>, index: u64) -> bool {
        document(documents, index).is_ok_and(|document| self.quarantined.contains(&document.name))
    }
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
    fn digest(&self) -> u64 {
        Index::digest(self).0
    }
    fn live(&self, visit: &mut dyn FnMut(Live)) {
        Index::live(self, visit);
    }
    /// A document that has crashed the parser twice is skipped; a first crash may have had another cause.
    fn decide(scene: &Scene<'_, Tested<Self>>) -> Answer<Tested<Self>> {
        match scene.history().crashes_in_operation(scene.crash().operation) {
            0 | 1 => Answer::Resume,
            _ => Answer::Skip,
        }
    }
    fn figures(&self) -> (BTreeMap<String, u64>, Vec<String>) {
        let count = |name: &str, count: usize| (name.to_owned(), count as u64);
        let counts = BTreeMap::from([
            ("indexed".to_owned(), self.indexed),
            count("failed", self.failed.len()),
            count("quarantined", self.quarantined.len()),
        ]);
        (counts, self.quarantined.clone())
    }
}

/// Parses a document in scratch, and adds it to the index.
fn take_in(to: &mut Index, tx: &Tx<'_>, document: &Document, between: impl Fn()) {
    match tx.scratch(|| documents::read(&document.path).and_then(|bytes| documents::parse(&bytes))) {
        Ok(extract) => to.add(&extract, between),
        Err(why) => to.fail(&document.name, &why),
    }
}

fn document(documents: &[Document], index: u64) -> Result<&Document, Failure> {
    let found = usize::try_from(index).ok().and_then(|index| documents.get(index));
    found.ok_or_else(|| Failure::new(format_args!("the corpus has no document number {index}")))
}
