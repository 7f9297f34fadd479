//! A simulation as text for a terminal.

use super::{Estimate, Simulated};
use crate::units;
use std::fmt;

impl fmt::Display for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let processes = units::count(self.processes.into(), "process", "processes");
        let years = if self.years == 1.0 { "1 year".to_owned() } else { format!("{} years", self.years) };
        writeln!(f, "{}: {processes} over {years}, seed {}\n", self.policy, self.seed)?;
        writeln!(f, "useful work    {}", share(self.useful))?;
        writeln!(f, "available      {}", share(self.available))?;
        let shares = &self.shares;
        let parts = [
            ("useful", shares.useful),
            ("commits", shares.commits),
            ("lost", shares.lost),
            ("down", shares.down),
            ("open", shares.open),
        ];
        let parts: Vec<_> = parts.map(|(name, share)| format!("{name} {}", per_year(share))).into();
        writeln!(f, "of each year   {}", parts.join(", "))?;
        let Estimate { value, error } = self.crashes_per_process_year;
        let error = error.map(|error| format!(" ± {error:.2}")).unwrap_or_default();
        writeln!(f, "crashes        {}, {value:.2}{error} a process and year", self.crashes)?;
        let Self { transient, poison, propagated, repeated, restarts, .. } = self;
        writeln!(
            f,
            "  by faults    {transient} transient, {poison} poison, {propagated} propagated; {repeated} again"
        )?;
        writeln!(f, "restarts       {restarts}")?;
        let gave_up = &self.gave_up;
        writeln!(
            f,
            "given up       {}: {} by the policy, {} by the program, {} by the limit on restarts, {} as they got nowhere",
            gave_up.total(),
            gave_up.by_policy,
            gave_up.by_program,
            gave_up.by_limit,
            gave_up.by_patience
        )?;
        let decisions: Vec<_> = self.decisions.iter().map(|(action, count)| format!("{count} {action}")).collect();
        writeln!(f, "decisions      {}", if decisions.is_empty() { "none".to_owned() } else { decisions.join(", ") })?;
        if let Some(delays) = self.delay_share_of_down.filter(|share| *share > 0.0) {
            writeln!(f, "delays         {} of the time down", units::percent(delays))?;
        }
        let Self { lost_operations, skipped_operations, kept_states, .. } = self;
        writeln!(f, "operations     {lost_operations} lost, {skipped_operations} skipped; {kept_states} states kept")
    }
}

/// A share of the time with its error. Shares near 1 are told apart by what is missing to it.
fn share(Estimate { value, error }: Estimate) -> String {
    let error = error.map(|error| format!(" ± {error:.1e}")).unwrap_or_default();
    let missing = if value > 0.99 && value < 1.0 { format!(" (1 − {:.3e})", 1.0 - value) } else { String::new() };
    format!("{value:.6}{error}{missing}")
}

/// So much of a year, as a time.
fn per_year(share: f64) -> String {
    let seconds = share * super::super::YEAR_NS as f64 / 1e9;
    match seconds {
        _ if seconds >= 86_400.0 => format!("{} d", units::three_digits(seconds / 86_400.0)),
        _ if seconds >= 3_600.0 => format!("{} h", units::three_digits(seconds / 3_600.0)),
        _ => units::duration(seconds * 1e9),
    }
}
