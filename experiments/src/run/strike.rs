//! Which fault strikes when in a trial: from the suite's trigger and the trial's seed alone.

use crate::faults::{Fault, Plan, PlanError, PointName, Stop, Trigger};
use crate::suite::{Suite, drawn};
use crate::when;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

/// A trial's fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strikes {
    /// The injector's plan.
    pub plan: Plan,
    /// The operation at which the first incarnation is killed by SIGKILL, so that there is a restore to crash in.
    pub kill_first: Option<u64>,
}

/// What can be said of a workload's script, for a fault to be aimed at it.
#[derive(Clone, Copy)]
pub struct Shape<'a> {
    /// Operations in it.
    pub total: u64,
    /// Operations between two commits.
    pub commit_every: u64,
    /// The first operation with two parts from one on.
    pub next_update: &'a dyn Fn(u64) -> Option<u64>,
}

/// Points that one commit passes under either mechanism, at the least.
const POINTS_OF_A_COMMIT: u64 = 4;

/// The fault `name`, or what is drawn of the mix that it names, in the trial with this seed; `None` for `none`.
///
/// # Errors
/// In words: an unknown fault, or a trigger that the fault does not have.
pub fn strikes(name: &str, seed: u64, suite: &Suite, shape: Shape<'_>) -> Result<Option<Strikes>, String> {
    let name = drawn(name, seed, &suite.mix)?;
    if name == "none" {
        return Ok(None);
    }
    let fault: Fault = name.parse().map_err(|error: crate::faults::UnknownFault| error.to_string())?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let operation = rng.random_range(0..shape.total);
    let words = |error: PlanError| format!("fault {name}: {error}");
    let point = |name: &str, pass| -> Result<Trigger, String> {
        Ok(Trigger::Point { name: PointName::new(name).map_err(words)?, pass })
    };
    let mut kill_first = None;
    let trigger = match (fault, &suite.trigger) {
        (_, when::Trigger::Point { name, pass }) => point(name, *pass)?,
        (Fault::CrashDuringCommit, _) => {
            let commits = shape.total.div_ceil(shape.commit_every);
            point("commit", rng.random_range(0..commits * POINTS_OF_A_COMMIT))?
        }
        (Fault::CrashDuringRestore, _) => {
            kill_first = Some(operation);
            // Pass 0 is that of the first incarnation, which has nothing to restore.
            point("restore", rng.random_range(1..3))?
        }
        (Fault::TornUpdate, when::Trigger::AtOperation(at)) => {
            let from = at.unwrap_or(operation);
            let update = (shape.next_update)(from).or_else(|| (shape.next_update)(0));
            Trigger::Operation(update.unwrap_or(from))
        }
        (_, when::Trigger::AtOperation(at)) => Trigger::Operation(at.unwrap_or(operation)),
        (_, when::Trigger::Probability(p)) => Trigger::Probability(*p),
        (_, when::Trigger::ExponentialMs(mean)) => Trigger::MeanTime(Duration::from_secs_f64(mean / 1e3)),
        (_, when::Trigger::ExponentialOperations(mean)) => Trigger::MeanOperations(*mean),
    };
    let by = if rng.random_bool(0.5) { Stop::NullWrite } else { Stop::Kill };
    let plan = Plan::new(fault, trigger, seed).map_err(words)?.by(by);
    Ok(Some(Strikes { plan, kill_first }))
}
