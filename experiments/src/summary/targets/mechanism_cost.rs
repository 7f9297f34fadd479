//! The targets of the suite `mechanism-cost`: what commits, small writes and restores are to cost, against the same by
//! bare system calls, against another mechanism, or against the same in a smaller region.

use super::{FEWEST, GIB, MIB, Other, Target, target};
use crate::record::{Distribution, Summary};
use crate::summary::costs::{Costs, PAGE};
use crate::units::{bytes, count};

/// What most targets are about.
const REGION: u64 = 64 * MIB;
const FEW: u64 = 16;
const MANY: u64 = 256;

const DIRTY_PAGES: &str = "dirty-pages";
const FULL_COPY: &str = "full-copy";
const UNDO_LOG: &str = "undo-log";
const FORK: &str = "fork";

/// The most that declaring and writing 64 bytes and committing them may take.
const SMALL_NS: f64 = 1_000.0;
const SMALL_BYTES: u64 = 64;

pub(super) fn targets(summary: &Summary) -> Vec<Target> {
    let costs = Measured(Costs::of(summary));
    let one = |target: Option<Target>| target.into_iter().collect::<Vec<_>>();
    let parts = [costs.commits(), one(costs.small()), costs.fork(), costs.sizes(), one(costs.restore())];
    [parts.concat(), one(costs.later())].concat()
}

struct Measured<'a>(Costs<'a>);

impl Measured<'_> {
    /// Dirty pages' commits, against the bare path and against full copy's.
    fn commits(&self) -> Vec<Target> {
        let about = format!("commits of {}", bytes(REGION));
        let mut targets = Vec::new();
        for (pages, most_of_full_copy) in [(FEW, 1.0 / 100.0), (MANY, 1.0 / 10.0)] {
            let what = format!("{DIRTY_PAGES}, {pages} pages");
            let Some(commit) = self.pages("commit", DIRTY_PAGES, REGION, pages) else { continue };
            let row = |against: &str, at_most| target(&about, what.clone(), against, at_most);
            let bare = self.bare("bare-commit", REGION, pages * PAGE);
            targets.push(row("the same by bare system calls", 1.5).with_times(commit, bare, None));
            let full = self.other("commit", FULL_COPY, REGION, pages);
            targets.push(row("full copy's commit", most_of_full_copy).with_times(commit, full, None));
        }
        targets
    }

    /// A small change under the undo log.
    fn small(&self) -> Option<Target> {
        let both = enough(self.0.at("write-and-commit", Some(UNDO_LOG), REGION, SMALL_BYTES))?;
        let what = format!("{UNDO_LOG}, {SMALL_BYTES} bytes declared, written and committed");
        Some(target("small commits", what, "a microsecond", 1.0).with_times(both, Ok((SMALL_NS, None)), None))
    }

    /// A commit by fork, against a bare one: both begin when nothing is left to be done of the one before.
    fn fork(&self) -> Vec<Target> {
        let forked = |pages| {
            let commit = self.pages("paired-commit", FORK, REGION, pages)?;
            let what = format!("{FORK}, {pages} pages, by turns with the bare one");
            let row = target("commits by fork", what, "a bare fork with the same mappings", 1.2);
            Some(row.with_times(commit, self.bare("bare-fork", REGION, pages * PAGE), None))
        };
        [FEW, MANY].into_iter().filter_map(forked).collect()
    }

    /// That a commit does not grow with the region.
    fn sizes(&self) -> Vec<Target> {
        let about = format!("commits of the same pages, {} against {}", bytes(GIB), bytes(REGION));
        let mut targets = Vec::new();
        for (mechanism, at_most) in [(DIRTY_PAGES, 1.3), (UNDO_LOG, 1.05)] {
            for pages in [FEW, MANY] {
                let Some(large) = self.pages("commit", mechanism, GIB, pages) else { continue };
                let small = self.other("commit", mechanism, REGION, pages);
                let row = target(&about, format!("{mechanism}, {pages} pages"), "the same in the smaller one", at_most);
                targets.push(row.with_times(large, small, None));
            }
        }
        targets
    }

    /// Dirty pages' restore, against copying the pages.
    fn restore(&self) -> Option<Target> {
        let restore = self.pages("restore", DIRTY_PAGES, REGION, MANY)?;
        let what = format!("{DIRTY_PAGES}, the daemon's part, {MANY} pages");
        let row = target(&format!("restores of {}", bytes(REGION)), what, "copying these pages", 1.5);
        Some(row.with_times(restore, self.bare("bare-copy-back", REGION, MANY * PAGE), None))
    }

    /// Commits that are not waited for, by each mechanism that has the daemon do something meanwhile.
    fn later(&self) -> Option<Target> {
        let later = self.pages("commit-later", DIRTY_PAGES, REGION, FEW)?;
        let about = format!("commits of {} that are not waited for", bytes(REGION));
        let what = format!("{DIRTY_PAGES}, {FEW} pages, as the transaction sees it");
        let row = target(&about, what, "one that is waited for", 1.0 / 3.0);
        Some(row.with_times(later, self.other("commit", DIRTY_PAGES, REGION, FEW), None))
    }

    /// The median of a row at so many pages, where it has enough samples.
    fn pages(&self, row: &str, mechanism: &str, region_bytes: u64, pages: u64) -> Option<f64> {
        enough(self.0.at(row, Some(mechanism), region_bytes, pages * PAGE))
    }

    fn other(&self, row: &str, mechanism: &str, region_bytes: u64, pages: u64) -> Other {
        let why = || {
            let pages = count(pages, "page", "pages");
            let region = bytes(region_bytes);
            format!("the run has too few figures of `{row}` under {mechanism} with {pages} of {region}")
        };
        self.pages(row, mechanism, region_bytes, pages).map(|ns| (ns, None)).ok_or_else(why)
    }

    fn bare(&self, row: &str, region_bytes: u64, written_bytes: u64) -> Other {
        let bare = enough(self.0.at(row, None, region_bytes, written_bytes));
        bare.map(|ns| (ns, None)).ok_or_else(|| format!("the run has too few figures of `{row}`"))
    }
}

fn enough(distribution: Option<&Distribution>) -> Option<f64> {
    distribution.filter(|found| found.n >= FEWEST).map(|found| found.p50)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Measurement;
    use crate::sample_trials::of_measures;
    use crate::summary::costs::made_up::row;

    fn of(measurements: Vec<Measurement>) -> Vec<Target> {
        of_measures(measurements).targets
    }

    /// Everything that targets look at, each cost `factor` times what just reaches its target.
    fn rows(factor: f64) -> Vec<Measurement> {
        // Whole nanoseconds, and none negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let times = |ns: f64| (ns * factor) as u64;
        let (few, many) = (FEW * PAGE, MANY * PAGE);
        let mut rows = Vec::new();
        for written in [few, many] {
            rows.push(row("bare-commit", "", REGION, written, 20_000));
            rows.push(row("bare-fork", "", REGION, written, 100_000));
            rows.push(row("paired-commit", FORK, REGION, written, times(120_000.0)));
            rows.push(row("commit", FULL_COPY, REGION, written, 3_000_000));
            rows.push(row("commit", UNDO_LOG, REGION, written, 100_000));
            rows.push(row("commit", UNDO_LOG, GIB, written, times(105_000.0)));
        }
        rows.extend([
            row("commit", DIRTY_PAGES, REGION, few, times(30_000.0)),
            row("commit", DIRTY_PAGES, REGION, many, times(30_000.0)),
            row("commit", DIRTY_PAGES, GIB, few, times(times(30_000.0) as f64 * 1.3)),
            row("commit", DIRTY_PAGES, GIB, many, times(times(30_000.0) as f64 * 1.3)),
            row("commit-later", DIRTY_PAGES, REGION, few, times(times(30_000.0) as f64 / 3.0)),
            row("write-and-commit", UNDO_LOG, REGION, SMALL_BYTES, times(1_000.0)),
            row("restore", DIRTY_PAGES, REGION, many, times(75_000.0)),
            row("bare-copy-back", "", REGION, many, 50_000),
        ]);
        rows
    }

    #[test]
    fn a_target_is_reached_up_to_its_limit_and_missed_beyond_it() {
        let within = of(rows(0.99));
        assert_eq!(within.len(), 2 * 2 + 1 + 2 + 2 * 2 + 1 + 1);
        for target in &within {
            // Full copy's commits are so much the longer.
            assert_eq!(target.reached, Some(true), "{target:?}");
        }
        for target in of(rows(1.02)) {
            assert_eq!(
                target.reached,
                Some(target.against.contains("full copy") && target.measured.contains("256")),
                "{target:?}"
            );
        }
    }

    #[test]
    fn what_the_run_has_not_is_no_target_and_half_of_one_says_so() {
        assert!(of(Vec::new()).is_empty());
        let elsewhere = rows(1.0).into_iter().map(|row| Measurement { measure: "steady".to_owned(), ..row });
        assert!(of(elsewhere.collect()).is_empty());
        let alone = of(vec![row("commit", DIRTY_PAGES, REGION, FEW * PAGE, 30_000)]);
        assert_eq!(alone.len(), 2);
        for target in alone {
            assert_eq!((target.reached, target.measured_ns), (None, Some(30_000.0)));
            assert!(target.remark.unwrap().contains("too few figures"));
        }
        let mut few = rows(1.0);
        for row in &mut few {
            row.distribution.n = FEWEST - 1;
        }
        assert!(of(few).is_empty());
    }
}
