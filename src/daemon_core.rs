//! What a daemon's process has, whatever its state's type.

use crate::crash::Crash;
use crate::crew::Crew;
use crate::mechanism::auto::Auto;
use crate::mechanism::choice::Choice;
use crate::mechanism::{self, Mechanism};
use crate::region::Region;
use crate::report::Report;
use crate::spare::{Measured, SpinBudget};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The part of a daemon that does not depend on the state's type.
pub(crate) struct Core {
    pub(crate) regions: Arc<[Region]>,
    pub(crate) index: usize,
    /// Raised by the transaction.
    pub(crate) event: OwnedFd,
    /// Raised by the root when the tree shuts down; never lowered.
    pub(crate) shutdown: Arc<OwnedFd>,
    /// Bytes of address space that a transaction has.
    pub(crate) address_space: u64,
    pub(crate) restarted: u64,
    pub(crate) crash: Option<Crash>,
    pub(crate) drop_result: Option<unsafe fn(u64)>,
    pub(crate) report: Report,
    pub(crate) crew: Crew,
    /// What the mechanism `auto` goes by, where it is declared.
    pub(crate) auto: Option<Auto>,
    /// What the spare `auto` goes by, and what hot spares may spin.
    pub(crate) measured: Measured,
    pub(crate) spin_budget: SpinBudget,
    /// Memory that a spare has for itself; 0 before one was weighed.
    pub(crate) spare_bytes: u64,
    /// Processors that this daemon may use.
    pub(crate) processors: usize,
}

impl Core {
    pub(crate) fn region(&self) -> &Region {
        &self.regions[self.index]
    }

    pub(crate) fn mechanism(&self) -> &'static dyn Mechanism {
        mechanism::in_use(self.region())
    }

    /// Under `auto`, at a moment at which no transaction runs, no spare waits, and the state part holds the last commit:
    /// what is in use from now on.
    pub(crate) fn choose_mechanism(&mut self) -> Option<Choice> {
        self.auto.as_mut()?.choose(&self.regions[self.index])
    }
}
