//! What a policy would come to by the simulator, one fault a transaction, as in a trial.
//!
//! Faults are so rare here that a transaction seldom meets two, and there are so many of them that what chance does to the
//! means is small beside what the model leaves out. All figures are shared out over the faults.

use super::Known;
use crate::record::{Predictor, Trial};
use crate::simulate::{Fleet, Parameters, Simulated, YEAR_NS, shares, simulate};
use crate::suite::Suite;
use crate::summary::Forecast;
use crashbed::RestartPolicy;

/// Transactions between two faults of a process, in the mean.
const TRANSACTIONS: u64 = 1_000;

/// Faults of a simulation, in the mean.
const FAULTS: f64 = 4_000.0;

const PROCESSES: u32 = 64;

pub(super) fn forecast(known: &Known<'_>, policy: &dyn RestartPolicy, suite: &Suite) -> Result<Forecast, String> {
    let trials: Vec<&Trial> = known.base.iter().map(|(trial, _)| *trial).collect();
    let (poison, propagated, _) = shares(&trials).map_err(|error| error.to_string())?;
    let fitted = &known.fitted.parameters;
    let operations = known.operations();
    let commits = operations.div_ceil(fitted.commit_every).max(1);
    let transaction_ns = operations * fitted.operation_ns + commits * fitted.commit_ns;
    let mtbf_ns = transaction_ns.saturating_mul(TRANSACTIONS).max(1);
    let parameters = Parameters {
        mtbf_ns,
        poison,
        propagated,
        commits_per_transaction: commits,
        // Whoever gives up is done, and the next trial begins at once.
        repair_ns: 1,
        ..fitted.clone()
    };
    let fleet = Fleet {
        processes: PROCESSES,
        years: (FAULTS * mtbf_ns as f64 / f64::from(PROCESSES) / YEAR_NS as f64).min(Fleet::MOST_YEARS),
        seed: suite.seed.unwrap_or_default(),
        threads: 1,
    };
    Ok(shared_out(known, policy, &simulate(&parameters, policy, fleet), operations))
}

fn shared_out(known: &Known<'_>, policy: &dyn RestartPolicy, fleet: &Simulated, operations: u64) -> Forecast {
    let Simulated { transient, poison, propagated, restarts, parameters, .. } = fleet;
    let faults = (transient + poison + propagated).max(1) as f64;
    let all_ns = f64::from(fleet.processes) * fleet.years * YEAR_NS as f64;
    // A trial that is given up keeps what its last commit holds, unlike a process of a fleet, which begins anew.
    let kept = fleet.given_up_operations;
    let kept_ns = kept * parameters.operation_ns;
    // What crashes whenever it is met nobody can do: of those each is skipped once.
    let harmless = fleet.skipped_operations.saturating_sub(*poison);
    let missing = (fleet.gave_up.total() * operations).saturating_sub(kept) + harmless;
    // The base policy's trials that did not crash are faults that came to nothing, which no clock of the simulation has.
    let crashed = known.base.iter().filter(|(_, crashes)| !crashes.is_empty()).count() as f64 / known.base.len() as f64;
    Forecast {
        levels: known.levels_of(policy.name()),
        by: Predictor::Simulation,
        restarts: crashed * *restarts as f64 / faults,
        time_lost_ns: crashed * ((fleet.shares.lost + fleet.shares.down) * all_ns - kept_ns as f64) / faults,
        work_lost: crashed * missing as f64 / (faults * operations.max(1) as f64),
    }
}
