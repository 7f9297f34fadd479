//! The mechanisms by name, and what memory each takes: known before there is a region, for a declaration to count.

use crate::mechanism::{page_log, stage};
use crate::sys::memory::PAGE;
use std::fmt;
use std::str::FromStr;

/// The mechanisms, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum MechanismKind {
    /// The transaction works on a private mapping of the last commit; a commit stages the pages that it wrote, the
    /// daemon logs and applies them.
    #[default]
    CopyOnWrite,
    /// The transaction works in place; a commit copies all of the region that is in use to one of two slots, then flips.
    FullCopy,
    /// The transaction works in place; a commit copies the pages that it has written since the one before.
    DirtyPages,
    /// The transaction works in place, and logs the old bytes of what it declares before it writes; a commit empties the
    /// log by one store, without the daemon. For states that change through [`Logged`](crate::Logged) and its like only,
    /// which is promised by declaring it ([`Declaration::undo_log`](crate::Declaration::undo_log)).
    UndoLog,
    /// The transaction forks at each commit but its last: the fork goes on, and the process that it was forked from is
    /// the commit. A crash wakes that one, which goes on from the middle of the function. The last commit is one by copy
    /// on write.
    Fork,
    /// Whichever of copy on write, full copy and dirty pages takes the least time by what was measured, as
    /// [`Report::choice`](crate::Report::choice) says.
    Auto,
}

impl MechanismKind {
    /// All mechanisms.
    pub const ALL: [Self; 6] =
        [Self::CopyOnWrite, Self::FullCopy, Self::DirtyPages, Self::UndoLog, Self::Fork, Self::Auto];

    /// Those that [`Auto`](Self::Auto) chooses from: a program sees no difference between them.
    pub(crate) const CANDIDATES: [Self; 3] = [Self::CopyOnWrite, Self::FullCopy, Self::DirtyPages];

    /// Whether the program has to declare what it writes, so that a state of ordinary collections does not do.
    pub const fn needs_declared_writes(self) -> bool {
        matches!(self, Self::UndoLog)
    }

    /// Whether a successor returns from the last commit, in the middle of the program's function and with its locals, instead
    /// of beginning that function anew.
    pub const fn returns_from_commits(self) -> bool {
        matches!(self, Self::Fork)
    }

    /// The name, as on the command line and in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CopyOnWrite => "copy-on-write",
            Self::FullCopy => "full-copy",
            Self::DirtyPages => "dirty-pages",
            Self::UndoLog => "undo-log",
            Self::Fork => "fork",
            Self::Auto => "auto",
        }
    }

    /// What it does, in a line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::CopyOnWrite => "private mapping; a commit stages the written pages, the daemon logs and applies them",
            Self::FullCopy => {
                "works in place; a commit copies what is in use of the region to one of two slots, then flips"
            }
            Self::DirtyPages => {
                "works in place; a commit copies the pages written since the one before, as the kernel tracks them"
            }
            Self::UndoLog => "works in place; old bytes are logged before a declared write, a commit is one store",
            Self::Fork => {
                "forks at a commit; a crash wakes the frozen parent, which goes on in the middle of the function"
            }
            Self::Auto => {
                "copy on write, full copy or dirty pages, by the pages written and in use, the crashes, and what they cost here"
            }
        }
    }

    /// The most that `bytes` of the candidates are.
    fn most_of_candidates(bytes: impl Fn(Self) -> usize) -> usize {
        Self::CANDIDATES.into_iter().map(bytes).max().unwrap_or(0)
    }

    /// Bytes of the backing part for a state of `bytes` of which `kept` older commits are kept: the log, or the slots, or a place for a crashed
    /// state.
    pub(crate) fn backing_len(self, bytes: usize, kept: usize) -> usize {
        match self {
            Self::CopyOnWrite | Self::Fork => page_log::len(bytes, kept),
            Self::FullCopy => (2 + kept) * bytes,
            Self::DirtyPages => bytes + page_log::len(bytes, kept),
            Self::UndoLog => bytes,
            Self::Auto => Self::most_of_candidates(|candidate| candidate.backing_len(bytes, kept)),
        }
    }

    /// Whether a commit may come to fill a large part of the backing at once. Its memory is made ready at the start then:
    /// the kernel zeroes a page when it is first touched, which takes longer than to copy one.
    pub(crate) fn fills_backing(self) -> bool {
        matches!(self, Self::FullCopy | Self::Auto)
    }

    /// Bytes of the stage part, where an undo log takes so many.
    pub(crate) fn stage_len(self, undo_log: usize) -> usize {
        match self {
            Self::CopyOnWrite | Self::DirtyPages | Self::Fork => stage::LEN,
            Self::FullCopy => 0,
            Self::UndoLog => undo_log,
            Self::Auto => Self::most_of_candidates(|candidate| candidate.stage_len(undo_log)),
        }
    }

    /// Bytes of what a transaction notes of its epoch, where marks take so many and a snapshot so many.
    pub(crate) fn notes_len(self, marks: usize, snapshot: usize) -> usize {
        if self.needs_declared_writes() { marks.next_multiple_of(PAGE) + snapshot } else { 0 }
    }

    /// The most bytes of private copies that a process of a transaction comes to hold.
    pub(crate) fn private_copies(self, bytes: usize) -> usize {
        match self {
            Self::CopyOnWrite | Self::Fork => bytes,
            Self::FullCopy | Self::DirtyPages | Self::UndoLog => 0,
            Self::Auto => Self::most_of_candidates(|candidate| candidate.private_copies(bytes)),
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
#[error("unknown mechanism `{0}`: {known} are known", known = MechanismKind::ALL.map(MechanismKind::name).join(", "))]
pub struct UnknownMechanism(String);

impl FromStr for MechanismKind {
    type Err = UnknownMechanism;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownMechanism(name.to_owned()))
    }
}
