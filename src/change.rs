//! Change guards: the program's mark "in the middle of a change".
//!
//! After the unsafe regions of PHOENIX (SOSP 2025): a crashed state can be kept only where the crash did not strike in
//! the middle of a change to it. The mark stands in the mailbox, not in the state, so that no commit and no restore
//! touches it.

use crate::recoverable::Recoverable;
use crate::transaction::Tx;
use std::sync::atomic::Ordering;

/// A change under way; it is over when this is dropped. Made by [`Tx::change`](crate::Tx::change). While it lives no
/// commit can be made: that takes the transaction mutably.
#[must_use = "the change is over when the guard is dropped"]
pub struct Change<'t> {
    tx: &'t Tx<'t>,
}

impl<'t> Change<'t> {
    pub(crate) fn begin(tx: &'t Tx<'t>) -> Self {
        // Before any write of the change, as the crash handler sees this thread's writes.
        tx.mailbox.changing.fetch_add(1, Ordering::SeqCst);
        Self { tx }
    }

    /// The change was the operation in flight, which is done: counts it ([`Tx::done`](crate::Tx::done)) before the change
    /// is over. So a state that is kept never holds an operation that its counter does not, which would be done again.
    pub fn done(self) {
        self.tx.count();
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.tx.mailbox.changing.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A state that may be kept after a crash ([`Action::KeepIfIntact`](crate::Action::KeepIfIntact)).
///
/// # Safety
/// The program promises that every change to a value of this type, in a transaction that may keep it, is made while a
/// [`Change`] lives, so that at every instruction outside of one the state is a valid value that the program can go on
/// with; an operation's change ends by [`Change::done`], which counts it. A scope of threads
/// ([`Tx::threads`](crate::Tx::threads)) is a change, too, but one that counts nothing: between its end and
/// [`Tx::done`](crate::Tx::done) the state has to be such a value as well. The engine checks what it can see: the guards,
/// the heap's lock, the chain of its blocks. It cannot see a write of the compiler's that was moved past a guard's end
/// (the guards are barriers to that), nor a wild pointer's.
pub unsafe trait Guarded: Recoverable {}
