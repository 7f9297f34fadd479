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
    pub const ALL: [Self; 2] = [Self::CopyOnWrite, Self::FullCopy];

    /// The name, as on the command line and in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CopyOnWrite => "copy-on-write",
            Self::FullCopy => "full-copy",
        }
    }

    /// What it does, in a line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::CopyOnWrite => "private mapping; a commit stages the written pages, the daemon logs and applies them",
            Self::FullCopy => "works in place; a commit copies the whole region to one of two slots, then flips",
        }
    }

    /// Bytes of the backing part for a state of `bytes`: the log, or the slots.
    pub(crate) fn backing_len(self, bytes: usize) -> usize {
        match self {
            Self::CopyOnWrite => log_len(bytes),
            Self::FullCopy => 2 * bytes,
        }
    }

    /// Bytes of the stage part.
    pub(crate) fn stage_len(self) -> usize {
        match self {
            Self::CopyOnWrite => STAGE_LEN,
            Self::FullCopy => 0,
        }
    }

    /// The most bytes of private copies that a transaction comes to hold.
    pub(crate) fn private_copies(self, bytes: usize) -> usize {
        match self {
            Self::CopyOnWrite => bytes,
            Self::FullCopy => 0,
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
#[error("unknown mechanism `{0}`: `copy-on-write` and `full-copy` are known")]
pub struct UnknownMechanism(String);

impl FromStr for MechanismKind {
    type Err = UnknownMechanism;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownMechanism(name.to_owned()))
    }
}
