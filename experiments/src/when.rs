//! When a fault strikes, as a suite says it: the section `[trigger]`.

use serde::{Deserialize, Serialize};

/// When a fault strikes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TriggerKeys", into = "TriggerKeys")]
pub enum Trigger {
    /// At one operation: this one, or where missing one drawn for each trial, each equally likely.
    AtOperation(Option<u64>),
    /// With this probability at each operation.
    Probability(f64),
    /// After an exponentially distributed time with this mean in milliseconds.
    ExponentialMs(f64),
    /// After an exponentially distributed number of operations with this mean.
    ExponentialOperations(f64),
    /// At a named point in code.
    Point {
        /// The point's name.
        name: String,
        /// How many times it is passed first without harm.
        pass: u64,
    },
}

impl Default for Trigger {
    fn default() -> Self {
        Self::AtOperation(None)
    }
}

/// The keys of `[trigger]`: which of them go together depends on the kind.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
struct TriggerKeys {
    kind: TriggerKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p: Option<Probability>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mean_ms: Option<Mean>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mean_operations: Option<Mean>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pass: Option<u64>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TriggerKind {
    AtOperation,
    Probability,
    Exponential,
    Point,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "f64")]
struct Probability(f64);

impl TryFrom<f64> for Probability {
    type Error = String;

    fn try_from(p: f64) -> Result<Self, String> {
        // Zero would plan faults that never strike.
        if p > 0.0 && p <= 1.0 { Ok(Self(p)) } else { Err(format!("{p} is not a probability above 0 and up to 1")) }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "f64")]
struct Mean(f64);

impl TryFrom<f64> for Mean {
    type Error = String;

    fn try_from(mean: f64) -> Result<Self, String> {
        if mean > 0.0 && mean.is_finite() { Ok(Self(mean)) } else { Err(format!("{mean} is not a mean above 0")) }
    }
}

impl TryFrom<TriggerKeys> for Trigger {
    type Error = &'static str;

    fn try_from(keys: TriggerKeys) -> Result<Self, Self::Error> {
        let TriggerKeys { kind, at, p, mean_ms, mean_operations, name, pass } = keys;
        match (kind, at, p, mean_ms, mean_operations, name, pass) {
            (TriggerKind::AtOperation, at, None, None, None, None, None) => Ok(Self::AtOperation(at)),
            (TriggerKind::Probability, None, Some(p), None, None, None, None) => Ok(Self::Probability(p.0)),
            (TriggerKind::Exponential, None, None, Some(mean), None, None, None) => Ok(Self::ExponentialMs(mean.0)),
            (TriggerKind::Exponential, None, None, None, Some(mean), None, None) => {
                Ok(Self::ExponentialOperations(mean.0))
            }
            (TriggerKind::Point, None, None, None, None, Some(name), pass) if !name.is_empty() => {
                Ok(Self::Point { name, pass: pass.unwrap_or(0) })
            }
            (TriggerKind::AtOperation, ..) => Err("a trigger `at-operation` takes `at` or nothing"),
            (TriggerKind::Probability, ..) => Err("a trigger `probability` takes `p` and nothing else"),
            (TriggerKind::Exponential, ..) => Err("a trigger `exponential` takes `mean_ms` or `mean_operations`"),
            (TriggerKind::Point, ..) => Err("a trigger `point` takes `name` and maybe `pass`"),
        }
    }
}

impl From<Trigger> for TriggerKeys {
    fn from(trigger: Trigger) -> Self {
        let keys =
            |kind| Self { kind, at: None, p: None, mean_ms: None, mean_operations: None, name: None, pass: None };
        match trigger {
            Trigger::AtOperation(at) => Self { at, ..keys(TriggerKind::AtOperation) },
            Trigger::Probability(p) => Self { p: Some(Probability(p)), ..keys(TriggerKind::Probability) },
            Trigger::ExponentialMs(mean) => Self { mean_ms: Some(Mean(mean)), ..keys(TriggerKind::Exponential) },
            Trigger::ExponentialOperations(mean) => {
                Self { mean_operations: Some(Mean(mean)), ..keys(TriggerKind::Exponential) }
            }
            Trigger::Point { name, pass } => Self { name: Some(name), pass: Some(pass), ..keys(TriggerKind::Point) },
        }
    }
}
