//! The report's table of operations that crash whenever they are met: one line a workload, mechanism and policy.

use super::{NOTHING, latency};
use crate::record::{Course, Poison, Trial};
use crate::summary::poisoned::{Poisoned, groups};
use crate::units::three_digits;
use maud::{Markup, html};

/// The table; nothing where no such operation was met.
pub(super) fn table(trials: &[Trial]) -> Option<Markup> {
    let groups = groups(trials);
    (!groups.is_empty()).then(|| {
        html! {
            p {
                "One line a workload, mechanism and policy. “Past” are the trials that left behind every such input that they "
                "met and ended with the rest right; time, restarts and losses are medians of these."
            }
            div.wide { table {
                thead { tr {
                    @for head in [
                        "workload", "mechanism", "policy", "trials", "past", "until behind p50", "restarts", "operations done again",
                        "state zeroed", "harmless left out, in all", "states kept, of those asked", "the others",
                    ] { th scope="col" { (head) } }
                } }
                tbody { @for group in &groups { (row(group)) } }
            } }
        }
    })
}

fn row(group: &Poisoned<'_>) -> Markup {
    let p50 = |figure: fn(&Trial, &Course, &Poison) -> u64| {
        group.of(true, figure).map_or(NOTHING.to_owned(), |figure| three_digits(figure.p50))
    };
    html! {
        tr {
            td { (group.workload) }
            td { (group.mechanism) }
            td { (group.policy) }
            td.n { (group.trials()) }
            td.n { (group.past()) }
            td.n { (latency(group.times().as_ref())) }
            td.n { (p50(|_, course, _| course.restarts)) }
            td.n { (p50(|trial, _, _| trial.lost_operations)) }
            td.n { (p50(|_, course, _| course.zeroed)) }
            td.n { (group.sum(|_, poison| poison.harmless_skipped)) }
            td.n { (group.sum(|course, _| course.kept)) " of " (group.sum(|course, _| course.keeps_asked)) }
            td { @if group.past() < group.trials() { (group.end_in_words()) } @else { (NOTHING) } }
        }
    }
}
