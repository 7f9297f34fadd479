//! Faults, workloads, oracles, suites, statistics and plots for `crashbed`.
pub mod catalog;
pub mod levels;
pub mod manifest;
pub mod names;
pub mod narrow;
pub mod output;
pub mod plan;
pub mod record;
pub mod size;
pub mod suite;
