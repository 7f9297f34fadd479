//! How far a run is: a bar on a terminal, a plain line now and then elsewhere. All of it on standard error.
//!
//! It starts no thread: what it shows changes when a trial, or a round of measures, ends.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// The longest silence between plain lines while steps end.
const SILENCE: Duration = Duration::from_secs(5);

/// The progress of a run of a known number of steps.
#[derive(Debug)]
pub struct Progress(Shown);

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines(Lines),
}

/// When the next plain line is due.
#[derive(Debug)]
struct Lines {
    total: u64,
    /// What is counted, as `trials`.
    steps: &'static str,
    done: u64,
    /// Tenths of the run that a line has told of.
    tenths: u64,
    told: Instant,
}

impl Progress {
    /// Nothing of `total` steps is done; `steps` says what they are, as `trials`.
    pub fn new(total: u64, steps: &'static str) -> Self {
        if !io::stderr().is_terminal() {
            return Self(Shown::Lines(Lines { total, steps, done: 0, tenths: 0, told: Instant::now() }));
        }
        let template = format!("{{bar:30}} {{pos}}/{{len}} {steps}  {{elapsed}}  {{eta}} left  {{wide_msg}}");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(Shown::Bar(ProgressBar::new(total).with_style(style)))
    }

    /// One more step is done; `what` says what is worth knowing now, as `412 crashes`.
    pub fn done(&mut self, what: &str) {
        match &mut self.0 {
            Shown::Bar(bar) => {
                bar.set_message(what.to_owned());
                bar.inc(1);
            }
            Shown::Lines(lines) => {
                if let Some(line) = lines.done(what, Instant::now()) {
                    say(&line);
                }
            }
        }
    }

    /// Says something that must not be lost under the bar, as a warning.
    pub fn note(&self, text: &str) {
        match &self.0 {
            Shown::Bar(bar) => bar.suspend(|| say(text)),
            Shown::Lines(_) => say(text),
        }
    }

    /// Takes the bar away. Call it before anything else is printed.
    pub fn finish(self) {
        if let Shown::Bar(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Lines {
    /// Counts a step; the line to print where one is due: at each tenth of the run, and after a long silence.
    fn done(&mut self, what: &str, now: Instant) -> Option<String> {
        self.done += 1;
        let tenths = self.done * 10 / self.total.max(1);
        let due = tenths > self.tenths || now.duration_since(self.told) >= SILENCE;
        due.then(|| {
            self.tenths = tenths;
            self.told = now;
            format!("{}/{} {}  {what}", self.done, self.total, self.steps)
        })
    }
}

/// Prints a line. That nobody listens any more is no reason to stop a run.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_run_tells_each_tenth() {
        let told = Instant::now();
        let mut lines = Lines { total: 720, steps: "trials", done: 0, tenths: 0, told };
        let said: Vec<_> = (0..720).filter_map(|_| lines.done("fine", told)).collect();
        assert_eq!(said.len(), 10);
        assert_eq!(said[0], "72/720 trials  fine");
        assert_eq!(said[9], "720/720 trials  fine");
    }

    #[test]
    fn a_slow_run_is_never_silent_for_long() {
        let start = Instant::now();
        let mut lines = Lines { total: 1_000_000, steps: "trials", done: 0, tenths: 0, told: start };
        let said = (1..=60).filter(|second| lines.done("slow", start + Duration::from_secs(*second)).is_some());
        assert_eq!(said.count(), 12);
    }
}
