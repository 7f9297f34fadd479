use super::{KvError, KvState};
use crate::workloads::ycsb::{Mix, Operation, Plan, key_name};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::HashSet;

fn loaded(plan: &Plan) -> KvState {
    let mut state = KvState::default();
    assert!(!state.is_loaded());
    state.load(plan);
    assert!(state.is_loaded());
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A state that lost one bit of any record is never called good, and an operation that reads it says so.
    #[test]
    fn damage_is_detected(seed: u64, mix in prop::sample::select(&Mix::ALL[..]), bit in 0..8000_usize, at in 0..20_usize) {
        let plan = Plan::new(seed, mix, 20, 60).unwrap();
        let mut state = loaded(&plan);
        let sound = state.clone();
        let (name, record) = state.records.iter_mut().nth(at).unwrap();
        let name = name.clone();
        record.value[bit / 8] ^= 1 << (bit % 8);
        let is_damage = |error: &KvError| matches!(error, KvError::Damaged { name: damaged, .. } if *damaged == name);
        prop_assert!(state.verify().is_err_and(|error| is_damage(&error)));
        prop_assert_ne!(state.digest(), sound.digest());
        for index in 0..60 {
            let operation = plan.operation(index);
            let met = match operation {
                Operation::Read { key } | Operation::Update { key, .. } | Operation::ReadModifyWrite { key, .. } => {
                    key_name(key).as_str() == name
                }
                Operation::Scan { key, length } => state
                    .records
                    .keys()
                    .filter(|other| other.as_str() >= key_name(key).as_str())
                    .take(length as usize)
                    .any(|other| *other == name),
                Operation::Insert { .. } => false,
            };
            let applied = state.apply(&plan, index, || ());
            prop_assert_eq!(applied.is_err_and(|error| is_damage(&error)), met, "{:?}", operation);
        }
    }

    /// The state between the two parts of a change is torn, before and after it is not.
    #[test]
    fn a_torn_change_is_detected(seed: u64, mix in prop::sample::select(&[Mix::A, Mix::D, Mix::E, Mix::F][..])) {
        let plan = Plan::new(seed, mix, 10, 200).unwrap();
        let mut state = loaded(&plan);
        let index = plan.next_write(0).unwrap();
        (0..index).for_each(|index| state.apply(&plan, index, || ()).unwrap());
        let before = state.total;
        state.verify().unwrap();
        let calls = RefCell::new(0);
        state.apply(&plan, index, || *calls.borrow_mut() += 1).unwrap();
        prop_assert_eq!(*calls.borrow(), 1);
        state.verify().unwrap();
        state.total = before;
        let torn = matches!(state.verify(), Err(KvError::Torn { .. }));
        prop_assert!(torn);
    }

    #[test]
    fn every_operation_changes_the_digest(seed: u64, mix in prop::sample::select(&Mix::ALL[..])) {
        let plan = Plan::new(seed, mix, 5, 100).unwrap();
        let mut state = loaded(&plan);
        let mut digests = HashSet::from([state.digest()]);
        for index in 0..100 {
            state.apply(&plan, index, || ()).unwrap();
            prop_assert!(digests.insert(state.digest()), "operation {index}");
        }
    }
}

#[test]
fn lost_and_doubled_records_are_detected() {
    let plan = Plan::new(11, Mix::D, 10, 500).unwrap();
    let mut state = loaded(&plan);
    let insert = plan.next_write(0).unwrap();
    state.apply(&plan, insert, || ()).unwrap();
    assert!(matches!(state.apply(&plan, insert, || ()), Err(KvError::Exists { .. })));
    let lost = match plan.operation(0) {
        Operation::Read { key } => key_name(key).as_str().to_owned(),
        other => panic!("operation 0 of this seed is {other:?}"),
    };
    state.records.remove(&lost);
    assert_eq!(state.apply(&plan, 0, || ()), Err(KvError::Missing { name: lost }));
    assert!(matches!(state.verify(), Err(KvError::Torn { .. })));
}

/// Against the blocks of names and values, with 16 bytes of the allocator's own for each; the map's nodes come on top.
#[test]
fn the_declaration_is_enough_and_not_far_too_much() {
    for records in [200, 2000] {
        let plan = Plan::new(1, Mix::D, records, 1000).unwrap();
        let mut state = loaded(&plan);
        (0..1000).for_each(|index| state.apply(&plan, index, || ()).unwrap());
        let blocks: usize =
            state.records.iter().map(|(name, record)| name.capacity() + record.value.capacity() + 32).sum();
        let blocks = blocks as u64;
        assert!(
            (blocks * 9 / 8..blocks * 3 / 2).contains(&KvState::bytes(&plan)),
            "{blocks}, {}",
            KvState::bytes(&plan)
        );
    }
}
