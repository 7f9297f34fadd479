use super::{FIELDS, MAX_SCAN, Mix, Operation, Plan, PlanError, key_name};
use crate::workloads::zipfian::{zeta, zeta_term};
use proptest::prelude::*;

const OPERATIONS: u64 = 10_000;

#[test]
fn mixes_have_the_published_proportions() {
    // Reads, updates, inserts, scans, read-modify-writes.
    for (mix, expected) in [
        (Mix::A, [0.5, 0.5, 0.0, 0.0, 0.0]),
        (Mix::B, [0.95, 0.05, 0.0, 0.0, 0.0]),
        (Mix::C, [1.0, 0.0, 0.0, 0.0, 0.0]),
        (Mix::D, [0.95, 0.0, 0.05, 0.0, 0.0]),
        (Mix::E, [0.0, 0.0, 0.05, 0.95, 0.0]),
        (Mix::F, [0.5, 0.0, 0.0, 0.0, 0.5]),
    ] {
        let plan = Plan::new(7, mix, 1000, OPERATIONS).unwrap();
        let mut seen = [0.0; 5];
        for index in 0..OPERATIONS {
            let kind = match plan.operation(index) {
                Operation::Read { .. } => 0,
                Operation::Update { .. } => 1,
                Operation::Insert { .. } => 2,
                Operation::Scan { .. } => 3,
                Operation::ReadModifyWrite { .. } => 4,
            };
            seen[kind] += 1.0 / OPERATIONS as f64;
        }
        for (seen, expected) in seen.iter().zip(expected) {
            // Four standard deviations of a share, and nothing where there must be nothing.
            let tolerance = 4.0 * (expected * (1.0 - expected) / OPERATIONS as f64).sqrt() + 1e-9;
            assert!((seen - expected).abs() < tolerance, "mix {mix}: {seen}, expected {expected}");
        }
    }
}

#[test]
fn mix_d_reads_the_latest() {
    let plan = Plan::new(3, Mix::D, 1000, OPERATIONS).unwrap();
    let (mut reads, mut newest, mut second, mut expected) = (0.0, 0.0, 0.0, 0.0);
    for index in 0..OPERATIONS {
        if let Operation::Read { key } = plan.operation(index) {
            let present = plan.records_before(index);
            reads += 1.0;
            newest += f64::from(u8::from(key + 1 == present));
            second += f64::from(u8::from(key + 2 == present));
            if index % 1000 == 0 {
                expected = 1.0 / zeta(present);
            }
        }
    }
    // The expected share falls while some 500 records are added.
    assert!((expected..0.13).contains(&(newest / reads)), "{}", newest / reads);
    let ratio = second / newest;
    assert!((ratio - zeta_term(2)).abs() < 0.1, "{ratio}");
}

#[test]
fn scans_are_uniform_over_their_lengths() {
    let plan = Plan::new(5, Mix::E, 100, OPERATIONS).unwrap();
    let lengths: Vec<u32> = (0..OPERATIONS)
        .filter_map(|index| match plan.operation(index) {
            Operation::Scan { length, .. } => Some(length),
            _ => None,
        })
        .collect();
    assert_eq!((lengths.iter().min(), lengths.iter().max()), (Some(&1), Some(&MAX_SCAN)));
    let mean = lengths.iter().map(|&length| f64::from(length)).sum::<f64>() / lengths.len() as f64;
    assert!((mean - 50.5).abs() < 1.2, "{mean}");
}

#[test]
fn keys_are_named_as_ycsb_names_them() {
    assert_eq!(key_name(0).as_str(), "user6284781860667377211");
}

#[test]
fn bad_plans_are_refused() {
    assert_eq!(Plan::new(1, Mix::A, 0, 10).unwrap_err(), PlanError::NoRecords);
    assert!("g".parse::<Mix>().unwrap_err().to_string().contains("`g`"));
    for mix in Mix::ALL {
        assert_eq!(mix.name().parse(), Ok(mix));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every key exists when it is asked for, inserts number the records without a gap, and any index gives the same
    /// operation in whatever order it is asked.
    #[test]
    fn operations_ask_for_what_exists(seed: u64, mix in prop::sample::select(&Mix::ALL[..]), records in 1..40_u64) {
        let plan = Plan::new(seed, mix, records, 400).unwrap();
        let again = Plan::new(seed, mix, records, 400).unwrap();
        let backwards: Vec<Operation> = (0..400).rev().map(|index| again.operation(index)).collect();
        let mut present = records;
        for index in 0..400 {
            let operation = plan.operation(index);
            prop_assert_eq!(operation, backwards[399 - usize::try_from(index).unwrap()]);
            prop_assert_eq!(plan.records_before(index), present);
            match operation {
                Operation::Read { key } => prop_assert!(key < present),
                Operation::Scan { key, length } => prop_assert!(key < present && (1..=MAX_SCAN).contains(&length)),
                Operation::Update { key, field, .. } | Operation::ReadModifyWrite { key, field, .. } => {
                    prop_assert!(key < present && field < FIELDS);
                }
                Operation::Insert { key, .. } => {
                    prop_assert_eq!(key, present);
                    present += 1;
                }
            }
        }
        let write = (0..400).find(|&index| plan.operation(index).writes());
        prop_assert_eq!(plan.next_write(0), write);
    }

    #[test]
    fn seeds_make_different_plans(seed: u64) {
        let operations = |seed| {
            let plan = Plan::new(seed, Mix::A, 1000, 50).unwrap();
            (0..50).map(|index| plan.operation(index)).collect::<Vec<_>>()
        };
        prop_assert_ne!(operations(seed), operations(seed.wrapping_add(1)));
    }
}
