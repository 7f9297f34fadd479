//! A trial alone: one transaction, which a fault strikes where it may.

use super::witness::Witness;
use super::work::{NoTarget, Tested, Work, change};
use crate::faults::Injector;
use crashbed::{Failure, Tx};

/// One pass over a script: what the transaction does, and where faults may strike.
pub(super) struct Pass<'a, W: Work> {
    pub(super) script: &'a W::Script,
    pub(super) commit_every: u64,
    pub(super) injector: &'static Injector,
    pub(super) witness: &'a Witness,
    /// The operation at which the first incarnation is killed.
    pub(super) kill_first: Option<u64>,
    /// Whether it goes on with the trial of a daemon that is gone.
    pub(super) resumes: bool,
}

impl<W: Work> Pass<'_, W> {
    /// Does it, from where the state stands.
    pub(super) fn run(&self, tx: &mut Tx<'_>, state: &mut Tested<W>) -> Result<(), Failure> {
        let Self { script, commit_every, injector, witness, kill_first, resumes } = *self;
        if !state.work.is_loaded() {
            change(tx, || state.work.load(script));
            tx.commit()?;
        }
        let crashes = tx.crashes();
        witness.begun(tx.operations());
        // At the latest after the first operation, so that every recovered state is looked at.
        let next = tx.operations() + 1;
        let redone_at = tx.crash().map(|crash| crash.operation.max(next)).or(resumes.then_some(next));
        for index in tx.operations()..W::total(script) {
            if tx.skips(index) {
                let change = tx.change();
                state.work.skip(script, index);
                change.done();
            } else {
                if kill_first == Some(index) && tx.crash().is_none() {
                    kill_this_process();
                }
                injector.before(index, state)?;
                let between = || {
                    // Only stops strike here, which do not come back.
                    let _ = injector.between(index, &mut NoTarget(Vec::new()));
                };
                state.work.operate_counted(tx, script, index, between)?;
            }
            witness.past(index);
            let done = index + 1;
            if redone_at == Some(done) {
                let digest = state.work.digest();
                change(tx, || state.redone = Some((done, digest)));
            }
            // The last commit of all follows by itself.
            if done % commit_every == 0 && done < W::total(script) {
                tx.commit()?;
            }
            if tx.crashes() > crashes {
                // It has returned from that commit as a successor, which looks at the crash before it goes on.
                return self.run(tx, state);
            }
        }
        state.work.check().map_err(Failure::new)
    }
}

/// SIGKILL to this very process.
fn kill_this_process() {
    let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::SIGKILL);
}
