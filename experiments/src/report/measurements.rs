//! The report's table of what was measured beside the trials.

use super::NOTHING;
use crate::record::Measurement;
use crate::units::figure;
use maud::{Markup, html};

pub(super) fn table(measurements: &[Measurement], has_trials: bool) -> Markup {
    html! {
        p { "Measured in processes of their own" @if has_trials { ", between the trials of this run" } "." }
        div.wide { table {
            thead { tr {
                @for head in ["measure", "row", "levels", "n", "p50", "p90", "p99", "what"] { th scope="col" { (head) } }
            } }
            tbody { @for measurement in measurements {
                @let tail = |value: Option<f64>| value.map_or(NOTHING.to_owned(), |value| figure(value, measurement.unit));
                @let distribution = &measurement.distribution;
                tr {
                    td { (measurement.measure) }
                    td { (measurement.row) }
                    td { (measurement.levels_in_words()) }
                    td.n { (distribution.n) }
                    td.n { (figure(distribution.p50, measurement.unit)) }
                    td.n { (tail(distribution.p90)) }
                    td.n { (tail(distribution.p99)) }
                    td { (measurement.note) }
                }
            } }
        } }
    }
}
