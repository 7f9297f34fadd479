//! What a panic said, kept where the boundary (or the crash handler, where panics abort) can read it.

use crate::failure::{Failure, FailureKind};
use crate::here::{self, Kind};
use crate::text::Text;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    // Const and without a destructor, so that a signal handler may read it.
    static LAST: Cell<(Text, Text)> = const { Cell::new((Text::EMPTY, Text::EMPTY)) };
    static ABORTS: Cell<bool> = const { Cell::new(false) };
}

/// Keeps each panic's message and place for the boundary that catches it. Panics in transactions are silent outcomes;
/// elsewhere the hook that was there before goes on. The root calls this once, before it forks.
pub(crate) fn install_hook() {
    static INSTALLED: std::sync::Once = std::sync::Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let message = info.payload_as_str().map_or(Text::EMPTY, Text::new);
            let place =
                info.location().map_or(Text::EMPTY, |at| Text::display(&format_args!("{}:{}", at.file(), at.line())));
            LAST.set((message, place));
            if here::kind() != Kind::Transaction {
                before(info);
            }
        }));
    });
}

/// The message of the panic, or of the abort, that this thread is in. Async-signal-safe.
pub(crate) fn present() -> Text {
    if std::thread::panicking() || ABORTS.get() { LAST.get().0 } else { Text::EMPTY }
}

/// Ends this process by an abort that is told with a note of why.
pub(crate) fn abort(why: Text) -> ! {
    LAST.set((why, Text::EMPTY));
    ABORTS.set(true);
    std::process::abort()
}

/// Runs `work`; a panic becomes a failure with its message and place.
pub(crate) fn catch<R>(work: impl FnOnce() -> R) -> Result<R, Failure> {
    // What `work` may have left half changed is rolled back with the transaction.
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        // The payload may be of any type; dropping it may panic in turn, so it is left to the incarnation's end.
        std::mem::forget(payload);
        let (message, place) = LAST.get();
        Failure::from_parts(FailureKind::Panic, Text::EMPTY, message, place)
    })
}
