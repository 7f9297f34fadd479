//! What measure `nested` has measured, read back from a summary: for the answer and the plot.

use crate::record::{Distribution, Level, Summary};
use std::collections::BTreeSet;

/// What a row of it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    /// The row's name.
    pub(crate) name: &'a str,
    /// How the program is recovered: `start-over`, `by-hand`, `fork`.
    pub(crate) way: &'a str,
    /// The mechanism behind that.
    pub(crate) mechanism: &'a str,
    /// Levels of the program.
    pub(crate) depth: u64,
    /// Commits before the last one that are kept.
    pub(crate) kept: u64,
    /// The level that crashes.
    pub(crate) crash_at: Option<u64>,
    /// How many levels above its crash a fault did its damage.
    pub(crate) hidden: Option<u64>,
    /// The figures.
    pub(crate) figures: &'a Distribution,
}

impl<'a> Row<'a> {
    /// All rows of the measure.
    pub(crate) fn all(summary: &'a Summary) -> Vec<Self> {
        let rows = summary.measurements.iter().filter(|row| row.measure == "nested");
        rows.filter_map(|row| {
            let text = |name| match row.levels.get(name)? {
                Level::Text(text) => Some(text.as_str()),
                Level::Number(_) => None,
            };
            let number = |name| match row.levels.get(name)? {
                Level::Number(number) => Some(*number),
                Level::Text(_) => None,
            };
            Some(Self {
                name: &row.row,
                way: text("way")?,
                mechanism: text("mechanism")?,
                depth: number("depth")?,
                kept: number("kept")?,
                crash_at: number("crash-at"),
                hidden: number("hidden"),
                figures: &row.distribution,
            })
        })
        .collect()
    }

    /// What to call the way.
    pub(crate) fn in_words(&self) -> String {
        match self.way {
            "start-over" => "starting over".to_owned(),
            "fork" => "child transactions (fork)".to_owned(),
            _ => format!("locals kept by hand ({})", self.mechanism),
        }
    }
}

/// The depths that were measured.
pub(crate) fn depths(rows: &[Row<'_>]) -> BTreeSet<u64> {
    rows.iter().map(|row| row.depth).collect()
}

/// The ways, in the order in which they are told.
pub(crate) fn ways<'a>(rows: &[Row<'a>]) -> Vec<Row<'a>> {
    let mut ways: Vec<Row<'a>> = Vec::new();
    for row in rows {
        if ways.iter().all(|known| (known.way, known.mechanism) != (row.way, row.mechanism)) {
            ways.push(*row);
        }
    }
    ways.sort_by_key(|row| (row.way != "fork", row.way == "start-over", row.mechanism));
    ways
}

/// What the measure could have said: of child transactions so many steps again after a crash in the last level, and so
/// many wrong results.
#[cfg(test)]
pub(crate) fn sample(again: u64, wrong: u64) -> Vec<crate::record::Measurement> {
    use crate::record::{Measurement, Unit};
    use std::collections::BTreeMap;
    let mut rows = Vec::new();
    for depth in [2_u64, 4, 8] {
        for (way, mechanism) in [("start-over", "copy-on-write"), ("by-hand", "dirty-pages"), ("fork", "fork")] {
            let over = way == "start-over";
            let mut add = |row: &str, unit, kept: u64, at: Option<(&str, u64)>, figure: u64| {
                let mut levels = BTreeMap::from([
                    ("way".to_owned(), Level::from(way)),
                    ("mechanism".to_owned(), mechanism.into()),
                    ("depth".to_owned(), depth.into()),
                    ("kept".to_owned(), kept.into()),
                ]);
                levels.extend(at.map(|(name, level)| (name.to_owned(), Level::from(level))));
                rows.extend(Distribution::of(vec![figure; 30]).map(|distribution| Measurement {
                    measure: "nested".to_owned(),
                    row: row.to_owned(),
                    levels,
                    unit,
                    distribution,
                    note: String::new(),
                }));
            };
            add("took", Unit::Ns, 0, None, if over { 1_000_000 } else { 1_500_000 });
            add("wrong", Unit::Count, 0, None, if way == "fork" && depth == 8 { wrong } else { 0 });
            add("memory", Unit::Bytes, 0, None, 300_000);
            if !over {
                add("commit", Unit::Ns, 0, None, 40_000);
                add("crashes", Unit::Count, 1, Some(("hidden", 3)), 4);
                add("again", Unit::Count, 1, Some(("hidden", 3)), 300);
            }
            for at in [0, depth / 2, depth - 1] {
                add("took", Unit::Ns, 0, Some(("crash-at", at)), 2_000_000);
                add("again", Unit::Count, 0, Some(("crash-at", at)), if over { at * 100 + 51 } else { again });
                add("recovery", Unit::Ns, 0, Some(("crash-at", at)), 200_000);
            }
        }
    }
    rows
}
