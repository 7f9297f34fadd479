//! From the command line to something that can start: a run with its plan and folder, or one trial.

use crate::catalog::{self, SuiteError};
use crate::cli::{RunArgs, TrialArgs};
use crate::narrow::{NarrowError, Narrowing};
use crate::output::{self, Output, OutputError};
use crate::plan::{Plan, Planned, fresh_seed};
use crate::suite::{Factors, Suite};
use std::path::Path;

/// Why nothing could be started.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
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

impl PrepareError {
    /// The program's exit status: 2 where the user asked for something wrong, 1 where the machine did not do it.
    pub fn status(&self) -> u8 {
        match self {
            Self::Suite(_) | Self::Narrow(_) | Self::Output(OutputError::NoSuchLine { .. }) => 2,
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
    /// The folder, with nothing but an empty `trials.jsonl`, and perhaps an empty `crashes.jsonl`, in it.
    pub output: Output,
}

impl RunArgs {
    /// Reads and narrows the suite, plans its trials, and makes the folder, in this order: nothing is written for a
    /// suite that cannot run.
    ///
    /// # Errors
    /// [`PrepareError`].
    pub fn prepare(self) -> Result<Prepared, PrepareError> {
        let mut suite = catalog::load(&self.suite)?;
        let Self { policy, mechanism, workload, fault, spare, load, corpus, seed, trials, .. } = self;
        Narrowing { policy, mechanism, workload, fault, spare, load, corpus, seed, trials }.apply(&mut suite)?;
        let seed = *suite.seed.get_or_insert_with(fresh_seed);
        let plan = Plan::new(&suite, seed);
        let mut output = match self.out {
            Some(folder) => Output::create(&folder)?,
            None => Output::fresh(Path::new("runs"), &suite.name)?,
        };
        if suite.records_crashes() {
            output.record_crashes()?;
        }
        Ok(Prepared { suite, plan, output })
    }
}

impl TrialArgs {
    /// The plan of the one trial, and the suite that holds its settings.
    ///
    /// # Errors
    /// [`PrepareError`].
    pub fn prepare(self) -> Result<(Suite, Plan), PrepareError> {
        if let (Some(folder), Some(line)) = (&self.from, self.line) {
            return recorded(folder, line);
        }
        // Without a fault it is up to the input to crash its parser: the suite `documents` has such documents.
        let pass = self.workload == "documents" && self.fault == "none";
        let mut suite = catalog::load(if pass { "documents" } else { "quick" })?;
        if self.fault != "none" {
            // The crash that is asked for is the only one.
            suite.workload.native.poison_every = 0;
        }
        suite.name = "trial".to_owned();
        suite.factors = vec![Factors {
            policy: vec![self.policy],
            mechanism: vec![self.mechanism],
            workload: vec![self.workload],
            fault: vec![self.fault],
            spare: vec![self.spare],
            load: vec![self.load],
            trials: 1,
            ..suite.factors.swap_remove(0)
        }];
        suite.seed = None;
        Narrowing { corpus: self.corpus, ..Narrowing::default() }.apply(&mut suite)?;
        let seed = self.seed.unwrap_or_else(fresh_seed);
        // The plan of one cell has one trial; only its seed is the user's.
        let levels = suite.factors[0].levels().swap_remove(0);
        let plan = Plan::of_one(&suite, Planned { trial: 0, levels, seed });
        Ok((suite, plan))
    }
}

/// A trial that was made before, with the settings of its run.
fn recorded(folder: &Path, line: u64) -> Result<(Suite, Plan), PrepareError> {
    let manifest = output::read_manifest(folder)?;
    let trial = output::read_trial(folder, line)?;
    let file = folder.join(output::MANIFEST);
    let suite = catalog::parse(&format!("{} (settings)", file.display()), &manifest.settings)?;
    let plan = Plan::of_one(&suite, Planned { trial: trial.trial, levels: trial.levels, seed: trial.seed });
    Ok((suite, plan))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::manifest::manifest;
    use crate::plan::trial_seed;
    use clap::Parser;

    fn trial(arguments: &[&str]) -> TrialArgs {
        match Cli::try_parse_from([&["crashbed", "trial"], arguments].concat()).unwrap().command {
            Command::Trial(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_trial_has_the_levels_and_the_seed_that_were_asked_for() {
        let arguments = ["--policy", "zero-state", "--mechanism", "full-copy", "--fault", "kill", "--seed", "9"];
        let (suite, plan) = trial(&arguments).prepare().unwrap();
        let planned = plan.batches[0].trials[0].clone();
        assert_eq!((planned.levels.policy.as_str(), planned.levels.fault.as_str()), ("zero-state", "kill"));
        assert_eq!((planned.levels.mechanism.as_str(), planned.levels.workload.as_str()), ("full-copy", "kv"));
        assert_eq!(planned.seed, 9);
        assert_eq!(Plan::new(&suite, 1).cells, [planned.levels]);
    }

    #[test]
    fn a_trial_of_native_has_the_crash_that_was_asked_for_and_no_other() {
        let poison_every = |fault: &str| {
            let (suite, _) = trial(&["--workload", "native", "--fault", fault]).prepare().unwrap();
            suite.workload.native.poison_every
        };
        assert_eq!((poison_every("none") > 0, poison_every("kill")), (true, 0));
    }

    #[test]
    fn a_recorded_trial_comes_back_as_it_was_planned() {
        let folder = tempfile::tempdir().unwrap();
        let suite = catalog::load("state-integrity").unwrap();
        let plan = Plan::new(&suite, 3);
        let output = Output::create(folder.path()).unwrap();
        output.write_manifest(&manifest(&suite, 3)).unwrap();
        let planned = plan.trials().nth(17).unwrap();
        std::fs::write(folder.path().join(output::TRIALS), lines(&plan)).unwrap();
        let from = folder.path().to_str().unwrap();
        let (settings, again) = trial(&["--from", from, "--line", "18"]).prepare().unwrap();
        let again = &again.batches[0].trials[0];
        assert_eq!(again, planned);
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
            trial.as_object_mut().unwrap().extend(levels.as_object().unwrap().clone());
            format!("{trial}\n")
        };
        plan.trials().take(20).map(line).collect()
    }
}
