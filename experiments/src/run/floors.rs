//! The floors of a run: which are measured, how often and when, and what came of it.

use super::launch::setup_of;
use super::message::DaemonSetup;
use crate::plan::Plan;
use crate::record::{Distribution, Floor, Levels};
use crate::suite::Suite;

/// The floors under way.
pub(super) struct Floors {
    all: Vec<Laps>,
    /// Laps of each; of one by heartbeat, which takes a whole deadline, a sixth.
    trials: u64,
}

/// The laps of one floor.
pub(super) struct Laps {
    pub(super) daemon: usize,
    pub(super) notice: &'static str,
    hand_over_ns: Vec<u64>,
    recovery_ns: Vec<u64>,
}

impl Floors {
    /// The floors that a plan asks for: each daemon's, by the notices that its faults lead to.
    pub(super) fn new(suite: &Suite, plan: &Plan, daemons: &[DaemonSetup]) -> Self {
        let mut floors = Self { all: Vec::new(), trials: suite.floor.trials };
        if floors.trials == 0 {
            return floors;
        }
        for cell in &plan.cells {
            let Some(daemon) = daemons.iter().position(|daemon| *daemon == setup_of(cell)) else { continue };
            for notice in notices(cell) {
                if !floors.all.iter().any(|laps| laps.daemon == daemon && laps.notice == notice) {
                    floors.all.push(Laps { daemon, notice, hand_over_ns: Vec::new(), recovery_ns: Vec::new() });
                }
            }
        }
        floors
    }

    /// The floors that are due, each with its laps, when `done` of `trials` trials are made: spread over the run, so that
    /// a machine that drifts hits floors and trials alike.
    pub(super) fn due(&self, done: u64, trials: u64) -> Vec<(usize, u64)> {
        let behind = |laps: &Laps| {
            let wanted = if laps.notice == "heartbeat" { self.trials.div_ceil(6) } else { self.trials };
            let due = u128::from(wanted) * u128::from(done) / u128::from(trials.max(1));
            u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(laps.hand_over_ns.len() as u64)
        };
        let numbered = self.all.iter().enumerate();
        numbered.map(|(number, laps)| (number, behind(laps))).filter(|(_, laps)| *laps > 0).collect()
    }

    /// Floor number `floor`.
    pub(super) fn get(&self, floor: usize) -> &Laps {
        &self.all[floor]
    }

    /// Adds laps of floor number `floor`: hand-over and recovery of each.
    pub(super) fn add(&mut self, floor: usize, measured: Vec<(u64, u64)>) {
        let laps = &mut self.all[floor];
        for (hand_over_ns, recovery_ns) in measured {
            laps.hand_over_ns.push(hand_over_ns);
            laps.recovery_ns.push(recovery_ns);
        }
    }

    /// What was measured.
    pub(super) fn records(&self, daemons: &[DaemonSetup]) -> Vec<Floor> {
        let record = |laps: &Laps| {
            let daemon = &daemons[laps.daemon];
            let path = match laps.notice {
                "heartbeat" => "deadline + SIGKILL + waitpid + fork",
                "kill" => "SIGKILL + waitpid + fork",
                _ => "waitpid + fork",
            };
            Some(Floor {
                path: path.to_owned(),
                notice: laps.notice.to_owned(),
                mechanism: daemon.mechanism.clone(),
                workload: daemon.workload.clone(),
                region_bytes: daemon.region_bytes,
                hand_over_ns: Distribution::of(laps.hand_over_ns.clone())?,
                recovery_ns: Distribution::of(laps.recovery_ns.clone())?,
            })
        };
        self.all.iter().filter_map(record).collect()
    }
}

/// The notices that a cell's crashes may come by: by signal always, as even a program error may crash.
fn notices(cell: &Levels) -> impl Iterator<Item = &'static str> {
    let silent = matches!(cell.fault.as_str(), "hang" | "stop" | "livelock");
    let killed = matches!(
        cell.fault.as_str(),
        "kill" | "kill-outside" | "exit" | "crash-during-commit" | "crash-during-restore"
    );
    [("signal", true), ("kill", killed), ("heartbeat", silent)]
        .into_iter()
        .filter(|(_, led)| *led)
        .map(|(name, _)| name)
}
