//! Which mechanism `auto` takes: a pure function of what was measured.
//!
//! | mechanism | a commit costs | a restore costs |
//! |---|---|---|
//! | copy on write | pages written × (fault, stage, log, apply, drop) | nothing |
//! | dirty pages | pages written × (fault, compare, log, apply, protect) | pages written × (compare, copy) |
//! | full copy | pages in use × copy | pages in use × copy |
//!
//! The prices of a page are this machine's ([`Prices`]); how many are written and in use, and how often there is a
//! restore, is the program's. What is the same under all of them (to ask the daemon, to find written pages) is left out.
//! That what a commit really takes at the least ([`Measured::quickest_ns`]) is part of the margin, so that nothing is
//! switched for a gain that nobody would notice.
//!
//! A switch takes some time itself, and figures waver. So another mechanism is taken only where it is cheaper by a good
//! part, where the commits since the last switch would have saved what the switch costs, and after so many commits, which
//! are twice as many after each switch: however figures waver, the switches become rare.

use crate::mechanism_kind::MechanismKind;
use std::fmt;
use std::time::Duration;

/// So many commits are measured before the first switch; twice as many before the next.
const FIRST: u64 = 8;
/// What has to be saved of the present cost.
const MARGIN: f64 = 0.25;
/// The part of a mean that each new value makes up.
const NEW: f64 = 0.125;
/// Pages that a commit is taken to write before one was measured.
const GUESSED_PAGES: f64 = 16.0;

/// What a page costs, in nanoseconds, as measured before the tree began (`prices.rs`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Prices {
    /// To copy it with many others.
    pub(crate) copied_ns: f64,
    /// To write it for the first time and commit it, under copy on write.
    pub(crate) private_ns: f64,
    /// The same under dirty pages; `None` where the kernel does not track, or pages may be swapped out.
    pub(crate) tracked_ns: Option<f64>,
}

/// What was measured of a daemon's commits under the mechanism in use, the newest counting most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Measured {
    /// Commits since the last switch.
    pub(crate) commits: u64,
    pub(crate) switches: u32,
    /// Pages written, and restores, a commit; what was measured before the last switch counts on.
    written: Option<f64>,
    /// Commits since the newest of which it is known what it wrote.
    unknown: i32,
    restores: f64,
    restores_since: u64,
    /// The quickest commit since the last switch; 0 before one.
    pub(crate) quickest_ns: u64,
}

// Counts and nanoseconds far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn float(number: u64) -> f64 {
    number as f64
}

impl Measured {
    /// A commit was made, which took so long from its beginning to the daemon's answer, and has changed so many pages,
    /// where that is known.
    pub(crate) fn committed(&mut self, written: Option<usize>, took_ns: u64) {
        self.commits += 1;
        self.unknown = self.unknown.saturating_add(1);
        if let Some(written) = written.map(|pages| float(pages as u64)) {
            // It stands for those as well.
            let new = 1.0 - (1.0 - NEW).powi(std::mem::take(&mut self.unknown));
            self.written = Some(self.written.map_or(written, |mean| mean + new * (written - mean)));
        }
        self.restores += NEW * (float(std::mem::take(&mut self.restores_since)) - self.restores);
        self.quickest_ns = if self.commits == 1 { took_ns } else { self.quickest_ns.min(took_ns) };
    }

    /// A crash is gone back from.
    pub(crate) fn crashed(&mut self) {
        self.restores_since += 1;
    }

    /// Another mechanism is in use from now on.
    pub(crate) fn switched(&mut self) {
        (self.commits, self.quickest_ns) = (0, 0);
        self.switches += 1;
    }

    /// Whether a look at all pages is due at the next commit, where only that tells which were written: at first soon
    /// and then more seldom, so that looking takes a small part of what the commits take.
    pub(crate) fn look_is_due(&self) -> bool {
        let next = self.commits + 1;
        next.is_power_of_two() || next.is_multiple_of(16)
    }

    /// How many commits have to be measured before a switch.
    fn needed(&self) -> u64 {
        FIRST << self.switches.min(32)
    }
}

/// The state that is committed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Size {
    /// Pages of the region's state.
    pub(crate) pages: usize,
    /// Pages of it that are in use.
    pub(crate) in_use: usize,
}

/// Which mechanism `auto` has chosen, and on which grounds. Its text is a sentence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The mechanism in use from then on.
    pub mechanism: MechanismKind,
    /// The one before, where this was a switch.
    pub instead_of: Option<MechanismKind>,
    /// The grounds.
    pub grounds: ChoiceGrounds,
    /// Commits that were measured since the last switch.
    pub commits: u64,
    /// Pages that a commit changes, as expected from those before; a guess before the first.
    pub written_pages: f64,
    /// Pages of the state that are in use.
    pub pages_in_use: usize,
    /// Pages of the state in all.
    pub pages: usize,
    /// Restores a commit.
    pub restores: f64,
    /// The quickest commit since the last switch, from its beginning to the daemon's answer.
    pub quickest: Duration,
    /// What a commit costs by the prices of pages, page faults and restores included, under copy on write, full copy and
    /// dirty pages; `None` where that is no choice.
    pub costs: [Option<Duration>; MechanismKind::CANDIDATES.len()],
}

/// Why [`Choice::mechanism`] is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChoiceGrounds {
    /// Few commits were measured yet: it is what is cheapest for a region of this size in which little is written.
    RegionSize,
    /// It is cheaper than the one before by a good part, and the switch has paid for itself soon.
    Cheaper,
    /// No other is cheaper by so much that a switch would pay.
    NoneCheaper,
    /// Too few commits were measured since the last switch.
    TooFewCommits,
    /// A switch would lose the older commits that are kept.
    OlderCommits,
    /// Each opportunity is taken, as a test has asked for.
    #[doc(hidden)]
    Asked,
}

/// What a commit, and the restores that go with one, cost under `kind`, in nanoseconds.
fn cost(kind: MechanismKind, written: f64, restores: f64, size: Size, prices: &Prices) -> Option<f64> {
    let copied = float(size.in_use as u64) * prices.copied_ns;
    match kind {
        MechanismKind::CopyOnWrite => Some(written * prices.private_ns),
        MechanismKind::FullCopy => Some(copied * (1.0 + restores)),
        // To compare a page reads twice what to copy it reads, and writes nothing.
        MechanismKind::DirtyPages => {
            prices.tracked_ns.map(|tracked_ns| written * (tracked_ns + restores * 2.0 * prices.copied_ns))
        }
        _ => None,
    }
}

/// What a switch to `kind` costs: to lay the last commit where it looks for it.
fn cost_of_switch(kind: MechanismKind, size: Size, prices: &Prices) -> f64 {
    if kind == MechanismKind::CopyOnWrite { 0.0 } else { float(size.in_use as u64) * prices.copied_ns }
}

fn cheapest(costs: impl Fn(MechanismKind) -> Option<f64>) -> (MechanismKind, f64) {
    let known = MechanismKind::CANDIDATES.into_iter().filter_map(|kind| costs(kind).map(|cost| (kind, cost)));
    known.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((MechanismKind::CopyOnWrite, 0.0))
}

/// What a daemon begins with, all of whose region is taken to be in use.
pub(crate) fn first(pages: usize, prices: &Prices) -> MechanismKind {
    let size = Size { pages, in_use: pages };
    cheapest(|kind| cost(kind, GUESSED_PAGES, 0.0, size, prices)).0
}

/// What is to be in use from now on, where `present` is; `holds` where nothing may be switched.
pub(crate) fn choose(
    present: MechanismKind,
    measured: &Measured,
    size: Size,
    prices: &Prices,
    holds: Option<ChoiceGrounds>,
) -> Choice {
    let (written, restores) = (measured.written.unwrap_or(GUESSED_PAGES), measured.restores);
    let cost = |kind| cost(kind, written, restores, size, prices);
    let (best, least) = cheapest(cost);
    let now = cost(present).unwrap_or(f64::INFINITY);
    let saved = now - least;
    let pays = saved >= MARGIN * now.min(f64::MAX).max(float(measured.quickest_ns))
        && saved * float(measured.commits) >= cost_of_switch(best, size, prices);
    let (mechanism, grounds) = match holds {
        Some(grounds) => (present, grounds),
        None if measured.commits < measured.needed() && measured.switches == 0 => (present, ChoiceGrounds::RegionSize),
        None if measured.commits < measured.needed() => (present, ChoiceGrounds::TooFewCommits),
        None if pays && best != present => (best, ChoiceGrounds::Cheaper),
        None => (present, ChoiceGrounds::NoneCheaper),
    };
    Choice {
        mechanism,
        instead_of: (mechanism != present).then_some(present),
        grounds,
        commits: measured.commits,
        written_pages: written,
        pages_in_use: size.in_use,
        pages: size.pages,
        restores,
        quickest: Duration::from_nanos(measured.quickest_ns),
        costs: MechanismKind::CANDIDATES.map(|kind| cost(kind).map(|ns| Duration::from_secs_f64(ns / 1e9))),
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mechanism)?;
        if let Some(before) = self.instead_of {
            write!(f, " instead of {before}")?;
        }
        let why = match self.grounds {
            ChoiceGrounds::RegionSize => "by the region's size, as few commits were measured yet",
            ChoiceGrounds::Cheaper => "it is cheaper, and the switch pays",
            ChoiceGrounds::NoneCheaper => "no other is cheaper by so much that a switch would pay",
            ChoiceGrounds::TooFewCommits => "few commits were measured since the last switch",
            ChoiceGrounds::OlderCommits => "a switch would lose the older commits that are kept",
            ChoiceGrounds::Asked => "a switch was asked for",
        };
        write!(
            f,
            ": {why} ({:.1} of {} pages written and {:.3} restores a commit, {} pages in use; a commit costs",
            self.written_pages, self.pages, self.restores, self.pages_in_use
        )?;
        for (kind, cost) in MechanismKind::CANDIDATES.iter().zip(self.costs) {
            let comma = if *kind == MechanismKind::CANDIDATES[0] { "" } else { "," };
            match cost {
                Some(cost) => write!(f, "{comma} {cost:.1?} under {kind}")?,
                None => write!(f, "{comma} nothing known under {kind}")?,
            }
        }
        write!(f, "; {} commits measured, the quickest took {:.1?})", self.commits, self.quickest)
    }
}
