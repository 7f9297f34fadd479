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
/// Those that the run does not tell from the one with the least median are named with it.
fn cheapest(costs: Costs<'_>, row: &str, words: &str, among: impl Fn(&str) -> bool) -> Vec<String> {
    // The cheapest, by what was written; the sizes at which they are so.
    let mut by_order: BTreeMap<Vec<(u64, Vec<&str>)>, Vec<u64>> = BTreeMap::new();
    let mut figures: BTreeMap<(u64, u64), Figures> = BTreeMap::new();
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
            let costs: Vec<(&str, &Distribution)> =
                curves.iter().filter_map(|(name, curve)| Some((*name, *curve.get(&written)?))).collect();
            let least = costs.iter().map(|(_, cost)| *cost).min_by(|a, b| a.p50.total_cmp(&b.p50));
            let Some(least) = least.filter(|_| costs.len() > 1) else { continue };
            let (dearer, alike): (Vec<_>, Vec<_>) = costs.into_iter().partition(|(_, cost)| differ(least, cost));
            let of = |costs: &[(&str, &Distribution)]| costs.iter().map(|(_, cost)| cost.p50).collect::<Vec<f64>>();
            let next = of(&dearer).into_iter().reduce(f64::min);
            figures.insert((region_bytes, written), Figures { cheapest: of(&alike), next });
            order.push((written, alike.into_iter().map(|(name, _)| name).collect()));
        }
        by_order.entry(order).or_default().push(region_bytes);
    }
    let sentence = |(order, regions): (Vec<(u64, Vec<&str>)>, Vec<u64>)| {
        let part = |(written, names): &(u64, Vec<&str>)| {
            let figures = || regions.iter().filter_map(|region| figures.get(&(*region, *written)));
            let cheapest = of_all(figures().flat_map(|found| found.cheapest.iter().copied()));
            let next = of_all(figures().filter_map(|found| found.next));
            let figures: Vec<String> =
                cheapest.into_iter().chain(next.map(|next| format!("the next {next}"))).collect();
            let apart = if names.len() > 1 { ", which the run does not tell apart," } else { "" };
            format!("{}{apart} with {} ({})", list(names.iter()), amount(*written), figures.join(", "))
        };
        let parts: Vec<String> = order.iter().map(part).collect();
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

/// What the cheapest mechanisms cost, those that are not told apart, and the next one, where there is one.
struct Figures {
    cheapest: Vec<f64>,
    next: Option<f64>,
}

/// Durations in words: the least to the most; `None` where there is none.
fn of_all(figures: impl Iterator<Item = f64>) -> Option<String> {
    let ends = figures.fold(None, |ends: Option<(f64, f64)>, x| {
        Some(ends.map_or((x, x), |(least, most)| (least.min(x), most.max(x))))
    });
    ends.map(|(least, most)| range(least, most, duration))
}

/// From how many written bytes on the order of two mechanisms turns, and to how many where it turns back, one sentence a
/// pair and direction.
fn crossovers(costs: Costs<'_>, row: &str, words: &str) -> Vec<String> {
    let mechanisms = costs.mechanisms();
    let mut sentences = Vec::new();
    let mut never: Vec<String> = Vec::new();
    for (number, one) in mechanisms.iter().enumerate() {
        for other in &mechanisms[number + 1..] {
            // By which becomes the cheaper.
            let mut found: BTreeMap<(&str, &str), Places> = BTreeMap::new();
            let mut without = Vec::new();
            for region_bytes in costs.regions() {
                let curve = |name: &str| costs.curve(row, Some(name), region_bytes);
                let points = common(&curve(one), &curve(other));
                let crossings = crossings(&points);
                if crossings.is_empty() && points.len() > 1 {
                    without.push(bytes(region_bytes));
                }
                let back = crossings.iter().skip(1).map(Some).chain([None]);
                for (Crossing { written_bytes, first_becomes_cheaper }, back) in crossings.iter().zip(back) {
                    let pair = if *first_becomes_cheaper { (*one, *other) } else { (*other, *one) };
                    let (open, closed) = found.entry(pair).or_default();
                    let (from, region) = (roughly(*written_bytes), bytes(region_bytes));
                    match back {
                        None => open.push(format!("{from} of {region}")),
                        Some(back) => closed.push(format!("{from} to {} of {region}", roughly(back.written_bytes))),
                    }
                }
            }
            if found.is_empty() && !without.is_empty() {
                never.push(format!("{one} and {other}"));
            }
            for ((cheaper, dearer), (open, closed)) in found {
                let open = (!open.is_empty()).then(|| format!("from {} on", list(open.iter())));
                let closed = (!closed.is_empty()).then(|| format!("from {}", list(closed.iter())));
                let places: Vec<String> = open.into_iter().chain(closed).collect();
                let rest =
                    if without.is_empty() { String::new() } else { format!("; not at {}", list(without.iter())) };
                sentences.push(format!(
                    "For {words}, {cheaper} becomes cheaper than {dearer} {}{rest}.",
                    places.join(", and ")
                ));
            }
        }
    }
    if !never.is_empty() {
        sentences.push(format!("For {words}, no crossover within what was measured between {}.", never.join("; ")));
    }
    sentences
}

/// Where one is cheaper: from how much on, at which size; and from where to where.
type Places = (Vec<String>, Vec<String>);

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
mod tests;
