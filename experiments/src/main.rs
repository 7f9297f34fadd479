//! The `crashbed` program: crashes processes on purpose and measures how they come back.

use clap::Parser;
use crashbed::Heap;
use crashbed_experiments::cli::{Cli, Command, ReplayArgs, RunArgs, SimulateArgs, TrialArgs};
use crashbed_experiments::conclude::{self, ConcludeError};
use crashbed_experiments::interrupt::Interrupt;
use crashbed_experiments::measures::{self, Gathered, MeasureError};
use crashbed_experiments::output::Output;
use crashbed_experiments::plan::Plan;
use crashbed_experiments::prepare::{PrepareError, Prepared};
use crashbed_experiments::progress::Progress;
use crashbed_experiments::results::{self, ResultsError};
use crashbed_experiments::run::message::Setup;
use crashbed_experiments::run::{Made, RunError, Runner, tree};
use crashbed_experiments::simulate::{self, SimulateError};
use crashbed_experiments::suite::Suite;
use crashbed_experiments::trace::{Trace, TraceError};
use crashbed_experiments::{doctor, list, load, manifest, replay, story, units};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

// SAFETY: nothing owned is taken out of a static or a lock that was filled before a fork: the workloads' states are
// made of what their own operations make.
#[global_allocator]
static HEAP: Heap = unsafe { Heap::new() };

fn main() -> ExitCode {
    match obey(Cli::parse().command) {
        Ok(status) => status,
        Err(error) => {
            // Where nobody reads the error, the exit status still says it.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(error.status())
        }
    }
}

/// Why the program did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Conclude(#[from] ConcludeError),
    #[error(transparent)]
    Results(#[from] ResultsError),
    #[error("a process of the load: {0}")]
    Load(io::Error),
    #[error("listening to signals: {0}")]
    Signals(io::Error),
    #[error("the tree's setup: {0}")]
    Setup(serde_json::Error),
    #[error(transparent)]
    Tree(#[from] crashbed::Error),
    #[error(transparent)]
    Measure(#[from] MeasureError),
    #[error("the process of a measure: {0}")]
    Round(#[from] io::Error),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error("the answer as JSON: {0}")]
    Json(serde_json::Error),
    #[error(transparent)]
    Simulate(#[from] SimulateError),
    #[error("the parameters as TOML: {0}")]
    Toml(toml::ser::Error),
}

impl Failed {
    fn status(&self) -> u8 {
        match self {
            Self::Prepare(error) => error.status(),
            Self::Simulate(error) => error.status(),
            _ => 1,
        }
    }
}

fn obey(command: Command) -> Result<ExitCode, Failed> {
    match command {
        Command::Run(arguments) => return run(arguments),
        Command::Trial(arguments) => return trial(arguments),
        Command::List => print(&list::list()),
        Command::Doctor => print(&doctor::table(&doctor::examine())),
        Command::Report(arguments) => {
            let summary = conclude::report(&arguments.folder)?;
            print(&story::end_of_run(&summary, &arguments.folder));
        }
        Command::Plot(arguments) => {
            for file in conclude::plot(&arguments.folder)? {
                print(&format!("{}\n", file.display()));
            }
        }
        Command::Replay(arguments) => replay(&arguments)?,
        Command::Simulate(arguments) => simulate(&arguments)?,
        Command::Tree => {
            let setup: Setup = serde_json::from_reader(io::stdin()).map_err(Failed::Setup)?;
            tree::run(&setup)?;
        }
        Command::Busy => load::compute().map_err(Failed::Load)?,
        Command::Measure(arguments) => measures::round(&arguments, &mut io::stdout().lock())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a suite, from its first trial or round to its report.
fn run(arguments: RunArgs) -> Result<ExitCode, Failed> {
    let interrupt = Interrupt::listen().map_err(Failed::Signals)?;
    let Prepared { suite, plan, mut output } = arguments.prepare()?;
    let stopped = || interrupt.signal().is_some();
    let written = output.write_manifest(&manifest::manifest(&suite, plan.seed));
    let made = written.map_err(|error| PrepareError::from(error).into()).and_then(|()| match plan.batches.is_empty() {
        true => make_rounds(&suite, plan.seed, &output, &stopped),
        false => make_trials(&suite, &plan, &mut output, &stopped),
    });
    if let Err(error) = made {
        if output.is_empty() {
            output.discard();
        }
        return Err(error);
    }
    let summary = conclude::report(output.folder())?;
    print(&story::end_of_run(&summary, output.folder()));
    Ok(interrupt.signal().map_or(ExitCode::SUCCESS, |signal| ExitCode::from(128 + signal)))
}

/// Makes the trials of a plan one after the other, with floors and measures between them, until all are made or
/// `stopped`.
fn make_trials(suite: &Suite, plan: &Plan, output: &mut Output, stopped: &dyn Fn() -> bool) -> Result<(), Failed> {
    let mut runner = Runner::new(suite, plan, stopped)?;
    let trials = suite.trials();
    let mut progress = Progress::new(trials, "trials");
    let mut measures = Gathered::new(&suite.measure, plan.seed);
    let (mut done, mut crashes) = (0, 0);
    for batch in &plan.batches {
        let Some(made) = runner.batch(batch)? else { break };
        for Made { trial, crashes: recorded } in made {
            output.append(&trial, &recorded).map_err(PrepareError::from)?;
            done += 1;
            crashes += trial.crashes;
            progress.done(&format!("{crashes} crashes"));
        }
        for (floor, laps) in runner.due(done, trials) {
            runner.floor(floor, laps)?;
        }
        measures.catch_up(done, trials, stopped).map_err(Failed::Round)?;
        if stopped() {
            break;
        }
    }
    progress.finish();
    results::write_floors(output.folder(), &runner.floors())?;
    if let Some(measurements) = measures.measurements() {
        results::write_measurements(output.folder(), &measurements)?;
    }
    Ok(runner.end()?)
}

/// Makes the rounds of a suite of measures alone, and writes down after each what was measured so far.
fn make_rounds(suite: &Suite, seed: u64, output: &Output, stopped: &dyn Fn() -> bool) -> Result<(), Failed> {
    let mut progress = Progress::new(suite.rounds(), "rounds");
    let mut told = 0;
    let mut measures = Gathered::new(&suite.measure, seed);
    let made = measures.alone(stopped, |measures| {
        let measurements = measures.measurements().unwrap_or_default();
        let rows = units::count(measurements.measurements.len() as u64, "row", "rows");
        while told < measures.rounds() {
            told += 1;
            progress.done(&rows);
        }
        Ok(results::write_measurements(output.folder(), &measurements)?)
    });
    progress.finish();
    made
}

/// Makes one trial and tells it.
fn trial(arguments: TrialArgs) -> Result<ExitCode, Failed> {
    let interrupt = Interrupt::listen().map_err(Failed::Signals)?;
    let (suite, plan) = arguments.prepare()?;
    let stopped = || interrupt.signal().is_some();
    let mut runner = Runner::new(&suite, &plan, &stopped)?;
    for batch in &plan.batches {
        for made in runner.batch(batch)?.into_iter().flatten() {
            print(&story::of_trial(&made.trial));
        }
    }
    runner.end()?;
    Ok(interrupt.signal().map_or(ExitCode::SUCCESS, |signal| ExitCode::from(128 + signal)))
}

/// Asks a policy about recorded crashes.
fn replay(arguments: &ReplayArgs) -> Result<(), Failed> {
    let trace = Trace::load(&arguments.trace)?;
    // The command line takes no other names than those of the table.
    let Some(policy) = crashbed_policies::by_name(&arguments.policy) else { return Ok(()) };
    let replay = replay::replay(&trace, &policy);
    print(&if arguments.json { json(&replay)? } else { replay.to_string() });
    Ok(())
}

/// Simulates a fleet.
fn simulate(arguments: &SimulateArgs) -> Result<(), Failed> {
    let (parameters, notes) = arguments.read()?;
    if arguments.fit_only {
        let notes: String = notes.iter().map(|note| format!("# {note}\n")).collect();
        print(&(notes + "\n" + &parameters.to_toml().map_err(Failed::Toml)?));
        return Ok(());
    }
    // The command line takes no other names than those of the table.
    let Some(policy) = arguments.policy.as_deref().and_then(crashbed_policies::by_name) else { return Ok(()) };
    let (fleet, begun) = (arguments.fleet(), Instant::now());
    let simulated = simulate::simulate(&parameters, &policy, fleet);
    let took = begun.elapsed();
    if arguments.json {
        print(&json(&serde_json::json!({
            "simulated": simulated,
            "notes": notes,
            "threads": fleet.threads,
            "wall_ns": u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
        }))?);
        return Ok(());
    }
    let notes: String = notes.iter().map(|note| format!("{note}\n")).collect();
    let rate = units::three_digits(simulated.crashes as f64 / took.as_secs_f64().max(1e-9) / 1e6);
    let took = units::duration(took.as_nanos() as f64);
    let threads = units::count(fleet.threads as u64, "thread", "threads");
    let pace = format!("took           {took} on {threads}, {rate} million events a second\n");
    print(&format!("{simulated}{pace}{}{notes}", if notes.is_empty() { "" } else { "\n" }));
    Ok(())
}

/// A value as JSON for a reader.
fn json(value: &impl serde::Serialize) -> Result<String, Failed> {
    Ok(serde_json::to_string_pretty(value).map_err(Failed::Json)? + "\n")
}

/// Prints to standard output. A reader that has seen enough, as `head`, is no error.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
