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
//!
//! A switch takes some time itself, and figures waver. So another mechanism is taken only
//! - where it saves a quarter of the present cost, and of the quickest commit that was measured: what is the same under all
//!   of them is in that one, and a gain that is small beside it nobody would notice;
//! - where the commits since the last switch would have saved what this one costs;
//! - after eight commits, and twice as many after each switch: however figures waver, switches become rare.

use super::measured::{Measured, Prices, Size, float};
use crate::mechanism_kind::MechanismKind;
use std::fmt;
use std::time::Duration;

/// What has to be saved of the present cost.
const MARGIN: f64 = 0.25;
/// Pages that a commit is taken to write before one was measured.
const GUESSED_PAGES: f64 = 16.0;

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

#[cfg(test)]
mod tests {
    use super::super::measured::FIRST;
    use super::*;
    use MechanismKind::{CopyOnWrite, DirtyPages, FullCopy};
    use proptest::prelude::*;

    const PRICES: Prices = Prices { copied_ns: 300.0, private_ns: 3_000.0, tracked_ns: Some(1_500.0) };
    const SIZE: Size = Size { pages: 16_384, in_use: 8_000 };

    /// After so many commits of so many pages that took `took_ns` each.
    fn measured(commits: u64, written: usize, took_ns: u64) -> Measured {
        let mut measured = Measured::default();
        (0..commits).for_each(|_| measured.committed(Some(written), took_ns));
        measured
    }

    fn chosen(present: MechanismKind, measured: &Measured, size: Size) -> Choice {
        choose(present, measured, size, &PRICES, None)
    }

    #[test]
    fn a_region_begins_with_what_is_cheapest_for_little_writing() {
        assert_eq!(first(16, &PRICES), FullCopy);
        assert_eq!(first(16_384, &PRICES), DirtyPages);
        assert_eq!(first(16_384, &Prices { tracked_ns: None, ..PRICES }), CopyOnWrite);
    }

    #[test]
    fn what_is_cheaper_is_taken_once_that_is_sure() {
        let choose = |commits, written| chosen(DirtyPages, &measured(commits, written, 1_000), SIZE);
        assert_eq!((choose(7, 8_000).mechanism, choose(7, 8_000).grounds), (DirtyPages, ChoiceGrounds::RegionSize));
        let switch = choose(8, 8_000);
        assert_eq!((switch.mechanism, switch.instead_of), (FullCopy, Some(DirtyPages)));
        assert_eq!((choose(8, 20).mechanism, choose(8, 20).grounds), (DirtyPages, ChoiceGrounds::NoneCheaper));
        // Written often enough to be cheaper, but not by a quarter: 8,000 × 300 against 1,700 × 1,500.
        assert_eq!(choose(1_000, 1_700).grounds, ChoiceGrounds::NoneCheaper);
        // What is held stays.
        let held = super::choose(DirtyPages, &measured(8, 8_000, 1), SIZE, &PRICES, Some(ChoiceGrounds::OlderCommits));
        assert_eq!((held.mechanism, held.instead_of, held.grounds), (DirtyPages, None, ChoiceGrounds::OlderCommits));
    }

    #[test]
    fn a_gain_that_is_small_beside_a_commit_is_none() {
        let size = Size { pages: 64, in_use: 30 };
        let (quick, slow) = (measured(100, 30, 10_000), measured(100, 30, 1_000_000));
        assert_eq!(chosen(CopyOnWrite, &quick, size).mechanism, FullCopy);
        assert_eq!(chosen(CopyOnWrite, &slow, size).mechanism, CopyOnWrite);
    }

    #[test]
    fn restores_count_where_they_copy() {
        let mut crashing = Measured::default();
        for _ in 0..100 {
            (0..8).for_each(|_| crashing.crashed());
            crashing.committed(Some(100), 1_000);
        }
        // Eight restores of each commit's pages cost more under dirty pages than all private copies.
        assert_eq!(chosen(DirtyPages, &crashing, SIZE).mechanism, CopyOnWrite);
        assert_eq!(chosen(DirtyPages, &measured(100, 100, 1_000), SIZE).mechanism, DirtyPages);
    }

    #[test]
    fn a_seldom_look_counts_for_all_commits_since() {
        let mut seldom = measured(8, 1_000, 1_000);
        for commit in 0..64 {
            seldom.committed((commit % 16 == 15).then_some(2), 1_000);
        }
        assert!(seldom.written.unwrap() < 4.0, "{seldom:?}");
    }

    #[test]
    fn it_says_what_it_chose_and_why() {
        let words = chosen(FullCopy, &measured(8, 14, 1_000), SIZE).to_string();
        assert!(words.starts_with("dirty-pages instead of full-copy: it is cheaper"), "{words}");
        assert!(words.contains("14.0 of 16384 pages written") && words.contains("2.4ms under full-copy"), "{words}");
        let blind = Prices { tracked_ns: None, ..PRICES };
        let words = choose(CopyOnWrite, &Measured::default(), SIZE, &blind, None).to_string();
        assert!(words.contains("by the region's size") && words.contains("nothing known under dirty-pages"), "{words}");
    }

    prop_compose! {
        fn figures()(
            copied_ns in 50.0..2_000.0, private_ns in 500.0..20_000.0, tracked_ns in prop::option::of(500.0..20_000.0),
            pages in 16usize..1_000_000, used in 0.0..1.0, written in 0.0..1.0, restores in 0u64..4, commits in 0u64..200,
            took_ns in 1_000u64..10_000_000, kind in prop::sample::select(MechanismKind::CANDIDATES.to_vec()),
        ) -> (MechanismKind, Measured, Size, Prices) {
            // Below the number of pages.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let part = |of: usize, part: f64| (of as f64 * part) as usize;
            let in_use = 1 + part(pages - 1, used);
            let mut measured = Measured::default();
            for _ in 0..commits {
                (0..restores).for_each(|_| measured.crashed());
                measured.committed(Some(part(in_use, written)), took_ns);
            }
            (kind, measured, Size { pages, in_use }, Prices { copied_ns, private_ns, tracked_ns })
        }
    }

    proptest! {
        #[test]
        fn a_switch_is_to_what_is_cheapest_and_is_not_taken_back((present, measured, size, prices) in figures()) {
            let choice = choose(present, &measured, size, &prices, None);
            let cost = |kind| cost(kind, choice.written_pages, choice.restores, size, &prices).unwrap_or(f64::INFINITY);
            if choice.instead_of.is_some() {
                prop_assert!(MechanismKind::CANDIDATES.iter().all(|kind| cost(choice.mechanism) <= cost(*kind)));
                prop_assert!(cost(choice.mechanism) <= (1.0 - MARGIN) * cost(present));
                let again = choose(choice.mechanism, &measured, size, &prices, None);
                prop_assert_eq!(again.mechanism, choice.mechanism);
            } else {
                prop_assert_eq!(choice.mechanism, present);
            }
        }

        #[test]
        fn more_written_pages_never_lead_from_full_copy((present, measured, size, prices) in figures(), more in 1.0..100.0) {
            let mut writes_more = measured;
            writes_more.written = measured.written.map(|written| written * more);
            let [less, more] = [measured, writes_more].map(|m| choose(present, &m, size, &prices, None).mechanism);
            prop_assert!(less != FullCopy || more == FullCopy, "{less} with less, {more} with more");
        }

        #[test]
        fn more_pages_in_use_never_lead_to_full_copy((present, measured, size, prices) in figures(), more in 1usize..100) {
            let larger = Size { pages: size.pages * more, in_use: size.in_use * more };
            let [small, large] = [size, larger].map(|size| choose(present, &measured, size, &prices, None).mechanism);
            prop_assert!(large != FullCopy || small == FullCopy, "{small} when small, {large} when large");
        }

        /// Whatever is measured: each switch needs twice as many commits as the one before.
        #[test]
        fn switches_become_rare(writes in prop::collection::vec((0usize..8_000, 0u64..3), 1..3_000)) {
            let (mut measured, mut present, mut switches) = (Measured::default(), CopyOnWrite, 0u32);
            for (written, crashes) in &writes {
                (0..*crashes).for_each(|_| measured.crashed());
                measured.committed(Some(*written), 1);
                let choice = chosen(present, &measured, SIZE);
                if choice.instead_of.is_some() {
                    (present, switches) = (choice.mechanism, switches + 1);
                    measured.switched();
                }
            }
            prop_assert!((FIRST << switches) - FIRST <= writes.len() as u64, "{switches} in {}", writes.len());
        }
    }
}
