//! Parts of a state that change through the undo log: written only by whoever has declared that first.
//!
//! Under the mechanism [`undo-log`](crate::MechanismKind::UndoLog) a crash takes back what was declared, and nothing else.
//! So a state for it is made of these, which can be read like what they hold and lend themselves to be written by declaring
//! it. Under the other mechanisms, where everything is taken back anyway, they cost a look at a flag.
//!
//! | to change | write |
//! |---|---|
//! | a number, or any plain value | [`Logged`] |
//! | many of them, as many as there come to be | [`LoggedVec`] |
//! | what owns memory, such as an `Option<Box<Node>>` | [`Tx::replace`], the whole of it at once |
//! | plain data in a structure of another kind | [`Tx::declare`], [`Tx::declare_slice`], before the write |
//!
//! What the compiler cannot see is an assignment of the whole: `state.count = Logged::new(5)` declares nothing, nor does
//! `mem::swap`. After a crash, what was assigned is still there, and the memory that it owns is free again: to use it is
//! undefined behaviour. So the mechanism is declared by an `unsafe` function
//! ([`Declaration::undo_log`](crate::Declaration::undo_log)), which promises that there is no such write; the check mode
//! finds it ([`Declaration::check_declared`](crate::Declaration::check_declared)). Memory that was allocated since the last
//! commit may be written freely.
//!
//! ```no_run
//! use crashbed::{Daemon, Declaration, Logged, LoggedVec, MIB, Recoverable, Root};
//! use crashbed_policies::CheckpointResume;
//!
//! #[derive(Default, Recoverable)]
//! struct Account {
//!     balance: Logged<i64>,
//!     history: LoggedVec<i64>,
//! }
//!
//! // SAFETY: the one transaction changes its account by `write` and `push`, which declare what they change.
//! let bank = unsafe { Declaration::new("bank", 16 * MIB).undo_log(MIB) };
//! Root::new()
//!     .declare(bank, |daemon: &mut Daemon<Account>| {
//!         daemon.transaction(CheckpointResume, |tx, account| {
//!             for amount in [5, -3, 8] {
//!                 *account.balance.write(tx) += amount;
//!                 account.history.push(tx, amount);
//!                 tx.done();
//!                 tx.commit()?; // no system call, no word to the daemon
//!             }
//!             Ok(*account.balance)
//!         })?;
//!         Ok(())
//!     })
//!     .run()?;
//! # Ok::<(), crashbed::Error>(())
//! ```

use crate::recoverable::Recoverable;
use crate::span::Span;
use crate::threads::Scope;
use crate::transaction::Tx;
use crate::undo;
use std::fmt;
use std::ops::{Bound, Deref, RangeBounds};

mod sealed {
    pub trait Sealed {}
}

/// Who may write to a state: its transaction, and in it a scope of threads. What they lend lives no longer than the borrow
/// of them, so it cannot outlive the commit.
pub trait Declares: sealed::Sealed {}

impl sealed::Sealed for Tx<'_> {}
impl Declares for Tx<'_> {}
impl sealed::Sealed for Scope<'_, '_> {}
impl Declares for Scope<'_, '_> {}

fn span_of<T>(values: &[T]) -> Span {
    Span { start: values.as_ptr() as usize, len: size_of_val(values) }
}

impl Tx<'_> {
    /// Declares that `value` will be written, and lends it for that until the next commit. Under the undo log the write
    /// is taken back by a crash; under every other mechanism it is so without this.
    ///
    /// Prefer [`Logged`], where no write in place can forget it.
    pub fn declare<'a, T: Recoverable + Copy>(&'a self, value: &'a mut T) -> &'a mut T {
        undo::declare(span_of(std::slice::from_ref(value)));
        value
    }

    /// As [`declare`](Self::declare), for several values in a row.
    pub fn declare_slice<'a, T: Recoverable + Copy>(&'a self, values: &'a mut [T]) -> &'a mut [T] {
        undo::declare(span_of(values));
        values
    }

    /// Puts `value` in `place`, declared, and answers what was there. For what owns memory: what a value points to does not
    /// change by this.
    pub fn replace<T: Recoverable>(&self, place: &mut T, value: T) -> T {
        undo::declare(span_of(std::slice::from_ref(place)));
        std::mem::replace(place, value)
    }
}

/// A plain value of a state, which is written through the log.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Logged<T>(T);

// SAFETY: no more than the value in it, which keeps the contract.
unsafe impl<T: Recoverable> Recoverable for Logged<T> {}

impl<T> Logged<T> {
    /// Such a value, to be part of a state.
    pub const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T: Recoverable + Copy> Logged<T> {
    /// Lends the value to be written, until the next commit.
    pub fn write<'a>(&'a mut self, _: &'a impl Declares) -> &'a mut T {
        undo::declare(span_of(std::slice::from_ref(&self.0)));
        &mut self.0
    }

    /// Makes it `value`.
    pub fn set(&mut self, tx: &impl Declares, value: T) {
        *self.write(tx) = value;
    }
}

impl<T> Deref for Logged<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Logged<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Logged<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A list of plain values of a state, which is written through the log. Reads as a slice.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoggedVec<T>(Vec<T>);

// SAFETY: no more than the list in it, which keeps the contract.
unsafe impl<T: Recoverable> Recoverable for LoggedVec<T> {}

impl<T> LoggedVec<T> {
    /// An empty list.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// An empty list with room for `capacity` values: growing beyond copies all of them.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }
}

impl<T: Recoverable + Copy> LoggedVec<T> {
    /// Declares pointer, length and capacity.
    fn declare_self(&self) {
        undo::declare(span_of(std::slice::from_ref(&self.0)));
    }

    /// Declares the values at `range`, which may lie in the spare capacity.
    fn declare_at(&self, start: usize, count: usize) {
        let first = self.0.as_ptr().wrapping_add(start) as usize;
        undo::declare_in(self.0.as_ptr() as usize, align_of::<T>(), Span { start: first, len: count * size_of::<T>() });
    }

    /// Lends the values at `range` to be written, until the next commit.
    ///
    /// # Panics
    /// Where `range` goes beyond the end.
    pub fn write<'a>(&'a mut self, _: &'a impl Declares, range: impl RangeBounds<usize>) -> &'a mut [T] {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.0.len(),
        };
        // Checks the range before anything is logged.
        let count = self.0[start..end].len();
        self.declare_at(start, count);
        &mut self.0[start..end]
    }

    /// Makes the value at `index` be `value`.
    ///
    /// # Panics
    /// Where there is none.
    pub fn set(&mut self, tx: &impl Declares, index: usize, value: T) {
        self.write(tx, index..=index)[0] = value;
    }

    /// Adds `value` at the end.
    pub fn push(&mut self, tx: &impl Declares, value: T) {
        self.extend(tx, &[value]);
    }

    /// Adds `values` at the end.
    pub fn extend(&mut self, _: &impl Declares, values: &[T]) {
        self.declare_self();
        if values.len() <= self.0.capacity() - self.0.len() {
            self.declare_at(self.0.len(), values.len());
        }
        // Else all move to a block of their own, and the old one stays as it is until the commit.
        self.0.extend_from_slice(values);
    }

    /// Makes it as long as `len`, by values at its end.
    pub fn resize(&mut self, _: &impl Declares, len: usize, value: T) {
        self.declare_self();
        if len > self.0.len() && len <= self.0.capacity() {
            self.declare_at(self.0.len(), len - self.0.len());
        }
        self.0.resize(len, value);
    }

    /// Takes the last value off.
    pub fn pop(&mut self, _: &impl Declares) -> Option<T> {
        self.declare_self();
        self.0.pop()
    }

    /// Keeps the first `len` values. The capacity stays.
    pub fn truncate(&mut self, _: &impl Declares, len: usize) {
        self.declare_self();
        self.0.truncate(len);
    }

    /// Puts `values` in the place of all of it, and answers what was there.
    pub fn replace(&mut self, _: &impl Declares, values: Vec<T>) -> Vec<T> {
        self.declare_self();
        std::mem::replace(&mut self.0, values)
    }
}

impl<T> Deref for LoggedVec<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> Default for LoggedVec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<Vec<T>> for LoggedVec<T> {
    fn from(values: Vec<T>) -> Self {
        Self(values)
    }
}

impl<T: fmt::Debug> fmt::Debug for LoggedVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
