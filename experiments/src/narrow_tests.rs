//! What narrowing keeps, and what it refuses.
use super::*;
use crate::catalog;
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_is_left_is_what_was_asked_for_in_the_suites_order(picks in proptest::collection::vec(0_usize..100, 1..9)) {
        let mut suite = catalog::load("quick").unwrap();
        let all = suite.factors[0].fault.clone();
        let asked: Vec<String> = picks.iter().map(|pick| all[pick % all.len()].clone()).collect();
        Narrowing { fault: Some(asked.clone()), ..Narrowing::default() }.apply(&mut suite).unwrap();
        let expected: Vec<_> = all.iter().filter(|level| asked.contains(level)).cloned().collect();
        prop_assert_eq!(&suite.factors[0].fault, &expected);
    }
}

#[test]
fn a_level_that_the_suite_has_not_is_refused_with_those_it_has() {
    let mut suite = catalog::load("documents").unwrap();
    let narrowing = Narrowing { workload: Some(vec!["kv".into()]), ..Narrowing::default() };
    let error = narrowing.apply(&mut suite).unwrap_err().to_string();
    assert!(error.contains("has no workload `kv`"), "{error}");
    assert!(error.contains("it has: documents"), "{error}");
}

#[test]
fn a_run_has_a_bounded_number_of_trials() {
    let narrow = |trials| {
        let mut suite = catalog::load("quick").unwrap();
        Narrowing { trials: Some(trials), ..Narrowing::default() }.apply(&mut suite).map(|()| suite.cells())
    };
    let cells = narrow(1).unwrap();
    assert!(narrow(MOST_TRIALS / cells).is_ok());
    for trials in [MOST_TRIALS / cells + 1, u64::MAX] {
        assert!(matches!(narrow(trials), Err(NarrowError::TooMany { .. })));
    }
}

#[test]
fn a_corpus_must_be_read_by_someone_be_there_and_hold_something() {
    let folder = tempfile::tempdir().unwrap();
    let narrow = |suite: &str, corpus: &Path| {
        let mut suite = catalog::load(suite).unwrap();
        let narrowing = Narrowing { corpus: Some(corpus.to_owned()), ..Narrowing::default() };
        narrowing.apply(&mut suite).map(|()| suite)
    };
    assert!(matches!(narrow("documents", folder.path()), Err(NarrowError::Empty { .. })));
    assert!(matches!(narrow("documents", &folder.path().join("x")), Err(NarrowError::Unreadable { .. })));
    let file = folder.path().join("one.json");
    std::fs::write(&file, "{}").unwrap();
    assert!(matches!(narrow("documents", &file), Err(NarrowError::Unreadable { .. })));
    assert!(matches!(narrow("state-integrity", folder.path()), Err(NarrowError::NoDocuments { .. })));
    let suite = narrow("documents", folder.path()).unwrap();
    assert_eq!(suite.workload.documents.corpus, Some(folder.path().canonicalize().unwrap()));
}

#[test]
fn a_suites_own_corpus_must_be_there_too() {
    let mut suite = catalog::load("documents").unwrap();
    suite.workload.documents.corpus = Some("/nowhere/at/all".into());
    assert!(matches!(Narrowing::default().apply(&mut suite), Err(NarrowError::Unreadable { .. })));
}

/// Two grids: `kill` cold and warm at two sizes, and `null-read` hot at one.
fn two_blocks() -> Suite {
    let mut suite = catalog::load("state-integrity").unwrap();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mechanism = names(&["copy-on-write", "full-copy"]);
    let kill =
        Factors { mechanism, fault: names(&["kill"]), spare: names(&["cold", "warm"]), ..suite.factors.remove(0) };
    let null = Factors { fault: names(&["null-read"]), spare: names(&["hot"]), trials: 7, ..kill.clone() };
    suite.factors = vec![kill, null];
    suite
}

#[test]
fn every_block_is_narrowed_and_one_without_a_level_goes() {
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let mut suite = two_blocks();
    Narrowing { policy: names(&["zero-state"]), ..Narrowing::default() }.apply(&mut suite).unwrap();
    assert!(suite.factors.iter().all(|block| block.policy == ["zero-state"]));
    Narrowing { spare: names(&["hot", "warm"]), ..Narrowing::default() }.apply(&mut suite).unwrap();
    assert_eq!(suite.factors.iter().map(|block| &block.spare[..]).collect::<Vec<_>>(), [["warm"], ["hot"]]);
    Narrowing { fault: names(&["null-read"]), trials: Some(2), ..Narrowing::default() }.apply(&mut suite).unwrap();
    assert_eq!(suite.factors.len(), 1);
    assert_eq!((&suite.factors[0].spare[..], suite.trials()), (&["hot".to_owned()][..], 2 * suite.cells()));
}

#[test]
fn levels_that_no_cell_has_together_are_refused_and_so_is_one_that_no_block_has() {
    let apply = |spare: &str, fault: &str, load: &str| {
        let [spare, fault, load] = [spare, fault, load].map(|name| Some(vec![name.to_owned()]));
        Narrowing { spare, fault, load, ..Narrowing::default() }.apply(&mut two_blocks()).unwrap_err().to_string()
    };
    let error = apply("hot", "kill", "none");
    assert!(error.contains("no cell that has them all") && error.contains("2 grids"), "{error}");
    let error = apply("auto", "kill", "none");
    assert!(error.contains("has no spare `auto`") && error.contains("it has: cold, warm, hot"), "{error}");
    let error = apply("hot", "kill", "busy");
    assert!(error.contains("has no load `busy`") && error.contains("it has: none"), "{error}");
}

#[test]
fn the_trials_of_all_blocks_are_bounded_together() {
    let mut suite = two_blocks();
    suite.factors[1].trials = MOST_TRIALS;
    let error = Narrowing::default().apply(&mut suite).unwrap_err();
    assert!(matches!(error, NarrowError::TooMany { trials, cells: 36 } if trials > MOST_TRIALS), "{error}");
}

#[test]
fn a_suite_of_measures_alone_has_nothing_to_narrow_but_its_seed() {
    let suite = "name = \"mine\"\nquestion = \"Does it?\"\n[[measure]]\nname = \"pool\"\nrounds = 3\nlaps = 9\n";
    let mut suite = catalog::parse("mine.toml", suite).unwrap();
    Narrowing { seed: Some(5), ..Narrowing::default() }.apply(&mut suite).unwrap();
    assert_eq!(suite.seed, Some(5));
    let policy = Narrowing { policy: Some(vec!["zero-state".into()]), ..Narrowing::default() };
    let trials = Narrowing { trials: Some(3), ..Narrowing::default() };
    let corpus = Narrowing { corpus: Some("there".into()), ..Narrowing::default() };
    for (narrowing, option) in [(policy, "--policy"), (trials, "--trials"), (corpus, "--corpus")] {
        let error = narrowing.apply(&mut suite).unwrap_err().to_string();
        assert!(error.starts_with(option) && error.contains("makes no trials"), "{error}");
    }
}
