//! Measure `erlang`: an Erlang/OTP supervisor that restarts a crashed gen_server, timed inside the virtual machine.
//!
//! The program is `erlang/crashbed_restart.erl`; `erlc` compiles it into a folder that is removed afterwards. Logging is
//! off. It runs twice in a round: with its schedulers' busy wait on, so that they spin for a while before they sleep, and
//! with it off. Where `erl` and `erlc` are not installed, everything is skipped.

use super::said::{Said, Sampled};
use super::{Measure, MeasureError, Round};
use crate::child;
use crate::levels;
use crate::record::Unit;
use serde::Deserialize;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const MODULE: &str = "crashbed_restart";
const SOURCE: &str = include_str!("erlang/crashbed_restart.erl");

/// The schedulers' busy wait, by the names of the levels, and what the virtual machine calls it.
const BUSY_WAITS: [(&str, &str); 2] = [("on", "very_long"), ("off", "none")];

/// Its settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Erlang {
    /// Records in the worker's table.
    #[serde(deserialize_with = "levels::positive")]
    records: u64,
    /// How long the worker has been at work when it crashes, in microseconds.
    work_us: u64,
}

impl Default for Erlang {
    fn default() -> Self {
        Self { records: 1_000, work_us: 500 }
    }
}

impl Measure for Erlang {
    fn round(&self, round: Round) -> Result<Vec<Said>, MeasureError> {
        let folder = tempfile::tempdir()?;
        let source = folder.path().join(MODULE).with_extension("erl");
        std::fs::write(&source, SOURCE)?;
        let compiled = run(Command::new("erlc").arg("-o").arg(folder.path()).arg(&source));
        match compiled {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(absent("erlc")),
            compiled => succeeded("erlc", &compiled?)?,
        };
        let mut rows = Vec::new();
        for (name, busy_wait) in BUSY_WAITS {
            let measured = run(&mut self.machine(folder.path(), busy_wait, round.laps));
            let printed = match measured {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(absent("erl")),
                measured => succeeded("erl", &measured?)?,
            };
            rows.extend(read(&printed, name, self.records)?);
        }
        Ok(rows.into_iter().map(Said::Row).collect())
    }
}

impl Erlang {
    /// The virtual machine that makes the laps.
    fn machine(&self, folder: &Path, busy_wait: &str, laps: u64) -> Command {
        let Self { records, work_us } = self;
        let mut command = Command::new("erl");
        for spins in ["+sbwt", "+sbwtdcpu", "+sbwtdio"] {
            command.args([spins, busy_wait]);
        }
        command.args(["-noshell", "-noinput", "-boot", "no_dot_erlang", "-pa"]).arg(folder);
        command.args(["-eval", &format!("{MODULE}:main([{laps}, {records}, {work_us}]).")]);
        // A machine that cannot go on must not leave a dump of itself in the working directory.
        command.env("ERL_CRASH_DUMP_BYTES", "0");
        command
    }
}

fn absent(program: &str) -> Vec<Said> {
    vec![Said::skipped(format_args!("`{program}` is not installed"))]
}

fn run(command: &mut Command) -> io::Result<Output> {
    child::dies_with_this_process(command, Vec::new());
    command.stdin(Stdio::null()).output()
}

/// What a program printed.
fn succeeded(program: &str, output: &Output) -> Result<String, MeasureError> {
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(MeasureError::Unplanned(format!("`{program}` ended with {}: {}{}", output.status, printed.trim(), said.trim())))
}

/// The rows of what the machine printed: a line for each sample, with its row, how the caller waited, nanoseconds.
fn read(printed: &str, busy_wait: &str, records: u64) -> Result<Vec<Sampled>, MeasureError> {
    let mut rows: Vec<Sampled> = Vec::new();
    for line in printed.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let sample = match words[..] {
            [row, wait, ns] => ns.parse().ok().map(|ns| (row, wait, ns)),
            _ => None,
        };
        let (row, wait, ns) =
            sample.ok_or_else(|| MeasureError::Unplanned(format!("the Erlang program printed `{line}`")))?;
        let mut empty = Sampled::new(row, Unit::Ns, note(row)).at("busy-wait", busy_wait).at("records", records);
        if wait != "none" {
            empty = empty.at("wait", wait);
        }
        let known = rows.iter().position(|known| (&known.row, &known.levels) == (&empty.row, &empty.levels));
        let place = known.unwrap_or_else(|| {
            rows.push(empty);
            rows.len() - 1
        });
        rows[place].samples.push(ns);
    }
    Ok(rows)
}

fn note(row: &str) -> &'static str {
    match row {
        "call" => "a call of a worker that is well, to its answer",
        "restart" => "error in a cast, to the restarted process's init",
        _ => "error in a cast, to the answer to the first call of the restarted process",
    }
}
