//! How a successor is made ready before its predecessor crashes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How a successor is made ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spare {
    /// Forked after the crash.
    #[default]
    Cold,
    /// Forked ahead, asleep.
    Warm,
    /// Forked ahead, spinning for a bounded time, then asleep.
    Hot(Spin),
    /// Picked by measured crash rate and length of the transaction.
    Auto,
}

/// What a hot spare may burn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spin {
    /// It spins at most this long.
    pub most: Duration,
    /// At most this share of one processor.
    pub percent: u8,
}

impl Default for Spin {
    fn default() -> Self {
        Self { most: Duration::from_millis(10), percent: 50 }
    }
}

/// How a successor really started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Forked after the crash.
    Cold,
    /// From a spare that slept.
    Warm,
    /// From a spare that spun.
    Hot,
}

/// What the spares of a transaction cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpareCost {
    /// Spares forked.
    pub forked: u64,
    /// Time in their forks.
    pub fork_ns: u64,
    /// Processor time that they used before they took over.
    pub processor_ns: u64,
}

impl Spare {
    /// The name in kebab-case.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Hot(_) => "hot",
            Self::Auto => "auto",
        }
    }
}

impl fmt::Display for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no spare has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no spare `{0}`: it is cold, warm, hot or auto")]
pub struct UnknownSpare(pub String);

impl FromStr for Spare {
    type Err = UnknownSpare;

    fn from_str(name: &str) -> Result<Self, UnknownSpare> {
        match name {
            "cold" => Ok(Self::Cold),
            "warm" => Ok(Self::Warm),
            "hot" => Ok(Self::Hot(Spin::default())),
            "auto" => Ok(Self::Auto),
            _ => Err(UnknownSpare(name.to_owned())),
        }
    }
}
