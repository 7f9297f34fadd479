//! What can go wrong with the engine itself, as opposed to the crashes that it is there for.

use crate::crash::Crash;
use crate::sys::Errno;

/// A result of the engine.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the engine could not do its work. Each message names the value that was wrong and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The process has threads besides the main one.
    #[error(
        "a root has one thread, but this process has {threads}: start the root before any other thread, or by exec"
    )]
    Threads {
        /// Threads counted.
        threads: usize,
    },
    /// The process is part of a tree, or allocates by [`Heap::by_itself`](crate::Heap::by_itself).
    #[error(
        "this process is part of a tree, or has a heap by itself: only a plain process can become a root or get such a \
         heap, once"
    )]
    NotPlain,
    /// A declaration makes no sense by itself.
    #[error("daemon `{daemon}`: {what}")]
    Declaration {
        /// The daemon's name.
        daemon: String,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// The machine cannot hold what was declared.
    #[error(
        "the daemons declare {} MiB in all, but {limit} leaves {} MiB ({parts}): declare less, or free memory",
        declared >> 20, available >> 20
    )]
    Memory {
        /// Bytes declared, everything counted.
        declared: u64,
        /// Bytes available.
        available: u64,
        /// What sets the limit: free memory, a control group, a resource limit.
        limit: String,
        /// What was counted, daemon by daemon.
        parts: String,
    },
    /// A system call failed.
    #[error("{what}: {errno}")]
    System {
        /// What was being done.
        what: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A file under `/proc` or `/sys` could not be read.
    #[error("{what}: {message}")]
    Proc {
        /// What was being read.
        what: &'static str,
        /// Why not.
        message: String,
    },
    /// The tree is being shut down: no further transaction is begun.
    #[error("the tree is shutting down")]
    Stopping,
    /// The root was told to stop by a signal, and shut the tree down in order.
    #[error("stopped by {}", crate::crash::signal_name(*signal))]
    Stopped {
        /// SIGINT or SIGTERM.
        signal: i32,
    },
    /// A daemon crashed, and its policy or its restart intensity gave up on it.
    #[error("daemon `{daemon}` was given up after {restarts} restarts: {crash}")]
    DaemonGaveUp {
        /// The daemon's name.
        daemon: String,
        /// How often it had been restarted.
        restarts: u64,
        /// Its last crash.
        crash: Box<Crash>,
    },
    /// A daemon's closure returned an error or panicked.
    #[error("daemon `{daemon}`: {message}")]
    Daemon {
        /// The daemon's name.
        daemon: String,
        /// Its error in words.
        message: String,
    },
    /// The state could not be made: the first transaction, which makes `S::default()`, did not succeed.
    #[error("daemon `{daemon}`: the first transaction, which makes the state, did not succeed: {message}")]
    Genesis {
        /// The daemon's name.
        daemon: String,
        /// Why not.
        message: String,
    },
    /// A foreign region was asked for by a name or a type that it does not have.
    #[error("no region to read under the name `{name}`: {why}")]
    Peer {
        /// The name asked for.
        name: String,
        /// Why there is none.
        why: &'static str,
    },
    /// A foreign region was not a whole commit for as long as the reader was ready to wait.
    #[error("region `{name}` held no whole commit within {} ms", within.as_millis())]
    Busy {
        /// The region's name.
        name: String,
        /// How long the reader waited.
        within: std::time::Duration,
    },
    /// A process of the floor ended otherwise than planned.
    #[error("floor: the bare {process} ended by {ended} where {planned} was planned")]
    Floor {
        /// Which process: `child` or `successor`.
        process: &'static str,
        /// How it was to end.
        planned: String,
        /// How it ended.
        ended: String,
    },
    /// An error of the program's own, passed through by [`Error::program`].
    #[error("{0}")]
    Program(String),
}

impl Error {
    /// An error of the program's own, for a daemon's closure to return.
    pub fn program(error: impl std::fmt::Display) -> Self {
        Self::Program(error.to_string())
    }

    pub(crate) fn system(what: impl Into<String>, errno: Errno) -> Self {
        Self::System { what: what.into(), errno }
    }
}
