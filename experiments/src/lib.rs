//! Faults, workloads, oracles, suites, statistics and plots for `crashbed`.
pub mod plots;
pub mod record;
pub mod report;
pub mod results;
#[cfg(test)]
mod sample_trials;
pub mod statistics;
pub mod summary;
pub mod units;
