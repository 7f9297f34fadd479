//! Every plot over data from none to too much: it can be read, fits its sheet, and shows the levels.

use super::sheet::{Align, Shape, Sheet};
use super::style::text_width;
use super::*;
use crate::goodput::sample::{AS_MODELLED, Made};
use crate::record::{Course, Distribution, GaveUpBy, Measurement, Outcome, Poison, Unit, Verdict};
use crate::sample_trials::run;
use crate::summary::costs::made_up::row;
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

/// Trials that met operations that always crash: every third got past.
fn of_poison(workloads: &[&str]) -> Vec<Trial> {
    let policies: Vec<&str> = crashbed_policies::ALL.iter().map(|policy| policy.name).collect();
    let mut trials = run(&policies, &["full-copy"], workloads, &["poison".to_owned()], 9);
    for (trial, policy) in trials.iter_mut().zip((0..11).flat_map(|policy| [policy; 27])) {
        let is_past = policy % 3 == 0;
        let past_ns = (0..u64::from(is_past)).map(|_| 900_000 * (1 + trial.seed % 13)).collect();
        trial.poison = Some(Poison { met: 2, past: 1 + u64::from(is_past), past_ns, harmless_skipped: 0 });
        let gave_up_by = (!is_past).then_some(GaveUpBy::Program);
        trial.course = Some(Course { restarts: policy, gave_up_by, ..Course::default() });
        trial.outcome = if is_past { Outcome::Done } else { Outcome::GaveUp };
        trial.verdict = if is_past { Verdict::Exact } else { Verdict::GaveUp };
    }
    trials
}

/// Trials of all policies under mixes: nothing lost, all lost, and what lies between.
fn of_mixes() -> Vec<Trial> {
    let policies: Vec<&str> = crashbed_policies::ALL.iter().map(|policy| policy.name).collect();
    let faults = ["none", "mix:transient", "mix:deterministic"].map(str::to_owned);
    let mut trials = run(&policies, &["full-copy"], &["kv"], &faults, 9);
    for (trial, policy) in trials.iter_mut().zip((0..11).flat_map(|policy| [policy; 27])) {
        let crashed = trial.crashes > 0;
        // Trial number n of each policy meets the same fault.
        trial.seed %= 27;
        let lost = if trial.levels.fault == "mix:deterministic" { policy * 10 * (trial.seed % 2) } else { 0 };
        trial.operations = 100 - lost;
        trial.script_operations = Some(100);
        let more = if crashed { 10_000 * 4_u64.pow(u32::try_from(policy).unwrap()) + trial.seed * 900 } else { 0 };
        trial.took_ns = Some(10_000 * (100 - lost) + more);
        trial.verdict = Verdict::Exact;
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

/// What mechanisms cost, over seven decades.
fn mechanism_costs() -> Vec<Measurement> {
    let mut rows = Vec::new();
    for (region_bytes, pages) in [(1 << 20, 3), (64 << 20, 5), (1 << 30, 5)] {
        for (written, number) in (0..pages).map(|power| 4096 << (3 * power)).zip(1_u64..).chain([(64, 1)]) {
            for name in ["commit", "write-and-commit", "restore", "recovery"] {
                for (mechanism, factor) in [("copy-on-write", 400), ("full-copy", 90_000_000), ("undo-log", 11)] {
                    rows.push(row(name, mechanism, region_bytes, written, factor * number));
                }
            }
            for name in ["bare-commit", "bare-write-and-commit", "bare-copy-back"] {
                rows.push(row(name, "", region_bytes, written, 300 * number));
            }
        }
    }
    rows
}

/// Goodput of mechanisms under several times between crashes, from none that is useful to nearly all.
fn goodputs() -> Vec<Measurement> {
    let mut rows = Vec::new();
    for (place, mechanism) in ["copy-on-write", "dirty-pages", "full-copy"].into_iter().enumerate() {
        for mtbf_ms in [3, 20, 80, 320, 90_000] {
            let costs = crate::daly::Costs { mtbf_ns: mtbf_ms as f64 * 1e6, ..AS_MODELLED.costs };
            let made = Made { mechanism, mtbf_ms, costs, slower: 1.0 + place as f64 / 10.0, ..AS_MODELLED };
            rows.extend(made.rows(&[1, 2, 4, 8, 16, 32, 64, 128]));
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
        ("inputs that always crash", of_poison(&["kv", "documents", "native"])),
        ("mixes of faults", of_mixes()),
        ("an input that nobody gets past", {
            let mut trials = of_poison(&["kv"]);
            trials.retain(|trial| trial.outcome != Outcome::Done);
            trials
        }),
    ]
}

/// A summary of the trials, with heartbeats and goodput where these have several starts.
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
            measurements: if has_starts {
                [heartbeats(), mechanism_costs(), crate::nested::sample(51, 0), goodputs()].concat()
            } else {
                Vec::new()
            },
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
                Plot::Outcomes => !trials.is_empty(),
                Plot::RecoveryEcdf | Plot::Phases | Plot::LostOperations => crashed,
                _ => Plot::of(&summary, &trials).contains(&plot),
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
    let of_starts: Vec<Plot> =
        Plot::ALL.into_iter().filter(|plot| ![Plot::Poison, Plot::Pareto].contains(plot)).collect();
    assert_eq!(Plot::of(&summary, &trials), of_starts);
    let svg = |plot: Plot| plot.svg(&summary, &trials).unwrap();
    for plot in [Plot::Starts, Plot::Costs] {
        for start in ["cold", "warm", "hot", "auto", "64 MiB", "1 GiB", "busy"] {
            assert!(svg(plot).contains(start), "{plot:?}: no {start}");
        }
    }
    assert!(svg(Plot::RecoveryEcdf).contains("start cold, load none"), "an ECDF of all starts mixed says nothing");
    assert!(svg(Plot::Phases).contains("checkpoint-resume, hot, busy"));
    for plot in [Plot::CommitCost, Plot::ChangeCost, Plot::RestoreCost, Plot::RecoveryCost] {
        for shown in ["region of 1 MiB", "region of 1 GiB", "undo-log", "full-copy", "pages written"] {
            assert!(svg(plot).contains(shown), "{plot:?}: no {shown}");
        }
        assert_eq!(svg(plot).contains("bare system calls"), matches!(plot, Plot::CommitCost | Plot::ChangeCost));
    }
    for load in ["nothing else runs", "load busy"] {
        assert!(svg(Plot::Heartbeat).contains(load), "no {load}");
    }
    let cold: Vec<Trial> = trials.into_iter().filter(|trial| trial.levels.spare == "cold").collect();
    let cold = cold.into_iter().map(|trial| Trial { spare_processor_ns: None, spare_memory_bytes: None, ..trial });
    let cold: Vec<Trial> = cold.collect();
    assert_eq!(Plot::of(&summary_of(&cold), &cold), ALWAYS);
}

/// How far the markers of a goodput plot are from its one curve, at the most, in pixels.
fn furthest_from_the_curve(made: Made) -> f64 {
    let measurements = made.rows(&[1, 2, 4, 8, 16, 32, 64, 128]);
    let summary = Summary { measurements, ..summary_of(&[]) };
    let sheet = Plot::Goodput.sheet(&summary, &[]);
    let curve = sheet.shapes.iter().filter_map(|shape| match shape {
        Shape::Line { points, .. } if points.len() > 100 => Some(points),
        _ => None,
    });
    let [curve] = curve.collect::<Vec<_>>()[..] else { panic!("one series has one curve") };
    let markers = sheet.shapes.iter().filter_map(|shape| match shape {
        // The legend's stands above the panel.
        Shape::Polygon { points, .. } if points[0].1 > 150.0 => {
            let n = points.len() as f64;
            Some((points.iter().map(|at| at.0).sum::<f64>() / n, points.iter().map(|at| at.1).sum::<f64>() / n))
        }
        _ => None,
    });
    let distance = |(x, y): (f64, f64)| curve.iter().map(|at| (at.0 - x).hypot(at.1 - y)).fold(f64::INFINITY, f64::min);
    let distances: Vec<f64> = markers.map(distance).collect();
    // Each is drawn with both ends of its interval.
    assert_eq!(distances.len(), 2 * 8);
    distances.into_iter().fold(0.0, f64::max)
}

#[test]
fn what_was_measured_lies_on_the_models_curve_where_it_is_what_the_model_says() {
    assert!(furthest_from_the_curve(AS_MODELLED) < 3.0, "{}", furthest_from_the_curve(AS_MODELLED));
    let slow = Made { slower: 1.3, ..AS_MODELLED };
    assert!(furthest_from_the_curve(slow) > 10.0, "{}", furthest_from_the_curve(slow));
}

#[test]
fn goodput_is_drawn_where_it_was_measured_without_any_trial() {
    let summary = Summary { measurements: goodputs(), ..summary_of(&[]) };
    assert_eq!(Plot::of(&summary, &[]), [Plot::Goodput]);
    let svg = Plot::Goodput.svg(&summary, &[]).unwrap();
    let named = ["full-copy", "dirty-pages", "copy-on-write", "16 MiB", "a crash every 320 ms", "Young", "Daly"];
    for name in named {
        assert!(svg.contains(name), "no {name}");
    }
}

#[test]
fn a_front_names_every_policy_and_draws_each_mix() {
    let trials = of_mixes();
    let svg = Plot::Pareto.svg(&summary_of(&trials), &trials).unwrap();
    for policy in crashbed_policies::ALL {
        let name = policy.name;
        let named = svg.lines().filter(|line| line.trim() == name || line.trim() == format!("({name})")).count();
        assert_eq!(named, 2, "{name}");
    }
    for mix in ["transient · full-copy", "deterministic · full-copy"] {
        assert!(svg.contains(mix), "no {mix}");
    }
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
