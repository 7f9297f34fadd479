//! What crashes cost: the operations that had been done and had to be done again, every crashed trial a point.

use super::axis::Axis;
use super::legend::Symbol;
use super::panels::Panel;
use super::sheet::{Align, Sheet};
use super::style::{BLACK, GREY, LABEL, MARGIN, Marker, PANEL_TITLE, fit, look, text_width, tint};
use crate::record::Trial;
use crate::statistics::quantile;
use crate::units::three_digits;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const TITLE: &str = "Lost operations";
pub(super) const READING: &str = "Each point is one trial with a crash: how many operations had been done and had to be \
    done again. The grey box holds the middle half of the trials, the black line in it is the median. Further left is \
    less lost. The axis is logarithmic above 1 and has a place for 0.";

const ROW: f64 = 44.0;
const BOX: f64 = 30.0;
const RIGHT: f64 = 190.0;
/// The most points that a row and a sheet show; of more, every k-th in order of size, so that the shape stays.
const POINTS: usize = 400;
const POINTS_IN_ALL: usize = 6_000;

pub(super) fn sheet(trials: &[Trial]) -> Sheet {
    let mut sheet = Sheet::new(1200);
    let mut y = sheet.heading(TITLE, "Operations done again after a crash, by policy; all faults, one point a trial");
    let crashed = || trials.iter().filter(|trial| trial.crashes > 0);
    let policies: BTreeSet<&str> = crashed().map(|trial| trial.levels.policy.as_str()).collect();
    let label = policies.iter().map(|policy| text_width(policy, LABEL)).fold(60.0, f64::max).min(320.0);
    let left = MARGIN + label + 16.0;
    let width = f64::from(sheet.width) - MARGIN - RIGHT - left;
    let lost = crashed().map(|trial| trial.lost_operations);
    let Some(axis) = Axis::logarithmic_from_zero(lost, left, width) else {
        let bottom = sheet.no_data(y, &super::why_empty(trials));
        return sheet.ending_at(bottom);
    };
    y = sheet.legend(
        y,
        &[
            (Symbol::Marker(Marker::Circle, tint(look(0).colour, 0.7)), "a trial (marker by policy)".to_owned()),
            (Symbol::Box(tint(GREY, 0.3), String::new()), "middle half".to_owned()),
            (Symbol::Box(BLACK, String::new()), "median".to_owned()),
        ],
    );

    let mut panels: BTreeMap<Panel<'_>, BTreeMap<&str, Vec<u64>>> = BTreeMap::new();
    for trial in crashed() {
        let rows = panels.entry(Panel::of(&trial.levels)).or_default();
        rows.entry(&trial.levels.policy).or_default().push(trial.lost_operations);
    }
    let rows_in_all = panels.values().map(BTreeMap::len).sum::<usize>().max(1);
    let points = (POINTS_IN_ALL / rows_in_all).clamp(1, POINTS);
    for (panel, rows) in panels {
        sheet.text(MARGIN, y + 18.0, Align::Left, PANEL_TITLE, fit(&panel.name(), PANEL_TITLE, left + width));
        let top = y + 28.0;
        let bottom = top + ROW * rows.len() as f64;
        y = axis.draw(&mut sheet, top, bottom, three_digits, "lost operations (log scale above 1)") + 12.0;
        for (index, (policy, mut samples)) in rows.into_iter().enumerate() {
            let middle = top + ROW * (index as f64 + 0.5);
            sheet.text(left - 16.0, middle + 5.0, Align::Right, LABEL, fit(policy, LABEL, label));
            samples.sort_unstable();
            let series = policies.iter().position(|known| *known == policy).unwrap_or_default();
            draw_row(&mut sheet, &axis, middle, (&samples, points), series);
        }
    }
    sheet.ending_at(y)
}

fn draw_row(sheet: &mut Sheet, axis: &Axis, middle: f64, (sorted, points): (&[u64], usize), series: usize) {
    let at = |p: f64| quantile(sorted, p).unwrap_or(0.0);
    let (low, median, high) = (axis.x(at(0.25)), axis.x(at(0.5)), axis.x(at(0.75)));
    sheet.rect(low - 1.0, middle - BOX / 2.0, high - low + 2.0, BOX, tint(GREY, 0.3));
    let look = look(series);
    let stride = sorted.len().div_ceil(points).max(1);
    for (index, value) in sorted.iter().enumerate().step_by(stride) {
        // Spread over the row by the golden ratio, which keeps neighbours apart and needs no random numbers.
        let offset = ((index / stride) as f64 * 0.618_033_988_75).fract() - 0.5;
        let point = (axis.x(*value as f64), middle + offset * (BOX - 6.0));
        sheet.marker(point, 2.5, look.marker, tint(look.colour, 0.7));
    }
    sheet.line(vec![(median, middle - BOX / 2.0 - 2.0), (median, middle + BOX / 2.0 + 2.0)], 3, BLACK);
    let figures = format!("median {}, n = {}", three_digits(at(0.5)), sorted.len());
    sheet.text(axis.right() + 12.0, middle + 5.0, Align::Left, LABEL, figures);
}
