//! What a run was to show: a [`Target`] for each comparison, all of them in `summary.json`.

use serde::{Deserialize, Serialize};

/// Something measured, held against something else, and the most that it may be of that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What it is about, as `hot, 64 MiB, copy on write`; the targets of one such thing follow each other.
    pub about: String,
    /// What was measured, as `crash to the first instruction`.
    pub measured: String,
    /// What it is held against, as `the floor`.
    pub against: String,
    /// The time that was measured; null where it was not, and where the figures are no times.
    pub measured_ns: Option<f64>,
    /// The time that it is held against; null as above.
    pub against_ns: Option<f64>,
    /// The one over the other; null where one of them was not measured.
    pub ratio: Option<f64>,
    /// The most that the ratio may be; null where what is to be shown is no ratio.
    pub at_most: Option<f64>,
    /// Whether it is no more than that; null where it was not measured.
    pub reached: Option<bool>,
    /// What a reader must know beside the figures, and why where something was not measured.
    pub remark: Option<String>,
}
