//! How a successor is made ready before there is a crash: the choice that a program declares, and how `auto` chooses.
//!
//! | spare | a successor | costs, where nothing crashes |
//! |---|---|---|
//! | cold | is forked after the crash | nothing |
//! | warm | is forked ahead, has touched what it needs, sleeps on a futex | its fork, once a transaction; its page tables |
//! | hot | is warm, but spins for a while before it sleeps | that, and the processor time that it spins |
//! | auto | is what pays, by the crash rate and the length of the transactions so far | what it picks |

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How a transaction's successor is made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Spare {
    /// It is forked after the crash.
    #[default]
    Cold,
    /// It is forked ahead and sleeps.
    Warm,
    /// It is forked ahead and spins, within limits and while nobody else wants its processor; then it is warm.
    Hot(Spin),
    /// Whichever pays; the [`Report`](crate::Report) says what was picked and why.
    Auto,
}

/// How much a hot spare may spin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spin {
    /// The longest that one spare spins.
    pub most: Duration,
    /// The share of one processor, in percent, that the spares of a daemon may spin away: what is not spun adds up, to
    /// [`most`](Self::most).
    pub percent: u8,
}

impl Default for Spin {
    /// 50 ms, and half of a processor.
    fn default() -> Self {
        Self { most: Duration::from_millis(50), percent: 50 }
    }
}

impl Spare {
    /// The name, as on the command line and in results.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Hot(_) => "hot",
            Self::Auto => "auto",
        }
    }

    /// How much its spares may spin.
    pub(crate) fn spin(&self) -> Spin {
        match self {
            Self::Hot(spin) => *spin,
            _ => Spin::default(),
        }
    }

    /// All of them, a hot one with the default limits.
    pub fn all() -> [Self; 4] {
        [Self::Cold, Self::Warm, Self::Hot(Spin::default()), Self::Auto]
    }
}

impl fmt::Display for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A spare's name that is none.
#[derive(Debug, thiserror::Error)]
#[error("unknown spare `{0}`: `cold`, `warm`, `hot` and `auto` are known")]
pub struct UnknownSpare(String);

impl FromStr for Spare {
    type Err = UnknownSpare;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::all().into_iter().find(|spare| spare.name() == name).ok_or_else(|| UnknownSpare(name.to_owned()))
    }
}

/// How a successor began in fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Start {
    /// Forked after the crash.
    Cold = 0,
    /// A spare that slept, or was not ready yet.
    Warm = 1,
    /// A spare that spun.
    Hot = 2,
}

impl Start {
    /// The name, as in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Hot => "hot",
        }
    }

    pub(crate) fn from_word(word: u32) -> Self {
        match word {
            1 => Self::Warm,
            2 => Self::Hot,
            _ => Self::Cold,
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What `auto` picked, and on which grounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picked {
    /// What it picked.
    pub start: Start,
    /// The grounds.
    pub grounds: Grounds,
    /// Crashes a transaction, as expected from those before.
    pub crashes: f64,
    /// How long a transaction takes, as expected from those before or from the present one's age.
    pub length: Duration,
    /// What a spare costs, as measured; a guess before the first one.
    pub cost: Duration,
}

/// Why [`Picked::start`] pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// The transaction is short and crashes seldom: a spare would cost more than it saves.
    ShortAndSound,
    /// A spare costs less than a hundredth of the transaction.
    CheapBesideItsLength,
    /// Every other transaction crashes, or more.
    CrashesOften,
    /// Crashes follow one another within the time that a spare may spin, and there is a processor for it.
    CrashesWithinASpin,
}

impl fmt::Display for Picked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.grounds {
            Grounds::ShortAndSound => "a spare would cost more than it saves",
            Grounds::CheapBesideItsLength => "a spare costs less than a hundredth of the transaction",
            Grounds::CrashesOften => "every other transaction crashes, or more",
            Grounds::CrashesWithinASpin => "crashes come within the time that a spare may spin",
        };
        write!(
            f,
            "{}: {why} ({:.3} crashes and {:?} a transaction, a spare costs {:?})",
            self.start, self.crashes, self.length, self.cost
        )
    }
}

/// What a daemon has measured of its transactions: the newest count most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    transactions: u64,
    length_ns: f64,
    crashes: f64,
    cost_ns: f64,
}

/// The part of a mean that each new value makes up.
const NEW: f64 = 0.125;
/// What a spare costs until that was measured: a fork and its page faults.
const GUESSED_COST_NS: f64 = 400_000.0;

fn blend(mean: f64, new: f64, is_first: bool) -> f64 {
    if is_first { new } else { mean + NEW * (new - mean) }
}

// Counts and nanoseconds far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn float(number: u64) -> f64 {
    number as f64
}

impl Measured {
    /// A transaction has ended.
    pub(crate) fn add(&mut self, length_ns: u64, crashes: u64) {
        self.length_ns = blend(self.length_ns, float(length_ns), self.transactions == 0);
        self.crashes = blend(self.crashes, float(crashes), self.transactions == 0);
        self.transactions += 1;
    }

    /// A spare took so long to fork and to get ready, on the processors.
    pub(crate) fn add_cost(&mut self, cost_ns: u64) {
        self.cost_ns = blend(self.cost_ns, float(cost_ns), self.cost_ns <= 0.0);
    }

    /// What pays for a transaction that has run for `age_ns` and crashed `crashes` times so far, with a spin of at most
    /// `spin`, on so many processors.
    pub(crate) fn pick(&self, age_ns: u64, crashes: u64, spin: Duration, processors: usize) -> Picked {
        let cost_ns = if self.cost_ns > 0.0 { self.cost_ns } else { GUESSED_COST_NS };
        // A transaction that has outlived the mean will not end sooner than now.
        let length_ns = self.length_ns.max(float(age_ns));
        let expected = self.crashes.max(float(crashes));
        let gap_ns = length_ns / expected;
        let (start, grounds) = if expected >= 1.0 && gap_ns <= spin.as_secs_f64() * 1e9 && processors > 1 {
            (Start::Hot, Grounds::CrashesWithinASpin)
        } else if expected >= 0.5 {
            (Start::Warm, Grounds::CrashesOften)
        } else if length_ns >= 100.0 * cost_ns {
            (Start::Warm, Grounds::CheapBesideItsLength)
        } else {
            (Start::Cold, Grounds::ShortAndSound)
        };
        let duration = |ns: f64| Duration::from_secs_f64(ns / 1e9);
        Picked { start, grounds, crashes: expected, length: duration(length_ns), cost: duration(cost_ns) }
    }

    /// The age from which on a spare is cheap beside the transaction's length.
    pub(crate) fn age_for_a_spare_ns(&self) -> u64 {
        let cost_ns = if self.cost_ns > 0.0 { self.cost_ns } else { GUESSED_COST_NS };
        u64::try_from(Duration::from_secs_f64(100.0 * cost_ns / 1e9).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// How much spares may spin at the moment: a bucket that fills with time and never holds more than one spin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SpinBudget {
    left_ns: u64,
    at_ns: u64,
}

impl SpinBudget {
    /// What a new spare may spin.
    pub(crate) fn grant(&mut self, spin: Spin, now_ns: u64) -> u64 {
        let most = u64::try_from(spin.most.as_nanos()).unwrap_or(u64::MAX);
        let earned = match self.at_ns {
            0 => most,
            at => now_ns.saturating_sub(at) / 100 * u64::from(spin.percent.min(100)),
        };
        self.left_ns = self.left_ns.saturating_add(earned).min(most);
        self.at_ns = now_ns;
        self.left_ns
    }

    /// A spare has spun.
    pub(crate) fn spend(&mut self, spun_ns: u64) {
        self.left_ns = self.left_ns.saturating_sub(spun_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPIN: Duration = Duration::from_millis(50);

    fn measured(length: Duration, crashes: u64, times: u32) -> Measured {
        let mut measured = Measured::default();
        for _ in 0..times {
            measured.add(u64::try_from(length.as_nanos()).unwrap(), crashes);
        }
        measured
    }

    #[test]
    fn names_are_read_back() {
        for spare in Spare::all() {
            assert_eq!(spare.name().parse::<Spare>().unwrap(), spare);
        }
        assert!("tepid".parse::<Spare>().unwrap_err().to_string().contains("tepid"));
    }

    #[test]
    fn what_pays_is_picked() {
        let pick = |m: Measured, age, crashes| m.pick(age, crashes, SPIN, 2).start;
        assert_eq!(pick(Measured::default(), 0, 0), Start::Cold);
        assert_eq!(pick(measured(Duration::from_millis(1), 0, 5), 0, 0), Start::Cold);
        // Long: from the past, or because it has lived so long.
        assert_eq!(pick(measured(Duration::from_secs(1), 0, 5), 0, 0), Start::Warm);
        assert_eq!(pick(measured(Duration::from_millis(1), 0, 5), 1_000_000_000, 0), Start::Warm);
        // Short ones that crash every time; many crashes close together; no processor to spin on.
        assert_eq!(pick(measured(Duration::from_millis(200), 1, 5), 0, 0), Start::Warm);
        assert_eq!(pick(measured(Duration::from_millis(200), 20, 5), 0, 0), Start::Hot);
        assert_eq!(measured(Duration::from_millis(200), 20, 5).pick(0, 0, SPIN, 1).start, Start::Warm);
    }

    #[test]
    fn it_says_what_it_picked_and_why() {
        let words = measured(Duration::from_secs(1), 0, 1).pick(0, 0, SPIN, 2).to_string();
        assert!(words.starts_with("warm: ") && words.contains("hundredth"), "{words}");
    }

    proptest! {
        #[test]
        fn more_crashes_never_pick_a_colder_start(length in 1u64..10_000_000_000, few in 0u64..50, more in 0u64..50) {
            let pick = |crashes| measured(Duration::from_nanos(length), crashes, 3).pick(0, 0, SPIN, 2).start as u32;
            prop_assert!(pick(few) <= pick(few + more));
        }

        #[test]
        fn spinning_stays_within_its_share(percent in 1u8..=100, spans in prop::collection::vec(1u64..200_000_000, 1..100)) {
            let spin = Spin { most: SPIN, percent };
            let mut budget = SpinBudget::default();
            let (mut now, mut spun) = (1, 0);
            for span in spans {
                let granted = budget.grant(spin, now);
                prop_assert!(granted <= 50_000_000);
                let used = granted.min(span);
                budget.spend(used);
                spun += used;
                now += span;
                prop_assert!(spun <= 50_000_000 + now / 100 * u64::from(percent));
            }
        }
    }
}
