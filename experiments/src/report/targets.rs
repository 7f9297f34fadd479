//! The report's table of what the suite aims at.

use super::NOTHING;
use crate::record::Target;
use crate::units::three_digits;
use maud::{Markup, html};

pub(super) fn table(targets: &[Target]) -> Markup {
    html! {
        p { "Each ratio is one of medians (or, where it says so, of a p99) of this run; those not reached are marked." }
        div.wide { table {
            thead { tr { @for head in ["what", "p50", "against", "ratio", "at most", ""] { th scope="col" { (head) } } } }
            tbody { @for target in targets { tr {
                td { (target.what) }
                td.n { (target.measured.as_deref().unwrap_or(NOTHING)) }
                td { (target.against) }
                td.n { (three_digits(target.ratio)) }
                td.n { (three_digits(target.at_most)) }
                td { @if target.reached { "reached" } @else { strong { "missed" } } }
            } } }
        } }
    }
}
