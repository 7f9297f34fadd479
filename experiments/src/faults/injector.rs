//! The injector: one page, shared by every process forked after it was made, that holds the plan and what came of it.
//!
//! It outlives every crash below its maker. That is what it is for: a budget in the state would come back with the
//! commit, and the successor would be struck again. All of the page is atomic words, so a process may stop between
//! any two writes and the next one reads whole values:
//!
//! ```text
//! word   0       armed: 0, or the plan's site (1 before, 2 between, 3 point); written last when armed
//!        1..13   the plan, as Plan::to_words
//!       13       budget: how often it may still strike; taken before the fault
//!       14       struck: strikes since it was armed ("injected")
//!       15       landed: strikes whose effect was seen by the process itself
//!       16       harmless: strikes that came back without an effect
//!       17       latched: 1 + the operation of the first strike, for crash loops and poison
//!       18       clock: CLOCK_MONOTONIC at the arming or the last strike
//!       19       met: operations met since then
//!       20       passed: points of the trigger's name passed
//!       21       foreign: an address in another daemon's region
//!       22      current: the operation begun last, kept only while a plan waits at a point
//!       23..25  latent damage: how many bytes, and what they are
//!       25..    the strikes: when, in which operation, by which process, where; 64 of them
//! ```

use super::memory::{self, Mapping, Target};
use super::plan::{Plan, PlanError, site_word};
use super::stops::{PAGE, Prepared, Stop, perform};
use super::trigger::{Occasion, Trigger, monotonic_ns, numbers};
use super::{Fault, Site};
use nix::errno::Errno;
use nix::unistd::Pid;
use rand::RngExt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Strikes that are kept one by one.
const STRIKES: usize = 64;

#[repr(C)]
struct Page {
    armed: AtomicU64,
    plan: [AtomicU64; Plan::WORDS],
    budget: AtomicU64,
    struck: AtomicU64,
    landed: AtomicU64,
    harmless: AtomicU64,
    latched: AtomicU64,
    clock: AtomicU64,
    met: AtomicU64,
    passed: AtomicU64,
    foreign: AtomicU64,
    current: AtomicU64,
    damaged_bytes: AtomicU64,
    damage: AtomicU64,
    strikes: [StrikeWords; STRIKES],
}

const _: () = assert!(size_of::<Page>() <= PAGE.get() && align_of::<Page>() <= PAGE.get());

#[repr(C)]
struct StrikeWords {
    fault_ns: AtomicU64,
    operation: AtomicU64,
    process: AtomicU64,
    address: AtomicU64,
}

/// Decides at each operation and point whether the armed fault strikes, and does it.
///
/// Make it before any fork, in the process that forks all others; share it with the transaction's closure by
/// reference. Nothing on its way allocates, except what the fault itself is about.
#[derive(Debug)]
pub struct Injector {
    page: Mapping,
    prepared: Prepared,
}

/// Why an injector could not be made.
#[derive(Debug, thiserror::Error)]
pub enum InjectorError {
    /// The shared page could not be mapped.
    #[error("cannot map the injector's page: {0}")]
    Page(#[source] Errno),
    /// What some stops need could not be made.
    #[error("cannot make the mappings and the descriptor that bus errors and kills from outside need: {0}")]
    Stops(#[source] Errno),
}

/// An injected fault that the program's own code reports: return it from the transaction's closure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Injected {
    /// [`Fault::Error`].
    #[error("injected error in operation {operation}")]
    Error {
        /// The operation in flight.
        operation: u64,
    },
    /// [`Fault::RegionExhausted`].
    #[error("the region is full in operation {operation}, after {bytes} more bytes")]
    Exhausted {
        /// The operation in flight.
        operation: u64,
        /// What could still be allocated.
        bytes: u64,
    },
}

/// What became of the armed plan so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Faults that the plan asks for; of a plan without end, those that struck, and at least one.
    pub planned: u64,
    /// Faults whose trigger was reached and whose code ran.
    pub injected: u64,
    /// Faults that had an effect: the byte changed, the error was returned, or the code never came back.
    pub activated: u64,
}

/// One strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// The last instant before the faulting instruction. `CLOCK_MONOTONIC`, nanoseconds; 0 if the process ended
    /// before it could write that down.
    pub fault_ns: u64,
    /// The operation in flight.
    pub operation: u64,
    /// The process that was struck.
    pub process: u32,
    /// The byte that a memory fault changed, or began to; else 0.
    pub address: u64,
}

impl Injector {
    /// An injector that is not armed.
    ///
    /// # Errors
    /// If the kernel refuses a mapping or a memory file.
    pub fn new() -> Result<Self, InjectorError> {
        let prepared = Prepared::new().map_err(InjectorError::Stops)?;
        let page = Mapping::anonymous(PAGE).map_err(InjectorError::Page)?;
        Ok(Self { page, prepared })
    }

    /// Gives [`Fault::ForeignWrite`] something of another daemon's region to aim at: its first byte.
    pub fn aim<T: ?Sized>(&self, foreign: &T) {
        self.page().foreign.store((&raw const *foreign).addr() as u64, Ordering::Relaxed);
    }

    /// Arms a plan and forgets the one before. Call it while no transaction runs.
    ///
    /// # Errors
    /// If the plan writes into a foreign region and none was given.
    pub fn arm(&self, plan: &Plan) -> Result<(), PlanError> {
        let page = self.page();
        if plan.fault() == Fault::ForeignWrite && page.foreign.load(Ordering::Relaxed) == 0 {
            return Err(PlanError::NoForeignRegion);
        }
        self.disarm();
        for (word, value) in page.plan.iter().zip(plan.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
        for counter in [
            &page.struck,
            &page.landed,
            &page.harmless,
            &page.latched,
            &page.met,
            &page.passed,
            &page.current,
            &page.damaged_bytes,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        for strike in &page.strikes {
            for word in [&strike.fault_ns, &strike.operation, &strike.process, &strike.address] {
                word.store(0, Ordering::Relaxed);
            }
        }
        page.budget.store(plan.most(), Ordering::Relaxed);
        page.clock.store(monotonic_ns(), Ordering::Relaxed);
        page.armed.store(site_word(plan.site()), Ordering::Release);
        Ok(())
    }

    /// No fault strikes any more. The counts and the strikes stay readable until the next plan is armed.
    pub fn disarm(&self) {
        self.page().armed.store(0, Ordering::Release);
    }

    /// Puts off a plan that strikes at an operation until `operation`: for a transaction that is struck again and again,
    /// by its successor, before it has begun an operation. What was counted stays.
    pub fn put_off(&self, operation: u64) {
        if self.plan().is_some_and(|plan| matches!(plan.trigger(), Trigger::Operation(_))) {
            self.page().plan[Plan::FIGURE].store(operation, Ordering::Relaxed);
        }
    }

    /// How often the plan has struck.
    pub fn struck(&self) -> u64 {
        self.page().struck.load(Ordering::Acquire)
    }

    /// The workload is about to begin `operation`.
    ///
    /// # Errors
    /// The injected error, where that is the fault.
    ///
    /// # Panics
    /// If that is the fault.
    #[inline]
    pub fn before(&self, operation: u64, target: &mut dyn Target) -> Result<(), Injected> {
        if self.armed_at(Site::Before) {
            return self.consider(operation, None, Some(target));
        }
        if self.armed_at(Site::Point) {
            self.page().current.store(operation, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The workload has done the first part of an update in `operation`, and not the second: the state is torn.
    ///
    /// # Errors
    /// The injected error, where that is the fault.
    ///
    /// # Panics
    /// If that is the fault.
    #[inline]
    pub fn between(&self, operation: u64, target: &mut dyn Target) -> Result<(), Injected> {
        if self.armed_at(Site::Between) { self.consider(operation, None, Some(target)) } else { Ok(()) }
    }

    /// A named point of the engine or the program is passed, in whichever process; the operation in flight is the
    /// one that [`before`](Self::before) saw last. Only stops strike here, so there is no error to return.
    #[inline]
    pub fn point(&self, name: &str) {
        if self.armed_at(Site::Point) {
            let operation = self.page().current.load(Ordering::Relaxed);
            // A plan with any other fault is refused when it is made.
            let _ = self.consider(operation, Some(name), None);
        }
    }

    /// What is readable when a process asks another one to kill it ([`Stop::KillOutside`]).
    pub fn asked(&self) -> BorrowedFd<'_> {
        self.prepared.asked().as_fd()
    }

    /// Kills the process that asks for it, if one does. In another process than that.
    pub fn kill_who_asked(&self) {
        // One process strikes at a time, so the newest strike is its.
        let newest = self.struck().saturating_sub(1);
        self.prepared.kill_who_asked(&self.page().slot(newest).fault_ns);
    }

    /// What became of the plan. Call it when no incarnation runs: a strike that has not come back counts as activated.
    pub fn counts(&self) -> Counts {
        let page = self.page();
        let injected = page.struck.load(Ordering::Acquire);
        let planned = match self.plan().map_or(0, |plan| plan.most()) {
            Plan::FOR_EVER => injected.max(1),
            times => times,
        };
        let activated = injected.saturating_sub(page.harmless.load(Ordering::Acquire));
        Counts { planned, injected, activated }
    }

    /// How many strikes the process itself saw take effect (a byte that differs, a returned error); the other
    /// activated ones never came back.
    pub fn landed(&self) -> u64 {
        self.page().landed.load(Ordering::Acquire)
    }

    /// The strike number `nth` since the plan was armed, from 0. The first 63 are kept; of those after them, the newest.
    pub fn strike(&self, nth: u64) -> Option<Strike> {
        let page = self.page();
        if nth >= page.struck.load(Ordering::Acquire) {
            return None;
        }
        let words = page.slot(nth);
        Some(Strike {
            fault_ns: words.fault_ns.load(Ordering::Acquire),
            operation: words.operation.load(Ordering::Acquire),
            process: u32::try_from(words.process.load(Ordering::Acquire)).unwrap_or(0),
            address: words.address.load(Ordering::Acquire),
        })
    }

    fn page(&self) -> &Page {
        // SAFETY: the mapping is a whole page, aligned to one, zeroed by the kernel, and lives as long as `self`. A
        // `Page` fits into it, consists of atomics alone, and all bit patterns are values of these.
        unsafe { self.page.start().cast::<Page>().as_ref() }
    }

    #[inline]
    fn armed_at(&self, site: Site) -> bool {
        self.page().armed.load(Ordering::Acquire) == site_word(site)
    }

    fn plan(&self) -> Option<Plan> {
        Plan::from_words(std::array::from_fn(|nth| self.page().plan[nth].load(Ordering::Relaxed)))
    }

    #[inline(never)]
    fn consider(&self, operation: u64, at: Option<&str>, target: Option<&mut dyn Target>) -> Result<(), Injected> {
        match self.plan() {
            Some(plan) if self.page().due(&plan, operation, at) => self.inject(&plan, operation, target),
            _ => Ok(()),
        }
    }

    fn inject(&self, plan: &Plan, operation: u64, target: Option<&mut dyn Target>) -> Result<(), Injected> {
        let page = self.page();
        let mut numbers = numbers(plan.seed(), page.struck.load(Ordering::Relaxed), operation);
        // What the fault cannot do without is looked for first: a fault that cannot strike costs no budget.
        let aimed = target.as_deref().filter(|_| plan.fault().aims_at_live_data());
        let aim = aimed.and_then(|target| memory::aim(target, &mut numbers));
        // What was damaged before crashes now, whatever there is to aim at.
        let comes_back = plan.fault() == Fault::LatentDamage && page.latched.load(Ordering::Relaxed) != 0;
        if (plan.fault().aims_at_live_data() && aim.is_none() && !comes_back) || !page.take() {
            return Ok(());
        }
        let strike = page.record(operation);
        let fault_ns = &strike.fault_ns;
        let landed = match (plan.fault(), aim, target) {
            (Fault::BitFlip, Some(aim), _) => {
                strike.address.store(aim.address as u64, Ordering::Relaxed);
                memory::flip_bit(aim, &mut numbers, fault_ns)
            }
            (Fault::WildWriteThenCrash, Some(aim), _) => {
                strike.address.store(aim.address as u64, Ordering::Relaxed);
                let changed = memory::scribble(aim, &mut numbers, fault_ns);
                // Counted before the crash, which does not come back.
                page.landed.fetch_add(u64::from(changed), Ordering::Relaxed);
                perform(Stop::NullWrite, &self.prepared, fault_ns);
                page.harmless.fetch_add(u64::from(!changed), Ordering::Release);
                return Ok(());
            }
            (Fault::LatentDamage, Some(aim), _) if !comes_back => {
                strike.address.store(aim.address as u64, Ordering::Relaxed);
                let damage = memory::damage(aim, &mut numbers, fault_ns);
                page.damage.store(damage.value, Ordering::Relaxed);
                page.damaged_bytes.store(damage.bytes, Ordering::Relaxed);
                true
            }
            (Fault::ForeignWrite, ..) => self.write_foreign(strike),
            (Fault::Panic, ..) => {
                page.landed.fetch_add(1, Ordering::Relaxed);
                memory::stamp(fault_ns);
                panic!("injected panic in operation {operation}")
            }
            (Fault::Error, ..) => {
                page.landed.fetch_add(1, Ordering::Relaxed);
                memory::stamp(fault_ns);
                return Err(Injected::Error { operation });
            }
            (Fault::RegionExhausted, _, Some(target)) => {
                let bytes = memory::exhaust(target.hoard(), fault_ns);
                page.landed.fetch_add(1, Ordering::Relaxed);
                return Err(Injected::Exhausted { operation, bytes });
            }
            (Fault::Stop(stop), ..) => {
                perform(stop, &self.prepared, fault_ns);
                false
            }
            _ => {
                perform(plan.stop(), &self.prepared, fault_ns);
                false
            }
        };
        let came_back = if landed { &page.landed } else { &page.harmless };
        came_back.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Writes into the foreign region; it comes back only where that is not protected, and says whether the byte differs.
    fn write_foreign(&self, strike: &StrikeWords) -> bool {
        let address = self.page().foreign.load(Ordering::Relaxed);
        strike.address.store(address, Ordering::Relaxed);
        // It was stored from a pointer of this width.
        let Ok(address) = usize::try_from(address) else {
            return false;
        };
        let before = memory::load(address);
        memory::stamp(&strike.fault_ns);
        memory::store(address, !before);
        memory::load(address) != before
    }
}

impl Page {
    /// Whether the plan's fault strikes in `operation`, or at the point `at`.
    fn due(&self, plan: &Plan, operation: u64, at: Option<&str>) -> bool {
        let trigger = plan.trigger();
        let met = self.met.fetch_add(1, Ordering::Relaxed) + 1;
        match (plan.fault(), self.latched.load(Ordering::Relaxed)) {
            (Fault::Poison, first @ 1..) => return operation.saturating_add(1) == first,
            (Fault::LatentDamage, first @ 1..) => {
                return operation >= (first - 1).saturating_add(latency(plan.seed())) && self.is_damaged();
            }
            (Fault::CrashLoop, first @ 1..) => return operation.saturating_add(1) >= first,
            _ => {}
        }
        let point = match (trigger, at) {
            (Trigger::Point { name, .. }, Some(at)) if name.begins(at) => {
                Some((at, self.passed.fetch_add(1, Ordering::Relaxed)))
            }
            _ => None,
        };
        // The clock is read only where the trigger looks at it: this runs at each operation.
        let elapsed_ns = match trigger {
            Trigger::MeanTime(_) => monotonic_ns().saturating_sub(self.clock.load(Ordering::Relaxed)),
            _ => 0,
        };
        let struck = self.struck.load(Ordering::Relaxed);
        trigger.strikes(&Occasion { seed: plan.seed(), struck, operation, met, elapsed_ns, point })
    }

    /// Whether the state still holds what the first strike damaged.
    fn is_damaged(&self) -> bool {
        let address = usize::try_from(self.strikes[0].address.load(Ordering::Relaxed)).unwrap_or(0);
        let (bytes, value) = (self.damaged_bytes.load(Ordering::Relaxed), self.damage.load(Ordering::Relaxed));
        memory::Damage { address, bytes, value }.is_there()
    }

    /// Takes one strike from the budget: before the fault, so that the successor finds it taken.
    fn take(&self) -> bool {
        let one_less = |left: u64| match left {
            Plan::FOR_EVER => Some(left),
            _ => left.checked_sub(1),
        };
        self.budget.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_ok()
    }

    /// Writes down that a strike begins; the instant itself is left to the fault.
    fn record(&self, operation: u64) -> &StrikeWords {
        let nth = self.struck.fetch_add(1, Ordering::AcqRel);
        // Only the first one latches.
        let _ = self.latched.compare_exchange(0, operation.saturating_add(1), Ordering::AcqRel, Ordering::Acquire);
        self.met.store(0, Ordering::Relaxed);
        self.clock.store(monotonic_ns(), Ordering::Relaxed);
        let strike = self.slot(nth);
        strike.fault_ns.store(0, Ordering::Relaxed);
        strike.operation.store(operation, Ordering::Relaxed);
        strike.process.store(u64::from(Pid::this().as_raw().unsigned_abs()), Ordering::Relaxed);
        strike.address.store(0, Ordering::Relaxed);
        strike
    }

    fn slot(&self, nth: u64) -> &StrikeWords {
        let last = STRIKES - 1;
        &self.strikes[usize::try_from(nth).map_or(last, |nth| nth.min(last))]
    }
}

/// The most operations from a latent damage until it crashes.
const LONGEST_LATENCY: u64 = 100;

/// How many operations later the damage of the plan with this seed crashes: from 1 on, each equally likely.
fn latency(seed: u64) -> u64 {
    numbers(seed, u64::MAX, u64::MAX).random_range(1..=LONGEST_LATENCY)
}
