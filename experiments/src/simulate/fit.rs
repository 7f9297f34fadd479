//! Parameters fitted from a run.
//!
//! | parameter | from |
//! |---|---|
//! | `operation_ns` | measure `steady`: `throughput` of the mechanism where it never commits, for workload `kv`; else trials with one crash: the slope of `redo_ns` over the operations done again, where no commit came between |
//! | `commit_ns` | the same: what `throughput` at the nearest `commit-every` loses, a commit; else trials: what operations take with their commits (the median of `took_ns` over `script_operations` of those without a crash; where there are none, the slope of `redo_ns` under `zero-state`) more than by themselves. Where that is not more beyond chance, `operation_ns` holds both, and this is 0 |
//! | `commit_every`, `intensity` | the manifest's settings |
//! | `commits_per_transaction` | trials: the most `operations` over `commit_every` |
//! | `recovery_ns` | `crashes.jsonl`: by decided action, `first_operation_at_ns` − `happened_at_ns` − delay − an operation; else trials: `recovery_ns` − an operation, by what the trial's `policy` answers to a first crash |
//! | `kept_commits` | the manifest's settings |
//! | `intact` | `crashes.jsonl`: the share of crashed states that were kept of those that were to be; else 0 |
//! | `poison`, `propagated` | trials with a crash: those with more crashes than planned or a give-up; those with a corrupt verdict |
//! | `program` | the workload |
//!
//! The time between faults is the suite's plan, not the machine's, so it is asked for; what no run has (repairs,
//! patience) is as documented.

use super::parameters::{HOUR_NS, Intensity, Parameters, Program, REPAIR_NS};
use super::rhythm::Rhythm;
use crate::catalog::{self, SuiteError};
use crate::record::{RecordedCrash, Trial, Verdict};
use crate::results::Results;
use choose::choose;
use steps::Steady;

mod choose;
mod recoveries;
mod steps;

pub use choose::Wanted;

/// Fitted parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// The parameters.
    pub parameters: Parameters,
    /// From what each was taken, and what was assumed.
    pub notes: Vec<String>,
}

/// Why a run does not say enough.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// One level must be chosen.
    #[error("the run has several levels of {factor} ({levels}); choose one by --{factor}")]
    Several {
        /// The factor.
        factor: &'static str,
        /// Its levels.
        levels: String,
    },
    /// The run has no such level.
    #[error(
        "--{factor} {wanted}: the run has no such trials; the nearest that it has is `{nearest}` (it has: {levels})"
    )]
    NotThere {
        /// The factor.
        factor: &'static str,
        /// What was asked for.
        wanted: String,
        /// The level that is named most alike.
        nearest: String,
        /// The levels that there are.
        levels: String,
    },
    /// The run lacks what a parameter is fitted from.
    #[error(
        "`{parameter}` cannot be fitted: {missing}; run a suite that has that, as `policies` has, or write the parameters into a file for --parameters"
    )]
    Missing {
        /// The parameter.
        parameter: &'static str,
        /// What is missing, and where it would stand.
        missing: String,
    },
    /// The manifest's settings are no suite.
    #[error(transparent)]
    Settings(#[from] SuiteError),
}

impl FitError {
    /// The program's exit status: 2 where the user must choose otherwise, 1 where the run does not say enough.
    pub fn status(&self) -> u8 {
        if matches!(self, Self::Several { .. } | Self::NotThere { .. }) { 2 } else { 1 }
    }
}

/// Fits the parameters of the `wanted` trials of a run, whose recorded crashes are `crashes`, to faults every `mtbf_ns`.
///
/// # Errors
/// [`FitError`]: what to choose, or what is missing.
pub fn fit(results: &Results, crashes: &[RecordedCrash], wanted: &Wanted, mtbf_ns: u64) -> Result<Fitted, FitError> {
    let chosen = choose(&results.trials, wanted)?;
    let trials: Vec<&Trial> = results.trials.iter().filter(|trial| chosen.holds(trial)).collect();
    let suite = catalog::parse("manifest.json (settings)", &results.manifest.settings)?;
    let settings = &suite.workload;
    let is_kv = chosen.workload == "kv";
    let commit_every = settings.commit_every(&chosen.workload);
    let mut notes = Vec::new();

    let steady = Steady { measurements: &results.measurements.measurements, mechanism: &chosen.mechanism };
    let steps = match is_kv.then(|| steady.steps(commit_every)).flatten() {
        Some(steady) => steady,
        None => steps::of_trials(&trials, commit_every)?,
    };
    let operation_ns = told(&mut notes, "operation_ns", &steps.operation).max(1);
    let commit_ns = told(&mut notes, "commit_ns", &steps.commit);

    let own: Vec<&RecordedCrash> = crashes.iter().filter(|crash| chosen.holds_levels(&crash.levels)).collect();
    let mut recovery_ns = recoveries::of_crashes(&own, operation_ns);
    let mut source = "crashes.jsonl";
    if recovery_ns.is_empty() {
        (recovery_ns, source) = (recoveries::of_trials(&trials, operation_ns), "`recovery_ns` of trials");
    }
    let actions: Vec<_> = recovery_ns.iter().map(|(action, times)| format!("{action} ({})", times.len())).collect();
    notes.push(format!("recovery_ns: from {source}, by action: {}", actions.join(", ")));
    let recovery_ns = recoveries::with_resume(recovery_ns, &mut notes)?;

    let (kept, asked) = recoveries::kept(&own);
    let intact = if asked == 0 { 0.0 } else { kept as f64 / asked as f64 };
    if asked > 0 {
        notes.push(format!("intact {intact:.4}: {kept} of the {asked} crashed states that were to be kept"));
    }
    let (poison, propagated, crashed) = shares(&trials)?;
    notes.push(format!("poison {poison:.4}, propagated {propagated:.4}: of the {crashed} trials with a crash"));
    let most = trials.iter().map(|trial| trial.operations).max().unwrap_or_default();
    let parameters = Parameters {
        mtbf_ns,
        operation_ns,
        commit_every,
        commit_ns,
        commits_per_transaction: most.div_ceil(commit_every).max(1),
        kept_commits: u64::from(suite.commits.kept) + 1,
        poison,
        propagated,
        damaged_commits: 1.0,
        cured_by_environment: 0.0,
        intact,
        program: if is_kv { Program::GiveUp } else { Program::Skip },
        intensity: Intensity { restarts: suite.intensity.restarts, within_ms: suite.intensity.within_ms },
        quiet_ns: HOUR_NS,
        patience_ns: HOUR_NS,
        repair_ns: REPAIR_NS,
        recovery_ns,
    };
    if Rhythm::new(&parameters).is_none() {
        let missing = "a transaction of so many operations takes longer than a century".to_owned();
        return Err(FitError::Missing { parameter: "commits_per_transaction", missing });
    }
    Ok(Fitted { parameters, notes })
}

/// Notes a time and where it is from; answers it in whole nanoseconds.
fn told(notes: &mut Vec<String>, parameter: &str, (ns, source): &(f64, String)) -> u64 {
    // A time, so not negative, and far below the largest number.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = ns.max(0.0).round() as u64;
    notes.push(format!("{parameter} {whole}: from {source}"));
    whole
}

/// The shares of poison and of propagated faults, and of how many trials.
///
/// # Errors
/// [`FitError::Missing`] where nothing crashed.
pub fn shares(trials: &[&Trial]) -> Result<(f64, f64, u64), FitError> {
    let crashed: Vec<_> = trials.iter().filter(|trial| trial.crashes > 0).collect();
    if crashed.is_empty() {
        let missing = "trials.jsonl has no trial with a crash".to_owned();
        return Err(FitError::Missing { parameter: "poison", missing });
    }
    let is_corrupt = |trial: &Trial| matches!(trial.verdict, Verdict::CorruptDetected | Verdict::CorruptSilent);
    // This fault crashes twice by plan.
    let planned = |trial: &Trial| if trial.fault() == "crash-during-restore" { 2 } else { 1 };
    let came_back = |trial: &Trial| trial.crashes > planned(trial) || trial.verdict == Verdict::GaveUp;
    let propagated = crashed.iter().filter(|trial| is_corrupt(trial)).count();
    let poison = crashed.iter().filter(|trial| !is_corrupt(trial) && came_back(trial)).count();
    let share = |count: usize| count as f64 / crashed.len() as f64;
    Ok((share(poison), share(propagated), crashed.len() as u64))
}

#[cfg(test)]
mod tests;
