//! The report's table of floors: one line a path.

use super::{NOTHING, latency, ratio};
use crate::record::{Distribution, Floor};
use crate::units::{bytes, three_digits};
use maud::{Markup, html};

pub(super) fn table(floors: &[Floor]) -> Markup {
    if floors.is_empty() {
        return html! { p { "No floor was measured in this run, so no latency is given as a ratio to one." } };
    }
    let tail = |latency: &Distribution| latency.p99.filter(|_| latency.p50 > 0.0).map(|p99| p99 / latency.p50);
    html! {
        p { "The least that bare system calls need for a path, measured in this run." }
        div.wide { table {
            thead { tr {
                @for head in [
                    "path", "notice", "start", "load", "mechanism", "workload", "region", "n", "hand-over p50",
                    "recovery p50", "p99 / p50", "page faults p50",
                ] { th scope="col" { (head) } }
            } }
            tbody { @for floor in floors { tr {
                td { (floor.path) }
                td { (floor.notice) }
                td { (floor.spare) }
                td { (floor.load) }
                td { (floor.mechanism) }
                td { (floor.workload) }
                td.n { (bytes(floor.region_bytes)) }
                td.n { (floor.recovery_ns.n) }
                td.n { (latency(Some(&floor.hand_over_ns))) }
                td.n { (latency(Some(&floor.recovery_ns))) }
                td.n { (ratio(tail(&floor.recovery_ns))) }
                td.n { (floor.take_over_faults.as_ref().map_or(NOTHING.to_owned(), |faults| three_digits(faults.p50))) }
            } } }
        } }
    }
}
