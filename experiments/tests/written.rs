//! What a run of suite `quick` writes: checked on a folder that a run has just left, named by `CRASHBED_RUN`.
//!
//! `crashbed run quick --trials 1 --out DIR && CRASHBED_RUN=DIR cargo test -p crashbed-experiments --test written -- --ignored`

use crashbed_experiments::conclude::is_memory_fault;
use crashbed_experiments::record::{Outcome, Verdict};
use crashbed_experiments::results;
use std::collections::BTreeSet;
use std::path::PathBuf;

#[test]
#[ignore = "needs the folder of a run"]
fn a_quick_run_is_whole_and_true() {
    let folder = PathBuf::from(std::env::var_os("CRASHBED_RUN").expect("CRASHBED_RUN names the folder of a run"));
    let results = results::load(&folder).unwrap();
    let summary = results.summary.expect("the run wrote its summary");
    assert!(summary.complete && results.torn.is_none());
    assert_eq!(summary.trials, results.trials.len() as u64);

    let crashed = results.trials.iter().filter(|trial| trial.crashes > 0);
    let kinds: BTreeSet<&str> = crashed.map(|trial| trial.levels.fault.as_str()).collect();
    assert!(kinds.len() >= 8, "only {kinds:?} crashed");
    let levels = |of: &dyn Fn(&crashbed_experiments::record::Levels) -> String| -> BTreeSet<String> {
        summary.cells.iter().map(|cell| of(&cell.levels)).collect()
    };
    assert_eq!(levels(&|levels| levels.policy.clone()).len(), 3);
    assert_eq!(levels(&|levels| levels.mechanism.clone()).len(), 5);
    assert_eq!(levels(&|levels| levels.workload.clone()).len(), 2);

    for trial in &results.trials {
        let stop = !is_memory_fault(&trial.levels.fault);
        assert!(!(stop && trial.verdict == Verdict::CorruptSilent), "{trial:?}");
        assert_ne!(trial.outcome, Outcome::Hung, "{trial:?}");
        // The phases add up to the whole, where all of them were reached.
        let parts: Vec<u64> = trial.phases.parts().iter().filter_map(|(_, part)| *part).collect();
        if let (Some(whole), 6) = (trial.phases.recovery_ns, parts.len()) {
            assert_eq!(parts.iter().sum::<u64>(), whole, "{trial:?}");
        }
    }
    let with_floor = summary.cells.iter().filter(|cell| cell.recovery_over_floor_p50.is_some()).count();
    assert!(with_floor > 0, "no cell has a floor");
    for plot in ["recovery-ecdf", "phases", "outcomes", "lost-operations"] {
        for kind in ["svg", "png"] {
            let file = folder.join(format!("plots/{plot}.{kind}"));
            assert!(file.metadata().is_ok_and(|file| file.len() > 1000), "{}", file.display());
        }
    }
    let report = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(report.contains("<svg") && !report.contains("<script src"));
}
