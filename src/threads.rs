//! Threads of a transaction: scopes on stacks that the declaration paid for.
//!
//! A thread starts with its own alternate signal stack, so that its stack overflow gives notice like any crash, and
//! allocates from the region like the transaction's main thread. No commit can happen while threads run: a scope
//! borrows the transaction mutably.

use crate::failure::{Failure, FailureKind};
use crate::here::{self, Source};
use crate::panics;
use crate::region::Region;
use crate::span::Span;
use crate::sys::{Errno, clock, event, process, thread};
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a thread that was joined may take to leave its process: on a busy machine it waits for a processor, too.
const LEAVING_NS: u64 = 1_000_000_000;
/// How long one waits between two looks.
const STEP: Duration = Duration::from_micros(20);

/// Whether threads that a scope has joined, or is to join, are the only ones that there can be besides the main one.
static ARE_JOINED: AtomicBool = AtomicBool::new(false);

/// A scope in which a transaction's threads run; made by [`Tx::threads`](crate::Tx::threads).
pub struct Scope<'scope, 'env: 'scope> {
    region: &'scope Region,
    used: Cell<usize>,
    running: RefCell<Vec<libc::pthread_t>>,
    failure: Mutex<Option<Failure>>,
    // Invariant in both, as in `std::thread::Scope`: neither may be shortened or lengthened.
    marker: PhantomData<(&'scope mut &'scope (), &'env mut &'env ())>,
}

/// What a new thread starts with; boxed, and freed by the thread.
struct Start<'scope> {
    work: Box<dyn FnOnce() + Send + 'scope>,
    signal_stack: Span,
    failure: &'scope Mutex<Option<Failure>>,
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Runs `work` on a pooled thread. It has ended when the scope ends.
    ///
    /// # Errors
    /// Where all declared threads of the scope are in use, with the figures; or where the kernel refuses a thread.
    pub fn spawn(&'scope self, work: impl FnOnce() + Send + 'scope) -> Result<(), Failure> {
        let declared = self.region.parts.thread_count();
        let i = self.used.get();
        if i == declared {
            let what =
                format_args!("a scope runs at most the {declared} threads that its daemon declares: declare more");
            return Err(Failure::engine(FailureKind::Error, &what));
        }
        let (signal_stack, stack) = self.region.parts.thread(i);
        let start = Box::new(Start { work: Box::new(work), signal_stack, failure: &self.failure });
        let start = Box::into_raw(start);
        match spawn_on(stack, start.cast()) {
            Ok(thread) => {
                self.running.borrow_mut().push(thread);
                self.used.set(i + 1);
                Ok(())
            }
            Err(errno) => {
                // SAFETY: no thread was made, so the box is still ours alone.
                drop(unsafe { Box::from_raw(start) });
                Err(Failure::engine(FailureKind::Error, &format_args!("pthread_create: {errno}")))
            }
        }
    }
}

/// Makes a thread that runs [`thread_main`] on `stack`.
fn spawn_on(stack: Span, start: *mut libc::c_void) -> Result<libc::pthread_t, Errno> {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    let ok = |code: i32| if code == 0 { Ok(()) } else { Err(Errno::from_raw(code)) };
    // SAFETY: initialises the attributes.
    ok(unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) })?;
    // SAFETY: the stack belongs to one thread at a time and stays mapped; glibc then maps nothing of its own.
    ok(unsafe { libc::pthread_attr_setstack(attributes.as_mut_ptr(), stack.start as *mut _, stack.len) })?;
    let mut thread: libc::pthread_t = 0;
    // SAFETY: `start` is a leaked `Start`, which `thread_main` takes back; the scope joins before anything it borrows
    // goes away.
    ok(unsafe { libc::pthread_create(&raw mut thread, attributes.as_ptr(), thread_main, start) })?;
    Ok(thread)
}

extern "C" fn thread_main(start: *mut libc::c_void) -> *mut libc::c_void {
    here::set_source(Source::Region);
    // SAFETY: `spawn` leaked this box for us.
    let start = unsafe { Box::from_raw(start.cast::<Start<'_>>()) };
    // SAFETY: the signal stack belongs to this thread's slot of the pool.
    let signal_stack = unsafe { process::use_signal_stack(start.signal_stack) };
    let Start { work, failure, .. } = *start;
    let result = match signal_stack {
        Ok(()) => panics::catch(work),
        Err(errno) => Err(Failure::engine(FailureKind::Error, &format_args!("sigaltstack: {errno}"))),
    };
    if let Err(new) = result
        && let Ok(mut first) = failure.lock()
    {
        first.get_or_insert(new);
    }
    // Thread-locals are dropped after this: private from here on would leak less, but they may hold region blocks.
    std::ptr::null_mut()
}

/// Joins all threads, also when the scope's own closure panics.
struct JoinAll<'a>(&'a RefCell<Vec<libc::pthread_t>>);

impl Drop for JoinAll<'_> {
    fn drop(&mut self) {
        for thread in self.0.borrow_mut().drain(..) {
            // SAFETY: a thread of this scope, joined once.
            unsafe { libc::pthread_join(thread, std::ptr::null_mut()) };
        }
    }
}

/// Runs `work` with a scope and joins its threads. The first failure of a thread is the scope's.
pub(crate) fn scope<'env, R>(
    region: &Region,
    work: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
) -> Result<R, Failure> {
    if thread::is_alone() {
        ARE_JOINED.store(true, Ordering::Relaxed);
    }
    let scope = Scope {
        region,
        used: Cell::new(0),
        running: RefCell::new(Vec::new()),
        failure: Mutex::new(None),
        marker: PhantomData,
    };
    let result = {
        let _join = JoinAll(&scope.running);
        work(&scope)
    };
    let failure = scope.failure.lock().ok().and_then(|mut failure| failure.take());
    failure.map_or(Ok(result), Err)
}

/// Whether the calling thread is the only one of its process. To be called by a transaction's main thread, outside of a
/// scope.
///
/// A thread can be joined as soon as it has let go of its memory; it leaves its process a moment later. Where no others
/// can be there, that is waited for.
pub(crate) fn is_alone() -> bool {
    let until_ns = clock::now_ns() + LEAVING_NS;
    while !thread::is_alone() {
        if !ARE_JOINED.load(Ordering::Relaxed) {
            return false;
        }
        if clock::now_ns() > until_ns {
            // A thread of the program's own, then, which it has started in a scope.
            ARE_JOINED.store(false, Ordering::Relaxed);
        }
        // Nothing to wait for but time; a failure only makes the wait shorter.
        let _ = event::wait_any(&[], Some(STEP));
    }
    true
}
