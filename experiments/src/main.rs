//! The `crashbed` program: crashes processes on purpose and measures how they come back.

use clap::Parser;
use crashbed_experiments::cli::{Cli, Command};
use crashbed_experiments::prepare::PrepareError;
use crashbed_experiments::{doctor, list, manifest, output};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match obey(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody reads the error, the exit status still says it.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(error.status())
        }
    }
}

fn obey(command: Command) -> Result<(), PrepareError> {
    match command {
        Command::Run(arguments) => {
            let prepared = arguments.prepare()?;
            prepared.output.write_manifest(&manifest::manifest(&prepared.suite, prepared.plan.seed))?;
            let (trials, cells) = (prepared.plan.trials.len(), prepared.plan.cells.len());
            print(&format!("{trials} trials of {cells} cells in {}\n", prepared.output.folder().display()));
        }
        Command::Trial(arguments) => {
            let (_, planned) = arguments.prepare()?;
            print(&format!("{:#?}\n", planned));
        }
        Command::List => print(&list::list()),
        Command::Doctor => print(&doctor::table(&doctor::examine())),
        Command::Report(arguments) | Command::Plot(arguments) => {
            let manifest = output::read_manifest(&arguments.folder)?;
            print(&format!("{}: {}\n", manifest.suite, manifest.question));
        }
    }
    Ok(())
}

/// Prints to standard output. A reader that has seen enough, as `head`, is no error.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
