//! The rounds of a run's measures: each started when it is due, heard to its end, its rows added to those before.

use super::said::{Said, Sampled};
use crate::child;
use crate::record::{Distribution, Measurement, Measurements};
use crate::suite;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::{ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// The longest that a round may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// The measures of a run, with what their rounds have given so far.
#[derive(Debug)]
pub struct Gathered<'a> {
    measures: Vec<Started<'a>>,
    seed: u64,
}

/// A measure, its rounds so far, and their rows.
#[derive(Debug)]
struct Started<'a> {
    measure: &'a suite::Measure,
    /// Rounds that ended, well or badly.
    rounds: u64,
    rows: Vec<Sampled>,
    skipped: Vec<String>,
}

/// How a round's process ended.
enum Ended {
    /// By itself, with what it printed.
    Itself(Vec<u8>),
    /// The run was interrupted.
    Interrupted,
    /// It took too long.
    Late,
}

impl<'a> Gathered<'a> {
    /// Nothing was measured yet. `seed` is the run's.
    pub fn new(measures: &'a [suite::Measure], seed: u64) -> Self {
        let start = |measure| Started { measure, rounds: 0, rows: Vec::new(), skipped: Vec::new() };
        Self { measures: measures.iter().map(start).collect(), seed }
    }

    /// Makes the rounds that are due when `done` of `trials` trials are made, so that a machine that drifts hits
    /// measures and trials alike. `interrupted` ends the one under way.
    ///
    /// # Errors
    /// Where a process cannot be started or heard. One that fails is left out, with its reason.
    pub fn catch_up(&mut self, done: u64, trials: u64, interrupted: &dyn Fn() -> bool) -> io::Result<()> {
        for started in &mut self.measures {
            while started.rounds < started.measure.rounds.saturating_mul(done) / trials.max(1) && !interrupted() {
                started.round(self.seed, interrupted)?;
            }
        }
        Ok(())
    }

    /// Makes all rounds of a run that has no trials to spread them over, each measure's spread evenly over those of the
    /// others. `told` is called whenever some have ended, with what was measured so far.
    ///
    /// # Errors
    /// As for [`Self::catch_up`], and what `told` answers.
    pub fn alone<E: From<io::Error>>(
        &mut self,
        interrupted: &dyn Fn() -> bool,
        mut told: impl FnMut(&Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let steps = self.measures.iter().map(|started| started.measure.rounds).max().unwrap_or_default();
        for step in 1..=steps {
            self.catch_up(step, steps, interrupted)?;
            told(self)?;
            if interrupted() {
                break;
            }
        }
        Ok(())
    }

    /// Rounds that have ended.
    pub fn rounds(&self) -> u64 {
        self.measures.iter().map(|started| started.rounds).sum()
    }

    /// What was measured; `None` where nothing was to be.
    pub fn measurements(&self) -> Option<Measurements> {
        let missing = self.measures.iter().map(|started| started.measure.rounds - started.rounds).sum();
        let mut all = Measurements { missing_rounds: Some(missing), ..Measurements::default() };
        for Started { measure, rows, skipped, .. } in &self.measures {
            all.skipped.extend(skipped.iter().map(|why| format!("measure `{}`: {why}", measure.name)));
            all.measurements.extend(rows.iter().filter_map(|row| {
                let Sampled { row, levels, unit, samples, note } = row.clone();
                let (measure, distribution) = (measure.name.clone(), Distribution::of(samples)?);
                Some(Measurement { measure, row, levels, unit, distribution, note })
            }));
        }
        (!self.measures.is_empty()).then_some(all)
    }
}

impl Started<'_> {
    fn round(&mut self, seed: u64, interrupted: &dyn Fn() -> bool) -> io::Result<()> {
        let suite::Measure { name, laps, settings, .. } = self.measure;
        let settings = serde_json::to_string(settings)?;
        let seed = crate::levels::LARGEST_SEED & seed.wrapping_add(self.rounds);
        let mut command = child::again("measure", Vec::new())?;
        command.args([name, "--seed", &seed.to_string(), "--laps", &laps.to_string(), "--settings", &settings]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let ended = hear(child.stdout.take(), interrupted);
        if !matches!(ended, Ok(Ended::Itself(_))) {
            // What it started dies with it.
            child.kill()?;
        }
        let status = child.wait()?;
        let ended = ended?;
        self.rounds += u64::from(!matches!(ended, Ended::Interrupted));
        match ended {
            Ended::Itself(said) if status.success() => self.add(&said)?,
            Ended::Itself(_) => self.skip(format!("skipped, because its process ended with {status}; see above")),
            Ended::Interrupted => {}
            Ended::Late => {
                self.skip(format!("skipped, because a round took more than {} s and was ended", PATIENCE.as_secs()));
            }
        }
        Ok(())
    }

    fn skip(&mut self, why: String) {
        if !self.skipped.contains(&why) {
            self.skipped.push(why);
        }
    }

    fn add(&mut self, said: &[u8]) -> io::Result<()> {
        for line in said.split_inclusive(|byte| *byte == b'\n') {
            match serde_json::from_slice(line)? {
                Said::Skipped { skipped } => self.skip(skipped),
                Said::Row(row) => {
                    let same = |known: &&mut Sampled| (&known.row, &known.levels) == (&row.row, &row.levels);
                    match self.rows.iter_mut().find(same) {
                        Some(known) => known.samples.extend(row.samples),
                        None => self.rows.push(row),
                    }
                }
            }
        }
        Ok(())
    }
}

/// Reads what a round prints, to its end.
fn hear(printed: Option<ChildStdout>, interrupted: &dyn Fn() -> bool) -> io::Result<Ended> {
    const STEP: u16 = 100;
    let mut said = Vec::new();
    let Some(mut printed) = printed else { return Ok(Ended::Itself(said)) };
    let until = Instant::now() + PATIENCE;
    let mut buffer = [0; 1 << 16];
    loop {
        let waited = poll(&mut [PollFd::new(printed.as_fd(), PollFlags::POLLIN)], PollTimeout::from(STEP));
        match waited {
            _ if interrupted() => return Ok(Ended::Interrupted),
            _ if Instant::now() > until => return Ok(Ended::Late),
            Ok(0) | Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
            Ok(_) => {}
        }
        match printed.read(&mut buffer)? {
            0 => return Ok(Ended::Itself(said)),
            n => said.extend_from_slice(&buffer[..n]),
        }
    }
}
