//! The report's table of cells: one line a combination of levels.

use super::{NOTHING, latency, ratio, tally};
use crate::record::Cell;
use crate::units::{bytes, three_digits};
use maud::{Markup, html};

/// The factors that a run need not vary, and whose columns are there only where it does.
#[derive(Clone, Copy)]
struct Varied {
    start: bool,
    load: bool,
}

pub(super) fn table(cells: &[Cell]) -> Markup {
    let varied = Varied {
        start: cells.iter().any(|cell| cell.levels.spare != "cold"),
        load: cells.iter().any(|cell| cell.levels.load != "none"),
    };
    html! {
        p {
            "One line a combination of levels. A latency is the median with its 95 % confidence interval; “× floor” is "
            "the median over that of the bare system calls on the same path; “p99 / p50” is of the recovery, beside that "
            "of its floor. A cell whose planned fault never struck is inconclusive: it says nothing."
        }
        div.wide { table {
            thead { tr {
                @for head in ["policy", "mechanism", "workload", "fault", "region"] { th scope="col" { (head) } }
                @if varied.start { th scope="col" { "start" } th scope="col" { "really started" } }
                @if varied.load { th scope="col" { "load" } }
                @for head in [
                    "trials", "planned", "injected", "activated", "noticed", "crashes", "verdicts", "recovery p50",
                    "× floor", "p99 / p50", "floor’s", "hand-over p50", "× floor", "page faults p50",
                    "lost operations p50", "counted in one pass",
                ] { th scope="col" { (head) } }
            } }
            tbody { @for cell in cells { (row(cell, varied)) } }
        } }
    }
}

fn row(cell: &Cell, varied: Varied) -> Markup {
    let levels = &cell.levels;
    html! {
        tr.inconclusive[!cell.conclusive] {
            td { (levels.policy) }
            td { (levels.mechanism) }
            td { (levels.workload) }
            td { (levels.fault) }
            td.n { (bytes(levels.region_bytes)) }
            @if varied.start { td { (levels.spare) } td { (tally(&cell.started_by)) } }
            @if varied.load { td { (levels.load) } }
            @for n in [cell.trials, cell.planned, cell.injected, cell.activated, cell.noticed, cell.crashes] {
                td.n { (n) }
            }
            td { @if !cell.conclusive { em { "inconclusive cell: " } } (tally(&cell.verdicts)) }
            td.n { (latency(cell.recovery_ns.as_ref())) }
            td.n { (ratio(cell.recovery_over_floor_p50)) }
            td.n { (ratio(cell.p99_over_p50)) }
            td.n { (ratio(cell.floor_p99_over_p50)) }
            td.n { (latency(cell.hand_over_ns.as_ref())) }
            td.n { (ratio(cell.hand_over_over_floor_p50)) }
            td.n { (cell.take_over_faults.as_ref().map_or(NOTHING.to_owned(), |faults| three_digits(faults.p50))) }
            td.n { (cell.lost_operations.as_ref().map_or(NOTHING.to_owned(), |lost| three_digits(lost.p50))) }
            td {
                (tally(&cell.counts))
                @if !cell.quarantined_files.is_empty() { " (" (cell.quarantined_files.join(", ")) ")" }
            }
        }
    }
}
