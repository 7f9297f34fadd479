//! What a policy did in a trial, over all of its recoveries, and what came of operations that crash whenever they are met.

use serde::{Deserialize, Serialize};

/// What a policy did in a trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// Successors that were started, of the transaction and of its daemon.
    pub restarts: u64,
    /// Of them, those of the daemon.
    pub daemon_restarts: u64,
    /// Crashes about which the policy asked for a state anew, or the program did.
    pub zeroed: u64,
    /// Crashes after which the policy asked for the crashed state to be kept.
    pub keeps_asked: u64,
    /// Of them, those whose state was kept.
    pub kept: u64,
    /// Why none was, where some were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_nothing: Option<String>,
    /// All delays that the policy asked for.
    pub delay_ns: u64,
    /// Who gave up; null where nobody did.
    pub gave_up_by: Option<GaveUpBy>,
}

/// Who gives a transaction up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GaveUpBy {
    /// The policy decided so.
    Policy,
    /// The program's own code answered so.
    Program,
    /// The limit on restarts, whatever the policy said.
    Limit,
}

impl GaveUpBy {
    /// In words, as the end of "given up".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Policy => "by the policy",
            Self::Program => "by the program",
            Self::Limit => "by the limit",
        }
    }
}

/// What came of the operations that crash whenever they are met. Which they are, the oracle knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Poison {
    /// Such operations that were met.
    pub met: u64,
    /// Of them, those that the work got past.
    pub past: u64,
    /// How long that took each, from the first crash in it until it was behind; in the order of the operations.
    pub past_ns: Vec<u64>,
    /// Operations that were left out and would not have crashed.
    pub harmless_skipped: u64,
}
