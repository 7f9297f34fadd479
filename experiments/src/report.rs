//! `report.html`: one file that opens with the question and the answer, and holds all else that a reader may ask for.
//!
//! Self-contained: the plots are inline SVG, the style is inline, and there is no script, so that it reads the same
//! from a mail, a disk or a web server.

use crate::output::write_whole;
use crate::plots::{Plot, PlotError};
use crate::record::{Distribution, Manifest, Summary, Trial};
use crate::units::duration;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

mod cells;
mod floors;
mod measurements;
mod targets;

/// The report's file.
pub const REPORT: &str = "report.html";

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// One of its plots could not be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// The file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes `dir/report.html`, whole or not at all, and returns its path.
///
/// # Errors
/// [`ReportError`] where a plot cannot be drawn or the file not be written.
pub fn write(dir: &Path, manifest: &Manifest, summary: &Summary, trials: &[Trial]) -> Result<PathBuf, ReportError> {
    let path = dir.join(REPORT);
    let page = page(manifest, summary, &figures(summary, trials)?).into_string();
    write_whole(&path, page.as_bytes()).map_err(|source| ReportError::Write { path: path.clone(), source })?;
    Ok(path)
}

fn figures(summary: &Summary, trials: &[Trial]) -> Result<Markup, PlotError> {
    let mut figures = Vec::new();
    for plot in Plot::of(summary, trials) {
        let label = format!("<svg role=\"img\" aria-label=\"{}\" ", plot.title());
        figures.push((plot, plot.svg(summary, trials)?.replacen("<svg ", &label, 1)));
    }
    Ok(html! {
        @for (plot, svg) in &figures {
            figure id=(plot.name()) {
                figcaption { strong { (plot.title()) ". " } (plot.reading()) }
                div.wide { (PreEscaped(svg)) }
            }
        }
    })
}

fn page(manifest: &Manifest, summary: &Summary, figures: &Markup) -> Markup {
    // Without them there is nothing to say of cells, floors, faults and verdicts.
    let has_trials = summary.trials > 0;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Crashbed: " (summary.suite) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.suite { "Crashbed · suite " strong { (summary.suite) } " · " (manifest.started) }
                    h1 { (manifest.question) }
                }
                main {
                    section id="answer" {
                        @if !summary.complete { p.warning { "This run did not finish." } }
                        @if !summary.targets.is_empty() { (targets::table(&summary.targets)) }
                        ul { @for sentence in &summary.answer { li { (sentence) } } }
                    }
                    @if !figures.0.is_empty() { section id="plots" { h2 { "Plots" } (figures.clone()) } }
                    @if has_trials {
                        section id="cells" { h2 { "Cells" } (cells::table(&summary.cells)) }
                        section id="floors" { h2 { "Floors" } (floors::table(&summary.floors)) }
                    }
                    @if !summary.measurements.is_empty() {
                        section id="measurements" {
                            h2 { @if has_trials { "Beside the trials" } @else { "Measured" } }
                            (measurements::table(&summary.measurements, has_trials))
                        }
                    }
                    section id="skipped" { h2 { "Skipped" } (skipped(&summary.skipped)) }
                    section id="method" { h2 { "Method" } (method(has_trials)) }
                    section id="machine" { h2 { "Machine" } (machine(manifest)) }
                    section id="again" { h2 { "The same run again" } (again(manifest)) }
                }
            }
        }
    }
}

fn skipped(skipped: &[String]) -> Markup {
    html! {
        @if skipped.is_empty() { p { "Nothing was skipped." } }
        @else { ul { @for reason in skipped { li { (reason) } } } }
    }
}

fn method(has_trials: bool) -> Markup {
    html! {
        ul {
            @if has_trials {
                li { "Faults planned, injected, activated and noticed are counted apart; a trial whose fault never struck is inconclusive, never right." }
                li { "The verdict is that of an oracle that knows what the state must be without asking the engine; what it cannot tell is unknown, never right." }
                li { "Recovery is the time from the last instant before the faulting instruction to the successor's first completed operation; the hand-over ends at the successor's first instruction." }
            }
            li { "Medians and quantiles are Hyndman and Fan's definition 7. The interval of a median is two of the sample's own order statistics, which cover at least 95 % whatever the distribution; below 6 samples there is none. A 90 % quantile needs 50 samples, a 99 % one 500, a 99.9 % one 10,000." }
            @if has_trials {
                li { "A ratio to a floor compares medians of one run, with the same notice, start, load, mechanism, workload and region size." }
                li { "The interval of a share is Wilson's." }
            }
        }
    }
}

fn machine(manifest: &Manifest) -> Markup {
    html! {
        div.wide { table.facts { tbody {
            @for (name, value) in &manifest.machine { tr { th scope="row" { (name) } td { (value) } } }
        } } }
    }
}

fn again(manifest: &Manifest) -> Markup {
    html! {
        pre { "crashbed run " (manifest.suite) " --seed " (manifest.seed) }
        p { "Crashbed " (manifest.version) ", revision " (manifest.revision) ". The suite as it was run, after the command line had narrowed it:" }
        pre { (manifest.settings) }
    }
}

const NOTHING: &str = "–";

/// A median with its interval, as `155 µs [150 µs to 161 µs]`.
fn latency(latency: Option<&Distribution>) -> String {
    let Some(latency) = latency else { return NOTHING.to_owned() };
    let interval = latency.p50_ci.map(|(low, high)| format!(" [{} to {}]", duration(low), duration(high)));
    duration(latency.p50) + &interval.unwrap_or_default()
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or(NOTHING.to_owned(), crate::units::ratio)
}

/// Counts by their names in the results, as `exact 4, gave-up 1`.
fn tally<K: Serialize>(counts: &BTreeMap<K, u64>) -> String {
    let named = counts.iter().map(|(key, n)| match serde_json::to_value(key) {
        Ok(serde_json::Value::String(name)) => format!("{name} {n}"),
        _ => n.to_string(),
    });
    named.collect::<Vec<_>>().join(", ")
}

const STYLE: &str = include_str!("report.css");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Floor, Measurement, Target, Unit};
    use crate::sample_trials::run;
    use crate::summary::{Run, summarize};

    fn manifest() -> Manifest {
        Manifest {
            format: 1,
            suite: "quick".to_owned(),
            question: "Does it all work here?".to_owned(),
            settings: "trials = 6".to_owned(),
            seed: 4711,
            started: "2026-01-01T00:00:00Z".to_owned(),
            version: "0.1.0".to_owned(),
            revision: "abcdef".to_owned(),
            machine: BTreeMap::from([("kernel".to_owned(), "6.12".to_owned())]),
        }
    }

    #[test]
    fn a_report_opens_with_the_answer_and_needs_nothing_from_outside() {
        let faults = ["abort".to_owned(), "<b>bold & \"quoted\"</b>".to_owned()];
        let trials = run(&["zero-state", "checkpoint-resume"], &["copy-on-write"], &["kv"], &faults, 6);
        let measurement = Measurement {
            measure: "pool".to_owned(),
            row: "failover".to_owned(),
            levels: BTreeMap::from([("records".to_owned(), 250_u64.into()), ("wait".to_owned(), "told".into())]),
            unit: Unit::Ns,
            distribution: Distribution::of(vec![41_500]).unwrap(),
            note: "crash to answer".to_owned(),
        };
        let summary = summarize(
            Run {
                suite: "quick",
                trials: &trials,
                planned_trials: 100,
                missing_rounds: 0,
                floors: Vec::new(),
                measurements: vec![measurement],
                skipped: vec!["huge pages: skipped, because there are none".to_owned()],
            },
            |_| false,
        );
        let dir = tempfile::tempdir().unwrap();
        let page = std::fs::read_to_string(write(dir.path(), &manifest(), &summary, &trials).unwrap()).unwrap();

        let order =
            ["Does it all work here?", summary.answer[0].as_str(), "<svg role", "id=\"cells\"", "id=\"floors\""];
        let places: Vec<usize> =
            order.iter().map(|text| page.find(text).unwrap_or_else(|| panic!("no {text}"))).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(page.matches("<svg ").count(), 4);
        for shown in [
            "checkpoint-resume",
            "crashbed run quick --seed 4711",
            "trials = 6",
            "6.12",
            "huge pages",
            "records 250, wait told",
            "41.5 µs",
            "did not finish",
        ] {
            assert!(page.contains(shown), "no {shown}");
        }
        assert!(!page.contains("<b>bold"), "levels are escaped");
        let outside = page.replace("http://www.w3.org/2000/svg", "");
        for way_out in ["http", "<script", "src=", "url(", "@import", "<link"] {
            assert!(!outside.contains(way_out), "{way_out}");
        }
    }

    #[test]
    fn targets_stand_before_all_else_and_starts_in_the_tables() {
        let mut trials = run(&["checkpoint-resume"], &["copy-on-write"], &["kv"], &["null-read".to_owned()], 60);
        for trial in trials.iter_mut().skip(30) {
            trial.levels.spare = "hot".to_owned();
            trial.notice = Some("handler".to_owned());
            trial.started_by = Some(if trial.trial == 59 { "warm" } else { "hot" }.to_owned());
        }
        let always = |ns| Distribution::of(vec![ns; 20]).unwrap();
        let floor = Floor {
            path: "handler, spin, release".to_owned(),
            notice: "signal".to_owned(),
            spare: "hot".to_owned(),
            mechanism: "copy-on-write".to_owned(),
            workload: "kv".to_owned(),
            region_bytes: 64 << 20,
            load: "none".to_owned(),
            hand_over_ns: always(50_000),
            recovery_ns: always(60_000),
            take_over_faults: Some(always(12)),
        };
        let run = Run {
            suite: "starts",
            trials: &trials,
            planned_trials: 60,
            missing_rounds: 0,
            floors: vec![floor],
            measurements: Vec::new(),
            skipped: Vec::new(),
        };
        let summary = summarize(run, |_| false);
        let missing = summary.targets.iter().find(|target| target.against.contains("pool")).unwrap();
        let page = page(&manifest(), &summary, &html! {}).into_string();
        let row = |target: &Target| format!("<td>{}</td>", target.against);
        let order = ["Does it all work here?", "<td>missed</td>", &row(missing), &summary.answer[0]];
        let places: Vec<usize> =
            order.iter().map(|text| page.find(text).unwrap_or_else(|| panic!("no {text}"))).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert!(page.contains("<td>not measured</td>"));
        let cells = cells::table(&summary.cells).into_string();
        assert!(cells.contains("<th scope=\"col\">start</th>") && cells.contains("hot 29, warm 1"), "{cells}");
        assert!(!cells.contains("<th scope=\"col\">load</th>"), "nothing was loaded");
        let floors = floors::table(&summary.floors).into_string();
        assert!(floors.contains("<td>hot</td>") && floors.contains("handler, spin, release"), "{floors}");
    }

    #[test]
    fn a_run_that_made_no_trial_has_a_report_too() {
        let run = Run {
            suite: "quick",
            trials: &[],
            planned_trials: 4,
            missing_rounds: 0,
            floors: Vec::new(),
            measurements: Vec::new(),
            skipped: Vec::new(),
        };
        let summary = summarize(run, |_| false);
        let page = page(&manifest(), &summary, &figures(&summary, &[]).unwrap()).into_string();
        assert!(page.contains("did not finish: 0 of 4 planned trials were made"), "{page}");
        assert!(!page.contains("Nothing crashed"), "{page}");
    }

    #[test]
    fn a_run_of_measures_alone_shows_them_and_nothing_of_trials() {
        let measurement = Measurement {
            measure: "pool".to_owned(),
            row: "failover".to_owned(),
            levels: BTreeMap::from([("records".to_owned(), 250_u64.into())]),
            unit: Unit::Ns,
            distribution: Distribution::of(vec![41_500]).unwrap(),
            note: "crash to answer".to_owned(),
        };
        let run = Run {
            suite: "quick",
            trials: &[],
            planned_trials: 0,
            missing_rounds: 2,
            floors: Vec::new(),
            measurements: vec![measurement],
            skipped: Vec::new(),
        };
        let summary = summarize(run, |_| false);
        assert!(!summary.complete);
        let page = page(&manifest(), &summary, &figures(&summary, &[]).unwrap()).into_string();
        for shown in
            ["did not finish: 2 rounds of measures are missing", "1 row of `pool`", "41.5 µs", "id=\"measurements\""]
        {
            assert!(page.contains(shown), "no {shown}: {page}");
        }
        for other in ["id=\"plots\"", "id=\"cells\"", "id=\"floors\"", "the trials", "verdict", "crashed"] {
            assert!(!page.contains(other), "{other}: {page}");
        }
    }
}
