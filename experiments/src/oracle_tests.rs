use super::{index, kv_digests, native_digests, settings, stencil_digests};
use crate::workloads::documents::{Document, Index, list, parse, read};
use crate::workloads::kv::KvState;
use crate::workloads::native::corpus::{Bug, Corpus};
use crate::workloads::native::{Summaries, parse as parse_settings};
use crate::workloads::stencil::{Band, Grids, Heat};
use crate::workloads::ycsb::{Mix, Operation, Plan, operation_name};
use crate::workloads::{corpus, digest::Digest};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

fn kv_digest(plan: &Plan, operations: u64, excluded: &BTreeSet<u64>) -> Digest {
    let mut state = KvState::default();
    state.load(plan);
    for index in 0..operations {
        match excluded.contains(&index) {
            true => state.skip(index),
            false => state.apply(plan, index, || ()).unwrap(),
        }
    }
    state.verify().unwrap();
    state.digest()
}

/// A pass of the workload's own code, without the documents that would crash it.
fn pass(documents: &[Document], excluded: &BTreeSet<String>) -> Index {
    let mut index = Index::default();
    for document in documents {
        if excluded.contains(&document.name) {
            index.quarantine(&document.name);
            continue;
        }
        match read(&document.path).and_then(|bytes| parse(&bytes)) {
            Ok(extract) => index.add(&extract, || ()),
            Err(error) => index.fail(&document.name, &error),
        }
    }
    index
}

fn write(folder: &Path, number: usize, bytes: &[u8]) {
    std::fs::write(folder.join(format!("{number}.json")), bytes).unwrap();
}

/// JSON values as the text of which some members may share a name.
fn json_text() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| Value::from(number).to_string()),
        Just("null".to_owned()),
        any::<bool>().prop_map(|truth| truth.to_string()),
        "\\PC{0,20}".prop_map(|text| Value::from(text).to_string()),
        "[aAbBß ,é]{0,12}".prop_map(|text| Value::from(text).to_string()),
    ];
    scalar.prop_recursive(6, 40, 5, |inner| {
        let name = prop_oneof!["[a-c]?", "\\PC{0,4}"].prop_map(|name| Value::from(name).to_string());
        let member = (name, inner.clone()).prop_map(|(name, value)| format!("{name}:{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|elements| format!("[{}]", elements.join(","))),
            prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_kv_workload_is_what_the_oracle_says(
        seed: u64,
        mix in prop::sample::select(&Mix::ALL[..]),
        records in 1..40_u64,
        after in prop::collection::vec(0..200_u64, 1..4),
        left_out in prop::collection::btree_set(0..200_u64, 0..4),
    ) {
        let plan = Plan::new(seed, mix, records, 200).unwrap();
        // A record whose insertion was left out is missed by all that comes after.
        let inserts = |index: &u64| matches!(plan.operation(*index), Operation::Insert { .. });
        let left_out: BTreeSet<u64> = left_out.into_iter().filter(|index| !inserts(index)).collect();
        let names = left_out.iter().map(|index| operation_name(*index)).collect();
        let expected: Vec<Digest> = after.iter().map(|&operations| kv_digest(&plan, operations, &left_out)).collect();
        prop_assert_eq!(kv_digests(&plan, &after, &names), expected);
    }

    #[test]
    fn the_stencil_workload_is_what_the_oracle_says(
        seed: u64, size in 16..40_u32, bands in 1..9_usize, after in prop::collection::vec(0..60_u64, 1..4),
    ) {
        let heat = Heat::new(seed, size);
        let digest = |&steps: &u64| {
            let mut grids = Grids::default();
            grids.load(heat);
            for _ in 0..steps {
                grids.bands(bands).unwrap().for_each(Band::compute);
                grids.advance(|| ());
            }
            grids.digest()
        };
        prop_assert_eq!(stencil_digests(heat, &after), after.iter().map(digest).collect::<Vec<_>>());
    }

    #[test]
    fn the_native_workload_is_what_the_oracle_says(
        seed: u64,
        after in prop::collection::vec(0..60_u64, 1..4),
        excluded in prop::collection::btree_set(0..60_u64, 0..9),
    ) {
        let corpus = Corpus { seed, inputs: 60, poison_every: 0, bugs: Bug::ALL.to_vec() };
        let names = excluded.iter().map(|number| Corpus::name(*number)).collect();
        let digest = |&after: &u64| {
            let mut summaries = Summaries::default();
            for number in (0..after).filter(|number| !excluded.contains(number)) {
                summaries.note(number, parse_settings(&corpus.input(number)), || ());
            }
            summaries.digest()
        };
        prop_assert_eq!(native_digests(&corpus, &after, &names), after.iter().map(digest).collect::<Vec<_>>());
    }

    /// Over any text that cannot reach a bug: without `t` there is neither a tab nor `unset`, and without brackets no list.
    #[test]
    fn settings_are_to_the_oracle_what_they_are_to_the_parser(text in "([ab]{0,2}[ =+]{0,3}[-\"\\\\n0-9a# ]{0,9}\n?){0,6}") {
        prop_assert_eq!(settings::summary(text.as_bytes()), parse_settings(text.as_bytes()), "{:?}", text);
    }

    /// Over any documents, sound or cut off, and blind to the order in which the workload met them.
    #[test]
    fn the_index_is_what_the_oracle_says(
        texts in prop::collection::vec((json_text(), prop::bool::weighted(0.2)), 1..6),
        excluded in prop::collection::btree_set((0..6).prop_map(|number| format!("{number}.json")), 0..3),
    ) {
        let folder = tempfile::tempdir().unwrap();
        for (number, (text, cut)) in texts.iter().enumerate() {
            let bytes = text.as_bytes();
            write(folder.path(), number, if *cut { &bytes[..bytes.len() / 2] } else { bytes });
        }
        let mut documents = list(folder.path()).unwrap();
        let oracle = index(&documents, &excluded);
        documents.reverse();
        let mut index = pass(&documents, &excluded);
        prop_assert_eq!((index.digest(), index.indexed), (oracle.digest, oracle.indexed));
        index.failed.reverse();
        prop_assert_eq!(index.failed.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), oracle.failed);
        let empty = oracle.digest == Index::default().digest();
        prop_assert_eq!(empty, no_leaves(&documents, &excluded));
    }
}

/// Whether all documents that are no errors are empty objects and arrays.
fn no_leaves(documents: &[Document], excluded: &BTreeSet<String>) -> bool {
    let kept = documents.iter().filter(|document| !excluded.contains(&document.name));
    kept.filter_map(|document| parse(&read(&document.path).unwrap()).ok()).all(|extract| extract.paths.is_empty())
}

/// The oracle gets through what crashes the workload, and its digest does not depend on being told of it.
#[test]
fn hostile_documents_do_not_touch_the_oracle() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = corpus::write(folder.path(), 5, 24, 8).unwrap();
    // Deep, but sound: the bottom of it is indexed.
    let depth = 30_000;
    write(folder.path(), 0, format!("{}\"bottom\"{}", "[".repeat(depth), "]".repeat(depth)).as_bytes());
    let documents = list(folder.path()).unwrap();
    let told: BTreeSet<String> = corpus.crashing.iter().cloned().collect();
    let (with, without) = (index(&documents, &told), index(&documents, &BTreeSet::new()));
    assert_eq!(with.digest, without.digest);
    assert_eq!((with.indexed, with.failed.len(), without.failed.len()), (25, 6, 8));
    let deep = BTreeSet::from(["0.json".to_owned()]);
    let shallow: BTreeSet<String> = told.union(&deep).cloned().collect();
    assert_eq!(pass(&documents, &shallow).digest(), index(&documents, &shallow).digest);
    assert_ne!(index(&documents, &shallow).digest, with.digest);
}

/// What crashes the C parser is read by the oracle as the format says: whoever survived it would be held against that.
#[test]
fn poisoned_settings_do_not_touch_the_oracle() {
    let tabs = settings::summary(b"a = \"x\\ty\\t\"\n").unwrap();
    assert_eq!(tabs, settings::summary(b"a = \"x       y       \"\n").unwrap());
    let unset = settings::summary(b"a = 1\nunset a\nb = 2\n").unwrap();
    assert_eq!((unset.entries, unset.sum), (1, 2));
    assert_eq!(unset, settings::summary(b"b = 2").unwrap());
    for (text, line) in [("a = 1\nb = [1 2]\n".to_owned(), 2), (format!("a = {}", "[".repeat(1_000_000)), 1)] {
        assert_eq!(settings::summary(text.as_bytes()).unwrap_err().line, line);
    }
    let corpus = Corpus { seed: 1, inputs: 60, poison_every: 2, bugs: Bug::ALL.to_vec() };
    let poisoned: BTreeSet<String> = (0..60).filter(|number| number % 2 == 1).map(Corpus::name).collect();
    assert_ne!(native_digests(&corpus, &[60], &poisoned), native_digests(&corpus, &[60], &BTreeSet::new()));
}
