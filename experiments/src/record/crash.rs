//! One crash as it is written to `crashes.jsonl`: what happened, what was decided, and what followed.
//!
//! It holds the engine's own [`Crash`] and [`Decision`], so that a policy that is asked again later sees what it saw
//! then. Words stand for what the engine has types for; addresses are texts, as `0x7f…`, since many readers of JSON
//! round large numbers.

use super::Levels;
use crashbed::crash::signal_name;
use crashbed::{Action, Cause, Crash, Decision, Environment, Notice, Phase, Place, Recovery, Text};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A line of `crashes.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedCrash {
    /// The trial that the crash belongs to.
    pub trial: u64,
    /// The first trial of the transaction that crashed: crashes with the same one share a history.
    pub transaction: u64,
    /// What was varied.
    #[serde(flatten)]
    pub levels: Levels,
    /// What came of it.
    pub recovered: Recovered,
}

/// A crash and what followed, as the tree tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recovered {
    /// Whose crash it was.
    pub of: Victim,
    /// Its number among the crashes of the same transaction (or daemon), from 0. A gap means that those between were not
    /// kept.
    pub number: u64,
    /// What happened.
    #[serde(with = "CrashKeys")]
    pub crash: Crash,
    /// What was decided; null for a daemon's crash, which the root decides about and says nothing of.
    #[serde(with = "decision")]
    pub decision: Option<Decision>,
    /// What followed; null for a daemon's crash.
    pub then: Option<Then>,
}

/// Which process crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Victim {
    /// A transaction.
    Transaction,
    /// A daemon.
    Daemon,
}

/// What followed on a decision. Instants are on `CLOCK_MONOTONIC`, as those of the crash; null is "not reached".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Then {
    /// No thread of the crashed process could write any more.
    pub gone_at_ns: Option<u64>,
    /// The policy had decided.
    pub decided_at_ns: Option<u64>,
    /// Its delay was over, and the daemon's part of the restore done.
    pub restored_at_ns: Option<u64>,
    /// The successor's first instruction, or a spare's first one after its release.
    pub started_at_ns: Option<u64>,
    /// The successor's first operation was done.
    pub first_operation_at_ns: Option<u64>,
    /// All lost work was done again.
    pub redone_at_ns: Option<u64>,
    /// How the successor was started, as `cold`; null where there was none.
    pub started_by: Option<String>,
    /// What the program's own code answered, where it was asked, as `skip`.
    pub answered: Option<String>,
    /// Whether the crashed state was kept as it was.
    pub kept: bool,
    /// Operations that the state held with which the successor began; null where it had none.
    pub resumed_operations: Option<u64>,
}

impl Recovered {
    /// The crash number `number` of a transaction.
    pub fn of_transaction(number: u64, recovery: &Recovery) -> Self {
        let instant = |ns: u64| (ns != 0).then_some(ns);
        let started_at_ns = instant(recovery.started_ns);
        let then = Then {
            gone_at_ns: instant(recovery.gone_ns),
            decided_at_ns: instant(recovery.decided_ns),
            restored_at_ns: instant(recovery.restored_ns),
            started_at_ns,
            first_operation_at_ns: instant(recovery.first_operation_ns),
            redone_at_ns: instant(recovery.redone_ns),
            started_by: started_at_ns.map(|_| recovery.started_by.name().to_owned()),
            answered: recovery.answered.map(|answered| answer(answered).to_owned()),
            kept: recovery.kept,
            resumed_operations: recovery.resumed_operations,
        };
        let (crash, decision) = (recovery.crash, Some(recovery.decision));
        Self { of: Victim::Transaction, number, crash, decision, then: Some(then) }
    }

    /// A daemon's crash. How many it had before, its successor does not know: the run counts.
    pub fn of_daemon(crash: Crash) -> Self {
        Self { of: Victim::Daemon, number: 0, crash, decision: None, then: None }
    }
}

fn answer(answered: crashbed::Answered) -> &'static str {
    use crashbed::Answered::{GiveUp, Keep, Repair, Resume, Skip, Zero};
    match answered {
        Resume => "resume",
        Zero => "zero",
        Repair => "repair",
        Keep => "keep",
        Skip => "skip",
        GiveUp => "give-up",
    }
}

/// The action of this name, as [`Action`] displays it.
pub fn action(name: &str) -> Option<Action> {
    use Action::{GiveUp, KeepIfIntact, Older, ProcessDecides, RestartDaemon, Resume, Skip, Zero};
    let plain = [Zero, Resume, Skip, ProcessDecides, KeepIfIntact, RestartDaemon, GiveUp];
    let older = || name.strip_prefix("older-").and_then(|back| back.parse().ok()).map(Older);
    plain.into_iter().find(|action| action.to_string() == name).or_else(older)
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Crash")]
struct CrashKeys {
    #[serde(with = "CauseKeys")]
    cause: Cause,
    #[serde(with = "NoticeKeys")]
    notice: Notice,
    #[serde(with = "PhaseKeys")]
    phase: Phase,
    incarnation: u64,
    operation: u64,
    committed_operations: u64,
    #[serde(default)]
    commit: u64,
    thread: i32,
    #[serde(with = "place")]
    place: Option<Place>,
    heap_locked: Option<bool>,
    changing: bool,
    #[serde(rename = "happened_at_ns")]
    happened_ns: u64,
    #[serde(rename = "noticed_at_ns")]
    noticed_ns: u64,
    #[serde(default, skip_serializing_if = "Text::is_empty", with = "text")]
    note: Text,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Cause", rename_all = "kebab-case")]
enum CauseKeys {
    Signal {
        #[serde(with = "signal")]
        signal: i32,
        code: i32,
        #[serde(with = "hex")]
        address: u64,
    },
    Exited {
        status: i32,
    },
    Hung {
        #[serde(rename = "silent_ns", with = "nanoseconds")]
        silent: Duration,
        stopped: bool,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Notice", rename_all = "kebab-case")]
enum NoticeKeys {
    Handler,
    Torn,
    Pidfd,
    Heartbeat,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Phase", rename_all = "kebab-case")]
enum PhaseKeys {
    Starting,
    Deciding,
    Running,
    Committing,
    Ending,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Place")]
struct PlaceKeys {
    #[serde(with = "hex")]
    instruction: u64,
    #[serde(with = "hex")]
    stack: u64,
    #[serde(with = "hex_or_null")]
    image_offset: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Decision")]
struct DecisionKeys {
    #[serde(with = "action_name")]
    action: Action,
    #[serde(rename = "delay_ns", with = "nanoseconds")]
    delay: Duration,
    #[serde(default, skip_serializing_if = "is_usual", with = "EnvironmentKeys")]
    environment: Environment,
}

fn is_usual(environment: &Environment) -> bool {
    *environment == Environment::USUAL
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Environment")]
struct EnvironmentKeys {
    padding: u16,
    zeroed: bool,
    fewer_threads: u16,
}

/// Makes a module that reads and writes `Option<$what>` by the keys of `$keys`.
macro_rules! or_null {
    ($module:ident, $what:ty, $keys:ty, $path:literal) => {
        mod $module {
            use super::*;
            use serde::{Deserializer, Serializer};

            #[derive(Serialize, Deserialize)]
            #[serde(transparent)]
            struct Some_(#[serde(with = $path)] $what);

            pub(super) fn serialize<S: Serializer>(value: &Option<$what>, to: S) -> Result<S::Ok, S::Error> {
                value.map(Some_).serialize(to)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<$what>, D::Error> {
                Ok(Option::<Some_>::deserialize(from)?.map(|Some_(value)| value))
            }
        }
    };
}
or_null!(place, Place, PlaceKeys, "PlaceKeys");
or_null!(decision, Decision, DecisionKeys, "DecisionKeys");
or_null!(hex_or_null, u64, hex, "hex");

/// Makes a module that reads and writes a `$what` as a text.
macro_rules! as_text {
    ($module:ident, $what:ty, $write:expr, $read:expr, $right:literal) => {
        mod $module {
            use super::*;
            use serde::de::Error;
            use serde::{Deserializer, Serializer};

            pub(super) fn serialize<S: Serializer>(value: &$what, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(&$write(*value))
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<$what, D::Error> {
                let text = String::deserialize(from)?;
                $read(&text).ok_or_else(|| D::Error::custom(format_args!("`{text}` is not {}", $right)))
            }
        }
    };
}
as_text!(hex, u64, |value| format!("{value:#x}"), read_hex, "an address; write it as `0x7f00`");
as_text!(signal, i32, signal_name, read_signal, "a signal; write it as `SIGSEGV`");
as_text!(action_name, Action, |action| action, action, "an action; write one as `resume` or `older-1`");
as_text!(text, Text, |text| text, |text: &str| Some(Text::new(text)), "a text");

fn read_hex(text: &str) -> Option<u64> {
    text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok())
}

fn read_signal(name: &str) -> Option<i32> {
    let known = name.parse::<nix::sys::signal::Signal>().ok().map(|signal| signal as i32);
    known.or_else(|| name.parse().ok())
}

mod nanoseconds {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }
}

#[cfg(test)]
#[path = "crash_tests.rs"]
mod tests;
