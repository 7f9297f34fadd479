//! The command line: its words, and what each asks for.

use crate::levels::LARGEST_SEED;
use crate::names::{FAULTS, LOADS, MEASURES, MECHANISMS, POLICIES, SPARES, Table, WORKLOADS};
use crate::simulate::Fleet;
use crate::size::Size;
use crate::suite::mix_of;
use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, Parser, Subcommand, value_parser};
use std::ffi::OsStr;
use std::path::PathBuf;

/// Crashes processes on purpose and measures how they come back.
#[derive(Debug, Parser)]
#[command(name = "crashbed", version, max_term_width = 100, after_help = FIRST_STEPS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const FIRST_STEPS: &str = "\
First steps:
  crashbed doctor        what this machine allows
  crashbed run quick     crash real processes for a minute, then look at the report
  crashbed trial         one crash, told step by step";

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a suite: crash, recover, check and measure, many times over
    Run(RunArgs),
    /// Make one trial and tell it step by step
    Trial(TrialArgs),
    /// List suites, policies, mechanisms, workloads, faults, spares, loads and measures
    List,
    /// Show what this machine and its container allow, and what falls away without it
    Doctor,
    /// Write a run's summary and report again from its trials
    Report(FolderArgs),
    /// Draw a run's plots again from its trials
    Plot(FolderArgs),
    /// Ask a restart policy about a run's recorded crashes, without crashing anything
    Replay(ReplayArgs),
    /// Simulate a fleet of processes over years, under a restart policy
    Simulate(SimulateArgs),
    /// Be the tree of a run: started by the program itself, with the setup on standard input
    #[command(hide = true)]
    Tree,
    /// Be a process that computes without a pause: started by the program itself
    #[command(hide = true)]
    Busy,
    /// Make one round of a measure: started by the program itself
    #[command(hide = true)]
    Measure(MeasureArgs),
}

/// What `run` takes.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 done, 1 the work failed, 2 bad usage or a bad suite, 130 and 143 interrupted.")]
pub struct RunArgs {
    /// A suite in the program (see `crashbed list`) or a file
    #[arg(value_name = "SUITE.toml|NAME")]
    pub suite: String,
    /// Keep only these of the suite's restart policies
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", value_parser = of(POLICIES))]
    pub policy: Option<Vec<String>>,
    /// Keep only these of the suite's mechanisms
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", value_parser = of(MECHANISMS))]
    pub mechanism: Option<Vec<String>>,
    /// Keep only these of the suite's workloads
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", value_parser = of(WORKLOADS))]
    pub workload: Option<Vec<String>>,
    /// Keep only these of the suite's faults and mixes (`mix:NAME`)
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", value_parser = FaultOrMix, hide_possible_values = true)]
    pub fault: Option<Vec<String>>,
    /// Keep only these of the suite's spares
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", value_parser = of(SPARES))]
    pub spare: Option<Vec<String>>,
    /// Keep only these of the suite's loads
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", value_parser = of(LOADS))]
    pub load: Option<Vec<String>>,
    /// Read this folder of JSON documents (workload `documents`)
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,
    /// Make every random choice from this number
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = value_parser!(u64).range(..=LARGEST_SEED))]
    pub seed: Option<u64>,
    /// Trials of each cell, that is, of each combination of levels
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = value_parser!(u64).range(1..))]
    pub trials: Option<u64>,
    /// Write into this folder, which must be empty or new [default: runs/SUITE-TIME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// What `trial` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: make the trial on line 17 of a run again\n  crashbed trial --from runs/quick-20260301T120000Z --line 17"
)]
pub struct TrialArgs {
    /// The restart policy
    #[arg(long, value_name = "NAME", default_value = "checkpoint-resume", value_parser = of(POLICIES))]
    pub policy: String,
    /// The mechanism
    #[arg(long, value_name = "NAME", default_value = "copy-on-write", value_parser = of(MECHANISMS))]
    pub mechanism: String,
    /// The workload
    #[arg(long, value_name = "NAME", default_value = "kv", value_parser = of(WORKLOADS))]
    pub workload: String,
    /// The fault (see `crashbed list`)
    #[arg(long, value_name = "NAME", default_value = "null-read", value_parser = of(FAULTS), hide_possible_values = true)]
    pub fault: String,
    /// How the successor is made ready
    #[arg(long, value_name = "NAME", default_value = "cold", value_parser = of(SPARES))]
    pub spare: String,
    /// What else runs on the machine
    #[arg(long, value_name = "NAME", default_value = "none", value_parser = of(LOADS))]
    pub load: String,
    /// Read this folder of JSON documents (workload `documents`)
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,
    /// The trial's seed; without it, a fresh one
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = value_parser!(u64).range(..=LARGEST_SEED))]
    pub seed: Option<u64>,
    /// Make a trial of this run again
    #[arg(long, value_name = "DIR", requires = "line", conflicts_with_all = ["policy", "mechanism", "workload", "fault", "spare", "load", "corpus", "seed"])]
    pub from: Option<PathBuf>,
    /// Which one: its line in trials.jsonl, from 1
    #[arg(long, value_name = "N", allow_negative_numbers = true, requires = "from", value_parser = value_parser!(u64).range(1..))]
    pub line: Option<u64>,
}

/// What `report` and `plot` take.
#[derive(Debug, Args)]
pub struct FolderArgs {
    /// A run's folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// What `replay` takes.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 done, 1 there is no trace or it cannot be read, 2 bad usage.")]
pub struct ReplayArgs {
    /// A run's folder, or its crashes.jsonl or crashes.jsonl.gz
    #[arg(value_name = "DIR|FILE")]
    pub trace: PathBuf,
    /// The restart policy that is asked
    #[arg(long, value_name = "NAME", value_parser = of(POLICIES))]
    pub policy: String,
    /// Print JSON, with every first difference
    #[arg(long)]
    pub json: bool,
}

/// What `simulate` takes.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("source").required(true),
    after_help = "\
Example: a million processes over a year, by what a run measured
  crashbed simulate --from results/quick --workload kv --mechanism copy-on-write --policy zero-state --processes 1000000

Exit status: 0 done, 1 the run does not say enough or cannot be read, 2 bad usage or bad parameters."
)]
pub struct SimulateArgs {
    /// Fit the parameters from this run's folder
    #[arg(long, value_name = "DIR", group = "source")]
    pub from: Option<PathBuf>,
    /// Read the parameters from this TOML file (`--fit-only` prints one)
    #[arg(long, value_name = "FILE.toml", group = "source")]
    pub parameters: Option<PathBuf>,
    /// The restart policy
    #[arg(long, value_name = "NAME", value_parser = of(POLICIES), required_unless_present = "fit_only")]
    pub policy: Option<String>,
    /// How many processes
    #[arg(long, value_name = "N", default_value_t = 10_000, allow_negative_numbers = true, value_parser = value_parser!(u32).range(1..))]
    pub processes: u32,
    /// Simulated time, in years of 365.25 days
    #[arg(long, value_name = "YEARS", default_value_t = 1.0, allow_negative_numbers = true, value_parser = years)]
    pub years: f64,
    /// Make every random choice from this number
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = value_parser!(u64).range(..=LARGEST_SEED))]
    pub seed: u64,
    /// Mean time between two faults of a process, in hours [default: that of the file; a week with --from]
    #[arg(long, value_name = "HOURS", allow_negative_numbers = true, value_parser = hours)]
    pub mtbf_hours: Option<f64>,
    /// Threads; the answer does not depend on it [default: one a processor]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print the parameters as a TOML file, and simulate nothing
    #[arg(long, conflicts_with_all = ["json", "threads"])]
    pub fit_only: bool,
    /// Fit from the trials of this mechanism
    #[arg(long, value_name = "NAME", value_parser = of(MECHANISMS), conflicts_with = "parameters")]
    pub mechanism: Option<String>,
    /// Fit from the trials of this workload
    #[arg(long, value_name = "NAME", value_parser = of(WORKLOADS), conflicts_with = "parameters")]
    pub workload: Option<String>,
    /// Fit from the trials with this spare
    #[arg(long, value_name = "NAME", value_parser = of(SPARES), conflicts_with = "parameters")]
    pub spare: Option<String>,
    /// Fit from the trials with a region of this size
    #[arg(long, value_name = "SIZE", conflicts_with = "parameters")]
    pub region: Option<Size>,
    /// Fit from the trials beside this load
    #[arg(long, value_name = "NAME", value_parser = of(LOADS), conflicts_with = "parameters")]
    pub load: Option<String>,
}

/// Reads a simulated time.
fn years(text: &str) -> Result<f64, String> {
    within(text, Fleet::MOST_YEARS)
}

/// Reads a time between faults.
fn hours(text: &str) -> Result<f64, String> {
    const MOST_HOURS: f64 = 1e6;
    within(text, MOST_HOURS)
}

fn within(text: &str, most: f64) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && *number <= most);
    number.ok_or_else(|| format!("write a number above 0 and up to {most}"))
}

/// What `measure` takes.
#[derive(Debug, Args)]
pub struct MeasureArgs {
    /// The measure
    #[arg(value_name = "NAME", value_parser = of(MEASURES))]
    pub name: String,
    /// Make every random choice from this number
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(..=LARGEST_SEED))]
    pub seed: u64,
    /// Laps of each row
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub laps: u64,
    /// The measure's own settings, as a JSON object
    #[arg(long, value_name = "JSON")]
    pub settings: String,
}

/// Takes the names of a table: the help shows what each means, an error the nearest one.
fn of(table: Table) -> Known {
    Known(table)
}

#[derive(Clone)]
struct Known(Table);

impl TypedValueParser for Known {
    type Value = String;

    fn parse_ref(&self, command: &clap::Command, argument: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        let Self(table) = self;
        let name = value.to_string_lossy();
        if table.has(&name) {
            return Ok(name.into_owned());
        }
        let option = argument.map(|argument| argument.get_id().as_str()).unwrap_or(table.what);
        let known: Vec<_> = table.iter().collect();
        let message = format!(
            "--{option} {name}: unknown {} `{name}`; the nearest is `{}` (there are: {})",
            table.what,
            table.nearest(&name),
            known.join(", "),
        );
        Err(clap::Error::raw(ErrorKind::InvalidValue, message + "\n").with_cmd(command))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue>>> {
        let names = self.0.names.iter();
        Some(Box::new(names.map(|name| PossibleValue::new(name.name).help(name.about))))
    }
}

/// A fault, or `mix:` and the name of a mix, which the suite is asked for later.
#[derive(Clone)]
struct FaultOrMix;

impl TypedValueParser for FaultOrMix {
    type Value = String;

    fn parse_ref(&self, command: &clap::Command, argument: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        match value.to_str().filter(|name| mix_of(name).is_some()) {
            Some(name) => Ok(name.to_owned()),
            None => Known(FAULTS).parse_ref(command, argument, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_words_fit_together() {
        Cli::command().debug_assert();
    }
}
