//! `auto`: one of three mechanisms is in use; between two transactions another may be taken.
//!
//! The region is laid out for the largest of them. The ledger says which one is in use. Stage and backing have what that
//! one puts there (`docs/design.md`), whatever the others make of the same bytes.
//!
//! A switch needs a moment at which no transaction runs, no commit is under way, and the state part holds the last
//! commit:
//!
//! | step | if the daemon dies after it |
//! |---|---|
//! | 1. the last commit is copied to where the new mechanism looks for it: commit n to slot n % k, or to the shadow; copy on write looks in the state part | the old one |
//! | 2. `logged`, `oldest` ← n: no log is to be applied, no older commit is kept | the old one |
//! | 3. `in_use` ← the new one, by one store | **the new one** |
//!
//! Until step 3 the old one must still find commit n. What step 1 overwrites of it is nothing: copy on write has an empty
//! log then, as has dirty pages, and reads neither. Where a slot and the shadow are the same bytes, what is copied over
//! them is what they hold, but for pages that hold nothing (`arena/free.rs`).
//!
//! Where older commits are kept, a switch would lose them, as they lie where the old mechanism has put them. So there
//! is none as long as there is one.
//!
//! A spare has entered the state as the mechanism of its fork does, so there is none in a transaction that has a spare.
//! Which mechanism it works under, a process of a transaction knows since its fork.

use super::choice::{self, Choice, ChoiceGrounds};
use super::measured::{Measured, Prices, Size};
use super::{Mechanism, of};
use crate::arena;
use crate::error::{Error, Result};
use crate::heap;
use crate::mechanism_kind::MechanismKind;
use crate::point::{self, Point};
use crate::region::Region;
use crate::sys::memory::PAGE;
use std::sync::atomic::{Ordering, compiler_fence};

/// In the root: measures what pages cost, and lets the region begin with what that and its size say. Nothing for any
/// other mechanism.
pub(crate) fn begin(region: &mut Region) -> Result<()> {
    if region.declaration.mechanism != MechanismKind::Auto {
        return Ok(());
    }
    let failed =
        |errno| Error::system(format!("daemon `{}`: measuring what pages cost", region.declaration.name), errno);
    let prices = Prices::measure(&region.parts, region.may_be_swapped).map_err(failed)?;
    region.prices = Some(prices);
    // How the heap's lists look is found out once, and forks know it: no switch has to.
    arena::is_possible();
    use_from_now_on(region, choice::first(region.parts.state.len / PAGE, &prices));
    Ok(())
}

/// The mechanism that a region is under: the declared one, or what `auto` has in use.
pub(crate) fn in_use(region: &Region) -> MechanismKind {
    match region.declaration.mechanism {
        MechanismKind::Auto => {
            let place = region.ledger().in_use.load(Ordering::Acquire) as usize;
            MechanismKind::CANDIDATES.get(place).copied().unwrap_or(MechanismKind::CopyOnWrite)
        }
        declared => declared,
    }
}

fn use_from_now_on(region: &Region, kind: MechanismKind) {
    let place = MechanismKind::CANDIDATES.iter().position(|candidate| *candidate == kind).unwrap_or(0);
    region.ledger().in_use.store(u32::try_from(place).unwrap_or(0), Ordering::Release);
}

/// What a daemon has measured since it began, under `auto`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Auto {
    prices: Prices,
    measured: Measured,
    /// How long the pieces of the commit under way have taken.
    pieces_ns: u64,
}

impl Auto {
    /// For the daemon of `region`; `None` under any other mechanism.
    pub(crate) fn of(region: &Region) -> Option<Self> {
        region.prices.map(|prices| Self { prices, measured: Measured::default(), pieces_ns: 0 })
    }

    /// A piece of a commit was taken, which is not the last; it took so long.
    pub(crate) fn took_piece(&mut self, took_ns: u64) {
        self.pieces_ns += took_ns;
    }

    /// A commit was made true under `mechanism`, whose last piece took so long.
    pub(crate) fn committed(&mut self, region: &Region, mechanism: &dyn Mechanism, took_ns: u64) {
        let written = mechanism.written(region, self.measured.look_is_due());
        self.measured.committed(written, std::mem::take(&mut self.pieces_ns) + took_ns);
    }

    /// A transaction has crashed.
    pub(crate) fn crashed(&mut self) {
        self.pieces_ns = 0;
        self.measured.crashed();
    }

    /// In the daemon, at a moment at which a switch can be made: chooses, and switches where that is another mechanism.
    /// `None` before the first commit, when there is nothing to choose by.
    pub(crate) fn choose(&mut self, region: &Region) -> Option<Choice> {
        let (ledger, present) = (region.ledger(), in_use(region));
        let last = ledger.commit.load(Ordering::Acquire);
        if last == 0 {
            return None;
        }
        let keeps_older = region.declaration.kept_commits > 0 && ledger.before_last(u8::MAX) < last;
        let live = usize::try_from(heap::live_bytes(region.head())).unwrap_or(usize::MAX);
        let pages = region.parts.state.len / PAGE;
        // The first page has the heads of state and heap.
        let size = Size { pages, in_use: (1 + live.div_ceil(PAGE)).min(pages) };
        let holds = keeps_older.then_some(ChoiceGrounds::OlderCommits);
        let mut choice = choice::choose(present, &self.measured, size, &self.prices, holds);
        if region.declaration.switches_always && !keeps_older {
            let next = MechanismKind::CANDIDATES
                .into_iter()
                .filter(|kind| *kind != present)
                .nth((last.count_ones() % 2) as usize);
            let mechanism = next.unwrap_or(present);
            choice = Choice { mechanism, instead_of: Some(present), grounds: ChoiceGrounds::Asked, ..choice };
        }
        if choice.mechanism != present {
            switch(region, last, choice.mechanism);
            self.measured.switched();
        }
        Some(choice)
    }
}

/// Lets commit `last` be `kind`'s from now on, which is not in use yet.
fn switch(region: &Region, last: u64, kind: MechanismKind) {
    point::pass(Point::Switch);
    of(kind).take_over(region);
    let ledger = region.ledger();
    ledger.logged.store(last, Ordering::Release);
    ledger.oldest.fetch_max(last, Ordering::Release);
    point::pass(Point::Switch);
    // All of that comes first, for the compiler too; a process that dies loses no store that it made.
    compiler_fence(Ordering::SeqCst);
    use_from_now_on(region, kind);
    compiler_fence(Ordering::SeqCst);
    point::pass(Point::Switched);
}
