//! Which types may be in a state: those whose bytes mean the same to every process of the tree.
//!
//! A state is made by one process, rolled back under another, and found by a third. It survives that where it owns
//! all that it points to, inside the region, and where nothing outside of the region counts on it. [`Recoverable`]
//! is the promise that a type is so; this file gives it for plain data and for the standard library's owned
//! collections, `#[derive(Recoverable)]` for what a program builds out of them.

use crate::crash::{Cause, Crash, Notice, Phase, Place};
use crate::text::Text;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::hash::BuildHasherDefault;
use std::marker::PhantomData;

/// A type whose values may live in a daemon's region and cross from process to process.
///
/// Two things need it: the state `S` of a daemon, which is committed, restored, and found by each successor; and,
/// with [`Clone`], what a transaction or a scratch closure hands out, which is cloned across the border.
///
/// Derive it: `#[derive(Recoverable)]` checks every field. Data behind an [`Arc`](std::sync::Arc) or a
/// `&'static str` becomes data of its own: a `String`, a `Box<str>`, an index into a `Vec`.
///
/// ```
/// use crashbed::Recoverable;
/// use std::collections::HashMap;
///
/// #[derive(Clone, Default, Recoverable)]
/// struct Index {
///     words: HashMap<String, Vec<Position>>,
/// }
///
/// #[derive(Clone, Recoverable)]
/// struct Position {
///     document: u32,
///     offset: u64,
/// }
/// ```
///
/// # Safety
///
/// The implementor promises, of every value that its type's public functions can make:
///
/// 1. **It owns what it points to.** Each pointer in it is the sole owner of one allocation made by the process's
///    global allocator; or dangles and is never followed (an empty `Vec`); or leads to an immutable `static` of the
///    program's image, which every process of the tree has at the same place (an empty `HashMap`). So it holds no
///    reference, not even a `&'static` one: `Box::leak` makes those too, in memory of one process alone.
/// 2. **Nothing is shared.** No reference count (`Rc`, `Arc`): the counts would be rolled back with the region while
///    owners outside of it are not.
/// 3. **No code.** No function pointer, closure or trait object: their code or table may lie in a library that
///    only one process has loaded.
/// 4. **It means the same in every process, at every later time.** No descriptor or other handle, process or thread
///    id, lock or guard (its holder may be dead), thread-local, or address of anything that does not live inside it.
/// 5. **Its memory is all there is to it.** A commit brings its bytes back after it was dropped, and a restore
///    forgets it without dropping it. So its `Drop` does no more than give memory back.
/// 6. **A shared borrow changes nothing.** No `Cell`, `RefCell`, `OnceCell` or `Mutex`, and no atomic number: a daemon
///    and its readers hold a `&T` of the last commit, which nothing but a commit may change.
/// 7. **A clone shares nothing.** Where the type is [`Clone`], a clone makes all of its allocations anew.
///
/// A value that breaks one of these is freed by a process that never allocated it, or used after it was freed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot live in a state: it is not `Recoverable`",
    label = "not `Recoverable`",
    note = "a state holds plain data and owned collections; no reference, `Rc` or `Arc`, trait object, function \
            pointer, cell, lock or handle",
    note = "for a type of your own: `#[derive(Recoverable)]`"
)]
pub unsafe trait Recoverable: Sized + 'static {}

/// Implements [`Recoverable`] for types, each with its parameters in braces before it; these are `Recoverable` too.
macro_rules! recoverable {
    ($( $({$($parameter:ident)+})? $type:ty ),* $(,)?) => { $(
        // SAFETY: the comment over each list names the fact that holds for every type of it.
        unsafe impl $(<$($parameter: Recoverable),+>)? Recoverable for $type {}
    )* };
}

// SAFETY: plain data: no pointer, no handle, no Drop.
recoverable! {
    bool, char, (), std::convert::Infallible,
    u8, u16, u32, u64, u128, usize,
    i8, i16, i32, i64, i128, isize,
    f32, f64,
    std::num::NonZeroU8, std::num::NonZeroU16, std::num::NonZeroU32, std::num::NonZeroU64,
    std::num::NonZeroU128, std::num::NonZeroUsize,
    std::num::NonZeroI8, std::num::NonZeroI16, std::num::NonZeroI32, std::num::NonZeroI64,
    std::num::NonZeroI128, std::num::NonZeroIsize,
    std::cmp::Ordering, std::time::Duration, std::time::SystemTime,
    std::net::Ipv4Addr, std::net::Ipv6Addr, std::net::IpAddr,
    std::net::SocketAddrV4, std::net::SocketAddrV6, std::net::SocketAddr,
    Text, Crash, Cause, Notice, Phase, Place,
}

// SAFETY: two numbers.
unsafe impl Recoverable for RandomState {}
// SAFETY: holds nothing at all, whatever hasher it names.
unsafe impl<H: 'static> Recoverable for BuildHasherDefault<H> {}

// SAFETY: no more than the values in them, which keep the contract.
recoverable! {
    {T} Option<T>,
    {T E} Result<T, E>,
    {T} PhantomData<T>,
    {T} std::num::Wrapping<T>,
    {T} std::num::Saturating<T>,
    {T} std::cmp::Reverse<T>,
    {T} std::ops::Bound<T>,
    {T} std::ops::Range<T>,
    {T} std::ops::RangeInclusive<T>,
    {A} (A,),
    {A B} (A, B),
    {A B C} (A, B, C),
    {A B C D} (A, B, C, D),
    {A B C D E} (A, B, C, D, E),
    {A B C D E F} (A, B, C, D, E, F),
    {A B C D E F G} (A, B, C, D, E, F, G),
    {A B C D E F G H} (A, B, C, D, E, F, G, H),
}
// SAFETY: no more than the values in it, which keep the contract.
unsafe impl<T: Recoverable, const N: usize> Recoverable for [T; N] {}

// SAFETY: sole owners of memory from the global allocator; all they hold are bytes and values that keep the
// contract. An empty hash map points to an immutable static of the program's image. Each clones into new memory.
recoverable! {
    String, std::ffi::OsString, std::ffi::CString, std::path::PathBuf,
    Box<str>, Box<std::ffi::OsStr>, Box<std::ffi::CStr>, Box<std::path::Path>,
    {T} Box<T>,
    {T} Box<[T]>,
    {T} Vec<T>,
    {T} VecDeque<T>,
    {T} LinkedList<T>,
    {T} BinaryHeap<T>,
    {T} BTreeSet<T>,
    {K V} BTreeMap<K, V>,
    {T S} HashSet<T, S>,
    {K V S} HashMap<K, V, S>,
}

#[cfg(test)]
mod tests {
    use super::Recoverable;
    use std::collections::HashMap;

    fn recoverable<T: Recoverable>() {}

    /// A hasher is in the value, so it is held to the contract: those of the standard library keep it.
    #[test]
    fn a_hash_map_may_have_any_hasher_that_is_recoverable() {
        recoverable::<HashMap<String, u64>>();
        recoverable::<HashMap<u64, u64, std::hash::BuildHasherDefault<std::hash::DefaultHasher>>>();
    }
}
