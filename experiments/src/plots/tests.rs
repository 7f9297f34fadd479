//! Every plot over data from none to too much: it can be read, fits its sheet, and shows the levels.

use super::sheet::{Align, Shape, Sheet};
use super::style::text_width;
use super::*;
use crate::record::{Distribution, Measurement, Unit};
use crate::sample_trials::run;
use crate::summary::{Run, summarize};

/// The plots that every run has.
const ALWAYS: [Plot; 4] = [Plot::Outcomes, Plot::RecoveryEcdf, Plot::Phases, Plot::LostOperations];

/// Trials of every start, size and load, with what spares cost.
fn of_all_starts() -> Vec<Trial> {
    let mechanisms = ["copy-on-write", "full-copy", "undo-log", "dirty-pages", "fork"];
    let faults = ["null-read".to_owned(), "kill".to_owned()];
    let mut trials = Vec::new();
    for (start, cost) in [("cold", None), ("warm", Some(3_000)), ("hot", Some(50_000_000)), ("auto", Some(70_000))] {
        for (load, region_bytes) in [("none", 1 << 20), ("none", 64 << 20), ("none", 1 << 30), ("busy", 64 << 20)] {
            for mut trial in run(&["zero-state", "checkpoint-resume"], &mechanisms, &["kv"], &faults, 3) {
                trial.levels.spare = start.to_owned();
                trial.levels.load = load.to_owned();
                trial.levels.region_bytes = region_bytes;
                trial.spare_processor_ns = cost;
                trial.spare_memory_bytes = cost.map(|cost| cost / 2);
                trials.push(trial);
            }
        }
    }
    trials
}

/// What a heartbeat's deadlines cost, with false alarms from never to always.
fn heartbeats() -> Vec<Measurement> {
    let mut rows = Vec::new();
    for (load, factor) in [("none", 0), ("busy", 9)] {
        for deadline_ms in [1, 2, 5, 10, 100_u64] {
            let alarms = (0..4).map(|round| factor * round * 30_000 / deadline_ms).collect();
            let detection = (0..10).map(|hang| deadline_ms * 1_000_000 + hang * 10_000 * (factor + 1)).collect();
            for (row, unit, figures) in [("false-alarms", Unit::Millionths, alarms), ("detection", Unit::Ns, detection)]
                as [(_, _, Vec<u64>); 2]
            {
                rows.push(Measurement {
                    measure: "heartbeat".to_owned(),
                    row: row.to_owned(),
                    levels: [("deadline-ms".to_owned(), deadline_ms.into()), ("load".to_owned(), load.into())].into(),
                    unit,
                    distribution: Distribution::of(figures).unwrap(),
                    note: String::new(),
                });
            }
        }
    }
    rows
}

/// Data from nothing to far more than a run has, each with a name.
fn cases() -> Vec<(&'static str, Vec<Trial>)> {
    let faults = |n: usize| (0..n).map(|i| format!("fault-number-{i}")).collect::<Vec<_>>();
    let policies = ["zero-state", "checkpoint-resume", "process-decides"];
    let long = "a-policy-with-a-name-that-nobody-would-want-to-type-more-than-once-in-a-lifetime";
    vec![
        ("nothing", Vec::new()),
        ("one trial without a crash", run(&policies[..1], &["full-copy"], &["kv"], &["none".to_owned()], 1)),
        ("one crash", run(&policies[..1], &["full-copy"], &["kv"], &faults(1), 1)),
        ("a run", run(&policies, &["copy-on-write", "full-copy"], &["kv", "documents"], &faults(9), 4)),
        ("forty faults", run(&policies, &["copy-on-write", "full-copy"], &["kv"], &faults(40), 2)),
        ("long names", run(&[long, "b"], &[long], &[long], &[long.to_owned()], 12)),
        ("figures over nine decades", {
            let mut trials = run(&policies, &["full-copy"], &["kv"], &faults(3), 9);
            for (trial, decade) in trials.iter_mut().zip((0..10).cycle()) {
                trial.phases.recovery_ns = Some(600 * 10_u64.pow(decade));
                trial.lost_operations = 7 * 10_u64.pow(decade);
            }
            trials
        }),
        ("many policies", {
            let names: Vec<String> = (0..14).map(|i| format!("policy-number-{i}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            run(&names, &["undo-log", "fork"], &["kv"], &faults(3), 3)
        }),
        ("all starts", of_all_starts()),
    ]
}

/// A summary of the trials, with heartbeats where these have several starts.
fn summary_of(trials: &[Trial]) -> Summary {
    let has_starts = trials.iter().any(|trial| trial.levels.spare == "hot");
    let planned_trials = trials.len() as u64;
    summarize(
        Run {
            suite: "test",
            trials,
            planned_trials,
            missing_rounds: 0,
            floors: Vec::new(),
            measurements: if has_starts { heartbeats() } else { Vec::new() },
            skipped: Vec::new(),
        },
        |_| false,
    )
}

/// The box that a text covers: left, top, right, bottom.
fn extent(shape: &Shape) -> Option<(f64, f64, f64, f64, &str)> {
    let Shape::Text { x, y, text, align, style } = shape else { return None };
    let width = text_width(text, *style);
    let left = match align {
        Align::Left => *x,
        Align::Centre => x - width / 2.0,
        Align::Right => x - width,
    };
    Some((left, y - 0.75 * style.size, left + width, y + 0.2 * style.size, text))
}

fn check_labels(sheet: &Sheet, of: &str) {
    let texts: Vec<_> = sheet.shapes.iter().filter_map(extent).collect();
    for (index, a) in texts.iter().enumerate() {
        let inside = a.0 >= 0.0 && a.1 >= 0.0 && a.2 <= f64::from(sheet.width) && a.3 <= f64::from(sheet.height);
        assert!(inside, "{of}: `{}` leaves the sheet of {} × {}: {a:?}", a.4, sheet.width, sheet.height);
        for b in &texts[..index] {
            let apart = a.2 <= b.0 || b.2 <= a.0 || a.3 <= b.1 || b.3 <= a.1;
            assert!(apart, "{of}: `{}` lies on `{}`", a.4, b.4);
        }
    }
}

#[test]
fn no_label_lies_on_another_or_leaves_the_sheet() {
    for (case, trials) in cases() {
        let summary = summary_of(&trials);
        for plot in Plot::ALL {
            check_labels(&plot.sheet(&summary, &trials), &format!("{} of {case}", plot.name()));
        }
    }
}

#[test]
fn every_svg_is_xml_and_shows_the_levels() {
    for (case, trials) in cases() {
        let summary = summary_of(&trials);
        for plot in Plot::ALL {
            let svg = plot.svg(&summary, &trials).unwrap();
            let document = roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{case}: {e}"));
            let shown: String = document.descendants().filter_map(|node| node.text()).collect();
            assert!(shown.contains(plot.title()), "{case}: no title");
            let crashed = trials.iter().any(|trial| trial.crashes > 0);
            let has_data = match plot {
                Plot::Starts | Plot::Costs | Plot::Heartbeat => Plot::of(&summary, &trials).contains(&plot),
                Plot::Outcomes => !trials.is_empty(),
                Plot::RecoveryEcdf | Plot::Phases | Plot::LostOperations => crashed,
            };
            assert_eq!(shown.contains("no data: because"), !has_data, "{case}, {plot:?}");
            if has_data && crashed && case != "long names" && ALWAYS.contains(&plot) {
                for trial in &trials {
                    assert!(shown.contains(&trial.levels.policy), "{case}, {plot:?}: {}", trial.levels.policy);
                    assert!(shown.contains(&trial.levels.mechanism), "{case}, {plot:?}: {}", trial.levels.mechanism);
                    if plot == Plot::Outcomes {
                        assert!(shown.contains(&trial.levels.fault), "{case}: {}", trial.levels.fault);
                    }
                }
            }
        }
    }
}

#[test]
fn all_files_are_written_whole_and_again() {
    let (_, trials) = cases().swap_remove(2);
    let summary = summary_of(&trials);
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let paths = draw_all(dir.path(), &summary, &trials).unwrap();
        assert_eq!(paths.len(), 2 * ALWAYS.len());
        for path in paths {
            let bytes = std::fs::read(&path).unwrap();
            if path.extension().is_some_and(|ending| ending == "png") {
                let mut reader = png::Decoder::new(io::Cursor::new(bytes)).read_info().unwrap();
                let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
                let info = reader.next_frame(&mut pixels).unwrap();
                assert!(info.width >= 1200 && info.height >= 200, "{} × {}", info.width, info.height);
                let dark = pixels.iter().filter(|byte| **byte < 80).count();
                assert!(dark > 1000, "{} shows text and lines", path.display());
            } else {
                assert!(String::from_utf8(bytes).unwrap().ends_with("</svg>\n"));
            }
        }
    }
    let left: Vec<_> =
        std::fs::read_dir(dir.path().join("plots")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), 2 * ALWAYS.len(), "no passing file is left: {left:?}");
}

#[test]
fn plots_of_starts_are_drawn_where_starts_were_varied_and_name_them() {
    let trials = of_all_starts();
    let summary = summary_of(&trials);
    assert_eq!(Plot::of(&summary, &trials), Plot::ALL);
    let svg = |plot: Plot| plot.svg(&summary, &trials).unwrap();
    for plot in [Plot::Starts, Plot::Costs] {
        for start in ["cold", "warm", "hot", "auto", "64 MiB", "1 GiB", "busy"] {
            assert!(svg(plot).contains(start), "{plot:?}: no {start}");
        }
    }
    assert!(svg(Plot::RecoveryEcdf).contains("start cold, load none"), "an ECDF of all starts mixed says nothing");
    assert!(svg(Plot::Phases).contains("checkpoint-resume, hot, busy"));
    for load in ["nothing else runs", "load busy"] {
        assert!(svg(Plot::Heartbeat).contains(load), "no {load}");
    }
    let cold: Vec<Trial> = trials.into_iter().filter(|trial| trial.levels.spare == "cold").collect();
    let cold = cold.into_iter().map(|trial| Trial { spare_processor_ns: None, spare_memory_bytes: None, ..trial });
    let cold: Vec<Trial> = cold.collect();
    assert_eq!(Plot::of(&summary_of(&cold), &cold), ALWAYS);
}

#[test]
fn a_sheet_of_many_trials_stays_small() {
    let mut trials = Vec::new();
    for (number, mut trial) in (0..).zip(of_all_starts().into_iter().cycle().take(50_000)) {
        trial.phases.recovery_ns = Some(8_000 + number * 13 % 900_000);
        trial.lost_operations = number % 3_000;
        trials.push(trial);
    }
    let summary = summary_of(&trials);
    for plot in Plot::ALL {
        let size = plot.svg(&summary, &trials).unwrap().len();
        assert!(size < 3_000_000, "{plot:?}: {size} bytes");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("plots"), "a file where the folder should be").unwrap();
    let error = draw_all(dir.path(), &summary_of(&[]), &[]).unwrap_err().to_string();
    assert!(error.contains("plots"), "{error}");
}

#[test]
fn an_empty_plot_says_why_it_is_empty() {
    let (_, mut trials) = cases().swap_remove(3);
    for trial in &mut trials {
        trial.phases = crate::record::Phases::default();
    }
    let summary = summary_of(&trials);
    for plot in [Plot::RecoveryEcdf, Plot::Phases] {
        let svg = plot.svg(&summary, &trials).unwrap();
        assert!(svg.contains(&format!("no data: because none of {} crashed trials recovered", trials.len())));
    }
    let (_, trials) = cases().swap_remove(1);
    let svg = Plot::LostOperations.svg(&summary_of(&trials), &trials).unwrap();
    assert!(svg.contains("no data: because nothing crashed in 1 trial"));
}
