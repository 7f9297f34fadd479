//! What is seen of a trial from outside of the engine: what the policy decided, and when each operation that had crashed
//! was behind. In a page of its own that no crash takes back, not even that of the daemon, whose report begins anew.
//!
//! ```text
//! word   0      decisions of the policy
//!        1      of them, zero
//!        2      of them, keep if intact
//!        3      of them, restart the daemon
//!        4      all delays that it asked for, in nanoseconds
//!        5      operations that were done, and lost by a crash
//!        6      the operation that was reached: by the newest crash, or in the state that was resumed after it
//!        7      when the work began: the state was there, and its first operation next
//!        8      the trial's policy: 1 + its place in the table of policies; 0 where no trial is under way
//!        9      when the trial began
//!       10      who gave up on the daemon: 1 its policy, 2 the limit on its restarts; 0 nobody
//!       11..    the operations that crashed, 64 of them: 1 + the operation, its first crash, when it was behind
//! ```
//!
//! Decisions are written by whichever process asks the policy, the trial by its daemon, who gave up on that by the root, the
//! rest by the transaction; only one of them is at work at a time.

use crate::faults::Mapping;
use crate::faults::trigger::monotonic_ns;
use crate::record::GaveUpBy;
use crashbed::{Action, Crash, Decision, History, RestartPolicy};
use crashbed_policies::Registered;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Operations whose crashes are kept apart.
const PLACES: usize = 64;

/// A page on x86-64.
const PAGE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

#[repr(C)]
struct Page {
    decisions: AtomicU64,
    zeros: AtomicU64,
    keeps: AtomicU64,
    daemons: AtomicU64,
    delay_ns: AtomicU64,
    lost: AtomicU64,
    reached: AtomicU64,
    began_ns: AtomicU64,
    policy: AtomicU64,
    trial_ns: AtomicU64,
    gave_up: AtomicU64,
    places: [Place; PLACES],
}

const _: () = assert!(size_of::<Page>() <= PAGE.get() && align_of::<Page>() <= PAGE.get());

#[repr(C)]
struct Place {
    /// 1 + the operation; 0 is a free place, and so are all behind it.
    operation: AtomicU64,
    first_crash_ns: AtomicU64,
    past_ns: AtomicU64,
}

/// Sees what becomes of a trial. Make it before any fork.
#[derive(Debug)]
pub(super) struct Witness {
    page: Mapping,
}

/// What it saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Decisions of the policy.
    pub decisions: u64,
    /// Of them, zero.
    pub zeros: u64,
    /// Of them, keep if intact.
    pub keeps: u64,
    /// Of them, restart the daemon.
    pub daemons: u64,
    /// All delays that it asked for.
    pub delay_ns: u64,
    /// Operations that were done, and lost by a crash.
    pub lost_operations: u64,
    /// From the beginning of the work until now; `None` where it never began.
    pub took_ns: Option<u64>,
    /// Operations that crashed, in the order in which they first did.
    pub places: Vec<Stuck>,
}

/// An operation that crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// The operation.
    pub operation: u64,
    /// Its first crash. `CLOCK_MONOTONIC`, as the next.
    pub first_crash_ns: u64,
    /// When it was behind, after its last crash; `None` where that never was.
    pub past_ns: Option<u64>,
}

impl Witness {
    /// One that has seen nothing.
    ///
    /// # Errors
    /// If the kernel refuses a mapping.
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self { page: Mapping::anonymous(PAGE)? })
    }

    /// Forgets the trial before, and begins one under the policy called `policy`; none where there is no name.
    pub(super) fn begin(&self, policy: Option<&str>) {
        let page = self.page();
        let Page { decisions, zeros, keeps, daemons, delay_ns, lost, reached, began_ns, gave_up, places, .. } = page;
        let places = places.iter().flat_map(|place| [&place.operation, &place.first_crash_ns, &place.past_ns]);
        for word in places.chain([decisions, zeros, keeps, daemons, delay_ns, lost, reached, began_ns, gave_up]) {
            word.store(0, Relaxed);
        }
        let place = policy.and_then(|name| crashbed_policies::ALL.iter().position(|row| row.name == name));
        page.trial_ns.store(monotonic_ns(), Relaxed);
        page.policy.store(place.map_or(0, |place| 1 + place as u64), Relaxed);
    }

    /// The policy of the trial that is under way, and when that began.
    pub(super) fn trial(&self) -> Option<(&'static Registered, u64)> {
        let Page { policy, trial_ns, .. } = self.page();
        let place = usize::try_from(policy.load(Relaxed).checked_sub(1)?).ok()?;
        Some((crashbed_policies::ALL.get(place)?, trial_ns.load(Relaxed)))
    }

    /// What is done about a crash of the trial's daemon.
    pub(super) fn decided_of_daemon(&self, decision: Decision) {
        self.page().zeros.fetch_add(u64::from(decision.action == Action::Zero), Relaxed);
        self.delayed(decision);
    }

    /// The trial's daemon is given up, by its policy or else by the limit on its restarts.
    pub(super) fn give_up_daemon(&self, by_policy: bool) {
        self.page().gave_up.store(if by_policy { 1 } else { 2 }, Relaxed);
    }

    /// Who gave up on the trial's daemon.
    pub(super) fn daemon_given_up(&self) -> Option<GaveUpBy> {
        match self.page().gave_up.load(Relaxed) {
            0 => None,
            1 => Some(GaveUpBy::Policy),
            _ => Some(GaveUpBy::Limit),
        }
    }

    /// What was seen. Call it when no transaction runs.
    pub(super) fn seen(&self) -> Seen {
        let page = self.page();
        let places = self.places().map(|place| Stuck {
            operation: place.operation.load(Relaxed) - 1,
            first_crash_ns: place.first_crash_ns.load(Relaxed),
            past_ns: Some(place.past_ns.load(Relaxed)).filter(|ns| *ns != 0),
        });
        Seen {
            decisions: page.decisions.load(Relaxed),
            zeros: page.zeros.load(Relaxed),
            keeps: page.keeps.load(Relaxed),
            daemons: page.daemons.load(Relaxed),
            delay_ns: page.delay_ns.load(Relaxed),
            lost_operations: page.lost.load(Relaxed),
            took_ns: Some(page.began_ns.load(Relaxed))
                .filter(|ns| *ns != 0)
                .map(|ns| monotonic_ns().saturating_sub(ns)),
            places: places.collect(),
        }
    }

    /// The operation is behind: done or skipped, whether it ever crashed or not. Runs at each operation: where none has
    /// crashed, it looks at one word.
    #[inline]
    pub(super) fn past(&self, operation: u64) {
        if let Some(place) = self.places().find(|place| place.operation.load(Relaxed) == operation + 1)
            && place.past_ns.load(Relaxed) == 0
        {
            place.past_ns.store(monotonic_ns(), Relaxed);
        }
    }

    /// An incarnation begins its work on a state that holds so many operations. What the crash before it had reached beyond that is
    /// lost.
    pub(super) fn begun(&self, operations: u64) {
        let Page { lost, reached, began_ns, .. } = self.page();
        let _ = began_ns.compare_exchange(0, monotonic_ns(), Relaxed, Relaxed);
        lost.fetch_add(reached.load(Relaxed).saturating_sub(operations), Relaxed);
        reached.store(operations, Relaxed);
    }

    fn crashed(&self, crash: &Crash) {
        // One that crashes before it has a state has reached nothing.
        self.page().reached.fetch_max(crash.operation, Relaxed);
        let key = crash.operation.saturating_add(1);
        let is_its = |place: &&Place| [0, key].contains(&place.operation.load(Relaxed));
        let Some(place) = self.page().places.iter().find(is_its) else { return };
        if place.operation.load(Relaxed) == 0 {
            place.first_crash_ns.store(crash.happened_ns, Relaxed);
            place.operation.store(key, Relaxed);
        }
        place.past_ns.store(0, Relaxed);
    }

    fn decided(&self, decision: Decision) {
        let page = self.page();
        page.decisions.fetch_add(1, Relaxed);
        self.delayed(decision);
        let counter = match decision.action {
            Action::Zero => &page.zeros,
            Action::KeepIfIntact => &page.keeps,
            Action::RestartDaemon => &page.daemons,
            _ => return,
        };
        counter.fetch_add(1, Relaxed);
    }

    fn delayed(&self, decision: Decision) {
        let Page { delay_ns, .. } = self.page();
        let delay = u64::try_from(decision.delay.as_nanos()).unwrap_or(u64::MAX);
        delay_ns.store(delay_ns.load(Relaxed).saturating_add(delay), Relaxed);
    }

    /// The places in use.
    fn places(&self) -> impl Iterator<Item = &Place> {
        self.page().places.iter().take_while(|place| place.operation.load(Relaxed) != 0)
    }

    fn page(&self) -> &Page {
        // SAFETY: the mapping is a whole page, aligned to one, zeroed by the kernel, and lives as long as `self`. A `Page`
        // fits into it, consists of atomics alone, and all bit patterns are values of these.
        unsafe { self.page.start().cast::<Page>().as_ref() }
    }
}

/// A policy whose decisions are seen.
pub(super) struct Watched<'a, P> {
    pub(super) policy: P,
    pub(super) witness: &'a Witness,
}

impl<P: RestartPolicy> RestartPolicy for Watched<'_, P> {
    fn name(&self) -> &str {
        self.policy.name()
    }

    fn decide(&self, crash: &Crash, history: &History) -> Decision {
        self.witness.crashed(crash);
        // One that panics gives up, as the engine has it, and is seen to.
        let decision = crashbed::policy::decide(&self.policy, crash, history);
        self.witness.decided(decision);
        decision
    }
}

#[cfg(test)]
#[path = "witness_tests.rs"]
mod tests;
