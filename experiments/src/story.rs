//! What the program tells at the end: of a run in a few lines, of a single trial step by step.

use crate::record::{Measurement, Summary, Target, Trial};
use crate::units::{at_most, duration, figure, ratio};
use std::fmt::Write;
use std::path::Path;

/// A run's answer, and where to look further.
pub fn end_of_run(summary: &Summary, folder: &Path) -> String {
    let mut text = table_of_targets(&summary.targets);
    for line in summary.answer.iter().chain(&summary.skipped) {
        let _ = writeln!(text, "{line}");
    }
    let documents = summary.cells.iter().filter(|cell| !cell.counts.is_empty() && cell.levels.fault == "none");
    for cell in documents {
        let counts: Vec<_> = cell.counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let _ = write!(text, "{}, {}: {}", cell.levels.policy, cell.levels.mechanism, counts.join(", "));
        if !cell.quarantined_files.is_empty() {
            let _ = write!(text, " ({})", cell.quarantined_files.join(", "));
        }
        if let Some(digest) = &cell.digest {
            let _ = write!(text, "; digest {digest}");
        }
        text.push('\n');
    }
    for rows in summary.measurements.chunk_by(|a, b| a.measure == b.measure) {
        text.push_str(&measured(rows));
    }
    let _ = writeln!(text, "Report: {}", folder.join("report.html").display());
    text
}

/// A line a row of a measure; of one with very many, how many there are.
fn measured(rows: &[Measurement]) -> String {
    const MOST: usize = 200;
    if rows.len() > MOST {
        return format!("{}: {} rows, in the report\n", rows[0].measure, rows.len());
    }
    let line = |found: &Measurement| {
        let p50 = figure(found.distribution.p50, found.unit);
        format!("{} {}: {p50} ({})\n", found.measure, found.row, found.levels_in_words())
    };
    rows.iter().map(line).collect()
}

/// A line a target, in columns.
fn table_of_targets(targets: &[Target]) -> String {
    let mut text = String::new();
    let time = |ns: Option<f64>| ns.map_or("–".to_owned(), duration);
    let mut about = "";
    for target in targets {
        if target.about != about {
            about = &target.about;
            let _ = writeln!(text, "{about}");
        }
        let reached = match target.reached {
            Some(true) => "reached",
            Some(false) => "MISSED",
            None => "not measured",
        };
        let _ = writeln!(
            text,
            "  {reached:<12} {:>7} {:<8} {} {}, against {} {}",
            target.ratio.map_or("–".to_owned(), ratio),
            at_most(target.at_most),
            target.measured,
            time(target.measured_ns),
            target.against,
            time(target.against_ns),
        );
    }
    text
}

/// One trial, step by step.
pub fn of_trial(trial: &Trial) -> String {
    let mut text = String::new();
    let levels = &trial.levels;
    let _ = writeln!(
        text,
        "{} under {} by {}, region {} MiB, fault {}, seed {}",
        levels.workload,
        levels.policy,
        levels.mechanism,
        levels.region_bytes >> 20,
        levels.fault,
        trial.seed
    );
    let mut step = |name: &str, words: String| {
        let _ = writeln!(text, "  {name:<11} {words}");
    };
    step("fault", format!("{} planned, {} injected, {} activated", trial.planned, trial.injected, trial.activated));
    if let Some(crash) = &trial.crash {
        step("crash", crash.clone());
        step("committed", format!("{} operations in the last commit", trial.committed_operations));
    }
    for (name, part) in trial.phases.parts() {
        if let Some(ns) = part {
            step(name, duration(ns as f64));
        }
    }
    if let Some(ns) = trial.phases.recovery_ns {
        step("recovered", format!("{} after the fault", duration(ns as f64)));
    }
    if trial.crashes > 0 {
        step("lost", format!("{} operations, done again", trial.lost_operations));
        step("crashes", trial.crashes.to_string());
    }
    let name = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    step("outcome", format!("{} after {} operations", name(serde_json::to_value(trial.outcome)), trial.operations));
    step("verdict", name(serde_json::to_value(trial.verdict)));
    if let Some(remark) = &trial.remark {
        step("remark", remark.clone());
    }
    for (count, value) in &trial.counts {
        step(count, value.to_string());
    }
    if !trial.quarantined_files.is_empty() {
        step("quarantined", trial.quarantined_files.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_targets_says_which_were_missed() {
        let target = |measured: &str, ratio: Option<f64>| Target {
            about: "hot, 64 MiB".to_owned(),
            measured: measured.to_owned(),
            against: "the floor".to_owned(),
            measured_ns: ratio.map(|ratio| ratio * 5_000.0),
            against_ns: ratio.map(|_| 5_000.0),
            ratio,
            at_most: Some(2.0),
            reached: ratio.map(|ratio| ratio <= 2.0),
            remark: None,
        };
        let targets = [target("one", Some(1.8)), target("two", Some(2.4)), target("three", None)];
        let table = table_of_targets(&targets);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "hot, 64 MiB");
        assert_eq!(lines[1], "  reached          1.8 ≤ 2      one 9 µs, against the floor 5 µs");
        assert_eq!(lines[2], "  MISSED           2.4 ≤ 2      two 12 µs, against the floor 5 µs");
        assert_eq!(lines[3], "  not measured       – ≤ 2      three –, against the floor –");
        assert_eq!(lines.len(), 4);
        assert_eq!(table_of_targets(&[]), "");
    }

    #[test]
    fn rows_are_told_one_by_one_unless_they_are_very_many() {
        let row = crate::summary::costs::made_up::row("commit", "full-copy", 1 << 20, 4096, 1_500);
        let few = measured(&vec![row.clone(); 2]);
        let line = "mechanisms commit: 1.5 µs (mechanism full-copy, region-bytes 1048576, written-bytes 4096)\n";
        assert_eq!(few, line.repeat(2));
        assert_eq!(measured(&vec![row; 300]), "mechanisms: 300 rows, in the report\n");
    }
}
