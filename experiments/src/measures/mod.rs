//! Measures: what is measured beside the trials of a run, in rounds that are spread over it.
//!
//! A round runs in a fresh process, `crashbed measure NAME`, which prints what it measured as JSON, one row a line; the
//! program gathers the rows over all rounds ([`Gathered`]) and writes them to `measurements.json`. A measure is added by
//! its row in [`TABLE`] and its file, which holds its settings and makes a round of them.

mod bare;
mod contest;
mod erlang;
mod gather;
mod goodput;
mod heartbeat;
mod live;
mod mechanisms;
mod nested;
mod pool;
mod process;
mod said;
mod steady;
mod storm;

pub use gather::Gathered;

use crate::cli::MeasureArgs;
use said::Said;
use serde::de::DeserializeOwned;
use std::io::{self, Write};
use toml::de::ValueDeserializer;

/// A measure as the table lists it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The measure's name in suites, results and on the command line.
    pub name: &'static str,
    /// What it measures, in a line.
    pub about: &'static str,
    /// Checks its settings in a suite's text.
    check: fn(ValueDeserializer<'_>) -> Result<(), toml::de::Error>,
    /// Makes a round with its settings in JSON.
    round: fn(Round, &str) -> Result<Vec<Said>, MeasureError>,
}

/// All measures.
pub const TABLE: [Row; 10] = [
    row::<bare::Bare>("bare", "the pieces of the floor: notices, starts, kills and stops by bare system calls"),
    row::<pool::Pool>("pool", "a plain pool of worker processes over socket pairs: a crash fails over to the idle one"),
    row::<erlang::Erlang>("erlang", "an Erlang/OTP supervisor that restarts a crashed process, where OTP is installed"),
    row::<live::Live>("live", "how long a recovery takes beside many live transactions, and their tree to start"),
    row::<storm::Storm>("storm", "so many crashes a second for so long: what is lost, what grows, who is left"),
    row::<steady::Steady>("steady", "throughput of `kv` without a crash: plain processes beside the engine's commits"),
    row::<nested::Nested>("nested", "child transactions as checkpoints: what a crash costs a program of nested calls"),
    row::<mechanisms::Mechanisms>(
        "mechanisms",
        "what a commit, a write and a restore cost under each mechanism, and bare",
    ),
    row::<goodput::Goodput>(
        "goodput",
        "useful work of `stencil` against the time between crashes and the interval of commits",
    ),
    row::<heartbeat::Heartbeat>("heartbeat", "a heartbeat's deadline: false alarms, and the time to notice a hang"),
];

/// The settings of a measure, which make its rounds.
trait Measure: DeserializeOwned {
    /// Makes a round.
    ///
    /// # Errors
    /// What kept it from being made. What the machine does not have is [`Said::Skipped`], and no error.
    fn round(&self, round: Round) -> Result<Vec<Said>, MeasureError>;
}

const fn row<M: Measure>(name: &'static str, about: &'static str) -> Row {
    Row {
        name,
        about,
        check: |settings| M::deserialize(settings).map(drop),
        round: |round, settings| serde_json::from_str::<M>(settings).map_err(MeasureError::Settings)?.round(round),
    }
}

/// A round to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// The seed of its random choices.
    seed: u64,
    /// Laps of each row.
    laps: u64,
}

/// Why a round could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The settings are not those of the measure.
    #[error("the measure's settings: {0}")]
    Settings(#[source] serde_json::Error),
    /// The kernel refused something, or a process went away.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The engine refused something.
    #[error(transparent)]
    Engine(#[from] crashbed::Error),
    /// A process of the measure did not do what was planned.
    #[error("{0}")]
    Unplanned(String),
}

/// The measure of this name.
fn named(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

/// Checks the settings of the measure `name`: all keys of its table in a suite that are not common to all measures.
///
/// # Errors
/// What is wrong with them, with its place in the suite's text.
pub fn check(name: &str, settings: ValueDeserializer<'_>) -> Result<(), toml::de::Error> {
    named(name).map_or(Ok(()), |row| (row.check)(settings))
}

/// Makes a round and prints its rows, in the process that was started for it.
///
/// # Errors
/// [`MeasureError`].
pub fn round(arguments: &MeasureArgs, out: &mut dyn Write) -> Result<(), MeasureError> {
    let Some(row) = named(&arguments.name) else { return Ok(()) };
    for said in (row.round)(Round { seed: arguments.seed, laps: arguments.laps }, &arguments.settings)? {
        serde_json::to_writer(&mut *out, &said).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
