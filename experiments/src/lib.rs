//! Faults, workloads, oracles, suites, statistics and plots for `crashbed`.
pub mod catalog;
pub mod cli;
pub mod doctor;
pub mod faults;
pub mod levels;
pub mod list;
pub mod manifest;
pub mod names;
pub mod narrow;
pub mod oracle;
pub mod output;
pub mod plan;
pub mod plots;
pub mod prepare;
pub mod probe;
pub mod progress;
pub mod record;
pub mod report;
pub mod results;
#[cfg(test)]
mod sample_trials;
pub mod size;
pub mod statistics;
pub mod suite;
pub mod summary;
pub mod units;
pub mod when;
pub mod workloads;
