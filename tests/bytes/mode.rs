//! How a tree plays its programs: under which mechanism, and with which words behind it.

use crate::support::mask::Without;
use crashbed::point::Point;
use crashbed::{Declaration, Intensity, KIB, MIB, MechanismKind};
use std::time::Duration;

/// How many commits before the last one are kept, unless the mode says otherwise.
pub(crate) const KEPT: u8 = 2;

/// Where processes die: transactions, then daemons.
pub(crate) const POINTS: [Point; 11] = [
    Point::Stage,
    Point::Staged,
    Point::Forked,
    Point::Flipped,
    Point::Restore,
    Point::Log,
    Point::Apply,
    Point::Acknowledge,
    Point::Switch,
    Point::Switched,
    Point::DaemonRestore,
];

/// A mechanism, and words joined by `+`: `plain` says nothing; each commit is `checked` for writes that were not declared;
/// the last commit is kept `alone`; `auto` is `switching` as often as it can; the kernel's means are taken away
/// (`untracked`, `unscanned`); and two that must be found out, `careless` and `lost`.
pub(crate) struct Mode<'a> {
    pub(crate) mechanism: MechanismKind,
    words: Vec<&'a str>,
}

impl<'a> Mode<'a> {
    pub(crate) fn read(mechanism: &str, words: &'a str) -> Self {
        let words: Vec<_> = words.split('+').collect();
        for word in &words {
            let known = ["plain", "checked", "alone", "switching", "untracked", "unscanned", "careless", "lost"];
            assert!(known.contains(word), "unknown mode `{word}`: {known:?} are known");
        }
        Self { mechanism: mechanism.parse().expect("a mechanism"), words }
    }

    pub(crate) fn is(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    /// Commits are processes.
    pub(crate) fn forks(&self) -> bool {
        self.mechanism.returns_from_commits()
    }

    /// Whether a transaction goes on while its commit is in flight. What `auto` uses does so now and then.
    pub(crate) fn commits_later(&self) -> bool {
        matches!(self.mechanism, MechanismKind::CopyOnWrite | MechanismKind::DirtyPages)
    }

    /// Whether a crashed state is where a successor can go on with it.
    pub(crate) fn can_keep(&self) -> bool {
        !matches!(self.mechanism, MechanismKind::CopyOnWrite | MechanismKind::Fork)
    }

    /// Those of [`POINTS`] that processes pass.
    pub(crate) fn points(&self) -> impl Iterator<Item = Point> {
        let declares = self.mechanism.needs_declared_writes();
        POINTS.into_iter().filter(move |point| match point {
            Point::Forked => self.forks(),
            Point::Flipped => declares,
            Point::Log | Point::Apply | Point::Acknowledge => !declares,
            Point::Switch | Point::Switched => self.is("switching"),
            _ => true,
        })
    }

    /// Takes away from this process what the mode does without.
    pub(crate) fn mask(&self) {
        for (word, without) in [("untracked", Without::Tracking), ("unscanned", Without::Scanning)] {
            if self.is(word) {
                without.apply();
            }
        }
    }

    pub(crate) fn declaration(&self) -> Declaration {
        let declaration = Declaration::new("d", 256 * KIB)
            .mechanism(self.mechanism)
            .check_declared(self.is("checked"))
            .kept_commits(if self.is("alone") { 0 } else { KEPT })
            .switches_always(self.is("switching"))
            .scratch(0)
            .heartbeat(Duration::from_secs(30))
            .intensity(Intensity::UNLIMITED);
        match self.mechanism {
            // SAFETY: each step declares what it writes, but for the numbers of a plain array in the careless mode, which is
            // to be found out: they own nothing.
            MechanismKind::UndoLog => unsafe { declaration.undo_log(MIB) },
            _ => declaration,
        }
    }
}
