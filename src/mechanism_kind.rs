//! The mechanisms by name, and what memory each takes: known before there is a region, for a declaration to count.

use crate::sys::memory::PAGE;
use std::fmt;
use std::str::FromStr;

/// The mechanisms, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MechanismKind {
    /// The transaction works on a private mapping of the last commit; a commit stages the pages that it wrote, the
    /// daemon logs and applies them.
    CopyOnWrite,
    /// The transaction works in place; a commit copies the whole region to one of two slots, then flips.
    FullCopy,
    /// The transaction works in place, and logs the old bytes of what it declares before it writes; a commit empties the
    /// log by one store, without the daemon. For states that change through [`Logged`](crate::Logged) and its like only.
    UndoLog,
}

/// Pages in one piece of a commit: 1 MiB.
pub(crate) const STAGE_PAGES: usize = 256;
/// Bytes of the stage's table of page numbers.
pub(crate) const STAGE_TABLE: usize = (STAGE_PAGES * size_of::<u32>()).next_multiple_of(PAGE);
/// Bytes of the stage.
const STAGE_LEN: usize = STAGE_TABLE + STAGE_PAGES * PAGE;

/// Bytes of the log's table of page numbers, for a state of so many bytes.
pub(crate) fn log_table(state_bytes: usize) -> usize {
    (state_bytes / PAGE * size_of::<u32>()).next_multiple_of(PAGE)
}

/// Bytes of the log of a state of `bytes`.
fn log_len(bytes: usize) -> usize {
    log_table(bytes) + bytes
}

impl MechanismKind {
    /// All mechanisms.
    pub const ALL: [Self; 3] = [Self::CopyOnWrite, Self::FullCopy, Self::UndoLog];

    /// Whether the program has to declare what it writes, so that a state of ordinary collections does not do.
    pub const fn needs_declared_writes(self) -> bool {
        matches!(self, Self::UndoLog)
    }

    /// The name, as on the command line and in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CopyOnWrite => "copy-on-write",
            Self::FullCopy => "full-copy",
            Self::UndoLog => "undo-log",
        }
    }

    /// What it does, in a line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::CopyOnWrite => "private mapping; a commit stages the written pages, the daemon logs and applies them",
            Self::FullCopy => "works in place; a commit copies the whole region to one of two slots, then flips",
            Self::UndoLog => "works in place; old bytes are logged before a declared write, a commit is one store",
        }
    }

    /// Bytes of the backing part for a state of `bytes`: the log, or the slots, or a place for a crashed state.
    pub(crate) fn backing_len(self, bytes: usize) -> usize {
        match self {
            Self::CopyOnWrite => log_len(bytes),
            Self::FullCopy => 2 * bytes,
            Self::UndoLog => bytes,
        }
    }

    /// Bytes of the stage part, where an undo log takes so many.
    pub(crate) fn stage_len(self, undo_log: usize) -> usize {
        match self {
            Self::CopyOnWrite => STAGE_LEN,
            Self::FullCopy => 0,
            Self::UndoLog => undo_log,
        }
    }

    /// Bytes of what a transaction notes of its epoch, where marks take so many and a snapshot so many.
    pub(crate) fn notes_len(self, marks: usize, snapshot: usize) -> usize {
        if self.needs_declared_writes() { marks.next_multiple_of(PAGE) + snapshot } else { 0 }
    }

    /// The most bytes of private copies that a transaction comes to hold.
    pub(crate) fn private_copies(self, bytes: usize) -> usize {
        match self {
            Self::CopyOnWrite => bytes,
            Self::FullCopy | Self::UndoLog => 0,
        }
    }
}

impl fmt::Display for MechanismKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A mechanism's name that is none.
#[derive(Debug, thiserror::Error)]
#[error("unknown mechanism `{0}`: `copy-on-write`, `full-copy` and `undo-log` are known")]
pub struct UnknownMechanism(String);

impl FromStr for MechanismKind {
    type Err = UnknownMechanism;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownMechanism(name.to_owned()))
    }
}
