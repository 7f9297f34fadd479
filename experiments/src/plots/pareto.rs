//! Policies under mixes of faults: time lost against work lost, a panel a mix, with the front that no other policy beats in
//! both.

use super::axis::Axis;
use super::legend::Symbol;
use super::sheet::{Align, Sheet};
use super::style::{AXIS, BLUE, GREY, LABEL, MARGIN, Marker, PANEL_TITLE, VERMILLION, fit, tint};
use crate::record::{Met, Standing, Summary};
use crate::units::{duration, percent};

pub(super) const TITLE: &str = "What policies lose: time against work";
pub(super) const READING: &str = "A panel is a mix of faults, a point a policy: to the right the share of operations that are \
    not there and right at the end, upwards the time that a trial took beyond the crash-free time of those that are; both \
    are means over the faults that all policies of the mix have met, and the bars are their 95 % confidence intervals. Further left and further down is better. The line joins \
    the front: policies than which no other one loses less of both. A policy on the right at the bottom gave up early. A \
    name in brackets has lost to one of the front trial by trial, beyond chance. Time is on a logarithmic axis, at whose bottom a time stands that is not above 0.";

const HEIGHT: f64 = 300.0;
const LEFT: f64 = 84.0;
/// Room for names to the right of a panel, and the least between two of them.
const RIGHT: f64 = 330.0;
const LINE: f64 = 19.0;

/// Whether policies were held against each other under a mix.
pub(super) fn applies(summary: &Summary) -> bool {
    summary.standings.iter().any(|standing| standing.met_by_all.faults > 0)
}

pub(super) fn sheet(summary: &Summary) -> Sheet {
    let mut sheet = Sheet::new(1200);
    let mut y = sheet.heading(TITLE, "Time lost against work lost, a point a policy, a panel a mix of faults");
    if !applies(summary) {
        let bottom = sheet.no_data(y, "no policies met the same faults of a mix, or no trial was free of crashes");
        return sheet.ending_at(bottom);
    }
    y = sheet.legend(
        y,
        &[
            (Symbol::Marker(Marker::Circle, BLUE), "a policy on the front".to_owned()),
            (Symbol::Marker(Marker::Square, VERMILLION), "a policy off it".to_owned()),
        ],
    );
    let mixes = summary.standings.chunk_by(|a, b| (&a.mix, &a.setting) == (&b.mix, &b.setting));
    for mix in mixes.filter(|mix| mix[0].met_by_all.faults > 0) {
        y = panel(&mut sheet, y, mix);
    }
    sheet.ending_at(y)
}

fn panel(sheet: &mut Sheet, y: f64, mix: &[Standing]) -> f64 {
    let left = MARGIN + LEFT;
    let width = f64::from(sheet.width) - left - MARGIN - RIGHT;
    let (top, bottom) = (y + 30.0, y + 30.0 + HEIGHT);
    let name = format!("{} · {}", mix[0].mix, mix[0].setting);
    sheet.text(left, y + 18.0, Align::Left, PANEL_TITLE, fit(&name, PANEL_TITLE, width + RIGHT));
    // A share has 1 as its end, and a little more for what stands there.
    let most = mix.iter().map(|standing| standing.met_by_all.work_lost.interval().1.min(1.0)).fold(0.0, f64::max);
    let across = Axis::linear([most.max(0.01) * 1.05].into_iter(), left, width);
    let ends = mix
        .iter()
        .map(|standing| standing.met_by_all.time_lost_ns)
        .flat_map(|time| [time.mean / 2.0, time.interval().1]);
    // Up to some years, in microseconds; one that is not above 0 stands at the bottom.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let times = ends.filter(|ns| *ns > 0.0).map(|ns| (ns / 1e3).ceil() as u64);
    let (Some(across), Some(upwards)) = (across, Axis::logarithmic(times, 0.0, HEIGHT)) else { return y };
    let end = across.draw(sheet, top, bottom, percent, "work lost") + 12.0;
    upwards.draw_upwards(sheet, (left, left + width), bottom, |us| duration(us * 1e3));
    sheet.line(vec![(left, top), (left, bottom)], 1, AXIS);
    let at = |x: f64, ns: f64| (across.x(x.clamp(0.0, 1.0)), bottom - upwards.x(ns / 1e3));
    let centre = |Standing { met_by_all, .. }: &Standing| at(met_by_all.work_lost.mean, met_by_all.time_lost_ns.mean);

    let mut front: Vec<(f64, f64)> = mix.iter().filter(|standing| standing.on_front).map(centre).collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    // In steps: between two points nothing was measured.
    let steps = front.windows(2).flat_map(|pair| [pair[0], (pair[1].0, pair[0].1), pair[1]]).collect::<Vec<_>>();
    if !steps.is_empty() {
        sheet.line(steps, 2, tint(BLUE, 0.5));
    }
    for standing in mix {
        let (marker, colour) = look(standing);
        let centre = centre(standing);
        let Met { work_lost, time_lost_ns, .. } = standing.met_by_all;
        let ((low, high), (fast, slow)) = (work_lost.interval(), time_lost_ns.interval());
        let pale = tint(colour, 0.5);
        sheet.line(vec![(at(low, 0.0).0, centre.1), (at(high, 0.0).0, centre.1)], 1, pale);
        sheet.line(vec![(centre.0, at(0.0, fast).1), (centre.0, at(0.0, slow).1)], 1, pale);
        sheet.marker(centre, 5.0, marker, colour);
    }
    names(sheet, mix, (left + width + 40.0, top, bottom), &centre);
    end
}

fn look(standing: &Standing) -> (Marker, plotters::style::RGBColor) {
    if standing.on_front { (Marker::Circle, BLUE) } else { (Marker::Square, VERMILLION) }
}

/// Writes each policy's name to the right, in the order of the points from above, with a line to its point.
fn names(
    sheet: &mut Sheet,
    mix: &[Standing],
    (x, top, bottom): (f64, f64, f64),
    centre: &dyn Fn(&Standing) -> (f64, f64),
) {
    let mut named: Vec<((f64, f64), &Standing)> = mix.iter().map(|standing| (centre(standing), standing)).collect();
    named.sort_by(|a, b| a.0.1.total_cmp(&b.0.1).then(b.0.0.total_cmp(&a.0.0)));
    // Each as near to its point's height as the names above and below leave room for.
    let line = LINE.min((bottom - top) / named.len().max(1) as f64);
    let mut heights: Vec<f64> = Vec::new();
    for (point, _) in &named {
        let free = heights.last().map_or(top + line / 2.0, |above| above + line);
        heights.push(point.1.max(free));
    }
    let mut free = bottom;
    for height in heights.iter_mut().rev() {
        *height = height.min(free);
        free = *height - line;
    }
    for ((point, standing), height) in named.into_iter().zip(heights) {
        let (marker, colour) = look(standing);
        sheet.line(vec![(point.0 + 6.0, point.1), (x - 24.0, height)], 1, tint(GREY, 0.35));
        sheet.marker((x - 12.0, height), 4.0, marker, colour);
        let name = match standing.beaten_by.is_empty() {
            true => standing.policy.clone(),
            false => format!("({})", standing.policy),
        };
        sheet.text(x, height + 5.0, Align::Left, LABEL, fit(&name, LABEL, RIGHT - 60.0));
    }
}
