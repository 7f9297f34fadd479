//! Workload `stencil` as a transaction: an operation is a step, and each thread computes a band of the next grid.

use super::{Tested, Work};
use crate::faults::Live;
use crate::suite::Suite;
use crate::workloads::documents::Document;
use crate::workloads::stencil::{Band, Grids, Heat};
use crashbed::{Answer, Failure, Scene, Tx};
use std::collections::BTreeMap;

/// A plate, and how many steps it is computed for.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    heat: Heat,
    steps: u64,
}

impl Work for Grids {
    type Script = Steps;

    fn script(suite: &Suite, _: &[Document], seed: u64) -> Result<Steps, String> {
        let stencil = &suite.workload.stencil;
        Ok(Steps { heat: Heat::new(seed, stencil.size), steps: stencil.steps })
    }
    fn total(script: &Steps) -> u64 {
        script.steps
    }
    fn commit_every(suite: &Suite) -> u64 {
        suite.workload.stencil.commit_every
    }
    fn threads(suite: &Suite) -> usize {
        suite.workload.stencil.threads
    }
    fn next_update(script: &Steps, index: u64) -> Option<u64> {
        (index < script.steps).then_some(index)
    }
    fn is_loaded(&self) -> bool {
        Grids::is_loaded(self)
    }
    fn load(&mut self, script: &Steps) {
        Grids::load(self, script.heat);
    }
    fn operate(&mut self, tx: &mut Tx<'_>, _: &Steps, _: u64, between: impl Fn()) -> Result<(), Failure> {
        match tx.thread_count() {
            0 => self.bands(1)?.for_each(Band::compute),
            threads => {
                let mut bands = self.bands(threads)?;
                tx.threads(|scope| bands.try_for_each(|band| scope.spawn(move || band.compute())))??;
            }
        }
        self.advance(between);
        Ok(())
    }
    fn operate_bare(&mut self, _: &Tx<'_>, _: &Steps, _: u64) -> Result<(), Failure> {
        self.bands(1)?.for_each(Band::compute);
        self.advance(|| ());
        Ok(())
    }
    fn skip(&mut self, _: &Steps, _: u64) {}
    fn has_skipped(&self, _: &Steps, _: u64) -> bool {
        false
    }
    fn check(&self) -> Result<(), String> {
        self.verify().map_err(|error| error.to_string())
    }
    fn digest(&self) -> u64 {
        Grids::digest(self).0
    }
    fn live(&self, visit: &mut dyn FnMut(Live)) {
        Grids::live(self, visit);
    }
    /// A commit that the residual speaks against is no good: start over. A step that has crashed three times will crash
    /// again, and none can be left out: give up.
    fn decide(scene: &Scene<'_, Tested<Self>>) -> Answer<Tested<Self>> {
        let committed = &scene.commit().work;
        if scene.history().crashes_in_operation(scene.crash().operation) >= 3 {
            Answer::GiveUp
        } else if Grids::is_loaded(committed) && committed.verify().is_err() {
            Answer::Zero
        } else {
            Answer::Resume
        }
    }
    fn figures(&self) -> (BTreeMap<String, u64>, Vec<String>) {
        (BTreeMap::new(), Vec::new())
    }
}
