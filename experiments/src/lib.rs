//! Faults, workloads, oracles, suites, statistics and plots for `crashbed`.
pub mod catalog;
pub mod cli;
pub mod doctor;
pub mod levels;
pub mod list;
pub mod manifest;
pub mod names;
pub mod narrow;
pub mod output;
pub mod plan;
pub mod prepare;
pub mod probe;
pub mod progress;
pub mod record;
pub mod size;
pub mod suite;
pub mod when;
