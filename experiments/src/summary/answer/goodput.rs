//! Useful work against crashes and commits: the best interval that was measured, and what Daly's formula says of it.

use crate::goodput::{Point, Series, percent, why};
use crate::record::Summary;
use crate::units::{count, duration, three_digits};

pub(super) fn sentences(summary: &Summary) -> Vec<String> {
    let mut sentences = Vec::new();
    for series in Series::all(summary) {
        let Some(best) = series.best() else { continue };
        sentences.push(format!("{} {}", at_best(&series, best), how_sure(&series, best)));
        sentences.extend(why(&series, best));
    }
    sentences
}

fn at_best(series: &Series<'_>, best: &Point<'_>) -> String {
    let Series { mechanism, mtbf_ms, costs, .. } = series;
    let model = series.model(best.commit_every).useful;
    let scatter = best.goodput.p50_ci.map_or(String::new(), |(low, high)| {
        format!(" ({} to {} over {})", percent(low / 1e6), percent(high / 1e6), count(best.goodput.n, "lap", "laps"))
    });
    format!(
        "Under {mechanism} with a crash every {} (in the median; {mtbf_ms} ms asked for), a commit every {} ({}) was the best of {} \
         intervals: {} of the time was useful{scatter}. Daly's optimum is {}, Young's {}; his formula gives {} for the \
         measured interval, with commits that cost {} (a wait of {}, and slower steps after it) and restarts that cost {} \
         ({} to the successor): measured {}.",
        duration(costs.mtbf_ns),
        count(best.commit_every, "step", "steps"),
        duration(series.interval_ns(best.commit_every)),
        series.points.len(),
        percent(best.share()),
        duration(costs.daly_interval_ns()),
        duration(costs.young_interval_ns()),
        percent(model),
        duration(costs.commit_ns),
        duration(series.waits_ns.0),
        duration(costs.restart_ns),
        duration(series.waits_ns.1),
        beside(best.share() / model)
    )
}

/// How far the best interval was picked by chance.
fn how_sure(series: &Series<'_>, best: &Point<'_>) -> String {
    if series.points.len() == 1 {
        return "No other interval was measured.".to_owned();
    }
    let like = series.like(best);
    let has_none = |point: &Point<'_>| point.goodput.p50_ci.is_none();
    let why = match has_none(best) || like.iter().any(|other| has_none(other)) {
        true => "there are too few laps",
        false => "their 95 % intervals overlap",
    };
    let like: Vec<String> = like.into_iter().map(|other| other.commit_every.to_string()).collect();
    let told = match &like[..] {
        [] => "its 95 % interval lies above that of every other".to_owned(),
        like => format!("a commit every {} steps is not told apart from it, as {why}", like.join(", ")),
    };
    format!(
        "It was picked as the best of {} medians, which makes it likelier too high than too low; {told}.",
        series.points.len()
    )
}

/// By how much a figure is more or less than what it is held against.
fn beside(over: f64) -> String {
    match (over - 1.0) * 100.0 {
        less if less < -0.05 => format!("{} % less", three_digits(-less)),
        more if more > 0.05 => format!("{} % more", three_digits(more)),
        _ => "the same".to_owned(),
    }
}
