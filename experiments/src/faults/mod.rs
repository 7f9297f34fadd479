//! Faults: what the injector does to a process, each done for real, and the table that names them all.
//!
//! A [`Plan`] says which [`Fault`] strikes and by which [`Trigger`]; the [`Injector`] holds the plan in a page that
//! survives every crash, and the workload asks it at its [`Site`]s. A fault is added by its row in [`TABLE`] and by its
//! code in `stops.rs` (it stops the process) or `memory.rs` (it changes memory).

pub mod injector;
pub mod listen;
pub mod memory;
pub mod plan;
pub mod stops;
pub mod trigger;

pub use injector::{Counts, Injected, Injector, InjectorError, Strike};
pub use memory::{Live, Target};
pub(crate) use memory::{Mapping, null_write};
pub use plan::{Plan, PlanError};
pub use stops::Stop;
pub use trigger::{Occasion, PointName, Trigger};

use std::fmt;
use std::str::FromStr;

/// What the injector does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Stops the process at once.
    Stop(Stop),
    /// Stops the process between the two parts of an update.
    TornUpdate,
    /// Stops the process that passes a point of a commit.
    CrashDuringCommit,
    /// Stops the process that passes a point of a restore.
    CrashDuringRestore,
    /// Stops each incarnation, at the operation of the first strike or as soon after it as there is one.
    CrashLoop,
    /// Stops each incarnation that meets the operation of the first strike, and that operation only.
    Poison,
    /// Writes into another daemon's region.
    ForeignWrite,
    /// Flips one bit of live data; the process runs on.
    BitFlip,
    /// Writes garbage over live data, then crashes by a null write.
    WildWriteThenCrash,
    /// Writes garbage over live data, and stops each process that comes upon it later, some operations on: whatever commit
    /// was made in between holds the cause of the crash.
    LatentDamage,
    /// Panics.
    Panic,
    /// Reports an error.
    Error,
    /// Allocates until the region is full, and reports that as an error.
    RegionExhausted,
}

/// What a fault may be expected to leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It stops the process and writes nothing of the state.
    Stop,
    /// It changes live data.
    Memory,
    /// The program's own code reports it; no crash.
    Program,
}

/// What becomes of the process that a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The kernel ends it with this signal.
    Signal(i32),
    /// It exits with this status.
    Exit(i32),
    /// It neither ends nor gives a sign of life; `stopped` where the kernel says that it is stopped (SIGSTOP).
    Silent {
        /// Whether the kernel shows it as stopped.
        stopped: bool,
    },
    /// It ends as the stop that the plan names ([`Plan::by`]).
    AsPlanned,
    /// It panics.
    Panic,
    /// It gets an [`Injected`] error to return.
    Error,
    /// It runs on.
    RunsOn,
}

/// Where in the workload or the engine a fault can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Site {
    /// Before an operation: [`Injector::before`].
    Before,
    /// Between the two parts of an update: [`Injector::between`].
    Between,
    /// At a named point of the engine's or the program's code: [`Injector::point`].
    Point,
}

/// One row of [`TABLE`].
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The fault.
    pub fault: Fault,
    /// Its name in kebab-case, as in TOML, in results and on the command line.
    pub name: &'static str,
    /// What it may leave behind.
    pub kind: Kind,
    /// What becomes of the process.
    pub ending: Ending,
    /// Where it can strike; the first is where it does unless the plan says otherwise.
    pub sites: &'static [Site],
    /// What it does, in a line.
    pub line: &'static str,
}

const ANYWHERE: &[Site] = &[Site::Before, Site::Between, Site::Point];
const IN_TRANSACTION: &[Site] = &[Site::Before, Site::Between];
const BETWEEN: &[Site] = &[Site::Between];
const POINT: &[Site] = &[Site::Point];

const SEGV: Ending = Ending::Signal(libc::SIGSEGV);

const fn stop(stop: Stop, name: &'static str, ending: Ending, line: &'static str) -> Row {
    Row { fault: Fault::Stop(stop), name, kind: Kind::Stop, ending, sites: ANYWHERE, line }
}

const fn row(
    fault: Fault,
    name: &'static str,
    kind: Kind,
    ending: Ending,
    sites: &'static [Site],
    line: &'static str,
) -> Row {
    Row { fault, name, kind, ending, sites, line }
}

/// Every fault.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    stop(Stop::NullRead, "null-read", SEGV, "reads from address 0"),
    stop(Stop::NullWrite, "null-write", SEGV, "writes to address 0"),
    stop(Stop::WildRead, "wild-read", SEGV, "reads from an address that is never mapped"),
    stop(Stop::WildWrite, "wild-write", SEGV, "writes to an address that is never mapped"),
    stop(Stop::NonCanonicalWrite, "non-canonical-write", SEGV, "writes to an address that the processor itself refuses"),
    stop(Stop::ExecuteBadMemory, "execute-bad-memory", SEGV, "calls into a page that is not code"),
    stop(Stop::DivisionByZero, "division-by-zero", Ending::Signal(libc::SIGFPE), "divides an integer by zero"),
    stop(Stop::IllegalInstruction, "illegal-instruction", Ending::Signal(libc::SIGILL), "executes ud2"),
    stop(Stop::BusError, "bus-error", Ending::Signal(libc::SIGBUS), "reads a file mapping behind the file's end"),
    stop(Stop::StackOverflow, "stack-overflow", SEGV, "recurses until the stack is used up"),
    stop(Stop::Abort, "abort", Ending::Signal(libc::SIGABRT), "calls abort"),
    stop(Stop::Exit, "exit", Ending::Exit(0), "exits with status 0 before it is done"),
    stop(Stop::Kill, "kill", Ending::Signal(libc::SIGKILL), "gets SIGKILL"),
    stop(Stop::KillOutside, "kill-outside", Ending::Signal(libc::SIGKILL), "gets SIGKILL from another process"),
    stop(Stop::Stop, "stop", Ending::Silent { stopped: true }, "gets SIGSTOP"),
    stop(Stop::Hang, "hang", Ending::Silent { stopped: false }, "sleeps for ever"),
    stop(Stop::Livelock, "livelock", Ending::Silent { stopped: false }, "spins for ever"),
    row(Fault::TornUpdate, "torn-update", Kind::Stop, Ending::AsPlanned, BETWEEN, "crashes between the two parts of an update"),
    row(Fault::CrashDuringCommit, "crash-during-commit", Kind::Stop, Ending::AsPlanned, POINT, "crashes at a point of a commit"),
    row(Fault::CrashDuringRestore, "crash-during-restore", Kind::Stop, Ending::AsPlanned, POINT, "crashes at a point of a restore"),
    row(Fault::CrashLoop, "crash-loop", Kind::Stop, Ending::AsPlanned, IN_TRANSACTION, "crashes in every incarnation"),
    row(Fault::Poison, "poison", Kind::Stop, Ending::AsPlanned, IN_TRANSACTION, "crashes whenever one operation is met"),
    row(Fault::ForeignWrite, "foreign-write", Kind::Stop, SEGV, IN_TRANSACTION, "writes into another daemon's region"),
    row(Fault::BitFlip, "bit-flip", Kind::Memory, Ending::RunsOn, IN_TRANSACTION, "flips one bit of live data"),
    row(Fault::WildWriteThenCrash, "wild-write-then-crash", Kind::Memory, SEGV, IN_TRANSACTION, "writes garbage over live data, then crashes"),
    row(Fault::LatentDamage, "latent-damage", Kind::Memory, Ending::RunsOn, IN_TRANSACTION, "writes garbage over live data, which crashes later, again and again"),
    row(Fault::Panic, "panic", Kind::Program, Ending::Panic, IN_TRANSACTION, "panics"),
    row(Fault::Error, "error", Kind::Program, Ending::Error, IN_TRANSACTION, "returns an error"),
    row(Fault::RegionExhausted, "region-exhausted", Kind::Program, Ending::Error, IN_TRANSACTION, "allocates until the region is full"),
];

impl Fault {
    /// The fault's row.
    pub fn row(self) -> &'static Row {
        &TABLE[self.index()]
    }

    /// The fault's name in kebab-case.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The fault's place in [`TABLE`].
    ///
    /// # Panics
    /// If a fault has no row, which a test rules out.
    pub(crate) fn index(self) -> usize {
        let place = TABLE.iter().position(|row| row.fault == self);
        place.expect("every fault has its row")
    }

    /// Whether it needs the workload's live data to strike.
    pub(crate) fn aims_at_live_data(self) -> bool {
        matches!(self, Self::BitFlip | Self::WildWriteThenCrash | Self::LatentDamage)
    }

    /// Whether it strikes again after the first time, unless the plan says otherwise.
    pub fn repeats(self) -> bool {
        matches!(self, Self::CrashLoop | Self::Poison | Self::LatentDamage)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no fault has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault `{0}`; `crashbed list` names them all")]
pub struct UnknownFault(pub String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        match TABLE.iter().find(|row| row.name == name) {
            Some(row) => Ok(row.fault),
            None => Err(UnknownFault(name.to_owned())),
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before an operation",
            Self::Between => "between the parts of an update",
            Self::Point => "at a named point",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Stop, TABLE};

    #[test]
    fn names_are_unique_kebab_case_and_lead_back() {
        for row in TABLE {
            assert_eq!(row.name.parse(), Ok(row.fault));
            assert_eq!(row.fault.name(), row.name);
            assert!(row.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", row.name);
            assert!(!row.sites.is_empty(), "{}", row.name);
        }
        assert!("null-raed".parse::<Fault>().is_err());
    }

    #[test]
    fn every_stop_has_a_row() {
        for stop in Stop::ALL {
            assert_eq!(Fault::Stop(stop).row().fault, Fault::Stop(stop));
        }
    }
}
