//! The command line: its words, and what each asks for.

use crate::catalog::{self, SuiteError};
use crate::names::{FAULTS, MECHANISMS, POLICIES, Table, WORKLOADS};
use crate::narrow::{NarrowError, Narrowing};
use crate::output::{self, Output, OutputError};
use crate::plan::{LARGEST_SEED, Plan, Planned, fresh_seed};
use crate::suite::Suite;
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, Parser, Subcommand, value_parser};
use std::path::{Path, PathBuf};

/// Crashes processes on purpose and measures how they come back.
#[derive(Debug, Parser)]
#[command(name = "crashbed", version, about, max_term_width = 100, after_help = FIRST_STEPS)]
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
    /// List suites, policies, mechanisms, workloads and faults
    List,
    /// Show what this machine and its container allow, and what falls away without it
    Doctor,
    /// Write a run's summary and report again from its trials
    Report(FolderArgs),
    /// Draw a run's plots again from its trials
    Plot(FolderArgs),
}

/// What `run` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 done, 1 the work failed, 2 bad usage or a bad suite, 130 and 143 interrupted."
)]
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
    /// Keep only these of the suite's faults
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", value_parser = of(FAULTS), hide_possible_values = true)]
    pub fault: Option<Vec<String>>,
    /// Read this folder of JSON documents (workload `documents`)
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,
    /// Make every random choice from this number
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(..=LARGEST_SEED))]
    pub seed: Option<u64>,
    /// Trials of each cell, that is, of each combination of levels
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
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
    /// Read this folder of JSON documents (workload `documents`)
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,
    /// The trial's seed; without it, a fresh one
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(..=LARGEST_SEED))]
    pub seed: Option<u64>,
    /// Make a trial of this run again
    #[arg(long, value_name = "DIR", requires = "line", conflicts_with_all = ["policy", "mechanism", "workload", "fault", "corpus", "seed"])]
    pub from: Option<PathBuf>,
    /// Which one: its line in trials.jsonl, from 1
    #[arg(long, value_name = "N", requires = "from", value_parser = value_parser!(u64).range(1..))]
    pub line: Option<u64>,
}

/// What `report` and `plot` take.
#[derive(Debug, Args)]
pub struct FolderArgs {
    /// A run's folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Takes the names of a table, and shows what each means.
fn of(table: Table) -> PossibleValuesParser {
    PossibleValuesParser::new(
        table
            .names
            .iter()
            .map(|name| PossibleValue::new(name.name).help(name.about)),
    )
}

/// Why nothing could be started.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The suite is bad.
    #[error(transparent)]
    Suite(#[from] SuiteError),
    /// The suite cannot be narrowed so.
    #[error(transparent)]
    Narrow(#[from] NarrowError),
    /// The folder is bad.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl CliError {
    /// The program's exit status: 2 where the user asked for something wrong, 1 where the machine did not do it.
    pub fn status(&self) -> u8 {
        match self {
            Self::Suite(_) | Self::Narrow(_) => 2,
            Self::Output(_) => 1,
        }
    }
}

/// A run, ready to start.
#[derive(Debug)]
pub struct Prepared {
    /// The suite, narrowed.
    pub suite: Suite,
    /// Its trials in order.
    pub plan: Plan,
    /// The folder, with nothing but an empty `trials.jsonl` in it.
    pub output: Output,
}

impl RunArgs {
    /// Reads and narrows the suite, plans its trials, and makes the folder, in this order: nothing is written for a
    /// suite that cannot run.
    ///
    /// # Errors
    /// [`CliError`].
    pub fn prepare(self) -> Result<Prepared, CliError> {
        let mut suite = catalog::load(&self.suite)?;
        let Self {
            policy,
            mechanism,
            workload,
            fault,
            corpus,
            seed,
            trials,
            ..
        } = self;
        Narrowing {
            policy,
            mechanism,
            workload,
            fault,
            corpus,
            seed,
            trials,
        }
        .apply(&mut suite)?;
        let seed = *suite.seed.get_or_insert_with(fresh_seed);
        let plan = Plan::new(&suite, seed);
        let output = match self.out {
            Some(folder) => Output::create(&folder)?,
            None => Output::fresh(Path::new("runs"), &suite.name)?,
        };
        Ok(Prepared {
            suite,
            plan,
            output,
        })
    }
}

impl TrialArgs {
    /// The one trial, and the suite that holds its settings.
    ///
    /// # Errors
    /// [`CliError`].
    pub fn prepare(self) -> Result<(Suite, Planned), CliError> {
        if let (Some(folder), Some(line)) = (&self.from, self.line) {
            return recorded(folder, line);
        }
        let mut suite = catalog::load("quick")?;
        suite.name = "trial".to_owned();
        suite.factors.policy = vec![self.policy];
        suite.factors.mechanism = vec![self.mechanism];
        suite.factors.workload = vec![self.workload];
        suite.factors.fault = vec![self.fault];
        suite.factors.trials = 1;
        suite.seed = None;
        Narrowing {
            corpus: self.corpus,
            ..Narrowing::default()
        }
        .apply(&mut suite)?;
        let seed = self.seed.unwrap_or_else(fresh_seed);
        // The plan of one cell has one trial; only its seed is the user's.
        let levels = Plan::new(&suite, seed).cells.swap_remove(0);
        Ok((
            suite,
            Planned {
                trial: 0,
                levels,
                seed,
            },
        ))
    }
}

/// A trial that was made before, with the settings of its run.
fn recorded(folder: &Path, line: u64) -> Result<(Suite, Planned), CliError> {
    let manifest = output::read_manifest(folder)?;
    let trial = output::read_trial(folder, line)?;
    let file = folder.join(output::MANIFEST);
    let suite = catalog::parse(
        &format!("{} (settings)", file.display()),
        &manifest.settings,
    )?;
    Ok((
        suite,
        Planned {
            trial: trial.trial,
            levels: trial.levels,
            seed: trial.seed,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::manifest;
    use crate::plan::trial_seed;
    use clap::CommandFactory;

    #[test]
    fn the_words_fit_together() {
        Cli::command().debug_assert();
    }

    fn trial(arguments: &[&str]) -> TrialArgs {
        match Cli::try_parse_from([&["crashbed", "trial"], arguments].concat())
            .unwrap()
            .command
        {
            Command::Trial(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_trial_has_the_levels_and_the_seed_that_were_asked_for() {
        let arguments = [
            "--policy",
            "zero-state",
            "--mechanism",
            "full-copy",
            "--fault",
            "kill",
            "--seed",
            "9",
        ];
        let (suite, planned) = trial(&arguments).prepare().unwrap();
        assert_eq!(
            (
                planned.levels.policy.as_str(),
                planned.levels.fault.as_str()
            ),
            ("zero-state", "kill")
        );
        assert_eq!(
            (
                planned.levels.mechanism.as_str(),
                planned.levels.workload.as_str()
            ),
            ("full-copy", "kv")
        );
        assert_eq!(planned.seed, 9);
        assert_eq!(Plan::new(&suite, 1).cells, [planned.levels]);
    }

    #[test]
    fn a_recorded_trial_comes_back_as_it_was_planned() {
        let folder = tempfile::tempdir().unwrap();
        let suite = catalog::load("state-integrity").unwrap();
        let plan = Plan::new(&suite, 3);
        let output = Output::create(folder.path()).unwrap();
        output.write_manifest(&manifest(&suite, 3)).unwrap();
        let planned = &plan.trials[17];
        std::fs::write(folder.path().join(output::TRIALS), lines(&plan)).unwrap();
        let from = folder.path().to_str().unwrap();
        let (settings, again) = trial(&["--from", from, "--line", "18"]).prepare().unwrap();
        assert_eq!(&again, planned);
        assert_eq!(settings, suite);
        assert_eq!(trial_seed(3, &again.levels, 0), again.seed);
    }

    /// The plan's first trials as a run would have written them.
    fn lines(plan: &Plan) -> String {
        let line = |planned: &Planned| {
            let mut trial = serde_json::json!({
                "trial": planned.trial, "seed": planned.seed, "planned": 1, "injected": 1, "activated": 1, "noticed": 1,
                "crashes": 1, "outcome": "done", "verdict": "exact", "lost_operations": 0, "operations": 1,
                "committed_operations": 0,
            });
            let levels = serde_json::to_value(&planned.levels).unwrap();
            trial
                .as_object_mut()
                .unwrap()
                .extend(levels.as_object().unwrap().clone());
            format!("{trial}\n")
        };
        plan.trials.iter().take(20).map(line).collect()
    }
}
