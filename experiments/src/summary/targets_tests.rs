//! What targets must never do: appear where nothing was measured, or call a miss reached.

use super::*;
use crate::record::{Distribution, Trial, Unit};
use crate::sample_trials::trial;
use crate::summary::{Run, summarize};

/// `n` trials of a cell, each with these times.
fn cell(spare: &str, fault: &str, region_bytes: u64, hand_over_ns: u64, recovery_ns: u64, n: u64) -> Vec<Trial> {
    let levels = Levels {
        policy: "checkpoint-resume".to_owned(),
        mechanism: "copy-on-write".to_owned(),
        workload: "kv".to_owned(),
        fault: fault.to_owned(),
        spare: spare.to_owned(),
        region_bytes,
        load: "none".to_owned(),
    };
    let mut trials: Vec<Trial> = (0..n).map(|number| trial(number, levels.clone())).collect();
    for trial in &mut trials {
        trial.notice = Some(if fault == "null-read" { "handler" } else { "pidfd" }.to_owned());
        trial.started_by = Some(spare.to_owned());
        trial.phases.hand_over_ns = Some(hand_over_ns);
        trial.phases.recovery_ns = Some(recovery_ns);
        trial.phases.notice_ns = Some(hand_over_ns);
    }
    trials
}

fn floor(spare: &str, hand_over_ns: u64, recovery_ns: u64) -> Floor {
    let always = |ns| Distribution::of(vec![ns; 500]).unwrap();
    Floor {
        path: "bare".to_owned(),
        notice: "signal".to_owned(),
        spare: spare.to_owned(),
        load: "none".to_owned(),
        mechanism: "copy-on-write".to_owned(),
        workload: "kv".to_owned(),
        region_bytes: 64 * MIB,
        hand_over_ns: always(hand_over_ns),
        recovery_ns: always(recovery_ns),
        take_over_faults: None,
    }
}

fn measurement(measure: &str, row: &str, levels: &[(&str, Level)], figure: u64) -> Measurement {
    Measurement {
        measure: measure.to_owned(),
        row: row.to_owned(),
        levels: levels.iter().map(|(name, level)| ((*name).to_owned(), level.clone())).collect(),
        unit: if measure == "steady" { Unit::Millionths } else { Unit::Ns },
        distribution: Distribution::of(vec![figure; 30]).unwrap(),
        note: String::new(),
    }
}

fn of(trials: &[Trial], floors: Vec<Floor>, measurements: Vec<Measurement>) -> Summary {
    let planned_trials = trials.len() as u64;
    summarize(
        Run { suite: "test", trials, planned_trials, missing_rounds: 0, floors, measurements, skipped: Vec::new() },
        |_| false,
    )
}

fn find<'a>(summary: &'a Summary, about: &str, measured: &str, against: &str) -> &'a Target {
    let fits = |target: &&Target| {
        target.about.starts_with(about) && target.measured.contains(measured) && target.against.contains(against)
    };
    let found: Vec<&Target> = summary.targets.iter().filter(fits).collect();
    let [one] = found[..] else { panic!("{about}, {measured}, {against}: {found:?}") };
    one
}

#[test]
fn each_target_is_held_against_what_it_names() {
    let mut trials = [
        cell("hot", "null-read", 64 * MIB, 9_000, 13_000, 30),
        cell("cold", "null-read", 64 * MIB, 140_000, 150_000, 30),
        cell("warm", "null-read", MIB, 20_000, 30_000, 30),
        cell("warm", "null-read", GIB, 24_000, 37_000, 30),
        cell("cold", "kill-outside", GIB, 50_000, 400_000, 30),
    ]
    .concat();
    for trial in trials.iter_mut().filter(|trial| trial.levels.fault == "kill-outside") {
        trial.counts.insert("touched_bytes".to_owned(), GIB);
    }
    let erlang = |row, wait: &str, ns| measurement("erlang", row, &[("wait", wait.into())], ns);
    let bare = |row, bytes: u64, ns| measurement("bare", row, &[("region-bytes", bytes.into())], ns);
    let steady = |mechanism: &str, every: Level, millionths| {
        let levels = [("mechanism", mechanism.into()), ("commit-every", every)];
        measurement("steady", "over-plain", &levels, millionths)
    };
    let storm = |spare: &str, row, figure| {
        measurement("storm", row, &[("spare", spare.into()), ("per-second", 1_000.into())], figure)
    };
    let measurements = vec![
        erlang("restart", "told", 40_000),
        erlang("restart", "whereis", 18_000),
        measurement("pool", "failover", &[], 39_000),
        bare("kill-to-pidfd-with-keeper", MIB, 1),
        bare("kill-to-pidfd-with-keeper", GIB, 40_000),
        bare("kill-to-pidfd", GIB, 4_000_000),
        steady("copy-on-write", "never".into(), 1_020_000),
        steady("copy-on-write", 1.into(), 9_000_000),
        steady("undo-log", "never".into(), 1_020_001),
        storm("cold", "pace", 1_000_400),
        storm("cold", "crashes", 1_001),
        storm("cold", "lost", 0),
        storm("cold", "grown", 8_192),
        storm("cold", "left", 0),
        storm("hot", "pace", 1_000_400),
        storm("hot", "crashes", 1_001),
        storm("hot", "lost", 1),
        storm("hot", "grown", 0),
        storm("hot", "left", 0),
    ];
    let summary = of(&trials, vec![floor("hot", 5_000, 10_000), floor("cold", 100_000, 150_000)], measurements);

    let hot = find(&summary, "hot, 64 MiB", "instruction", "floor");
    assert_eq!((hot.measured_ns, hot.against_ns), (Some(9_000.0), Some(5_000.0)));
    assert_eq!((hot.ratio, hot.at_most, hot.reached), (Some(1.8), Some(2.0), Some(true)));
    let erlang = find(&summary, "hot, 64 MiB", "instruction", "Erlang");
    assert_eq!((erlang.against_ns, erlang.reached), (Some(18_000.0), Some(false)), "the faster of both");
    assert_eq!(find(&summary, "hot, 64 MiB", "operation", "floor").reached, Some(true));
    assert_eq!(find(&summary, "hot, 64 MiB", "operation", "pool").reached, Some(true));
    let missing = find(&summary, "hot, 64 MiB", "operation", "Erlang");
    assert_eq!((missing.ratio, missing.reached), (None, None));
    assert!(missing.remark.as_ref().unwrap().contains("`first-call`"), "{missing:?}");

    assert_eq!(find(&summary, "cold, 64 MiB", "instruction", "floor").reached, Some(false));
    assert_eq!(find(&summary, "cold, 64 MiB", "operation", "floor").reached, Some(true));
    assert!(!summary.targets.iter().any(|target| target.about.starts_with("warm, 64 MiB")), "no such cell");
    assert_eq!(find(&summary, "1 GiB against", "warm, crash to the first instruction", "").reached, Some(true));
    assert_eq!(find(&summary, "1 GiB against", "warm, crash to the first operation", "").reached, Some(false));
    assert_eq!(find(&summary, "SIGKILL", "notice", "with a keeper").ratio, Some(1.25));
    let without = find(&summary, "SIGKILL", "notice", "without a keeper");
    assert_eq!((without.ratio, without.reached), (Some(0.0125), Some(false)), "80 times, not 100");
    assert_eq!(find(&summary, "steady", "copy-on-write", "plain").reached, Some(true));
    assert_eq!(find(&summary, "steady", "undo-log", "plain").reached, Some(false));
    assert_eq!(find(&summary, "storm", "cold, time of 1000 crashes a second for 30 s", "").reached, Some(true));
    let hot = find(&summary, "storm", "hot", "none lost");
    assert_eq!((hot.ratio, hot.reached), (Some(1.0004), Some(false)), "in time, but one was lost");

    let hot: Vec<&String> = summary.answer.iter().filter(|sentence| sentence.starts_with("Hot, 64 MiB")).collect();
    let [hot] = hot[..] else { panic!("{:?}", summary.answer) };
    assert!(hot.contains("instruction 9 µs, 1.8 × the floor (target ≤ 2): reached; 0.5 × Erlang's restart"), "{hot}");
    let sizes = "the first instruction 24 µs, 1.2 × the same at 1 MiB (target ≤ 1.2): reached; warm, crash to the first \
        operation done 37 µs, 1.23 ×: missed.";
    assert!(summary.answer.iter().any(|sentence| sentence.ends_with(sizes)), "{:?}", summary.answer);
    assert!(!summary.answer.iter().any(|sentence| sentence.contains("times the bare")), "said twice");
    assert!(summary.answer[0].starts_with("Of 15 targets: 8 reached, 6 missed, 1 not"), "{}", summary.answer[0]);
    let read: Summary = serde_json::from_str(&serde_json::to_string(&summary).unwrap()).unwrap();
    assert_eq!(read.targets, summary.targets);
}

#[test]
fn a_run_without_spares_or_with_few_trials_has_no_targets() {
    let cold = cell("cold", "null-read", 64 * MIB, 140_000, 150_000, 30);
    assert_eq!(of(&cold, vec![floor("cold", 100_000, 150_000)], Vec::new()).targets, []);
    let few = cell("hot", "null-read", 64 * MIB, 9_000, 13_000, FEWEST - 1);
    assert_eq!(of(&few, vec![floor("hot", 5_000, 10_000)], Vec::new()).targets, []);
}

#[test]
fn a_tail_is_held_against_5_or_what_the_floors_own_allows() {
    // 10 of 500 trials are so slow that they make the p99.
    let tail = |slow: u64| {
        let mut trials = cell("hot", "null-read", 64 * MIB, 9_000, 10_000, 500);
        trials.iter_mut().take(10).for_each(|trial| trial.phases.recovery_ns = Some(slow));
        trials
    };
    let spread = |slow: u64| {
        let recovery: Vec<u64> = (0..500).map(|lap| if lap < 10 { slow } else { 10_000 }).collect();
        Floor { recovery_ns: Distribution::of(recovery).unwrap(), ..floor("hot", 9_000, 10_000) }
    };
    for (own, floors, allowed, reached) in [
        (49_000, 20_000, 5.0, true),
        (51_000, 50_000, 5.0, false),
        (90_000, 60_000, 9.0, true),
        (91_000, 60_000, 9.0, false),
    ] {
        let summary = of(&tail(own), vec![spread(floors)], Vec::new());
        let target = find(&summary, "tails", "hot, p99", "p50");
        assert_eq!((target.at_most, target.reached), (Some(allowed), Some(reached)), "{target:?}");
    }
}

#[test]
fn one_odd_notice_in_a_hundred_does_not_take_a_cells_floor_away() {
    let mut trials = cell("hot", "null-read", 64 * MIB, 9_000, 13_000, 200);
    for (odd, has_floor) in [(2, true), (3, false)] {
        trials.iter_mut().take(odd).for_each(|trial| trial.notice = Some("pidfd".to_owned()));
        let summary = of(&trials, vec![floor("hot", 5_000, 10_000)], Vec::new());
        assert_eq!(summary.cells[0].floor_p50_ns.is_some(), has_floor, "{odd} odd ones");
    }
}
