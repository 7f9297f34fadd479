//! Memory outside of the state: ranges that no commit saves and no restore brings back.
//!
//! After Plank, Chen, Li, Beck and Kingsley, "Memory exclusion: optimizing the performance of checkpointing systems"
//! (Software: Practice and Experience 29, 1999): what can be computed again, and what is dead at a commit, need not be
//! in it. Here such memory is declared, lies in parts of the region of its own, and is told apart by what a successor
//! finds in it:
//!
//! | declared | mapped | a successor finds |
//! |---|---|---|
//! | [`Returns::Empty`] | private, empty, in each incarnation anew | zeros |
//! | [`Returns::AsItWas`] | a sealed memfd, shared by root, daemon and its transactions | what was last written, torn or not |
//!
//! Neither costs anything at a commit or on the recovery path. A crash may strike in the middle of a write, and nothing
//! is rolled back with the state; so a cache holds [`Plain`] elements only, of which every bit pattern is a value, and
//! whoever reads one that came back as it was checks what he finds.

use crate::declaration::Declaration;
use crate::error::{Error, Result};
use crate::failure::{Failure, FailureKind};
use crate::region::Region;
use crate::span::Span;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};

/// The most caches of a daemon: each has a bit in a word.
pub(crate) const MOST_CACHES: usize = 64;

/// What an incarnation finds in a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Returns {
    /// Zeros: each incarnation, that of the next transaction too, begins with an empty one of its own.
    Empty,
    /// What was last written to it, by whichever incarnation, committed or not: it outlives crashed transactions and
    /// daemons, and a state that goes back or is made anew. A crash can leave it torn at any byte.
    AsItWas,
}

/// A cache, as declared.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) name: String,
    /// Whole pages.
    pub(crate) bytes: usize,
    pub(crate) returns: Returns,
}

/// Bytes of all caches that come back so.
pub(crate) fn bytes(caches: &[Declared], returns: Returns) -> usize {
    caches.iter().filter(|cache| cache.returns == returns).map(|cache| cache.bytes).sum()
}

mod sealed {
    pub trait Sealed {}
}

/// Elements of a cache: numbers, and arrays of them. Every bit pattern is a value, so that a crash in the middle of a
/// write leaves no broken one. For records of your own, take bytes: a cache begins at a page.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot lie in a cache: it is not `Plain`",
    label = "not `Plain`",
    note = "a cache is neither saved nor restored, and a crash may tear it: it holds numbers and arrays of numbers"
)]
pub trait Plain: sealed::Sealed + Copy + Send + Sync + 'static {}

macro_rules! plain {
    ($($number:ty),*) => { $(
        impl sealed::Sealed for $number {}
        impl Plain for $number {}
    )* };
}

plain!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64);

impl<T: Plain, const N: usize> sealed::Sealed for [T; N] {}
impl<T: Plain, const N: usize> Plain for [T; N] {}

/// A cache in use: a slice of all of its elements, until it is dropped.
///
/// It does not borrow from the [`Tx`](crate::Tx): commits may be made and threads may run while it is held. Under the
/// mechanism `fork` a commit made meanwhile goes through the daemon: a successor that returned from it would find the cache
/// changed.
pub struct Cache<'a, T> {
    elements: &'a mut [T],
    bit: u64,
}

impl<T> Deref for Cache<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.elements
    }
}

impl<T> DerefMut for Cache<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.elements
    }
}

impl<T> Drop for Cache<'_, T> {
    fn drop(&mut self) {
        IN_USE.fetch_and(!self.bit, Ordering::Release);
    }
}

impl<T> fmt::Debug for Cache<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache of {} elements", self.elements.len())
    }
}

/// The caches that this process has in use, by their places in the declaration. Zero in a fresh transaction: a daemon
/// lends its caches by a borrow of itself, which a transaction needs mutably.
static IN_USE: AtomicU64 = AtomicU64::new(0);

/// Whether this process has a cache in use.
pub(crate) fn is_any_in_use() -> bool {
    IN_USE.load(Ordering::Relaxed) != 0
}

/// The place of cache `name` in the declaration.
fn find(declared: &Declaration, name: &str) -> std::result::Result<usize, String> {
    let caches = &declared.caches;
    caches.iter().position(|cache| cache.name == name).ok_or_else(|| {
        let known: Vec<_> = caches.iter().map(|cache| format!("`{}`", cache.name)).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        format!("daemon `{}` declares no cache `{name}`; it declares {known}", declared.name)
    })
}

/// Takes cache `name` into use, in a transaction.
pub(crate) fn take<'a, T: Plain>(region: &'a Region, name: &str) -> std::result::Result<Cache<'a, T>, Failure> {
    let refused = |what: &dyn fmt::Display| Failure::engine(FailureKind::Error, what);
    let index = find(&region.declaration, name).map_err(|what| refused(&what))?;
    let bit = 1 << index;
    if IN_USE.fetch_or(bit, Ordering::Acquire) & bit != 0 {
        return Err(refused(&format_args!("cache `{name}` is in use: drop the one that was taken before")));
    }
    // SAFETY: the bit was clear, so this process has no other borrow of the cache; no other process touches it while
    // this one works (a private mapping, or one that only a stopped predecessor and a waiting daemon have).
    let elements = unsafe { elements(region.cache(index)) };
    Ok(Cache { elements, bit })
}

/// Where cache `name` lies, for its daemon, between two transactions.
pub(crate) fn place(region: &Region, name: &str) -> Result<Span> {
    let declared = &region.declaration;
    let refused = |what| Error::Declaration { daemon: declared.name.clone(), what };
    let index = find(declared, name).map_err(refused)?;
    if declared.caches[index].returns == Returns::Empty {
        let what = format!("cache `{name}` comes back empty: each transaction has its own, and the daemon none");
        return Err(refused(what));
    }
    Ok(region.cache(index))
}

/// The elements of a cache.
///
/// # Safety
/// `span` is a cache, mapped as long as the result is used, and nobody else touches it as long.
pub(crate) unsafe fn elements<'a, T: Plain>(span: Span) -> &'a mut [T] {
    let count = span.len.checked_div(size_of::<T>()).unwrap_or(0);
    // SAFETY: a cache begins at a page, which is aligned for every plain type; all bytes are valid for these; the
    // caller vouches for the rest.
    unsafe { std::slice::from_raw_parts_mut(span.start as *mut T, count) }
}
