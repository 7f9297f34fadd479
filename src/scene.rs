//! Process decides: what the program's own code is shown after a crash, and what it may answer.

use crate::arena::{self, Condition};
use crate::crash::Crash;
use crate::policy::History;
use crate::state_head::{STATE_ARENA, StateHead};
use std::fmt;

/// What the program's own code sees of a crash, in the successor, before its work begins.
pub struct Scene<'a, S> {
    pub(crate) crash: &'a Crash,
    pub(crate) history: &'a History,
    pub(crate) commit: &'a S,
    pub(crate) operations: u64,
    pub(crate) crashed: Option<CrashedRegion<'a>>,
}

impl<'a, S> Scene<'a, S> {
    /// The crash.
    pub fn crash(&self) -> &'a Crash {
        self.crash
    }

    /// The crashes of this transaction so far, this one included.
    pub fn history(&self) -> &'a History {
        self.history
    }

    /// The last commit: what [`Answer::Resume`] goes on with.
    pub fn commit(&self) -> &'a S {
        self.commit
    }

    /// Operations that the last commit holds.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// The crashed state, to be read as bytes; `None` where the mechanism does not keep it.
    pub fn crashed(&self) -> Option<&CrashedRegion<'a>> {
        self.crashed.as_ref()
    }
}

/// The state as the crash left it. Untrusted: it is bytes, never a value.
#[derive(Clone, Copy)]
pub struct CrashedRegion<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) base: u64,
}

/// The proof that [`Answer::Keep`] asks for. Made by [`CrashedRegion::assume_intact`] alone.
#[derive(Debug)]
pub struct Intact(());

/// Why a crashed state cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// The crash struck in the middle of an allocation or a release.
    #[error("the heap's lock was held at the crash: the heap was in the middle of a change")]
    HeapLocked,
    /// The heap's chain of blocks is broken.
    #[error("the heap's chain of blocks is broken: it was overwritten")]
    HeapTorn,
}

impl CrashedRegion<'_> {
    /// The bytes, as they lay at the region's address.
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// Operations that the crashed state counts as completed.
    pub fn operations(&self) -> u64 {
        let at = std::mem::offset_of!(StateHead, operations);
        let word = self.bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
        word.map_or(0, u64::from_le_bytes)
    }

    /// Whether the heap was caught in the middle of a change, or is broken. Walks the whole heap.
    pub fn damage(&self) -> Option<Damaged> {
        let heap = self.bytes.get(STATE_ARENA..)?;
        match arena::examine(heap, self.base + STATE_ARENA as u64) {
            Condition::Whole => None,
            Condition::Locked => Some(Damaged::HeapLocked),
            Condition::Torn => Some(Damaged::HeapTorn),
        }
    }

    /// Vouches for the crashed state, so that it can be kept.
    ///
    /// # Errors
    /// [`Damaged`] where the heap was caught in the middle of a change or is broken: nobody can vouch for that.
    ///
    /// # Safety
    /// The caller promises that the crashed state is a valid value of the state's type: that the crash did not strike
    /// in the middle of a change to it (a half-moved map is not valid Rust), and that nothing wrote over it. The
    /// crash's place and a mark of the program's own in the state are what such a promise can be based on.
    pub unsafe fn assume_intact(&self) -> Result<Intact, Damaged> {
        match self.damage() {
            None => Ok(Intact(())),
            Some(damage) => Err(damage),
        }
    }
}

/// What the program's own code decides about a crash.
pub enum Answer<S> {
    /// Go on with the last commit.
    Resume,
    /// Start over with `S::default()`.
    Zero,
    /// Mend the last commit by this function, commit that, and go on with it. Under the mechanism
    /// [`undo-log`](crate::MechanismKind::UndoLog), where a crash takes back only what was declared and the function can
    /// declare nothing, it is not run and the transaction has failed: resume, and mend where its work begins again.
    Repair(fn(&mut S, &Crash)),
    /// Go on with the crashed state. It becomes a commit. What belonged to the function that crashed, such as its locals or
    /// the result of a last commit that never came to be, stays allocated in it, and nobody's.
    Keep(Intact),
    /// Go on with the last commit, and skip the operation that crashed
    /// ([`Tx::skips`](crate::Tx::skips)); the decision is committed at once.
    Skip,
    /// No further attempt: the caller gets the crash.
    GiveUp,
}

/// What was answered, for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Answered {
    /// [`Answer::Resume`].
    Resume = 1,
    /// [`Answer::Zero`].
    Zero = 2,
    /// [`Answer::Repair`].
    Repair = 3,
    /// [`Answer::Keep`].
    Keep = 4,
    /// [`Answer::Skip`].
    Skip = 5,
    /// [`Answer::GiveUp`].
    GiveUp = 6,
}

impl Answered {
    pub(crate) fn from_word(word: u32) -> Option<Self> {
        [Self::Resume, Self::Zero, Self::Repair, Self::Keep, Self::Skip, Self::GiveUp]
            .into_iter()
            .find(|answered| *answered as u32 == word)
    }
}

impl<S> Answer<S> {
    pub(crate) fn answered(&self) -> Answered {
        match self {
            Self::Resume => Answered::Resume,
            Self::Zero => Answered::Zero,
            Self::Repair(_) => Answered::Repair,
            Self::Keep(_) => Answered::Keep,
            Self::Skip => Answered::Skip,
            Self::GiveUp => Answered::GiveUp,
        }
    }
}

impl<S> fmt::Debug for Answer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.answered().fmt(f)
    }
}
