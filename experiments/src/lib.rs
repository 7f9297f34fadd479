//! Faults, workloads, oracles, suites, statistics and plots for `crashbed`.
pub mod plots;
pub mod record;
pub mod statistics;
pub mod summary;
pub mod units;
