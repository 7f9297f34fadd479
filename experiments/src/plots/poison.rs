//! Operations that crash whenever they are met: how long each policy took until one was behind, a point a trial; or how it
//! ended where it never was.

use super::axis::Axis;
use super::legend::Symbol;
use super::sheet::{Align, Sheet};
use super::style::{BLACK, BLUE, GREY, LABEL, MARGIN, Marker, PANEL_TITLE, fit, text_width, tint};
use crate::record::Trial;
use crate::statistics::quantile;
use crate::summary::poisoned::{Poisoned, groups};
use crate::units::duration;

pub(super) const TITLE: &str = "Past an input that always crashes";
pub(super) const READING: &str = "A panel is a workload under a mechanism, a row a policy. Each point is a trial that got \
    past every such input that it met, with the rest right at the end: the time from the first crash in one until it was \
    behind (the median over those that it met), on a logarithmic axis; the black line is the median of all. To the right \
    stands in how many trials it got past, and how the others ended.";

const ROW: f64 = 36.0;
const BOX: f64 = 22.0;
const RIGHT: f64 = 560.0;
/// The most points of a row; of more, every k-th in order of size.
const POINTS: usize = 200;

/// Whether such an operation was met.
pub(super) fn applies(trials: &[Trial]) -> bool {
    trials.iter().any(|trial| trial.poison.is_some())
}

pub(super) fn sheet(trials: &[Trial]) -> Sheet {
    let mut sheet = Sheet::new(1200);
    let mut y =
        sheet.heading(TITLE, "From the first crash in it until it was behind, by workload, mechanism and policy");
    let groups = groups(trials);
    if groups.is_empty() {
        let bottom = sheet.no_data(y, "no operation crashed whenever it was met");
        return sheet.ending_at(bottom);
    }
    let label = groups.iter().map(|group| text_width(group.policy, LABEL)).fold(60.0, f64::max).min(240.0);
    let left = MARGIN + label + 16.0;
    let width = f64::from(sheet.width) - MARGIN - RIGHT - left;
    // Where nobody got past there is no time, and a row says how it ended.
    let times: Vec<u64> = groups.iter().flat_map(Poisoned::samples).collect();
    let axis = Axis::logarithmic(times.iter().copied(), left, width);
    y = sheet.legend(
        y,
        &[
            (Symbol::Marker(Marker::Circle, tint(BLUE, 0.7)), "a trial that got past".to_owned()),
            (Symbol::Box(tint(GREY, 0.3), String::new()), "middle half".to_owned()),
            (Symbol::Box(BLACK, String::new()), "median".to_owned()),
        ],
    );
    for panel in groups.chunk_by(Poisoned::is_beside) {
        let name = format!("{} · {}", panel[0].workload, panel[0].mechanism);
        sheet.text(MARGIN, y + 18.0, Align::Left, PANEL_TITLE, fit(&name, PANEL_TITLE, left + width));
        let top = y + 28.0;
        let bottom = top + ROW * panel.len() as f64;
        y = match &axis {
            Some(axis) => axis.draw(&mut sheet, top, bottom, duration, "until it was behind (log scale)") + 12.0,
            None => bottom + 12.0,
        };
        for (index, group) in panel.iter().enumerate() {
            let middle = top + ROW * (index as f64 + 0.5);
            sheet.text(left - 16.0, middle + 5.0, Align::Right, LABEL, fit(group.policy, LABEL, label));
            if let Some(axis) = &axis {
                draw_row(&mut sheet, axis, middle, group.samples());
            }
            let words = fit(&ending(group), LABEL, RIGHT - 16.0);
            sheet.text(left + width + 16.0, middle + 5.0, Align::Left, LABEL, words);
        }
    }
    sheet.ending_at(y)
}

fn ending(group: &Poisoned<'_>) -> String {
    let (past, trials) = (group.past(), group.trials());
    let rest = if past < trials { format!("; {}", group.end_in_words()) } else { String::new() };
    let median = group.times().map_or(String::new(), |times| format!(", median {}", duration(times.p50)));
    format!("past in {past} of {trials}{median}{rest}")
}

fn draw_row(sheet: &mut Sheet, axis: &Axis, middle: f64, mut samples: Vec<u64>) {
    samples.sort_unstable();
    let at = |p: f64| quantile(&samples, p).map(|value| axis.x(value));
    let (Some(low), Some(median), Some(high)) = (at(0.25), at(0.5), at(0.75)) else { return };
    sheet.rect(low - 1.0, middle - BOX / 2.0, high - low + 2.0, BOX, tint(GREY, 0.3));
    let stride = samples.len().div_ceil(POINTS).max(1);
    for (index, value) in samples.iter().enumerate().step_by(stride) {
        // Spread over the row by the golden ratio, which keeps neighbours apart and needs no random numbers.
        let offset = ((index / stride) as f64 * 0.618_033_988_75).fract() - 0.5;
        let point = (axis.x(*value as f64), middle + offset * (BOX - 4.0));
        sheet.marker(point, 2.5, Marker::Circle, tint(BLUE, 0.7));
    }
    sheet.line(vec![(median, middle - BOX / 2.0 - 2.0), (median, middle + BOX / 2.0 + 2.0)], 3, BLACK);
}
