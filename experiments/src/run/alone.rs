//! A trial alone: one transaction, which a fault strikes where it may.

use super::work::{NoTarget, Tested, Work};
use crate::faults::Injector;
use crashbed::{Failure, Tx};

/// One pass over a script: what the transaction does, and where faults may strike.
pub(super) fn pass<W: Work>(
    tx: &mut Tx<'_>,
    state: &mut Tested<W>,
    script: &W::Script,
    commit_every: u64,
    injector: &Injector,
    kill_first: Option<u64>,
    resumes: bool,
) -> Result<(), Failure> {
    if !state.work.is_loaded() {
        state.work.load(script);
        tx.commit()?;
    }
    let crashes = tx.crashes();
    // At the latest after the first operation, so that every recovered state is looked at.
    let next = tx.operations() + 1;
    let redone_at = tx.crash().map(|crash| crash.operation.max(next)).or(resumes.then_some(next));
    for index in tx.operations()..W::total(script) {
        if tx.skips(index) {
            state.work.skip(script, index);
        } else {
            if kill_first == Some(index) && tx.crash().is_none() {
                kill_this_process();
            }
            injector.before(index, state)?;
            let between = || {
                // Only stops strike here, which do not come back.
                let _ = injector.between(index, &mut NoTarget(Vec::new()));
            };
            state.work.operate(tx, script, index, between)?;
        }
        tx.done();
        let done = index + 1;
        if redone_at == Some(done) {
            state.redone = Some((done, state.work.digest()));
        }
        // The last commit of all follows by itself.
        if done % commit_every == 0 && done < W::total(script) {
            tx.commit()?;
        }
        if tx.crashes() > crashes {
            // It has returned from that commit as a successor, which looks at the crash before it goes on.
            return pass(tx, state, script, commit_every, injector, kill_first, resumes);
        }
    }
    state.work.check().map_err(Failure::new)
}

/// SIGKILL to this very process.
fn kill_this_process() {
    let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::SIGKILL);
}
