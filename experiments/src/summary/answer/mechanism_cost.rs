//! What commits, writes and restores cost by mechanism, and from how many written bytes on another one is cheaper.
//!
//! Everything is of medians. One is cheaper than another where the confidence intervals of the two lie apart; a crossover
//! lies between two measured points, where the lines between them cross; both axes
//! are logarithmic, as costs and sizes are ratios. Beyond what was measured nothing is said.

use crate::record::{Distribution, Summary};
use crate::summary::costs::{Costs, Curve, PAGE};
use crate::units::{bytes, count, duration, three_digits};
use crashbed::MechanismKind;
use std::collections::BTreeMap;

/// A cost that mechanisms are compared by: its row, and its words.
const COMPARED: [(&str, &str); 2] =
    [("write-and-commit", "writing and committing"), ("recovery", "recovering from a crash")];

pub(super) fn sentences(summary: &Summary) -> Vec<String> {
    let costs = Costs::of(summary);
    if costs.is_empty() {
        return Vec::new();
    }
    let mut sentences = Vec::new();
    for (row, words) in COMPARED {
        sentences.extend(cheapest(costs, row, &format!("{words}, for any state"), |name| !is_declared(name)));
        if costs.mechanisms().into_iter().any(is_declared) {
            sentences
                .extend(cheapest(costs, row, &format!("{words}, where the program declares its writes"), |_| true));
        }
    }
    for (row, words) in COMPARED {
        sentences.extend(crossovers(costs, row, words));
    }
    sentences.extend(writes(costs));
    sentences.extend(memory(costs));
    sentences
}

/// Whether a mechanism is for states that declare what they write.
fn is_declared(mechanism: &str) -> bool {
    mechanism.parse().is_ok_and(MechanismKind::needs_declared_writes)
}

/// Written bytes in words: in pages, from a page on.
fn amount(written_bytes: u64) -> String {
    match written_bytes / PAGE {
        0 => format!("{written_bytes} bytes"),
        pages => count(pages, "page", "pages"),
    }
}

/// Which mechanism is the cheapest at the least and at the most that was written, one sentence for all sizes that agree.
fn cheapest(costs: Costs<'_>, row: &str, words: &str, among: impl Fn(&str) -> bool) -> Vec<String> {
    // The cheapest, by what was written; the sizes at which it is so.
    let mut by_order: BTreeMap<Vec<(u64, &str)>, Vec<u64>> = BTreeMap::new();
    let mut figures: BTreeMap<(u64, u64), (f64, f64)> = BTreeMap::new();
    for region_bytes in costs.regions() {
        let names = costs.mechanisms().into_iter().filter(|name| among(name));
        let curves: Vec<(&str, Curve<'_>)> = names
            .map(|name| (name, costs.curve(row, Some(name), region_bytes)))
            .filter(|(_, curve)| !curve.is_empty())
            .collect();
        if curves.len() < 2 {
            continue;
        }
        let written: Vec<u64> = curves[0].1.keys().copied().collect();
        let ends = written.first().into_iter().chain(written.last().filter(|_| written.len() > 1));
        let mut order = Vec::new();
        for &written in ends {
            let mut costs: Vec<(f64, &str)> =
                curves.iter().filter_map(|(name, curve)| Some((curve.get(&written)?.p50, *name))).collect();
            costs.sort_by(|a, b| a.0.total_cmp(&b.0));
            let [(least, name), (next, _), ..] = costs[..] else { continue };
            figures.insert((region_bytes, written), (least, next));
            order.push((written, name));
        }
        by_order.entry(order).or_default().push(region_bytes);
    }
    let sentence = |(order, regions): (Vec<(u64, &str)>, Vec<u64>)| {
        let figure = |written: u64| {
            let of = |pick: fn(&(f64, f64)) -> f64| {
                let figures = regions.iter().filter_map(|region| figures.get(&(*region, written))).map(pick);
                let (least, most) = figures.fold((f64::MAX, 0.0_f64), |(low, high), x| (low.min(x), high.max(x)));
                range(least, most, duration)
            };
            format!("{}, the next {}", of(|found| found.0), of(|found| found.1))
        };
        let parts: Vec<String> = order
            .iter()
            .map(|(written, name)| format!("{} with {} ({})", name, amount(*written), figure(*written)))
            .collect();
        (!parts.is_empty()).then(|| {
            format!(
                "Cheapest for {words}, in a region of {}: {}.",
                list(regions.iter().map(|r| bytes(*r))),
                parts.join("; ")
            )
        })
    };
    by_order.into_iter().filter_map(sentence).collect()
}

/// From how many written bytes on the order of two mechanisms turns, one sentence a pair.
fn crossovers(costs: Costs<'_>, row: &str, words: &str) -> Vec<String> {
    let mechanisms = costs.mechanisms();
    let mut sentences = Vec::new();
    let mut never: Vec<String> = Vec::new();
    for (number, one) in mechanisms.iter().enumerate() {
        for other in &mechanisms[number + 1..] {
            // By which becomes the cheaper: at which size, from how much on.
            let mut found: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
            let mut without = Vec::new();
            for region_bytes in costs.regions() {
                let curve = |name: &str| costs.curve(row, Some(name), region_bytes);
                let points = common(&curve(one), &curve(other));
                let crossings = crossings(&points);
                if crossings.is_empty() && points.len() > 1 {
                    without.push(bytes(region_bytes));
                }
                for Crossing { written_bytes, first_becomes_cheaper } in crossings {
                    let pair = if first_becomes_cheaper { (*one, *other) } else { (*other, *one) };
                    let at = format!("{} of {}", roughly(written_bytes), bytes(region_bytes));
                    found.entry(pair).or_default().push(at);
                }
            }
            if found.is_empty() && !without.is_empty() {
                never.push(format!("{one} and {other}"));
            }
            for ((cheaper, dearer), places) in found {
                let rest =
                    if without.is_empty() { String::new() } else { format!("; not at {}", list(without.iter())) };
                sentences.push(format!(
                    "For {words}, {cheaper} becomes cheaper than {dearer} from {} on{rest}.",
                    list(places.into_iter())
                ));
            }
        }
    }
    if !never.is_empty() {
        sentences.push(format!("For {words}, no crossover within what was measured between {}.", never.join("; ")));
    }
    sentences
}

/// A place at which two lines cross.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Crossing {
    written_bytes: f64,
    /// Whether the first one is the cheaper beyond it.
    first_becomes_cheaper: bool,
}

/// What both curves have, as far as they differ there: written bytes, and the two medians.
fn common(one: &Curve<'_>, other: &Curve<'_>) -> Vec<(f64, f64, f64)> {
    let both = one.iter().filter_map(|(written, cost)| Some((*written, *cost, *other.get(written)?)));
    let apart = both.filter(|(_, one, other)| differ(one, other) && one.p50.min(other.p50) > 0.0);
    apart.map(|(written, one, other)| (written as f64, one.p50, other.p50)).collect()
}

/// Whether two medians differ by more than chance.
fn differ(one: &Distribution, other: &Distribution) -> bool {
    let interval = |found: &Distribution| found.p50_ci.unwrap_or((found.p50, found.p50));
    let (one, other) = (interval(one), interval(other));
    one.1 < other.0 || other.1 < one.0
}

/// Where the difference changes its sign, by interpolation of logarithms between two points.
fn crossings(points: &[(f64, f64, f64)]) -> Vec<Crossing> {
    let mut crossings = Vec::new();
    let mut before: Option<(f64, f64)> = None;
    for &(written, one, other) in points {
        let (x, difference) = (written.ln(), (one / other).ln());
        if let Some((last_x, last)) = before.filter(|(_, last)| last.signum() != difference.signum()) {
            let at = last_x + (x - last_x) * last / (last - difference);
            crossings.push(Crossing { written_bytes: at.exp(), first_becomes_cheaper: difference < 0.0 });
        }
        before = Some((x, difference));
    }
    crossings
}

/// An amount between two points: no more digits than interpolation carries.
fn roughly(written_bytes: f64) -> String {
    let (amount, unit) = match written_bytes / PAGE as f64 {
        pages if pages >= 1.0 => (pages, "page"),
        _ => (written_bytes, "byte"),
    };
    let step = 10_f64.powf(amount.log10().floor() - 1.0).max(1.0);
    let rounded = (amount / step).round() * step;
    format!("about {} {unit}{}", three_digits(rounded), if rounded == 1.0 { "" } else { "s" })
}

/// What the first write to a page after a commit costs, beside plain memory.
fn writes(costs: Costs<'_>) -> Option<String> {
    let region_bytes = *costs.regions().last()?;
    let plain = costs.curve("write", Some("none"), region_bytes);
    let (written, plain) = plain.iter().rfind(|(written, _)| **written >= PAGE && **written <= 256 * PAGE)?;
    let pages = (written / PAGE) as f64;
    let part = |name| {
        let own = costs.at("write", Some(name), region_bytes, *written)?;
        Some(format!("{name} {}", duration(own.p50 / pages)))
    };
    let parts: Vec<String> = costs.mechanisms().into_iter().filter_map(part).collect();
    (!parts.is_empty()).then(|| {
        format!(
            "A page written for the first time after a commit, {} of {}: {} in plain memory; {}.",
            amount(*written),
            bytes(region_bytes),
            duration(plain.p50 / pages),
            parts.join(", ")
        )
    })
}

/// What is held beside the state, over the region.
fn memory(costs: Costs<'_>) -> Option<String> {
    let region_bytes = *costs.regions().last()?;
    let part = |name| {
        let held = costs.curve("beside-state", Some(name), region_bytes);
        let of_region = |held: f64| three_digits(held / region_bytes as f64);
        let (least, most) = (held.values().next()?.p50, held.values().next_back()?.p50);
        Some(format!("{name} {}", range(least, most, of_region)))
    };
    let parts: Vec<String> = costs.mechanisms().into_iter().filter_map(part).collect();
    (!parts.is_empty()).then(|| {
        format!(
            "Memory beside the state, in regions of {}, from little to much written: {}.",
            bytes(region_bytes),
            parts.join(", ")
        )
    })
}

/// Two figures in words, or one where they read the same.
fn range(least: f64, most: f64, words: impl Fn(f64) -> String) -> String {
    let (least, most) = (words(least), words(most));
    if least == most { least } else { format!("{least} to {most}") }
}

fn list(items: impl Iterator<Item = impl std::fmt::Display>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    match &items[..] {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        _ => items.concat(),
    }
}

#[cfg(test)]
mod tests {
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
        assert!(said(
            &answer,
            "region of 64 MiB: dirty-pages with 1 page (10 µs, the next 400 µs); dirty-pages with 256"
        ));
        assert!(said(
            &answer,
            "region of 1 MiB: dirty-pages with 1 page (10 µs, the next 40 µs); full-copy with 256 pages"
        ));
        assert!(!said(&answer, "recovering"), "{answer:?}");
        assert!(!said(&answer, "Nothing crashed") && !said(&answer, "trial"), "{answer:?}");
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
}
