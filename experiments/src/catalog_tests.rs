//! Each thing that can be wrong with a suite is found, with its line.
use super::*;
use crate::when::Trigger;
use crate::workloads::native::corpus::Bug;
use proptest::prelude::*;

/// A suite that is right; each test breaks one line of it.
const RIGHT: &str = r#"name = "mine"
question = "Does it?"
seed = 7
[factors]
policy = ["zero-state", "checkpoint-resume"]
mechanism = "copy-on-write"
workload = ["kv"]
fault = ["none", "kill"]
region = "8 MiB"
trials = 3
[workload.kv]
mix = "d"
records = 100
operations = 50
commit_every = 5
[trigger]
kind = "probability"
p = 0.5
"#;

/// Replaces one line of [`RIGHT`] and gives line, key and problem of the error.
fn broken(line: &str, by: &str) -> (usize, String, String) {
    assert!(RIGHT.contains(line));
    match parse("mine.toml", &RIGHT.replace(line, by)) {
        Err(SuiteError::Invalid { line, key, problem, .. }) => (line, key, problem),
        other => panic!("{by}: {other:?}"),
    }
}

/// That the error is in `line`, about `key`, and says `words`.
#[track_caller]
fn assert_broken(was: &str, by: &str, line: usize, key: &str, words: &str) {
    let (at, about, problem) = broken(was, by);
    assert!(problem.contains(words), "{problem}");
    assert_eq!((at, about.as_str()), (line, key), "{problem}");
}

#[test]
fn the_right_suite_is_right() {
    let suite = parse("mine.toml", RIGHT).unwrap();
    assert_eq!(suite.factors.len(), 1);
    let block = &suite.factors[0];
    assert_eq!(block.policy, ["zero-state", "checkpoint-resume"]);
    assert_eq!(block.mechanism, ["copy-on-write"]);
    assert_eq!(
        (&block.spare[..], &block.load[..], block.batch),
        (&["cold".to_owned()][..], &["none".to_owned()][..], 1)
    );
    assert_eq!(suite.trigger, Trigger::Probability(0.5));
}

#[test]
fn each_embedded_suite_is_right_and_named_as_its_file() {
    for (name, text) in EMBEDDED {
        let suite = parse(name, text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(suite.name, name);
        assert!(suite.question.ends_with('?'));
    }
    assert_eq!(embedded().len(), EMBEDDED.len());
}

#[test]
fn unknown_names_get_their_line_and_the_nearest_name() {
    assert_broken("\"zero-state\"", "\"zero-stat\"", 5, "factors.policy", "the nearest is `zero-state`");
    assert_broken("copy-on-write", "copy-on-wirte", 6, "factors.mechanism", "the nearest is `copy-on-write`");
    assert_broken("\"kv\"", "\"vk\"", 7, "factors.workload", "unknown workload `vk`");
    assert_broken("\"kill\"", "\"kil\"", 8, "factors.fault", "the nearest is `kill`");
    assert_broken("mix = \"d\"", "mix = \"g\"", 12, "workload.kv.mix", "unknown value `g`");
    assert_broken("\"probability\"", "\"probably\"", 17, "trigger.kind", "the nearest is `probability`");
}

#[test]
fn a_level_in_a_list_over_several_lines_gets_its_own_line() {
    assert_broken("[\"none\", \"kill\"]", "[\n  \"none\",\n  \"kil\",\n]", 10, "factors.fault", "unknown fault `kil`");
}

#[test]
fn unknown_keys_get_their_line_and_the_nearest_key() {
    assert_broken("question", "qestion", 2, "", "the nearest is `question`");
    assert_broken("mechanism", "mechanisms", 6, "factors", "the nearest is `mechanism`");
    assert_broken("records", "record", 13, "workload.kv", "the nearest is `records`");
    assert_broken("p = 0.5", "prob = 0.5", 18, "trigger", "unknown key `prob`");
    assert_broken("[workload.kv]", "[workload.vk]", 11, "workload", "the nearest is `kv`");
}

#[test]
fn numbers_out_of_range_are_refused() {
    assert_broken("trials = 3", "trials = 0", 10, "factors.trials", "at least 1");
    assert_broken("trials = 3", "trials = -3", 10, "factors.trials", "-3");
    assert_broken("p = 0.5", "p = 1.5", 18, "trigger.p", "1.5 is not a probability");
    assert_broken("p = 0.5", "p = -0.1", 18, "trigger.p", "-0.1 is not a probability");
    assert_broken("p = 0.5", "p = nan", 18, "trigger.p", "not a probability");
    assert_broken("commit_every = 5", "commit_every = 0", 15, "workload.kv.commit_every", "at least 1");
    assert_broken("seed = 7", "seed = -7", 3, "seed", "-7");
    assert_broken("seed = 7", "seed = 9007199254740992", 3, "seed", "the largest seed is 9007199254740991");
}

#[test]
fn regions_that_do_not_fit_are_refused() {
    assert_broken("8 MiB", "8 MiBs", 9, "factors.region", "is not a size");
    assert_broken("8 MiB", "0 MiB", 9, "factors.region", "multiple of 4096");
    assert_broken("\"8 MiB\"", "8", 9, "factors.region", "expected a size");
    assert_broken("8 MiB", "64 KiB", 9, "factors.region", "smaller than the workload `kv` needs");
    assert_broken("records = 100", "records = 1000000", 9, "factors.region", "smaller than the workload `kv` needs");
}

#[test]
fn a_plate_must_have_room_and_heat_for_its_steps() {
    let stencil =
        |settings: &str| RIGHT.replace("[workload.kv]", &format!("[workload.stencil]\n{settings}\n[workload.kv]"));
    let right = stencil("size = 32\nsteps = 60").replace("[\"kv\"]", "\"stencil\"");
    assert_eq!(parse("mine.toml", &right).unwrap().workload.operations("stencil"), Some(60));
    for (was, by, key, words) in [
        ("steps = 60", "steps = 100000", "workload.stencil.steps", "are the most"),
        ("steps = 60", "steps = 0", "workload.stencil.steps", "at least 1"),
        ("size = 32", "size = 15", "workload.stencil.size", "write 16 to 32768"),
        ("size = 32", "size = 1000", "factors.region", "smaller than the workload `stencil` needs"),
        ("size = 32", "threads = 257", "workload.stencil.threads", "256 are the most"),
        ("kind = \"probability\"\np = 0.5", "kind = \"at-operation\"\nat = 60", "trigger.at", "`stencil` has 60"),
    ] {
        assert!(right.contains(was), "{was}");
        match parse("mine.toml", &right.replace(was, by)) {
            Err(SuiteError::Invalid { key: about, problem, .. }) => {
                assert!(about == key && problem.contains(words), "{about}: {problem}");
            }
            other => panic!("{by}: {other:?}"),
        }
    }
}

#[test]
fn poison_is_of_known_bugs() {
    let with = |native: &str| {
        parse("mine.toml", &RIGHT.replace("[workload.kv]", &format!("[workload.native]\n{native}\n[workload.kv]")))
    };
    let suite = with("bugs = \"double-free\"\ninputs = 9").unwrap();
    assert_eq!(
        (&suite.workload.native.bugs[..], suite.workload.operations("native")),
        (&[Bug::DoubleFree][..], Some(9))
    );
    let all = Bug::ALL.map(Bug::name);
    assert_eq!(with(&format!("bugs = {all:?}")).unwrap().workload.native.bugs, Bug::ALL);
    for (native, words) in [
        ("bugs = [\"duoble-free\"]", "the nearest is `double-free`"),
        ("bugs = []", "the list is empty"),
        ("bugs = [\"recursion\", \"recursion\"]", "`recursion` is there twice"),
        ("inputs = 0", "at least 1"),
        ("poison_evry = 3", "the nearest is `poison_every`"),
    ] {
        match with(native) {
            Err(SuiteError::Invalid { line: 12, problem, .. }) => {
                assert!(problem.contains(words), "{native}: {problem}")
            }
            other => panic!("{native}: {other:?}"),
        }
    }
}

#[test]
fn lists_have_levels_and_none_twice() {
    assert_broken("[\"none\", \"kill\"]", "[]", 8, "factors.fault", "the list is empty");
    assert_broken("[\"none\", \"kill\"]", "[\"kill\", \"kill\"]", 8, "factors.fault", "`kill` is there twice");
}

#[test]
fn a_trigger_takes_the_keys_of_its_kind() {
    assert_broken("p = 0.5\n", "", 16, "trigger", "takes `p`");
    assert_broken("p = 0.5", "p = 0.5\nat = 3", 16, "trigger", "takes `p`");
    assert_broken(
        "kind = \"probability\"\np = 0.5",
        "kind = \"at-operation\"\nat = 50",
        18,
        "trigger.at",
        "never reached",
    );
    for keys in
        ["\"exponential\"\nmean_ms = 2.5", "\"exponential\"\nmean_operations = 20.0", "\"point\"\nname = \"commit\""]
    {
        let text = RIGHT.replace("\"probability\"\np = 0.5", keys);
        parse("mine.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A suite of two blocks that is right.
const BLOCKS: &str = r#"name = "mine"
question = "Does it?"
[[factors]]
policy = "checkpoint-resume"
mechanism = ["copy-on-write", "full-copy"]
workload = "kv"
fault = ["null-read", "kill"]
region = "8 MiB"
spare = ["cold", "hot"]
trials = 3
[[factors]]
policy = "checkpoint-resume"
mechanism = "copy-on-write"
workload = "kv"
fault = "null-read"
region = ["8 MiB", "16 MiB"]
spare = "warm"
load = ["none", "busy"]
trials = 500
batch = 50
touch = true
[workload.kv]
records = 100
operations = 500
[batch]
pause_us = 200
[spin]
most_ms = 20
percent = 100
"#;

/// That [`BLOCKS`] with one of its lines changed is refused in `line`, about `key`, in `words`.
#[track_caller]
fn assert_blocks_broken(was: &str, by: &str, line: usize, key: &str, words: &str) {
    assert!(BLOCKS.contains(was));
    match parse("mine.toml", &BLOCKS.replace(was, by)) {
        Err(SuiteError::Invalid { line: at, key: about, problem, .. }) => {
            assert!(problem.contains(words), "{problem}");
            assert_eq!((at, about.as_str()), (line, key), "{problem}");
        }
        other => panic!("{by}: {other:?}"),
    }
}

#[test]
fn a_suite_of_blocks_is_their_union() {
    let suite = parse("mine.toml", BLOCKS).unwrap();
    assert_eq!((suite.cells(), suite.trials()), (8 + 4, 8 * 3 + 4 * 500));
    assert_eq!(suite.batch.pause_us, 200);
    let spin = crashbed::Spin { most: std::time::Duration::from_millis(20), percent: 100 };
    assert_eq!(suite.spin.spare("hot").unwrap(), crashbed::Spare::Hot(spin));
    assert_eq!(suite.spin.spare("warm").unwrap(), crashbed::Spare::Warm);
    let block = &suite.factors[1];
    assert_eq!((&block.spare[..], block.batch, block.touch), (&["warm".to_owned()][..], 50, true));
    for block in &suite.factors {
        for cell in block.levels() {
            assert_eq!(suite.block_of(&cell), Some(block), "{cell:?}");
        }
    }
    let mut elsewhere = block.levels().swap_remove(0);
    elsewhere.spare = "auto".to_owned();
    assert_eq!(suite.block_of(&elsewhere), None);
}

#[test]
fn what_is_wrong_in_a_block_gets_its_own_line() {
    assert_blocks_broken("\"warm\"", "\"wram\"", 17, "factors.spare", "the nearest is `warm`");
    assert_blocks_broken("\"busy\"", "\"bussy\"", 18, "factors.load", "the nearest is `busy`");
    assert_blocks_broken("batch = 50", "batches = 50", 20, "factors", "the nearest is `batch`");
    assert_blocks_broken("trials = 500", "trials = 0", 19, "factors.trials", "at least 1");
    assert_blocks_broken("\"16 MiB\"", "\"64 KiB\"", 16, "factors.region", "smaller than the workload `kv` needs");
    assert_blocks_broken("region = \"8 MiB\"", "region = \"64 GiB\"", 8, "factors.region", "32 GiB are the most");
    assert_blocks_broken("pause_us = 200", "pause_us = 2000000", 26, "batch.pause_us", "the longest pause is 1000000");
    assert_blocks_broken("percent = 100", "percent = 101", 29, "spin.percent", "1 to 100");
    assert_blocks_broken("percent = 100", "percent = 0", 29, "spin.percent", "1 to 100");
    assert_blocks_broken("pause_us", "pause_ms", 26, "batch", "the nearest is `pause_us`");
}

#[test]
fn a_cell_in_two_blocks_is_refused() {
    assert_blocks_broken("spare = \"warm\"", "spare = \"hot\"", 11, "factors", "block 2 has a cell that is in block 1");
}

#[test]
fn a_batch_that_cannot_be_made_is_refused() {
    assert_blocks_broken("batch = 50", "batch = 51", 20, "factors.batch", "50 are the most");
    assert_blocks_broken("batch = 50", "batch = 0", 20, "factors.batch", "at least 1");
    assert_blocks_broken("operations = 500", "operations = 50", 20, "factors.batch", "than that, which has 50");
    assert_blocks_broken("fault = \"null-read\"", "fault = \"poison\"", 15, "factors.fault", "with `poison`");
    assert_blocks_broken("batch = 50", "batch = 1", 21, "factors.touch", "only trials in a batch");
    let documents = "workload = \"documents\"\nfault = \"null-read\"";
    assert_blocks_broken("workload = \"kv\"\nfault = \"null-read\"", documents, 14, "factors.workload", "`documents`");
    let trigger = "[trigger]\nkind = \"probability\"\np = 0.5\n[batch]";
    assert_blocks_broken("[batch]", trigger, 26, "trigger.kind", "operations that are drawn");
}

#[test]
fn names_that_cannot_name_a_folder_are_refused() {
    for name in ["", "../up", "Mine", "-x", "a b"] {
        assert_broken("name = \"mine\"", &format!("name = \"{name}\""), 1, "name", "is not a name");
    }
}

#[test]
fn text_that_is_not_toml_gets_its_line() {
    assert_broken("trials = 3", "trials = = 3", 10, "", "");
    assert_broken("trials = 3", "trials = 3\ntrials = 4", 11, "", "duplicate");
}

#[test]
fn the_error_shows_file_line_key_and_text() {
    let error = parse("my/mine.toml", &RIGHT.replace("trials = 3", "trials = 0")).unwrap_err().to_string();
    assert!(error.starts_with("my/mine.toml:10: 0 is too few"), "{error}");
    assert!(error.contains("`factors.trials`"), "{error}");
    assert!(error.ends_with("10 | trials = 0"), "{error}");
}

#[test]
fn an_unknown_suite_gets_the_nearest_one() {
    let error = load("quik").unwrap_err().to_string();
    assert!(error.contains("nearest suite is `quick`"), "{error}");
    assert!(load("nowhere/quick.toml").unwrap_err().to_string().contains("nowhere/quick.toml"));
}

proptest! {
    #[test]
    fn a_suite_that_is_written_reads_back_the_same(
        seed in proptest::option::of(0_u64..1 << 53),
        trials in 1_u64..1_000,
        pages in 4096_u64..1 << 20,
        trigger in prop_oneof![
            proptest::option::of(0_u64..50).prop_map(Trigger::AtOperation),
            (1e-9..=1.0).prop_map(Trigger::Probability),
            (1e-9..1e9).prop_map(Trigger::ExponentialMs),
            (1e-9..1e9).prop_map(Trigger::ExponentialOperations),
            ("[a-z]{1,9}", 0_u64..9).prop_map(|(name, pass)| Trigger::Point { name, pass }),
        ],
        corpus in proptest::option::of("\\PC{1,30}"),
    ) {
        let mut suite = parse("mine.toml", RIGHT).unwrap();
        suite.seed = seed;
        suite.factors[0].trials = trials;
        suite.factors[0].region = vec![Size::at_least(pages * Size::PAGE)];
        suite.trigger = trigger;
        suite.workload.documents.corpus = corpus.map(Into::into);
        let text = toml::to_string(&suite).unwrap();
        prop_assert_eq!(parse("written", &text).map_err(|e| e.to_string()), Ok(suite));
    }

    #[test]
    fn blocks_that_are_written_read_back_the_same(pause_us in 0_u64..1_000_000, batch in 1_u64..51, blocks in 1_usize..3) {
        let mut suite = parse("mine.toml", BLOCKS).unwrap();
        suite.batch.pause_us = pause_us;
        suite.factors.truncate(blocks);
        suite.factors[0].batch = batch;
        let text = toml::to_string(&suite).unwrap();
        prop_assert_eq!(text.contains("[[factors]]"), blocks > 1);
        prop_assert_eq!(parse("written", &text).map_err(|e| e.to_string()), Ok(suite));
    }

    #[test]
    fn no_text_makes_it_panic(at in 0..RIGHT.len(), put in "\\PC{0,8}") {
        let mut text = RIGHT.to_owned();
        text.insert_str(at, &put);
        let _ = parse("mine.toml", &text);
    }
}

/// The right suite with measures behind it; they begin in line 19.
fn measuring(measures: &str) -> Result<Suite, SuiteError> {
    parse("mine.toml", &format!("{RIGHT}{measures}"))
}

#[track_caller]
fn assert_unmeasured(measures: &str, line: usize, key: &str, words: &str) {
    match measuring(measures) {
        Err(SuiteError::Invalid { line: at, key: about, problem, .. }) => {
            assert!(problem.contains(words), "{problem}");
            assert_eq!((at, about.as_str()), (line, key), "{problem}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn measures_keep_their_settings() {
    let text = "[[measure]]\nname = \"pool\"\nrounds = 3\nlaps = 9\nrecords = 77\n\
                [[measure]]\nname = \"erlang\"\nrounds = 1\nlaps = 2\n";
    let suite = measuring(text).unwrap();
    let [pool, erlang] = &suite.measure[..] else { panic!("{:?}", suite.measure) };
    assert_eq!((pool.name.as_str(), pool.rounds, pool.laps), ("pool", 3, 9));
    assert_eq!(pool.settings["records"].as_integer(), Some(77));
    assert!(erlang.settings.is_empty());
    assert_eq!(parse("again.toml", &toml::to_string(&suite).unwrap()).unwrap(), suite);
}

#[test]
fn what_is_wrong_with_a_measure_has_its_line() {
    let measure = |name: &str, more: &str| format!("[[measure]]\nname = \"{name}\"\nrounds = 3\nlaps = 9\n{more}");
    assert_unmeasured(&measure("pol", ""), 20, "measure.name", "the nearest is `pool`");
    assert_unmeasured(&measure("pool", "").replace("9", "0"), 22, "measure.laps", "at least 1");
    assert_unmeasured(&measure("pool", "").replace("rounds", "round"), 19, "measure", "missing field `rounds`");
    assert_unmeasured(&measure("pool", "record = 7"), 23, "measure", "the nearest is `records`");
    assert_unmeasured(&measure("pool", "records = 0"), 23, "measure.records", "at least 1");
    assert_unmeasured(&measure("heartbeat", "operation_us = [9, 3]"), 23, "measure.operation_us", "[9, 3] is no range");
    assert_unmeasured(&measure("live", "spares = [\"cold\", \"wram\"]"), 23, "measure.spares", "nearest is `warm`");
    let second = measure("pool", "") + &measure("erlang", "records = \"many\"");
    assert_unmeasured(&second, 27, "measure.records", "expected u64");
}

#[test]
fn a_suite_may_have_measures_alone_but_not_nothing() {
    let head = "name = \"mine\"\nquestion = \"Does it?\"\n";
    let measure = "[[measure]]\nname = \"pool\"\nrounds = 3\nlaps = 9\n";
    let suite = parse("mine.toml", &format!("{head}{measure}{measure}")).unwrap();
    assert_eq!((suite.factors.len(), suite.trials(), suite.rounds()), (0, 0, 6));
    assert!(!suite.records_crashes());
    let again = toml::to_string(&suite).unwrap();
    assert_eq!(parse("again", &again).unwrap(), suite, "{again}");
    match parse("mine.toml", head) {
        Err(SuiteError::Invalid { line: 1, problem, .. }) => assert!(problem.contains("nothing to do"), "{problem}"),
        other => panic!("{other:?}"),
    }
    match parse("mine.toml", &format!("factors = []\n{head}{measure}")) {
        Err(SuiteError::Invalid { problem, .. }) => assert!(problem.contains("at least one block"), "{problem}"),
        other => panic!("{other:?}"),
    }
}
