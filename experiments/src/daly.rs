//! How often to commit: Young's and Daly's optimum interval, and the time that a run takes with it.
//!
//! The model is Daly's. Work is done in stretches of one interval, each followed by a commit. Crashes come by an
//! exponential clock that runs all the time, in commits and restarts too; one throws away the stretch under way, and
//! after a restart that stretch begins anew.
//!
//! - J. W. Young, "A first order approximation to the optimum checkpoint interval", Communications of the ACM 17(9),
//!   1974.
//! - J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", Future Generation
//!   Computer Systems 22(3), 2006: his complete model for the time, and the estimate of the best interval in it.

/// What crashes, commits and restarts cost a program. All times in nanoseconds; finite, and above 0 but for the
/// restart, which may be 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// The mean time between two crashes (Daly's *M*).
    pub mtbf_ns: f64,
    /// The time that a commit takes (his *δ*).
    pub commit_ns: f64,
    /// The time from a crash until work goes on (his *R*).
    pub restart_ns: f64,
}

impl Costs {
    /// Young's optimum: how long to work between two commits, `sqrt(2 δ M)`. Good where commits are much shorter than
    /// the time between crashes.
    pub fn young_interval_ns(&self) -> f64 {
        (2.0 * self.commit_ns * self.mtbf_ns).sqrt()
    }

    /// Daly's optimum: how long to work between two commits, without the commit itself. Where a commit takes twice the
    /// time between crashes or longer, it is that time. The restart has no say in it.
    pub fn daly_interval_ns(&self) -> f64 {
        let Self { mtbf_ns, commit_ns, .. } = *self;
        if commit_ns >= 2.0 * mtbf_ns {
            return mtbf_ns;
        }
        let ratio = commit_ns / (2.0 * mtbf_ns);
        self.young_interval_ns() * (1.0 + ratio.sqrt() / 3.0 + ratio / 9.0) - commit_ns
    }

    /// The expected time for `work_ns` of work with a commit after every `interval_ns`: Daly's
    /// `T_w = M e^(R/M) (e^((τ+δ)/M) − 1) T_s/τ`, for work that is long beside a commit. Infinite where that is beyond what a number can hold.
    ///
    /// # Panics
    /// Where the interval is not above 0.
    pub fn expected_ns(&self, work_ns: f64, interval_ns: f64) -> f64 {
        assert!(interval_ns > 0.0, "an interval of {interval_ns} ns holds no work");
        let Self { mtbf_ns, commit_ns, restart_ns } = *self;
        // The difference to 1 by itself: with rare crashes it is small, and subtracting would lose its digits.
        let stretch = ((interval_ns + commit_ns) / mtbf_ns).exp_m1();
        mtbf_ns * (restart_ns / mtbf_ns).exp() * stretch * work_ns / interval_ns
    }

    /// The share of time that is useful work, with a commit after every `interval_ns`: 1 where nothing is lost.
    ///
    /// # Panics
    /// Where the interval is not above 0.
    pub fn useful_fraction(&self, interval_ns: f64) -> f64 {
        1.0 / self.expected_ns(1.0, interval_ns)
    }

    /// Where the model's time goes, with a commit after every `interval_ns`.
    ///
    /// Of a stretch that takes `x = (τ+δ)/M`, `e^x − 1` attempts are crashed in the mean; each is followed by restarts, of
    /// which the last is not crashed, in `M (e^(R/M) − 1)`. What is left of the expected time is lost work.
    ///
    /// # Panics
    /// Where the interval is not above 0.
    pub fn shares(&self, interval_ns: f64) -> Shares {
        let Self { mtbf_ns, commit_ns, restart_ns } = *self;
        let expected_ns = self.expected_ns(interval_ns, interval_ns);
        let crashed = ((interval_ns + commit_ns) / mtbf_ns).exp_m1();
        // Where no stretch is ever done, nearly all is lost.
        if expected_ns.is_infinite() {
            let restarts = -(-restart_ns / mtbf_ns).exp_m1();
            return Shares { useful: 0.0, commits: 0.0, restarts, lost: 1.0 - restarts };
        }
        let restarts_ns = crashed * mtbf_ns * (restart_ns / mtbf_ns).exp_m1();
        let lost_ns = crashed * mtbf_ns - interval_ns - commit_ns;
        let share = |ns: f64| ns / expected_ns;
        Shares {
            useful: share(interval_ns),
            commits: share(commit_ns),
            restarts: share(restarts_ns),
            lost: share(lost_ns.max(0.0)),
        }
    }
}

/// Shares of a program's time, from 0 to 1; together 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// Work that a commit holds.
    pub useful: f64,
    /// Commits that became true.
    pub commits: f64,
    /// From a crash until work goes on.
    pub restarts: f64,
    /// Work that crashes threw away, commits that they cut short included.
    pub lost: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    const MINUTE: f64 = 60e9;

    fn costs(commit: f64, mtbf: f64) -> Costs {
        Costs { mtbf_ns: mtbf, commit_ns: commit, restart_ns: 0.0 }
    }

    /// The example of his paper: commits of 5 minutes, restarts of 10, and a crash every 24 h, 6 h and 15 min.
    #[test]
    fn dalys_own_example_comes_out() {
        let best = |mtbf: f64| {
            let costs = Costs { mtbf_ns: mtbf * MINUTE, commit_ns: 5.0 * MINUTE, restart_ns: 10.0 * MINUTE };
            costs.daly_interval_ns() / MINUTE
        };
        assert_eq!(best(24.0 * 60.0).round(), 117.0);
        assert_eq!(best(6.0 * 60.0).round(), 57.0);
        assert_eq!((best(15.0) * 10.0).round(), 91.0);
    }

    #[test]
    fn youngs_is_the_geometric_mean_of_twice_the_commit_and_the_time_between_crashes() {
        assert_eq!(costs(5.0, 1440.0).young_interval_ns(), 120.0);
    }

    /// One stretch without a commit or a restart: M (e^(τ/M) − 1), of which there are T/τ.
    #[test]
    fn the_expected_time_is_his() {
        let time = costs(0.0, 10.0).expected_ns(30.0, 10.0);
        assert!((time - 30.0 * (1.0_f64.exp() - 1.0)).abs() < 1e-9, "{time}");
        let with_restart = Costs { restart_ns: 10.0, ..costs(0.0, 10.0) }.expected_ns(30.0, 10.0);
        assert!((with_restart - time * 1.0_f64.exp()).abs() < 1e-9, "{with_restart}");
    }

    #[test]
    fn without_crashes_nothing_but_commits_is_lost() {
        let useful = Costs { mtbf_ns: 1e30, commit_ns: 1e6, restart_ns: 1e9 }.useful_fraction(9e6);
        assert!((useful - 0.9).abs() < 1e-9, "{useful}");
    }

    #[test]
    #[should_panic(expected = "holds no work")]
    fn an_interval_of_nothing_is_refused() {
        costs(1.0, 10.0).expected_ns(1.0, 0.0);
    }

    /// Plays the model's program for so many stretches, crash by crash: the time of each of the four shares.
    fn played(costs: &Costs, interval_ns: f64, stretches: u32, seed: u64) -> [f64; 4] {
        let mut numbers = ChaCha8Rng::seed_from_u64(seed);
        let mut crash_after = || -costs.mtbf_ns * (1.0 - numbers.random::<f64>()).ln();
        let [mut useful, mut commits, mut restarts, mut lost] = [0.0; 4];
        for _ in 0..stretches {
            loop {
                let crash = crash_after();
                if crash >= interval_ns + costs.commit_ns {
                    useful += interval_ns;
                    commits += costs.commit_ns;
                    break;
                }
                lost += crash;
                // A restart that is crashed is begun again.
                loop {
                    let crash = crash_after();
                    restarts += crash.min(costs.restart_ns);
                    if crash >= costs.restart_ns {
                        break;
                    }
                }
            }
        }
        let all = useful + commits + restarts + lost;
        [useful, commits, restarts, lost].map(|ns| ns / all)
    }

    #[test]
    fn the_shares_are_those_of_a_program_that_is_played_crash_by_crash() {
        // Commits, restarts and intervals in parts of the time between crashes, from rare crashes to hopeless ones.
        for (commit, restart, interval) in
            [(0.01, 0.002, 0.14), (0.05, 0.01, 0.3), (0.2, 0.5, 0.1), (0.02, 0.0, 1.5), (0.5, 1.0, 2.0)]
        {
            let costs = Costs { mtbf_ns: 1e6, commit_ns: commit * 1e6, restart_ns: restart * 1e6 };
            let shares = costs.shares(interval * 1e6);
            let model = [shares.useful, shares.commits, shares.restarts, shares.lost];
            let played = played(&costs, interval * 1e6, 200_000, 7);
            for (model, played) in model.iter().zip(played) {
                assert!((model - played).abs() < 0.005, "{costs:?}, {interval}: {model}, played {played}");
            }
            assert!((shares.useful - costs.useful_fraction(interval * 1e6)).abs() < 1e-12);
            assert!((model.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{model:?}");
        }
    }

    #[test]
    fn where_no_stretch_is_ever_done_nearly_all_is_lost() {
        let shares = Costs { mtbf_ns: 1.0, commit_ns: 1.0, restart_ns: 0.1 }.shares(1e9);
        assert_eq!((shares.useful, shares.commits), (0.0, 0.0));
        assert!((shares.restarts + shares.lost - 1.0).abs() < 1e-12 && shares.lost > 0.9, "{shares:?}");
    }

    /// The least expected time of all intervals, by golden section over their logarithm: it falls, then rises.
    fn least(costs: &Costs) -> f64 {
        let section = (5.0_f64.sqrt() - 1.0) / 2.0;
        let time = |log: f64| costs.expected_ns(1.0, log.exp());
        let (mut low, mut high) = ((costs.mtbf_ns * 1e-6).ln(), (costs.mtbf_ns * 3.0).ln());
        while high - low > 1e-7 {
            let (left, right) = (high - section * (high - low), low + section * (high - low));
            if time(left) < time(right) { high = right } else { low = left }
        }
        time(low)
    }

    proptest! {
        /// His is within 0.2 % of the best there is where commits are shorter than the time between crashes, and within
        /// 2 % where they are longer; Young's is so only for short commits.
        #[test]
        fn dalys_interval_is_as_good_as_the_best(mtbf_log in 5.0..40.0_f64, ratio_log in -16.0..2.0_f64, restart in 0.0..1.0_f64) {
            let mtbf_ns = mtbf_log.exp();
            let ratio = ratio_log.exp();
            let costs = Costs { mtbf_ns, commit_ns: ratio * mtbf_ns, restart_ns: restart * mtbf_ns };
            let least = least(&costs);
            let over = |interval: f64| costs.expected_ns(1.0, interval) / least - 1.0;
            let allowed = if ratio < 1.0 { 0.002 } else { 0.02 };
            prop_assert!((-1e-9..allowed).contains(&over(costs.daly_interval_ns())), "{}", over(costs.daly_interval_ns()));
            prop_assert!(ratio > 0.05 || over(costs.young_interval_ns()) < 0.02, "{}", over(costs.young_interval_ns()));
        }

        /// Dearer commits are made less often, and so are commits against rarer crashes, on either side of the step that
        /// his formula has where a commit takes twice the time between crashes.
        #[test]
        fn dalys_interval_grows_with_the_commit_and_with_the_time_between_crashes(
            mtbf in 1e3..1e15_f64, ratio in 1e-6..4.0_f64, more in 1.001..10.0_f64,
        ) {
            let now = costs(ratio * mtbf, mtbf);
            let dearer = costs(ratio * mtbf * more, mtbf);
            prop_assert!(dearer.daly_interval_ns() >= now.daly_interval_ns());
            let rarer = costs(ratio * mtbf, mtbf * more);
            let same_side = (ratio >= 2.0) == (ratio / more >= 2.0);
            prop_assert!(!same_side || rarer.daly_interval_ns() > now.daly_interval_ns());
            prop_assert!(rarer.young_interval_ns() > now.young_interval_ns());
        }

        /// Whatever it costs, some of the time is useful and not more than what the commits leave of it.
        #[test]
        fn the_useful_share_is_a_share(mtbf in 1e3..1e15_f64, ratio in 1e-6..2.0_f64, restart in 0.0..2.0_f64, interval in 1e-4..5.0_f64) {
            let costs = Costs { mtbf_ns: mtbf, commit_ns: ratio * mtbf, restart_ns: restart * mtbf };
            let useful = costs.useful_fraction(interval * mtbf);
            prop_assert!(useful > 0.0 && useful <= interval / (interval + ratio), "{useful}");
        }
    }
}
