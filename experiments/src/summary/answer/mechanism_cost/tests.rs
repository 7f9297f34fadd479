//! What is said of costs, of made-up rows.

use super::*;
use crate::record::Measurement;
use crate::sample_trials::of_measures;
use crate::summary::costs::made_up::row;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn answer(measurements: Vec<Measurement>) -> Vec<String> {
    of_measures(measurements).answer
}

/// Costs of two mechanisms at three amounts, in one region.
fn rows(name: &str, region_bytes: u64, one: [u64; 3], other: [u64; 3]) -> Vec<Measurement> {
    let mut rows = Vec::new();
    for (under, costs) in [("full-copy", one), ("dirty-pages", other)] {
        for (pages, cost) in [1, 16, 256].into_iter().zip(costs) {
            rows.push(row(name, under, region_bytes, pages * PAGE, cost));
        }
    }
    rows
}

fn said(answer: &[String], words: &str) -> bool {
    answer.iter().any(|sentence| sentence.contains(words))
}

#[test]
fn a_crossover_is_named_with_its_place_and_its_direction() {
    // From twice as cheap to twice as dear, in the middle of 16 and 256 pages: at 64.
    let rows = [
        rows("write-and-commit", MIB, [40_000, 40_000, 40_000], [10_000, 20_000, 80_000]),
        rows("write-and-commit", 64 * MIB, [400_000, 400_000, 400_000], [10_000, 20_000, 80_000]),
    ];
    let answer = answer(rows.concat());
    let words = "For writing and committing, full-copy becomes cheaper than dirty-pages from about 64 pages of 1 MiB on; \
                 not at 64 MiB.";
    assert!(said(&answer, words), "{answer:?}");
    assert!(said(&answer, "region of 64 MiB: dirty-pages with 1 page (10 µs, the next 400 µs); dirty-pages with 256"));
    assert!(said(
        &answer,
        "region of 1 MiB: dirty-pages with 1 page (10 µs, the next 40 µs); full-copy with 256 pages"
    ));
    assert!(!said(&answer, "recovering"), "{answer:?}");
    assert!(!said(&answer, "Nothing crashed") && !said(&answer, "trial"), "{answer:?}");
}

#[test]
fn an_order_that_turns_back_holds_from_there_to_there() {
    let rows = [
        rows("write-and-commit", MIB, [40_000, 40_000, 40_000], [80_000, 20_000, 80_000]),
        rows("write-and-commit", 64 * MIB, [40_000, 40_000, 40_000], [80_000, 80_000, 20_000]),
    ];
    let answer = answer(rows.concat());
    let there = "For writing and committing, dirty-pages becomes cheaper than full-copy from about 64 pages of 64 MiB on, \
                 and from about 4 pages to about 64 pages of 1 MiB.";
    let back =
        "For writing and committing, full-copy becomes cheaper than dirty-pages from about 64 pages of 1 MiB on.";
    assert!(said(&answer, there) && said(&answer, back), "{answer:?}");
}

#[test]
fn one_is_called_cheapest_alone_only_where_its_interval_says_so() {
    let spread = |under, pages, middle: u64| Measurement {
        distribution: Distribution::of((middle - 500..middle + 500).step_by(25).collect()).unwrap(),
        ..row("write-and-commit", under, MIB, pages * PAGE, middle)
    };
    let mut rows: Vec<Measurement> = ["full-copy", "copy-on-write", "dirty-pages"]
        .into_iter()
        .zip([[10_100, 10_000], [10_000, 10_050], [90_000, 10_100]])
        .flat_map(|(under, costs)| [1, 16].into_iter().zip(costs).map(move |(pages, cost)| spread(under, pages, cost)))
        .collect();
    let words = "Cheapest for writing and committing, for any state, in a region of 1 MiB: full-copy and copy-on-write, which \
                 the run does not tell apart, with 1 page (9.99 µs to 10.1 µs, the next 90 µs); full-copy, copy-on-write and \
                 dirty-pages, which the run does not tell apart, with 16 pages (9.99 µs to 10.1 µs).";
    assert!(said(&answer(rows.clone()), words), "{:?}", answer(rows));
    // What lies apart is told apart.
    rows[2] = spread("copy-on-write", 1, 8_000);
    let words = "copy-on-write with 1 page (7.99 µs, the next 10.1 µs)";
    assert!(said(&answer(rows.clone()), words), "{:?}", answer(rows));
}

#[test]
fn medians_that_may_be_alike_do_not_cross() {
    let spread = |middle: u64| Distribution::of((middle - 50..middle + 50).collect()).unwrap();
    let [low, near, high] = [1_000, 1_005, 2_000].map(spread);
    let one = Curve::from([(4096, &low), (8192, &near), (16_384, &near)]);
    let other = Curve::from([(4096, &near), (8192, &low), (16_384, &high)]);
    assert_eq!(common(&one, &other).len(), 1);
    assert!(crossings(&common(&one, &other)).is_empty());
    assert_eq!(roughly(PAGE as f64 * 1.04), "about 1 page");
}

#[test]
fn states_that_declare_their_writes_have_a_sentence_of_their_own() {
    let mut rows = rows("write-and-commit", MIB, [40_000; 3], [10_000, 20_000, 30_000]);
    assert!(!said(&answer(rows.clone()), "declares"));
    rows.extend([1, 16, 256].map(|pages| row("write-and-commit", "undo-log", MIB, pages * PAGE, 500 * pages)));
    let answer = answer(rows);
    assert!(
        said(&answer, "for any state, in a region of 1 MiB: dirty-pages with 1 page (10 µs, the next 40 µs)"),
        "{answer:?}"
    );
    let declared = "where the program declares its writes, in a region of 1 MiB: undo-log with 1 page (500 ns, the next 10 µs); \
                    dirty-pages with 256 pages (30 µs, the next 40 µs)";
    assert!(said(&answer, declared), "{answer:?}");
}

#[test]
fn no_crossover_is_said_to_be_none_within_what_was_measured() {
    let answer = answer(rows("recovery", MIB, [40_000, 50_000, 60_000], [10_000, 20_000, 30_000]));
    assert!(said(&answer, "recovering from a crash, no crossover within what was measured between full-copy and"));
    assert!(!said(&answer, "becomes cheaper"), "{answer:?}");
}

#[test]
fn a_line_that_turns_twice_has_both_crossovers() {
    let points = [(1.0, 1.0, 2.0), (10.0, 2.0, 1.0), (1000.0, 1.0, 2.0)];
    let found: Vec<bool> = crossings(&points).iter().map(|crossing| crossing.first_becomes_cheaper).collect();
    assert_eq!(found, [false, true]);
}

#[test]
fn writes_and_memory_are_told_of_the_largest_region() {
    let mut rows = Vec::new();
    for (region, factor) in [(MIB, 1), (64 * MIB, 2)] {
        rows.push(row("write", "none", region, 16 * PAGE, factor * 1_600));
        rows.push(row("write", "dirty-pages", region, 16 * PAGE, factor * 16_000));
        rows.push(row("beside-state", "dirty-pages", region, 16 * PAGE, factor * region));
    }
    let answer = answer(rows);
    assert!(said(&answer, "16 pages of 64 MiB: 200 ns in plain memory; dirty-pages 2 µs."), "{answer:?}");
    assert!(said(&answer, "in regions of 64 MiB, from little to much written: dirty-pages 2."), "{answer:?}");
}

proptest! {
    /// A crossing lies between two points, on different sides of which another one is cheaper.
    #[test]
    fn crossings_lie_where_the_order_turns(costs in proptest::collection::vec((1_u32..50, 1_u32..50), 2..9)) {
        let of = |cost: u32| Distribution::of(vec![cost.into(); 9]).unwrap();
        let (one, other): (Vec<_>, Vec<_>) = costs.iter().map(|(one, other)| (of(*one), of(*other))).unzip();
        let curve = |costs| (0..).map(|power| 4_u64.pow(power)).zip(costs).collect::<Curve<'_>>();
        let points = common(&curve(&one), &curve(&other));
        let signs: Vec<f64> = points.iter().map(|(_, one, other)| one - other).collect();
        prop_assert!(!signs.contains(&0.0));
        let turns = signs.windows(2).filter(|pair| pair[0].signum() != pair[1].signum()).count();
        let found = crossings(&points);
        prop_assert_eq!(found.len(), turns);
        for crossing in found {
            let before = points.iter().rfind(|point| point.0 <= crossing.written_bytes);
            let after = points.iter().find(|point| point.0 >= crossing.written_bytes);
            let (before, after) = (before.unwrap(), after.unwrap());
            prop_assert_eq!(after.1 < after.2, crossing.first_becomes_cheaper);
            prop_assert_eq!(before.1 > before.2, crossing.first_becomes_cheaper);
        }
    }
}
