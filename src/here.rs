//! What this process is: set once after each fork, read by the allocator and by the crash handler.
//!
//! Plain atomics and thread-locals without destructors, so that both may read them at any moment.

use crate::error::{Error, Result};
use crate::mailbox::{Mailbox, SEATS};
use crate::span::Span;
use crate::sys::process;
use std::cell::Cell;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU8, AtomicUsize, Ordering};

/// The kinds of process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The root, or a program that has not started one.
    Root = 0,
    /// A daemon.
    Daemon = 1,
    /// A transaction.
    Transaction = 2,
}

/// Where a thread's allocations come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The system's allocator: private memory.
    Private,
    /// The region: recoverable state.
    Region,
    /// Scratch: gone with the incarnation at the latest.
    Scratch,
}

static KIND: AtomicU8 = AtomicU8::new(Kind::Root as u8);
static STATE_START: AtomicUsize = AtomicUsize::new(0);
static STATE_LEN: AtomicUsize = AtomicUsize::new(0);
static SCRATCH_START: AtomicUsize = AtomicUsize::new(0);
static SCRATCH_LEN: AtomicUsize = AtomicUsize::new(0);
static MAILBOX: AtomicPtr<Mailbox> = AtomicPtr::new(std::ptr::null_mut());
/// The mailboxes of the region's seats; null outside of a transaction.
static MAILBOXES: [AtomicPtr<Mailbox>; SEATS] = [const { AtomicPtr::new(std::ptr::null_mut()) }; SEATS];
/// The parent of a transaction; 0 elsewhere.
static PARENT: AtomicI32 = AtomicI32::new(0);
static EVENT: AtomicI32 = AtomicI32::new(-1);

thread_local! {
    // Const and without a destructor: reading them never allocates and never fails.
    static SOURCE: Cell<Source> = const { Cell::new(Source::Private) };
}

/// Makes this process a `kind` that works on `state` and `scratch`, speaks through `mailbox`, and raises `event`.
pub(crate) fn become_kind(kind: Kind, state: Span, scratch: Span, mailbox: &Mailbox, event: i32) {
    STATE_START.store(state.start, Ordering::Relaxed);
    STATE_LEN.store(state.len, Ordering::Relaxed);
    SCRATCH_START.store(scratch.start, Ordering::Relaxed);
    SCRATCH_LEN.store(scratch.len, Ordering::Relaxed);
    EVENT.store(event, Ordering::Relaxed);
    MAILBOX.store(std::ptr::from_ref(mailbox).cast_mut(), Ordering::Relaxed);
    KIND.store(kind as u8, Ordering::Release);
}

/// Gives a process without a tree scratch memory of its own.
pub(crate) fn get_scratch(scratch: Span) {
    SCRATCH_START.store(scratch.start, Ordering::Relaxed);
    SCRATCH_LEN.store(scratch.len, Ordering::Relaxed);
}

/// Refuses a process that is part of a tree, or has memory that is not the system's by itself.
pub(crate) fn expect_plain() -> Result<()> {
    if kind() == Kind::Root && scratch().len == 0 { Ok(()) } else { Err(Error::NotPlain) }
}

pub(crate) fn kind() -> Kind {
    match KIND.load(Ordering::Acquire) {
        1 => Kind::Daemon,
        2 => Kind::Transaction,
        _ => Kind::Root,
    }
}

/// The region's state in this process, empty in the root.
pub(crate) fn state() -> Span {
    Span { start: STATE_START.load(Ordering::Relaxed), len: STATE_LEN.load(Ordering::Relaxed) }
}

/// The scratch memory of this process, empty in the root.
pub(crate) fn scratch() -> Span {
    Span { start: SCRATCH_START.load(Ordering::Relaxed), len: SCRATCH_LEN.load(Ordering::Relaxed) }
}

/// The mailbox that this process writes, if it has one.
pub(crate) fn mailbox() -> Option<&'static Mailbox> {
    // SAFETY: `become_kind` stored a mailbox of a region; regions stay mapped as long as the process lives.
    unsafe { MAILBOX.load(Ordering::Relaxed).as_ref() }
}

/// Tells a transaction who its parent is, and the mailboxes of its region's seats.
pub(crate) fn know_others(parent: i32, seats: [&Mailbox; SEATS]) {
    PARENT.store(parent, Ordering::Relaxed);
    for (known, seat) in MAILBOXES.iter().zip(seats) {
        known.store(std::ptr::from_ref(seat).cast_mut(), Ordering::Relaxed);
    }
}

/// Has this process, a fork of another transaction's process, speak through `mailbox`.
pub(crate) fn speak_through(mailbox: &Mailbox) {
    MAILBOX.store(std::ptr::from_ref(mailbox).cast_mut(), Ordering::Relaxed);
}

/// The mailbox of another seat of the region, in a transaction.
pub(crate) fn seat(seat: usize) -> Option<&'static Mailbox> {
    // SAFETY: as for `mailbox`.
    MAILBOXES.get(seat).and_then(|known| unsafe { known.load(Ordering::Relaxed).as_ref() })
}

/// The parent of a transaction, while it lives and nothing has written over its id. Async-signal-safe.
pub(crate) fn parent() -> Option<i32> {
    let parent = told_parent();
    (parent == process::parent()).then_some(parent)
}

/// What a transaction was told of its parent; 0 elsewhere.
pub(crate) fn told_parent() -> i32 {
    PARENT.load(Ordering::Relaxed)
}

/// The event descriptor that wakes the parent; -1 where there is none.
pub(crate) fn event() -> i32 {
    EVENT.load(Ordering::Relaxed)
}

pub(crate) fn source() -> Source {
    SOURCE.get()
}

/// Sets where this thread allocates from and answers where it did before.
pub(crate) fn set_source(source: Source) -> Source {
    SOURCE.replace(source)
}
