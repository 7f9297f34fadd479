//! The report's first table: what the run was to show, and whether it does.

use super::NOTHING;
use crate::record::Target;
use crate::units::{at_most, duration, ratio};
use maud::{Markup, html};

pub(super) fn table(targets: &[Target]) -> Markup {
    let time = |ns: Option<f64>| ns.map_or(NOTHING.to_owned(), duration);
    html! {
        p { "Medians of this run, unless a line says otherwise; the ratio is the first time over the second." }
        div.wide { table {
            thead { tr {
                @for head in ["", "measured", "", "against", "", "ratio", "target", "", "remark"] { th scope="col" { (head) } }
            } }
            tbody { @for (index, target) in targets.iter().enumerate() {
                @let first = index == 0 || targets[index - 1].about != target.about;
                tr.missed[target.reached == Some(false)] {
                    td { @if first { strong { (target.about) } } }
                    td { (target.measured) }
                    td.n { (time(target.measured_ns)) }
                    td { (target.against) }
                    td.n { (time(target.against_ns)) }
                    td.n { (target.ratio.map_or(NOTHING.to_owned(), ratio)) }
                    td.n { (at_most(target.at_most)) }
                    td { (verdict(target)) }
                    td.remark { (target.remark.as_deref().unwrap_or_default()) }
                }
            } }
        } }
    }
}

fn verdict(target: &Target) -> &'static str {
    match target.reached {
        Some(true) => "reached",
        Some(false) => "missed",
        None => "not measured",
    }
}
