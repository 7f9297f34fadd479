//! Child transactions as checkpoints: what they bring and cost, by depth, place of the crash, and how long a fault lay
//! hidden.

use crate::nested::{Row, depths, ways};
use crate::record::Summary;
use crate::units::{bytes, count, duration, ratio, three_digits};

pub(super) fn sentences(summary: &Summary) -> Vec<String> {
    let rows = Row::all(summary);
    let Some(&deepest) = depths(&rows).last() else { return Vec::new() };
    let nested = Nested { rows: &rows };
    let mut sentences = Vec::from_iter(nested.bring(deepest));
    sentences.extend(nested.places(deepest));
    sentences.extend(nested.costs());
    sentences.extend(nested.recoveries(deepest));
    sentences.extend(nested.memory(deepest));
    sentences.extend(nested.hidden(deepest));
    sentences.push(nested.wrong());
    sentences
}

struct Nested<'a, 'r> {
    rows: &'r [Row<'a>],
}

impl<'a> Nested<'a, '_> {
    /// The rows of this name for a program of so many levels.
    fn of(&self, name: &str, depth: u64) -> impl Iterator<Item = &Row<'a>> {
        self.rows.iter().filter(move |row| row.name == name && row.depth == depth)
    }

    /// What `figure` is in each way, in words.
    fn each(&self, figure: impl Fn(&Row<'a>) -> Option<String>) -> Option<String> {
        let parts: Vec<String> = ways(self.rows)
            .iter()
            .filter_map(|way| figure(way).map(|figure| format!("{figure} with {}", way.in_words())))
            .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// The median of `name` in this way and depth, where it fits.
    fn median(&self, way: &Row<'_>, name: &str, depth: u64, fits: impl Fn(&Row<'a>) -> bool) -> Option<f64> {
        let same = |row: &&Row<'a>| (row.way, row.mechanism) == (way.way, way.mechanism) && fits(row);
        self.of(name, depth).find(same).map(|row| row.figures.p50)
    }

    /// What child transactions bring and cost, in the deepest program.
    fn bring(&self, depth: u64) -> Option<String> {
        let way = |name: &str| ways(self.rows).into_iter().find(|way| way.way == name);
        let (fork, over) = (way("fork")?, way("start-over")?);
        let last = |way: &Row<'_>| self.median(way, "again", depth, |row| row.crash_at == Some(depth - 1));
        let clean =
            |way: &Row<'_>| self.median(way, "took", depth, |row| row.crash_at.is_none() && row.hidden.is_none());
        let (least, all) = (last(&fork)?, last(&over)?);
        let by_hand = ways(self.rows).iter().filter(|way| way.way == "by-hand").filter_map(last).reduce(f64::min);
        let beside = match by_hand {
            Some(by_hand) if least <= by_hand => ", no more than where the program keeps its locals by hand",
            Some(_) => ", more than where the program keeps its locals by hand",
            None => "",
        };
        let longer = clean(&fork)? / clean(&over).filter(|ns| *ns > 0.0)?;
        Some(format!(
            "Child transactions as checkpoints bring back the middle of a function, with its stack: a crash in the last of \
             {depth} nested calls costs {} steps instead of {}{beside}. They cost a fork at each level: without a crash the \
             program takes {} times as long.",
            three_digits(least),
            three_digits(all),
            ratio(longer)
        ))
    }

    /// What a crash costs, by its place in the deepest program.
    fn places(&self, depth: u64) -> Vec<String> {
        let mut places: Vec<u64> = self.of("again", depth).filter_map(|row| row.crash_at).collect();
        places.sort_unstable();
        places.dedup();
        let sentence = |at: &u64| {
            let again = self.each(|way| {
                let again = self.median(way, "again", depth, |row| row.crash_at == Some(*at))?;
                let took = self.median(way, "took", depth, |row| row.crash_at == Some(*at))?;
                Some(format!("{} steps again ({} in all)", three_digits(again), duration(took)))
            })?;
            Some(format!("A crash in level {} of {depth} costs {again}.", at + 1))
        };
        places.iter().rev().filter_map(sentence).collect()
    }

    /// What they cost where nothing crashes, by depth.
    fn costs(&self) -> Vec<String> {
        let sentence = |depth: u64| {
            let over = ways(self.rows).into_iter().find(|way| way.way == "start-over")?;
            let clean = |row: &Row<'a>| row.crash_at.is_none() && row.hidden.is_none();
            let bare = self.median(&over, "took", depth, clean).filter(|bare| *bare > 0.0)?;
            let each = self.each(|way| {
                let took = self.median(way, "took", depth, clean).filter(|_| way.way != "start-over")?;
                let commit = self.median(way, "commit", depth, clean)?;
                Some(format!("{} × (a commit {})", ratio(took / bare), duration(commit)))
            })?;
            Some(format!("Without a crash a program of {depth} levels takes {} as it is, and {each}.", duration(bare)))
        };
        depths(self.rows).into_iter().filter_map(sentence).collect()
    }

    fn recoveries(&self, depth: u64) -> Option<String> {
        let last = Some(depth - 1);
        let each = self.each(|way| Some(duration(self.median(way, "recovery", depth, |row| row.crash_at == last)?)))?;
        Some(format!("From a crash in the last level to the successor's first step: {each}."))
    }

    fn memory(&self, depth: u64) -> Option<String> {
        // Medians of whole bytes.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let each = self.each(|way| Some(bytes(self.median(way, "memory", depth, |row| row.kept == 0)? as u64)))?;
        Some(format!(
            "Memory of the transaction's processes at the deepest point, the one frozen level included and what they share counted once: {each}."
        ))
    }

    /// How a fault is got past that did its damage levels above its crash.
    fn hidden(&self, depth: u64) -> Vec<String> {
        let mut cases: Vec<(u64, u64)> =
            self.of("again", depth).filter_map(|row| Some((row.hidden?, row.kept))).collect();
        cases.sort_unstable();
        cases.dedup();
        let sentence = |&(hidden, kept): &(u64, u64)| {
            let is = |row: &Row<'a>| row.hidden == Some(hidden) && row.kept == kept;
            let each = self.each(|way| {
                let crashes = self.median(way, "crashes", depth, is)?;
                let again = self.median(way, "again", depth, is)?;
                let crashes =
                    if crashes == 1.0 { "1 crash".to_owned() } else { format!("{} crashes", three_digits(crashes)) };
                Some(format!("{crashes} and {} steps again", three_digits(again)))
            })?;
            Some(format!(
                "Damage done {} above its crash is got past by going back further each time (older-commit), where {} kept, \
                 after {each}.",
                count(hidden, "level", "levels"),
                match kept {
                    0 => "no older commit is".to_owned(),
                    1 => "one older commit is".to_owned(),
                    kept => format!("{kept} older commits are"),
                }
            ))
        };
        cases.iter().filter_map(sentence).collect()
    }

    /// Whether every run ended with the right result.
    fn wrong(&self) -> String {
        let rows = self.rows.iter().filter(|row| row.name == "wrong");
        let (wrong, cells): (Vec<bool>, Vec<&Row<'a>>) = rows.map(|row| (row.figures.max > 0, row)).unzip();
        match wrong.iter().filter(|wrong| **wrong).count() as u64 {
            0 => format!(
                "Every run ended with the result of a program that never crashes ({}).",
                count(cells.iter().map(|row| row.figures.n).sum(), "run", "runs")
            ),
            n => format!(
                "Warning: in {} of {} a run ended with another result than a program that never crashes.",
                n,
                count(cells.len() as u64, "cell", "cells")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::nested::sample;
    use crate::sample_trials::of_measures;

    fn said(again: u64, wrong: u64) -> String {
        of_measures(sample(again, wrong)).answer.join("\n")
    }

    #[test]
    fn the_answer_says_what_was_measured() {
        let said = said(51, 0);
        for part in [
            "a crash in the last of 8 nested calls costs 51 steps instead of 751, no more than where the program keeps its \
             locals by hand. They cost a fork at each level: without a crash the program takes 1.5 times as long.",
            "A crash in level 8 of 8 costs 51 steps again (2 ms in all) with child transactions (fork), 51 steps \
             again (2 ms in all) with locals kept by hand (dirty-pages), 751 steps again (2 ms in all) with \
             starting over.",
            "Without a crash a program of 2 levels takes 1 ms as it is, and 1.5 × (a commit 40 µs) with child \
             transactions (fork)",
            "Damage done 3 levels above its crash is got past by going back further each time (older-commit), where one \
             older commit is kept, after 4 crashes and 300 steps again with child transactions (fork)",
            "Every run ended with the result of a program that never crashes",
        ] {
            assert!(said.contains(part), "{part}\n{said}");
        }
    }

    #[test]
    fn other_figures_are_another_answer() {
        let said = said(99, 1);
        assert!(said.contains("costs 99 steps again"), "{said}");
        assert!(said.contains("Warning: in 1 of "), "{said}");
    }
}
