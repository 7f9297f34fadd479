//! Simulated fleets against what is known of them: whole time, a closed form, and each policy's own fate.

use super::*;
use crate::daly::Costs;
use crashbed::{Action, Crash, Decision, History, Phase, RestartPolicy};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// Operations of 1 ms in cycles of ten with a commit of 2 ms, transactions of a hundred, a fault every 10 s, a recovery
/// of 5 ms, and no limit on restarts.
pub(super) fn parameters() -> Parameters {
    Parameters {
        mtbf_ns: 10_000_000_000,
        operation_ns: 1_000_000,
        commit_every: 10,
        commit_ns: 2_000_000,
        commits_per_transaction: 10,
        kept_commits: 1,
        poison: 0.0,
        propagated: 0.0,
        damaged_commits: 1.0,
        cured_by_environment: 0.0,
        intact: 0.0,
        program: Program::Resume,
        intensity: Intensity { restarts: 1_000, within_ms: 1 },
        quiet_ns: 3_600_000_000_000,
        patience_ns: 1_000_000_000,
        repair_ns: 60_000_000_000,
        recovery_ns: BTreeMap::from([("resume".to_owned(), Quantiles::always(5_000_000))]),
    }
}

/// A crash in this operation.
pub(super) fn crash(operation: u64) -> Crash {
    fault::crash(1, Phase::Running, 1, operation, 0, 0)
}

/// Answers by what a function says.
struct Answers<F>(F);

impl<F: Fn(&Crash, &History) -> Decision + Sync> RestartPolicy for Answers<F> {
    fn name(&self) -> &str {
        "answers"
    }
    fn decide(&self, crash: &Crash, history: &History) -> Decision {
        (self.0)(crash, history)
    }
}

fn always(action: Action) -> impl RestartPolicy {
    Answers(move |_: &Crash, _: &History| Decision::now(action))
}

/// Minutes as years.
fn minutes(minutes: f64) -> f64 {
    minutes * 60e9 / YEAR_NS as f64
}

fn fleet(processes: u32, minutes_each: f64) -> Fleet {
    Fleet { processes, years: minutes(minutes_each), seed: 3, threads: 2 }
}

fn actions() -> impl Strategy<Value = Action> {
    use Action::{GiveUp, KeepIfIntact, Older, ProcessDecides, RestartDaemon, Resume, Skip, Zero};
    let all =
        vec![Zero, Resume, Older(0), Older(1), Older(3), Skip, ProcessDecides, KeepIfIntact, RestartDaemon, GiveUp];
    prop::sample::select(all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is wrong and whatever is decided about it: each process's time is accounted for once, to the
    /// nanosecond; each crash is decided about and followed by one thing; and threads change nothing.
    #[test]
    fn no_time_and_no_crash_gets_lost(
        mtbf_ns in 1_000_000..20_000_000_000_u64, every in 1..20_u64, commits in 1..20_u64, kept_commits in 1..4_u64,
        (poison, propagated, damaged_commits) in (0.0..0.5_f64, 0.0..0.5_f64, 1.0..4.0_f64),
        (cured_by_environment, intact) in (0.0..=1.0_f64, 0.0..=1.0_f64),
        program in prop::sample::select(vec![Program::Resume, Program::Skip, Program::GiveUp]),
        cycle in prop::collection::vec((actions(), 0..50_u64), 1..5),
        restarts in 1..100_u32, processes in 1..600_u32, seed: u64,
    ) {
        let parameters = Parameters {
            mtbf_ns, commit_every: every, commits_per_transaction: commits, kept_commits, poison, propagated,
            damaged_commits, cured_by_environment, intact, program,
            intensity: Intensity { restarts, within_ms: 100 },
            recovery_ns: BTreeMap::from([("resume".to_owned(), Quantiles::try_from(vec![1, 1_000_000, 9_000_000]).unwrap())]),
            ..parameters()
        };
        let policy = Answers(|crash: &Crash, history: &History| {
            let (action, delay) = cycle[usize::try_from(history.total()).unwrap() % cycle.len()];
            let environment = crashbed::Environment { zeroed: crash.operation % 2 == 1, ..crashbed::Environment::USUAL };
            Decision::after(Duration::from_millis(delay), action).within(environment)
        });
        let fleet = Fleet { processes, years: minutes(0.05), seed, threads: 1 };
        let shards = fleet::tests::tallies(&parameters, &policy, fleet);
        prop_assert_eq!(&shards, &fleet::tests::tallies(&parameters, &policy, Fleet { threads: 3, ..fleet }));
        for shard in &shards {
            prop_assert_eq!(shard.total_ns(), u128::from(shard.processes) * 3_000_000_000);
            prop_assert!(shard.delay_ns <= shard.down_ns);
            // A program that gives up was asked in a successor.
            prop_assert_eq!(shard.events, shard.restarts + shard.gave_up.total() - shard.gave_up.by_program);
            prop_assert_eq!(shard.events, shard.faults.iter().sum::<u64>() + shard.repeated);
            prop_assert_eq!(shard.events, shard.decisions.iter().map(|(_, count)| count).sum::<u64>());
        }
    }

    /// Without poison and damage, and without a limit, it is Daly's model: the useful share is his, to within the
    /// error that is told. The time that is under way at the end is all that differs.
    #[test]
    fn the_useful_share_is_dalys(
        every in 1..200_u64, commit_ns in 0..50_000_000_u64, recovery_ns in 1..400_000_000_u64, mtbf_ns in 200_000_000..5_000_000_000_u64,
        seed: u64,
    ) {
        let parameters = Parameters {
            mtbf_ns, commit_every: every, commit_ns,
            recovery_ns: BTreeMap::from([("resume".to_owned(), Quantiles::always(recovery_ns))]),
            ..parameters()
        };
        let costs = Costs { mtbf_ns: mtbf_ns as f64, commit_ns: commit_ns as f64, restart_ns: recovery_ns as f64 };
        let expected = costs.useful_fraction((every * parameters.operation_ns) as f64);
        // Some 1,000 crashes of each process.
        let fleet = Fleet { processes: 256, years: minutes(mtbf_ns as f64 * 1_000.0 / 60e9), seed, threads: 2 };
        let made = simulate(&parameters, &always(Action::Resume), fleet);
        // Half a 95 % interval is two deviations: this is six, so that chance fails one case in 10⁹.
        let allowed = 3.0 * made.useful.error.unwrap() + made.shares.open;
        prop_assert!((made.useful.value - expected).abs() < allowed, "{} is not {expected} ± {allowed}", made.useful.value);
        prop_assert!(allowed < 0.01 + made.shares.open);
        prop_assert_eq!(made.gave_up, GaveUp::default());
    }
}

/// Who begins from zero has the whole transaction for a stretch: with Daly's formula for that, the same holds. What is
/// committed of a transaction under way at the end may still be lost.
#[test]
fn the_useful_share_from_zero_is_that_of_whole_transactions() {
    for (commits, mtbf_ns) in [(3, 300_000_000), (10, 200_000_000), (40, 1_000_000_000)] {
        let parameters = Parameters { mtbf_ns, commits_per_transaction: commits, ..parameters() };
        let (work_ns, commits_ns) = (commits * 10_000_000, commits * 2_000_000);
        let costs = Costs { mtbf_ns: mtbf_ns as f64, commit_ns: commits_ns as f64, restart_ns: 5e6 };
        let expected = costs.useful_fraction(work_ns as f64);
        let fleet = fleet(256, 10.0);
        let made = simulate(&parameters, &always(Action::Zero), fleet);
        let open = (work_ns + commits_ns) as f64 / 600e9;
        let allowed = 3.0 * made.useful.error.unwrap() + open;
        assert!((made.useful.value - expected).abs() < allowed, "{} is not {expected} ± {allowed}", made.useful.value);
        assert!(allowed < 0.01);
    }
}

#[test]
fn a_seed_makes_the_same_fleet_and_another_one_does_not() {
    let made =
        |seed, threads| simulate(&parameters(), &always(Action::Resume), Fleet { seed, threads, ..fleet(2_000, 10.0) });
    assert_eq!(made(1, 1), made(1, 4));
    assert_ne!(made(1, 1).crashes, made(2, 1).crashes);
}

/// Faults come at their rate: what is down is not struck in delays and repairs, and is in recoveries.
#[test]
fn faults_come_at_their_rate() {
    let made = simulate(&parameters(), &always(Action::Resume), fleet(5_000, 100.0));
    let expected = 5_000.0 * 100.0 * 6.0;
    assert!((made.crashes as f64 / expected - 1.0).abs() < 0.003, "{}", made.crashes);
    let slow = Answers(|_: &Crash, _: &History| Decision::after(Duration::from_secs(10), Action::Resume));
    let made = simulate(&parameters(), &slow, fleet(5_000, 100.0));
    assert!((made.crashes as f64 / expected * 2.0 - 1.0).abs() < 0.005, "{}", made.crashes);
    assert!((made.shares.down - 0.5).abs() < 0.005 && made.delay_share_of_down.unwrap() > 0.99);
}

/// Shares of faults are what was asked for, also where most of the time goes into commits.
#[test]
fn faults_are_of_their_kinds_wherever_the_clock_falls() {
    let mixed = Parameters { commit_ns: 90_000_000, poison: 0.2, propagated: 0.1, ..parameters() };
    let made = simulate(&mixed, &always(Action::Zero), fleet(2_000, 100.0));
    let faults = (made.transient + made.poison + made.propagated) as f64;
    let (poison, propagated) = (made.poison as f64 / faults, made.propagated as f64 / faults);
    assert!((poison - 0.2).abs() < 0.01 && (propagated - 0.1).abs() < 0.01, "{poison} and {propagated}");
}

/// Poison is met again until it is skipped: zero and older commits do not help.
#[test]
fn poison_is_got_past_by_a_skip_only() {
    let poisoned = Parameters { poison: 1.0, kept_commits: 4, ..parameters() };
    for action in [Action::Resume, Action::Zero, Action::Older(3), Action::KeepIfIntact, Action::RestartDaemon] {
        let made = simulate(&poisoned, &always(action), fleet(500, 10.0));
        assert!(made.gave_up.by_patience > 1_000 && made.repeated > made.poison, "{action}: {made}");
    }
    let made = simulate(&poisoned, &always(Action::Skip), fleet(500, 10.0));
    assert_eq!((made.gave_up.total(), made.repeated), (0, 0), "{made}");
    assert_eq!(made.skipped_operations, made.crashes);

    // The program skips at the second crash, and a cure needs no skip.
    let program = Parameters { program: Program::Skip, ..poisoned.clone() };
    let made = simulate(&program, &always(Action::ProcessDecides), fleet(500, 10.0));
    assert_eq!(made.gave_up.total(), 0);
    assert!(made.repeated.abs_diff(made.poison) < made.poison / 100, "{made}");
    let cured = Parameters { cured_by_environment: 1.0, ..poisoned };
    let padded = Answers(|_: &Crash, _: &History| {
        Decision::now(Action::Resume).within(crashbed::Environment { padding: 64, ..crashbed::Environment::USUAL })
    });
    let made = simulate(&cured, &padded, fleet(500, 10.0));
    assert_eq!((made.gave_up.total(), made.repeated), (0, 0));
}

/// Damage comes back with the commits that hold it.
#[test]
fn damage_is_got_past_by_zero_and_by_a_commit_that_is_old_enough() {
    let damaged = Parameters { propagated: 1.0, kept_commits: 9, commits_per_transaction: 20_000, ..parameters() };
    let made = |parameters: &Parameters, action| simulate(parameters, &always(action), fleet(500, 10.0));
    for action in [Action::Resume, Action::Skip] {
        assert!(made(&damaged, action).gave_up.by_patience > 1_000, "{action}");
    }
    let zero = made(&damaged, Action::Zero);
    assert_eq!((zero.gave_up.total(), zero.repeated), (0, 0));
    // But for the faults of a transaction's first cycle, before which there is no commit.
    let older = made(&damaged, Action::Older(1));
    assert!(older.gave_up.total() < older.propagated / 500 && older.repeated < older.propagated, "{older}");
    assert!(older.lost_operations < zero.lost_operations / 10);
    // Two commits in the mean: half of the faults need more than one step back.
    let deeper = made(&Parameters { damaged_commits: 2.0, ..damaged.clone() }, Action::Older(1));
    let ratio = deeper.repeated as f64 / deeper.propagated as f64;
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
    // One kept commit: there is nothing older.
    let none = made(&Parameters { kept_commits: 1, ..damaged }, Action::Older(1));
    assert!(none.gave_up.by_patience > 1_000);
}

#[test]
fn the_limit_on_restarts_and_the_policy_give_up() {
    let poisoned = Parameters {
        poison: 1.0,
        intensity: Intensity { restarts: 5, within_ms: 10_000 },
        patience_ns: u64::MAX >> 1,
        ..parameters()
    };
    let made = simulate(&poisoned, &always(Action::Resume), fleet(500, 10.0));
    assert!(made.gave_up.by_limit > 1_000 && made.gave_up.total() == made.gave_up.by_limit);
    // Each poison crashes six times, but for those that are under way at the end.
    assert!((made.repeated as f64 / made.poison as f64 - 5.0).abs() < 0.1, "{made}");
    // The time between is a fault and a repair: 70 s of ten minutes.
    assert!((made.gave_up.total() as f64 / (500.0 * 600.0 / 70.0) - 1.0).abs() < 0.1, "{made}");

    // Each restart of the daemon begins a history, and counts all the same.
    let made = simulate(&poisoned, &always(Action::RestartDaemon), fleet(500, 10.0));
    assert!(made.gave_up.by_limit > 1_000 && made.gave_up.total() == made.gave_up.by_limit);
    assert!((made.repeated as f64 / made.poison as f64 - 5.0).abs() < 0.1, "{made}");

    let third = Answers(|crash: &Crash, history: &History| {
        let is_third = history.crashes_in_operation(crash.operation) == 3;
        Decision::now(if is_third { Action::GiveUp } else { Action::Resume })
    });
    let made = simulate(&poisoned, &third, fleet(500, 10.0));
    assert!(made.gave_up.by_policy > 1_000 && made.gave_up.total() == made.gave_up.by_policy);
    assert_eq!(made.decisions["give-up"], made.gave_up.by_policy);
}

/// An escalation ends where that of the daemon does: six crashes are a transaction's ladder, and the seventh restart of its
/// daemon is the end of that one's.
#[test]
fn an_escalation_ends_with_its_daemons() {
    let poisoned = Parameters { poison: 1.0, kept_commits: 4, patience_ns: u64::MAX >> 1, ..parameters() };
    let made = simulate(&poisoned, &crashbed_policies::Escalation::default(), fleet(500, 60.0));
    assert!(made.gave_up.by_policy > 5_000 && made.gave_up.total() == made.gave_up.by_policy, "{made}");
    let each = |count: u64| count as f64 / made.gave_up.by_policy as f64;
    assert!((each(made.restarts) - 41.0).abs() < 0.5, "{made}");
    assert!((each(made.decisions["restart-daemon"]) - 7.0).abs() < 0.1, "{made}");
}

/// A program is asked in a successor: one that gives up at the third crash has had three, each after a recovery.
#[test]
fn a_program_that_gives_up_is_asked_in_a_successor() {
    let poisoned = Parameters { poison: 1.0, program: Program::GiveUp, repair_ns: 1, ..parameters() };
    let made = simulate(&poisoned, &always(Action::ProcessDecides), fleet(500, 60.0));
    assert!(made.gave_up.by_program > 10_000 && made.gave_up.total() == made.gave_up.by_program, "{made}");
    assert!((made.restarts as f64 / made.gave_up.by_program as f64 - 3.0).abs() < 0.01, "{made}");
    // Three recoveries of 5 ms each.
    let all_ns = 500.0 * made.years * YEAR_NS as f64;
    let down_ns = made.shares.down * all_ns / made.gave_up.by_program as f64;
    assert!((down_ns / 15e6 - 1.0).abs() < 0.01, "{down_ns}");
    // Where the limit gives up first, nobody is asked.
    let limited = Parameters { intensity: Intensity { restarts: 2, within_ms: 1_000 }, ..poisoned };
    let made = simulate(&limited, &always(Action::ProcessDecides), fleet(500, 60.0));
    assert!(made.gave_up.by_limit > 10_000 && made.gave_up.total() == made.gave_up.by_limit, "{made}");
    assert!((made.restarts as f64 / made.gave_up.by_limit as f64 - 2.0).abs() < 0.01, "{made}");
}

/// A history holds the crashes of its transaction and no others, and none before a quiet time.
#[test]
fn a_history_begins_with_its_transaction_and_after_a_quiet_time() {
    use std::sync::atomic::{AtomicU64, Ordering};
    // A transaction of a hundred operations takes 120 ms, of ten million 3 h.
    let most = |parameters: &Parameters| {
        let most = AtomicU64::new(0);
        let watching = Answers(|_: &Crash, history: &History| {
            most.fetch_max(history.total(), Ordering::Relaxed);
            Decision::now(Action::Resume)
        });
        simulate(parameters, &watching, fleet(100, 60.0));
        most.into_inner()
    };
    assert!(most(&parameters()) < 5);
    let long = Parameters { commits_per_transaction: 1_000_000, ..parameters() };
    assert!(most(&long) > 300);
    let quiet = Parameters { quiet_ns: 1_000_000_000, ..long.clone() };
    assert!(most(&quiet) < 8);
    // The daemon's new incarnation begins one too.
    let daemons = Answers(|crash: &Crash, history: &History| {
        // The daemon itself, which ends by exit, has one that goes on.
        assert!(history.total() == 1 || matches!(crash.cause, crashbed::Cause::Exited { .. }));
        Decision::now(Action::RestartDaemon)
    });
    assert!(simulate(&long, &daemons, fleet(100, 60.0)).crashes > 30_000);
}

#[test]
fn every_policy_of_the_table_lives_through_a_bad_year() {
    let bad = Parameters { poison: 0.1, propagated: 0.1, kept_commits: 4, intact: 0.5, ..parameters() };
    for row in crashbed_policies::ALL {
        let made = simulate(&bad, &row.policy(), fleet(300, 10.0));
        assert!(made.crashes > 0 && made.useful.value > 0.0 && made.useful.value < 1.0, "{made}");
        let text = made.to_string();
        assert!(text.starts_with(row.name) && text.contains("useful work"), "{text}");
    }
}
