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
    pub(super) path: Path,
    hand_over_ns: Vec<u64>,
    recovery_ns: Vec<u64>,
    faults: Vec<u64>,
}

/// Which path a floor is of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    pub(super) daemon: usize,
    /// By a handler (`signal`), `waitpid`, after a `kill` or after a `heartbeat`.
    pub(super) notice: &'static str,
    pub(super) start: &'static str,
    pub(super) load: String,
}

impl Floors {
    /// The floors that a plan asks for: each daemon's, by the notices that its faults lead to and the ways in which its
    /// successors may start, under the same load.
    pub(super) fn new(suite: &Suite, plan: &Plan, daemons: &[DaemonSetup]) -> Self {
        let mut floors = Self { all: Vec::new(), trials: suite.floor.trials };
        if floors.trials == 0 {
            return floors;
        }
        for cell in &plan.cells {
            let Some(daemon) = daemons.iter().position(|daemon| *daemon == setup_of(cell)) else { continue };
            for (notice, start) in ways(cell) {
                let path = Path { daemon, notice, start, load: cell.load.clone() };
                if !floors.all.iter().any(|laps| laps.path == path) {
                    let (hand_over_ns, recovery_ns, faults) = (Vec::new(), Vec::new(), Vec::new());
                    floors.all.push(Laps { path, hand_over_ns, recovery_ns, faults });
                }
            }
        }
        floors
    }

    /// The floors that are due, each with its laps, when `done` of `trials` trials are made: spread over the run, so that
    /// a machine that drifts hits floors and trials alike.
    pub(super) fn due(&self, done: u64, trials: u64) -> Vec<(usize, u64)> {
        let behind = |laps: &Laps| {
            let wanted = if laps.path.notice == "heartbeat" { self.trials.div_ceil(6) } else { self.trials };
            let due = u128::from(wanted) * u128::from(done) / u128::from(trials.max(1));
            u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(laps.hand_over_ns.len() as u64)
        };
        let numbered = self.all.iter().enumerate();
        numbered.map(|(number, laps)| (number, behind(laps))).filter(|(_, laps)| *laps > 0).collect()
    }

    /// The path of floor number `floor`.
    pub(super) fn path(&self, floor: usize) -> Path {
        self.all[floor].path.clone()
    }

    /// Adds laps of floor number `floor`: hand-over, recovery and page faults of each.
    pub(super) fn add(&mut self, floor: usize, measured: Vec<(u64, u64, u64)>) {
        let laps = &mut self.all[floor];
        for (hand_over_ns, recovery_ns, faults) in measured {
            laps.hand_over_ns.push(hand_over_ns);
            laps.recovery_ns.push(recovery_ns);
            laps.faults.push(faults);
        }
    }

    /// What was measured.
    pub(super) fn records(&self, daemons: &[DaemonSetup]) -> Vec<Floor> {
        let record = |laps: &Laps| {
            let daemon = &daemons[laps.path.daemon];
            Some(Floor {
                path: laps.path.words(),
                notice: laps.path.class().to_owned(),
                mechanism: daemon.mechanism.clone(),
                workload: daemon.workload.clone(),
                spare: laps.path.start.to_owned(),
                region_bytes: daemon.region_bytes,
                load: laps.path.load.clone(),
                hand_over_ns: Distribution::of(laps.hand_over_ns.clone())?,
                recovery_ns: Distribution::of(laps.recovery_ns.clone())?,
                take_over_faults: Distribution::of(laps.faults.clone()),
            })
        };
        self.all.iter().filter_map(record).collect()
    }
}

impl Path {
    /// The notice of the trials that it is held against.
    fn class(&self) -> &'static str {
        if self.notice == "waitpid" { "signal" } else { self.notice }
    }

    /// What makes it up.
    fn words(&self) -> String {
        let notice = match self.notice {
            "heartbeat" => "deadline + SIGKILL + waitpid",
            "kill" => "SIGKILL + waitpid",
            "waitpid" => "waitpid",
            _ => "handler",
        };
        let start = match self.start {
            "cold" if self.notice == "signal" => "futex + fork",
            "cold" => "fork",
            "warm" => "futex",
            _ => "spin",
        };
        format!("{notice} + {start}")
    }
}

/// The ways in which a cell's crashes may become known and its successors may start. By signal always, as even a program
/// error may crash. One that is forked then may also be forked when the crashed process is gone: where that is little
/// to wait for, it is the faster way.
fn ways(cell: &Levels) -> Vec<(&'static str, &'static str)> {
    let silent = matches!(cell.fault.as_str(), "hang" | "stop" | "livelock");
    let killed = matches!(
        cell.fault.as_str(),
        "kill" | "kill-outside" | "exit" | "crash-during-commit" | "crash-during-restore"
    );
    let notices = [("signal", true), ("waitpid", true), ("kill", killed), ("heartbeat", silent)];
    let mut ways = Vec::new();
    for (notice, _) in notices.into_iter().filter(|(_, leads)| *leads) {
        let starts = starts(cell).iter().filter(|start| notice != "waitpid" || **start == "cold");
        ways.extend(starts.map(|start| (notice, *start)));
    }
    ways
}

/// The ways in which a cell's successors may start, one of which is the way that most of them do.
fn starts(cell: &Levels) -> &'static [&'static str] {
    match cell.spare.as_str() {
        "cold" => &["cold"],
        "warm" => &["warm"],
        "hot" => &["hot"],
        _ => &["cold", "warm", "hot"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use crate::run::launch;
    use std::collections::HashSet;

    /// The floors of the quick suite under two mechanisms, with its faults, spares and loads changed.
    fn floors(faults: &[&str], spares: &[&str], loads: &[&str]) -> Floors {
        let mut suite = catalog::load("quick").unwrap();
        suite.floor.trials = 60;
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let block = &mut suite.factors[0];
        block.mechanism.truncate(2);
        (block.fault, block.spare, block.load) = (names(faults), names(spares), names(loads));
        let plan = Plan::new(&suite, 1);
        Floors::new(&suite, &plan, &launch::daemons(plan.cells.iter()))
    }

    fn paths(floors: &Floors) -> HashSet<(String, String)> {
        floors.all.iter().map(|laps| (laps.path.words(), laps.path.load.clone())).collect()
    }

    #[test]
    fn each_way_of_a_plan_has_its_floor_for_each_daemon_and_no_other() {
        let cold = floors(&["null-read"], &["cold"], &["none"]);
        // Two workloads under two mechanisms.
        assert_eq!((cold.all.len(), paths(&cold).len()), (4 * 2, 2));
        assert!(cold.all.iter().all(|laps| laps.path.class() == "signal"));
        assert!(paths(&cold).contains(&("handler + futex + fork".to_owned(), "none".to_owned())));
        let more = floors(&["kill", "hang"], &["warm", "hot"], &["none", "busy"]);
        assert_eq!((more.all.len(), paths(&more).len()), (4 * 3 * 2 * 2, 3 * 2 * 2));
        assert!(paths(&more).contains(&("deadline + SIGKILL + waitpid + spin".to_owned(), "busy".to_owned())));
        let auto = floors(&["null-read"], &["auto"], &["none"]);
        assert_eq!(paths(&auto).len(), 4);
    }

    #[test]
    fn laps_are_spread_over_the_run_and_none_is_missing_at_its_end() {
        let mut floors = floors(&["null-read", "hang"], &["cold"], &["none"]);
        for done in 1..=50 {
            for (floor, laps) in floors.due(done, 50) {
                let wanted = if floors.path(floor).notice == "heartbeat" { 10 } else { 60 };
                floors.add(floor, vec![(1, 2, 3); usize::try_from(laps).unwrap()]);
                assert_eq!(floors.all[floor].recovery_ns.len() as u64, wanted * done / 50);
            }
        }
        assert!(floors.due(50, 50).is_empty());
        let laps: HashSet<usize> = floors.all.iter().map(|laps| laps.hand_over_ns.len()).collect();
        assert_eq!(laps, HashSet::from([10, 60]));
    }
}
