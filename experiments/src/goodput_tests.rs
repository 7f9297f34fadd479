//! Series are read back as they were measured, and a difference to the model is explained by its cause.

use super::sample::{AS_MODELLED, Made};
use super::*;
use crate::sample_trials::of_measures;

const INTERVALS: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

pub(crate) fn summary_of(made: &[Made]) -> Summary {
    of_measures(made.iter().flat_map(|made| made.rows(&INTERVALS)).collect())
}

fn said(summary: &Summary) -> &[String] {
    &summary.answer
}

#[test]
fn series_have_the_costs_that_were_measured() {
    let rare = Made { mtbf_ms: 320, costs: Costs { mtbf_ns: 300e6, ..AS_MODELLED.costs }, ..AS_MODELLED };
    let summary = summary_of(&[Made { mechanism: "z", ..AS_MODELLED }, rare, AS_MODELLED]);
    let all = Series::all(&summary);
    let names: Vec<_> = all.iter().map(|series| (series.mechanism, series.mtbf_ms)).collect();
    assert_eq!(names, [("full-copy", 80), ("full-copy", 320), ("z", 80)]);
    assert_eq!((all[1].costs, all[1].step_ns), (rare.costs, 1e6));
    let every: Vec<u64> = all[0].points.iter().map(|point| point.commit_every).collect();
    assert_eq!(every, INTERVALS);
    // Daly's optimum is 16.6 ms: of intervals of 16 and 32 steps the first is nearer.
    assert_eq!(all[0].best().unwrap().commit_every, 16);
    assert_eq!(all[1].best().unwrap().commit_every, 32);
}

#[test]
fn a_row_that_is_missing_leaves_its_point_out_and_no_crash_the_series() {
    let mut rows = AS_MODELLED.rows(&[1, 2]);
    rows.retain(|row| row.row != "lost" || row.levels["commit-every"] != Level::Number(2));
    let summary = of_measures(rows.clone());
    assert_eq!(Series::all(&summary)[0].points.len(), 1);
    rows.retain(|row| row.row != "between-crashes");
    let summary = of_measures(rows);
    assert!(Series::all(&summary).is_empty() && summary.targets.is_empty());
}

#[test]
fn what_agrees_with_the_model_is_said_with_its_figures_and_reaches_the_target() {
    let summary = summary_of(&[AS_MODELLED]);
    let [best, targets, one, ..] = said(&summary) else { panic!("{:?}", summary.answer) };
    for part in [
        "Under full-copy with a crash every 80 ms (in the median; 80 ms asked for), ",
        "a commit every 16 steps (16 ms) was the best of 8 intervals",
        "Daly's optimum is 16.6 ms, Young's 17.9 ms",
        "commits that cost 2 ms (a wait of 1.5 ms, and slower steps after it)",
        "restarts that cost 1 ms (500 µs to the successor): measured the same.",
        "over 8 laps",
    ] {
        assert!(best.contains(part), "{part}: {best}");
    }
    assert!(targets.starts_with("Of 1 target: 1 reached, 0 missed"), "{targets}");
    assert!(one.contains("1.000 × Daly's formula") && one.ends_with("(target ≤ 1.05): reached."), "{one}");
    assert_eq!(summary.targets[0].remark, None);
}

#[test]
fn a_difference_is_explained_by_slower_steps_where_these_made_it() {
    let slow = Made { slower: 1.15, ..AS_MODELLED };
    let summary = summary_of(&[slow]);
    let [target] = &summary.targets[..] else { panic!("{:?}", summary.targets) };
    assert_eq!(target.reached, Some(false));
    let why = target.remark.as_ref().unwrap();
    assert!(
        why.contains(" fewer of the time were useful")
            && why.contains("more went into steps, which took 1.15 × as long"),
        "{why}"
    );
    let measured = percent(Series::all(&summary)[0].best().unwrap().share());
    let own = why.rsplit_once("alone the formula gives ").unwrap().1;
    assert!(why.contains("with the steps (1.15 ms)") && own.starts_with(&measured), "{why}");
    assert!(!why.contains("into commits") && !why.contains("into restarts"), "{why}");
    assert!(summary.answer.contains(why) && summary.answer[0].contains("% less"), "{:?}", summary.answer);
}

#[test]
fn a_difference_is_explained_by_commits_where_these_made_it_and_more_is_explained_too() {
    // Rare crashes, so that the longest interval is the best one.
    let costs = Costs { mtbf_ns: 100e9, commit_ns: 40e6, restart_ns: 1e6 };
    let made = |last_commit| Made { mtbf_ms: 100_000, costs, last_commit, ..AS_MODELLED };
    for (last_commit, word, went) in [(1.3, "less", "more"), (0.3, "more", "fewer")] {
        let summary = summary_of(&[made(last_commit)]);
        let why = summary.targets[0].remark.as_ref().unwrap();
        assert!(
            why.contains(&format!("{went} went into commits (")) && !why.contains("into steps"),
            "{last_commit}: {why}"
        );
        assert!(why.contains(&format!("{} ms each", three_digits(40.0 * last_commit))), "{why}");
        assert!(said(&summary)[0].contains(word), "{:?}", said(&summary));
    }
}

#[test]
fn intervals_that_are_not_told_apart_from_the_best_are_named_and_that_it_was_picked() {
    // At intervals of 8 and 32 steps goodput is lower than at 16 by more than the laps scatter, which is 0.3 % to each side.
    let summary = summary_of(&[AS_MODELLED]);
    let apart = "It was picked as the best of 8 medians, which makes it likelier too high than too low; its 95 % interval lies \
                 above that of every other.";
    assert!(said(&summary)[0].ends_with(apart), "{:?}", summary.answer);
    // Now intervals between them are measured, too.
    let summary = of_measures(AS_MODELLED.rows(&[1, 15, 16, 17, 128]));
    let words = "best of 5 medians, which makes it likelier too high than too low; a commit every 15, 16 steps is not told \
                 apart from it, as their 95 % intervals overlap.";
    assert!(said(&summary)[0].ends_with(words), "{:?}", summary.answer);
    let few = summary_of(&[Made { laps: 5, ..AS_MODELLED }]);
    let words = "a commit every 1, 2, 4, 8, 32, 64, 128 steps is not told apart from it, as there are too few laps.";
    assert!(said(&few)[0].ends_with(words), "{:?}", few.answer);
    let alone = of_measures(AS_MODELLED.rows(&[16]));
    assert!(said(&alone)[0].ends_with("No other interval was measured."), "{:?}", alone.answer);
}

#[test]
fn more_than_the_formula_is_said_to_be_picked_and_less_is_not() {
    let costs = Costs { mtbf_ns: 100e9, commit_ns: 40e6, restart_ns: 1e6 };
    for (last_commit, is_more) in [(1.3, false), (0.3, true)] {
        let summary = summary_of(&[Made { mtbf_ms: 100_000, costs, last_commit, ..AS_MODELLED }]);
        let why = summary.targets[0].remark.as_ref().unwrap();
        assert_eq!(
            why.ends_with("and as the best of 8 medians it is likelier too high than too low."),
            is_more,
            "{why}"
        );
    }
}

#[test]
fn few_laps_say_nothing_of_the_target() {
    let summary = summary_of(&[Made { laps: 5, ..AS_MODELLED }]);
    let target = &summary.targets[0];
    assert_eq!((target.ratio, target.reached), (None, None));
    assert_eq!(target.remark.as_deref(), Some("5 laps are too few for a median"));
}

#[test]
fn where_nothing_is_useful_there_is_no_ratio() {
    let hopeless = Costs { mtbf_ns: 100.0, ..AS_MODELLED.costs };
    let summary = summary_of(&[Made { costs: hopeless, ..AS_MODELLED }]);
    let target = &summary.targets[0];
    assert_eq!((target.ratio, target.reached), (None, None));
    assert!(said(&summary)[0].contains("0 % of the time was useful"), "{:?}", said(&summary));
    let read: Summary = serde_json::from_str(&serde_json::to_string(&summary).unwrap()).unwrap();
    assert_eq!(read.targets, summary.targets);
}
