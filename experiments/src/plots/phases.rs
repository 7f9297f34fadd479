//! What a recovery consists of: the median of each phase, stacked, a row a policy and start, and a panel a path.

use super::axis::Axis;
use super::legend::{Symbol, ink_on};
use super::panels::{LatencyPanel, policy_and_start};
use super::sheet::{Align, Sheet};
use super::style::{
    BLACK, BLUE, GREEN, LABEL, MARGIN, Marker, ORANGE, PANEL_TITLE, PURPLE, SKY_BLUE, TextStyle, WHITE, YELLOW, fit,
    text_width,
};
use crate::record::{Phases, Trial};
use crate::statistics::median;
use crate::units::duration;
use plotters::style::RGBColor;
use std::collections::BTreeMap;

pub(super) const TITLE: &str = "Phases of a recovery";
pub(super) const READING: &str = "Each bar is a policy's recovery, by its start and load where these are not cold and none, cut into its phases in the order of the legend, \
    each as long as its median. The diamond is the median of the whole recovery, whose figure stands at the right; it \
    differs from the bar's end where the phases do not vary together. Hangs, which only the heartbeat's deadline \
    reveals, have panels of their own. Every panel has its own time scale.";

/// A colour a phase, in the order of [`Phases::parts`].
const COLOURS: [RGBColor; 6] = [SKY_BLUE, ORANGE, YELLOW, BLUE, GREEN, PURPLE];
const ROW: f64 = 34.0;
const BAR: f64 = 22.0;
/// Room to the right of the bars for the figures.
const RIGHT: f64 = 170.0;

/// Trials of one row: the phases of each recovery.
type Row<'a> = Vec<&'a Phases>;

pub(super) fn sheet(trials: &[Trial]) -> Sheet {
    let mut sheet = Sheet::new(1200);
    let mut y = sheet.heading(
        TITLE,
        "Median of each phase, all faults; hangs, which only the heartbeat reveals, apart; each panel has its own time scale",
    );
    let mut panels: BTreeMap<LatencyPanel<'_>, BTreeMap<String, Row<'_>>> = BTreeMap::new();
    for trial in trials.iter().filter(|trial| trial.phases.recovery_ns.is_some()) {
        let rows = panels.entry(LatencyPanel::of(trial)).or_default();
        rows.entry(policy_and_start(&trial.levels)).or_default().push(&trial.phases);
    }
    if panels.is_empty() {
        let bottom = sheet.no_data(y, &super::why_empty(trials));
        return sheet.ending_at(bottom);
    }

    let names = Phases::default().parts().map(|part| part.0);
    let mut entries: Vec<(Symbol, String)> = names
        .iter()
        .zip(COLOURS)
        .zip(1..)
        .map(|((name, colour), number)| (Symbol::Box(colour, number.to_string()), (*name).to_owned()))
        .collect();
    entries.push((Symbol::Marker(Marker::Diamond, BLACK), "median of the whole recovery".to_owned()));
    y = sheet.legend(y, &entries);

    let policies = panels.values().flat_map(BTreeMap::keys);
    let left = MARGIN + policies.map(|policy| text_width(policy, LABEL)).fold(60.0, f64::max).min(320.0) + 12.0;
    let width = f64::from(sheet.width) - MARGIN - RIGHT - left;
    for (panel, rows) in panels {
        let title = fit(&panel.name(), PANEL_TITLE, width + left);
        sheet.text(MARGIN, y + 18.0, Align::Left, PANEL_TITLE, title);
        y = draw_panel(&mut sheet, y + 28.0, (left, width), &rows) + 12.0;
    }
    sheet.ending_at(y)
}

fn draw_panel(sheet: &mut Sheet, top: f64, (left, width): (f64, f64), rows: &BTreeMap<String, Row<'_>>) -> f64 {
    let medians: Vec<(&str, [f64; 6], f64, usize)> = rows
        .iter()
        .map(|(policy, row)| {
            let part = |i: usize| median(row.iter().filter_map(|phases| phases.parts()[i].1).collect());
            let whole = median(row.iter().filter_map(|phases| phases.recovery_ns).collect());
            (policy.as_str(), std::array::from_fn(|i| part(i).unwrap_or(0.0)), whole.unwrap_or(0.0), row.len())
        })
        .collect();
    let ends = medians.iter().map(|(_, parts, whole, _)| parts.iter().sum::<f64>().max(*whole));
    let Some(axis) = Axis::linear(ends, left, width) else { return top };
    let bottom = top + ROW * medians.len() as f64;
    let end = axis.draw(sheet, top, bottom, duration, "time since the fault");
    for (index, (policy, parts, whole, n)) in medians.into_iter().enumerate() {
        let middle = top + ROW * (index as f64 + 0.5);
        sheet.text(left - 10.0, middle + 5.0, Align::Right, LABEL, fit(policy, LABEL, left - MARGIN - 10.0));
        let mut from = 0.0;
        for (number, (part, colour)) in parts.into_iter().zip(COLOURS).enumerate() {
            let (x, to) = (axis.x(from), axis.x(from + part));
            sheet.rect(x, middle - BAR / 2.0, to - x, BAR, colour);
            sheet.line(vec![(to, middle - BAR / 2.0), (to, middle + BAR / 2.0)], 1, WHITE);
            if to - x >= 14.0 {
                let style = TextStyle { bold: true, colour: ink_on(colour), ..LABEL };
                sheet.text(f64::midpoint(x, to), middle + 5.0, Align::Centre, style, (number + 1).to_string());
            }
            from += part;
        }
        let bar_end = axis.x(from).max(axis.x(whole));
        sheet.marker((axis.x(whole), middle + BAR / 2.0), 5.0, Marker::Diamond, BLACK);
        sheet.text(bar_end + 12.0, middle + 5.0, Align::Left, LABEL, format!("{}, n = {n}", duration(whole)));
    }
    end
}
