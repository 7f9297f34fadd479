//! What a fleet is simulated by: written by hand or fitted from a run, in TOML.

use super::quantiles::Quantiles;
use super::rhythm::Rhythm;
use crate::levels;
use crashbed::{Action, History};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::collections::BTreeMap;
use std::time::Duration;

/// The quiet time and the patience that are not written.
pub(super) const HOUR_NS: u64 = 3_600_000_000_000;

/// The repair that is not written: ten minutes.
pub(super) const REPAIR_NS: u64 = HOUR_NS / 6;

/// The parameters of one process; all of a fleet are alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The mean time between two faults of a process that works, in nanoseconds: the clock is exponential.
    #[serde(deserialize_with = "levels::positive")]
    pub mtbf_ns: u64,
    /// The time that an operation takes.
    #[serde(deserialize_with = "levels::positive")]
    pub operation_ns: u64,
    /// Operations between two commits.
    #[serde(deserialize_with = "levels::positive")]
    pub commit_every: u64,
    /// The time that a commit takes.
    pub commit_ns: u64,
    /// Commits in a transaction, the last of which ends it.
    #[serde(default = "hundred", deserialize_with = "levels::positive")]
    pub commits_per_transaction: u64,
    /// Commits that are kept to go back to, the last one included.
    #[serde(default = "one", deserialize_with = "levels::positive")]
    pub kept_commits: u64,
    /// The share of faults that are poison: the operation in flight crashes whenever it is met.
    #[serde(default, deserialize_with = "share")]
    pub poison: f64,
    /// The share of faults that had damaged the state before it was committed: they come back with the commit.
    #[serde(default, deserialize_with = "share")]
    pub propagated: f64,
    /// How many commits hold the damage, in the mean (it is a geometric distribution), at least 1.
    #[serde(default = "one_commit", deserialize_with = "at_least_one")]
    pub damaged_commits: f64,
    /// The share of poison that does no harm in a changed environment.
    #[serde(default, deserialize_with = "share")]
    pub cured_by_environment: f64,
    /// The share of crashed states that may be kept where a policy asks for that.
    #[serde(default, deserialize_with = "share")]
    pub intact: f64,
    /// What the program's own code answers where it decides.
    #[serde(default)]
    pub program: Program,
    /// The limit on restarts.
    #[serde(default)]
    pub intensity: Intensity,
    /// A process that has not crashed for so long begins a new history, as one whose transaction has ended does.
    #[serde(default = "hour", deserialize_with = "levels::positive")]
    pub quiet_ns: u64,
    /// A transaction that gets no further for so long is given up by whoever looks after the fleet.
    #[serde(default = "hour", deserialize_with = "levels::positive")]
    pub patience_ns: u64,
    /// How long it takes until one that was given up is seen to: its process begins anew, with nothing wrong any more.
    #[serde(default = "ten_minutes", deserialize_with = "levels::positive")]
    pub repair_ns: u64,
    /// Times from a crash until work goes on, by action: quantiles at equal steps from 0 to 1, or one time. An action
    /// that is left out takes as long as `resume`.
    #[serde(deserialize_with = "recoveries")]
    pub recovery_ns: BTreeMap<String, Quantiles>,
}

/// What the program's own code answers where the policy lets it decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// To resume, always.
    #[default]
    Resume,
    /// To resume, and at the second crash in an operation to skip that, as workload `documents` does.
    Skip,
    /// To resume, and at the third crash in an operation to give up, as workload `kv` does.
    GiveUp,
}

impl Program {
    /// The answer about the newest crash, in `operation`.
    pub(super) fn answer(self, operation: u64, history: &History) -> Action {
        match (self, history.crashes_in_operation(operation)) {
            (Self::Skip, 2..) => Action::Skip,
            (Self::GiveUp, 3..) => Action::GiveUp,
            _ => Action::Resume,
        }
    }
}

/// The limit on restarts: one more within the window, and the engine gives up, whatever the policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intensity {
    /// The most restarts within the window; more than the engine counts is no limit.
    #[serde(deserialize_with = "levels::positive")]
    pub restarts: u32,
    /// The window in milliseconds.
    #[serde(deserialize_with = "levels::positive")]
    pub within_ms: u64,
}

impl Default for Intensity {
    fn default() -> Self {
        let crate::suite::Intensity { restarts, within_ms } = crate::suite::Intensity::default();
        Self { restarts, within_ms }
    }
}

impl From<Intensity> for crashbed::Intensity {
    fn from(Intensity { restarts, within_ms }: Intensity) -> Self {
        Self { restarts: restarts as usize, within: Duration::from_millis(within_ms) }
    }
}

impl Parameters {
    /// The names that recoveries go by: each action but giving up, after which nothing is recovered.
    pub const ACTIONS: [&str; 7] =
        ["zero", "resume", "older", "skip", "process-decides", "keep-if-intact", "restart-daemon"];

    /// The name under which the recoveries by `action` stand.
    pub fn name_of(action: Action) -> &'static str {
        match action {
            Action::Zero => "zero",
            Action::Older(_) => "older",
            Action::Skip => "skip",
            Action::ProcessDecides => "process-decides",
            Action::KeepIfIntact => "keep-if-intact",
            Action::RestartDaemon => "restart-daemon",
            Action::Resume | Action::GiveUp => "resume",
        }
    }

    /// Reads parameters from the text of a TOML file.
    ///
    /// # Errors
    /// In words, with the line and the key where there is one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parameters: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            let mut bare = error.clone();
            bare.set_input(None);
            format!("{place}{}", bare.to_string().trim_end().replace('\n', ", "))
        })?;
        if Rhythm::new(&parameters).is_none() {
            return Err(
                "a transaction of so many and so long operations and commits takes longer than a century".to_owned()
            );
        }
        let Self { poison, propagated, .. } = parameters;
        if poison + propagated > 1.0 {
            return Err(format!(
                "`poison` ({poison}) and `propagated` ({propagated}) are shares of the same: up to 1 in all"
            ));
        }
        Ok(parameters)
    }

    /// The same as the text of a TOML file.
    ///
    /// # Errors
    /// Where a number is larger than TOML has them.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

fn one() -> u64 {
    1
}

fn one_commit() -> f64 {
    1.0
}

fn hundred() -> u64 {
    100
}

fn hour() -> u64 {
    HOUR_NS
}

fn ten_minutes() -> u64 {
    REPAIR_NS
}

/// Reads a share.
fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err(de::Error::custom(format!("{share} is not a share from 0 to 1")))
    }
}

/// Reads a mean number of commits.
fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let mean = f64::deserialize(deserializer)?;
    if (1.0..1e6).contains(&mean) {
        Ok(mean)
    } else {
        Err(de::Error::custom(format!("{mean} is not a mean of 1 or more")))
    }
}

/// Reads the recoveries by action.
fn recoveries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Quantiles>, D::Error> {
    let recoveries = BTreeMap::<String, Quantiles>::deserialize(deserializer)?;
    let known = Parameters::ACTIONS;
    if let Some(unknown) = recoveries.keys().find(|name| !known.contains(&name.as_str())) {
        let nearest = crate::names::nearest(unknown, known).unwrap_or_default();
        let known = known.join(", ");
        let message = format!("unknown action `{unknown}`; the nearest is `{nearest}` (there are: {known})");
        return Err(de::Error::custom(message));
    }
    if !recoveries.contains_key("resume") {
        return Err(de::Error::custom("`resume` is missing; the actions that are left out take as long"));
    }
    Ok(recoveries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::tests::crash;

    const TEXT: &str = "mtbf_ns = 604800000000000\noperation_ns = 1000\ncommit_every = 10\ncommit_ns = 5000\n\n\
                        [recovery_ns]\nresume = [200000]\n";

    #[test]
    fn what_is_left_out_is_as_documented_and_what_is_written_is_read_back() {
        let parameters = Parameters::parse(TEXT).unwrap();
        let Parameters { commits_per_transaction, kept_commits, intensity, .. } = &parameters;
        assert_eq!((*commits_per_transaction, *kept_commits, intensity.restarts), (100, 1, 20));
        assert_eq!(Parameters::parse(&parameters.to_toml().unwrap()).unwrap(), parameters);
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_key() {
        let cases = [
            ("commit_every = 10", "commit_every = 0", "line 3: ", "at least 1"),
            ("commit_every = 10", "commit_evry = 10", "line 3: ", "commit_evry"),
            ("commit_ns = 5000", "commit_ns = 5000\npoison = 1.5", "line 5: ", "1.5 is not a share"),
            ("commit_ns = 5000", "commit_ns = 5000\npoison = 0.7\npropagated = 0.7", "", "up to 1 in all"),
            ("resume = [200000]", "resum = [200000]", "", "the nearest is `resume`"),
            ("resume = [200000]", "skip = [200000]", "", "`resume` is missing"),
            ("resume = [200000]", "resume = [2, 1]", "line 7: ", "ascend"),
            ("operation_ns = 1000\n", "", "", "operation_ns"),
            ("operation_ns = 1000", "operation_ns = 9000000000000000", "", "longer than a century"),
        ];
        for (was, by, line, words) in cases {
            let error = Parameters::parse(&TEXT.replace(was, by)).unwrap_err();
            assert!(error.contains(line) && error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_program_answers_by_how_often_an_operation_crashed() {
        let mut history = History::new();
        let answers = |history: &History| {
            [Program::Resume, Program::Skip, Program::GiveUp].map(|program| program.answer(7, history))
        };
        history.push(crash(7));
        assert_eq!(answers(&history), [Action::Resume; 3]);
        history.push(crash(7));
        assert_eq!(answers(&history), [Action::Resume, Action::Skip, Action::Resume]);
        history.push(crash(7));
        assert_eq!(answers(&history), [Action::Resume, Action::Skip, Action::GiveUp]);
    }
}
