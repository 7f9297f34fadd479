//! The suites that hold policies against each other, narrowed: from the command line to the answer.

mod support;

use crashbed_experiments::record::{GaveUpBy, Outcome, Predictor, Standing, Trial, Verdict};
use crashbed_experiments::results::{self, Results};
use support::crashbed;

/// A narrowed run of a suite, in which each of these texts is replaced by the one beside it.
fn run(suite: &str, smaller: &[(&str, &str)], arguments: &[&str]) -> Results {
    let folder = tempfile::tempdir().unwrap();
    let small = smaller.iter().fold(suite.to_owned(), |suite, (was, by)| {
        assert!(suite.contains(was), "{was}");
        suite.replace(was, by)
    });
    std::fs::write(folder.path().join("suite.toml"), small).unwrap();
    let output =
        crashbed(folder.path(), &[&["run", "suite.toml"], arguments, &["--out", "out"]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    results::load(&folder.path().join("out")).unwrap()
}

fn of<'a>(results: &'a Results, policy: &str, workload: &str) -> Vec<&'a Trial> {
    let is_of = |trial: &&Trial| trial.levels.policy == policy && trial.levels.workload == workload;
    results.trials.iter().filter(is_of).collect()
}

#[test]
fn who_leaves_out_what_always_crashes_gets_past_it_and_who_resumes_does_not() {
    // No deadline that a busy machine could miss.
    let smaller = [("deadline_ms = 1000", "deadline_ms = 10000")];
    let policies = "checkpoint-resume,process-decides,keep-if-intact,escalation,older-commit,quarantine";
    let arguments = ["--policy", policies, "--mechanism", "dirty-pages", "--trials", "1"];
    let results = run(include_str!("../suites/poison.toml"), &smaller, &arguments);
    for (workload, met) in [("documents", 2), ("native", 4), ("kv", 1)] {
        for trial in of(&results, "quarantine", workload) {
            let poison = trial.poison.as_ref().unwrap();
            assert_eq!((poison.met, poison.past, poison.harmless_skipped), (met, met, 0), "{trial:?}");
            assert_eq!((trial.outcome, trial.verdict), (Outcome::Done, Verdict::Exact), "{trial:?}");
            let course = trial.course.as_ref().unwrap();
            assert_eq!((course.restarts, course.gave_up_by, trial.crashes), (2 * met, None, 2 * met), "{trial:?}");
            let took = trial.took_ns.unwrap();
            assert!(poison.past_ns.iter().all(|past| *past > 0 && *past < took), "{trial:?}");
        }
        for trial in of(&results, "checkpoint-resume", workload) {
            let (poison, course) = (trial.poison.as_ref().unwrap(), trial.course.as_ref().unwrap());
            assert_eq!((poison.met, poison.past, trial.outcome), (1, 0, Outcome::GaveUp), "{trial:?}");
            assert_eq!((course.restarts, course.gave_up_by), (10, Some(GaveUpBy::Limit)), "{trial:?}");
        }
        // It goes back as far as there are commits of its own trial, and no further.
        for trial in of(&results, "older-commit", workload) {
            let course = trial.course.as_ref().unwrap();
            assert_eq!(
                (course.restarts, course.zeroed, course.gave_up_by),
                (6, 1, Some(GaveUpBy::Policy)),
                "{trial:?}"
            );
            assert_eq!(trial.verdict, Verdict::GaveUp, "{trial:?}");
        }
        for trial in of(&results, "escalation", workload) {
            let course = trial.course.as_ref().unwrap();
            // Six crashes are its ladder, and the seventh of the daemon is the end of that one's.
            assert_eq!((course.daemon_restarts, course.gave_up_by), (6, Some(GaveUpBy::Policy)), "{trial:?}");
            assert_eq!((course.restarts, trial.crashes), (7 * 6 - 1, 7 * 6 + 7), "{trial:?}");
            // The state is made anew in each ladder of the transaction, and once in the daemon's.
            assert_eq!(course.zeroed, 8, "{trial:?}");
        }
        for trial in of(&results, "keep-if-intact", workload) {
            let course = trial.course.as_ref().unwrap();
            assert_eq!((course.keeps_asked, course.kept), (1, u64::from(workload == "kv")), "{trial:?}");
            assert_eq!(course.kept_nothing.is_none(), workload == "kv", "{trial:?}");
        }
    }
    // A store must not leave an operation out.
    for trial in of(&results, "process-decides", "kv") {
        assert_eq!(trial.course.as_ref().unwrap().gave_up_by, Some(GaveUpBy::Program), "{trial:?}");
    }
    let answer = results.summary.unwrap().answer;
    assert!(
        answer[0].contains("in every trial quarantine;") && answer[0].contains("in some process-decides"),
        "{answer:?}"
    );
    let said = |words: &str| answer.iter().any(|sentence| sentence.contains(words));
    assert!(
        said(
            "kv under dirty-pages, not past in any trial: checkpoint-resume (given up by the limit after 10 restarts)"
        ),
        "{answer:?}"
    );
    assert!(said("Kept nothing, because its changes are not made under guards: documents under dirty-pages"));
}

#[test]
fn policies_stand_beside_each_other_and_beside_what_was_predicted() {
    let smaller =
        [("operations = 2000", "operations = 400"), ("deadline_ms = 100", "deadline_ms = 10000"), ("hang = 1\n", "")];
    let policies = "checkpoint-resume,zero-state,keep-if-intact,older-commit,quarantine";
    let arguments = ["--policy", policies, "--trials", "4"];
    let results = run(include_str!("../suites/policies.toml"), &smaller, &arguments);
    let summary = results.summary.as_ref().unwrap();
    assert_eq!(summary.standings.len(), 4 * 5, "{:?}", summary.standings);
    let standing = |mix: &str, policy: &str| {
        let is_it = |standing: &&Standing| (standing.mix.as_str(), standing.policy.as_str()) == (mix, policy);
        summary.standings.iter().find(is_it).unwrap()
    };
    // What strikes once leaves nothing; what comes again is for those that do something about it.
    for policy in ["checkpoint-resume", "zero-state", "keep-if-intact", "older-commit", "quarantine"] {
        let transient = standing("transient", policy);
        assert_eq!((transient.complete, transient.restarts.mean), (transient.trials, 1.0), "{transient:?}");
        assert_eq!(standing("deterministic", policy).complete > 0, policy == "quarantine", "{policy}");
    }
    // Damage that came with a commit: zero is rid of it, and so is an older commit; whoever resumes the last one is not.
    for (policy, is_rid) in [("zero-state", true), ("older-commit", true), ("checkpoint-resume", false)] {
        let damaged = standing("damaged", policy);
        assert_eq!(damaged.gave_up + damaged.wrong < damaged.trials, is_rid, "{damaged:?}");
    }
    // The same faults at the same operations for each policy.
    let faults = |policy: &str| {
        let mut faults: Vec<_> = of(&results, policy, "kv")
            .into_iter()
            .filter(|trial| trial.levels.fault == "mix:mixed")
            .map(|trial| (trial.seed, trial.drawn_fault.clone().unwrap()))
            .collect();
        faults.sort();
        faults
    };
    assert_eq!(faults("zero-state"), faults("quarantine"));
    assert_eq!(faults("zero-state").len(), 4);

    // What the base policy's own crashes say of itself is what happened, and the simulation knows the rule by which it ends.
    for by in [Predictor::ReplayToDifference, Predictor::ReplayOfAll, Predictor::Simulation] {
        let own = summary.predictions.iter().filter(|one| one.by == by && one.policy == "checkpoint-resume");
        let restarts: Vec<_> = own.filter(|one| one.figure.in_words() == "restarts").collect();
        assert_eq!(restarts.len(), 4);
        let transient = restarts.iter().find(|one| one.mix == "transient").unwrap();
        assert!((transient.predicted - 1.0).abs() < 0.05, "{transient:?}");
        let deterministic = restarts.iter().find(|one| one.mix == "deterministic").unwrap();
        assert!(
            (deterministic.predicted - 10.0).abs() < 0.5 && deterministic.error.unwrap() < 0.05,
            "{deterministic:?}"
        );
    }
    let said = |words: &str| summary.answer.iter().any(|sentence| sentence.contains(words));
    assert!(said("Mix deterministic: on the front") && said("Error of the simulation"), "{:?}", summary.answer);
}
