//! Faults, workloads, oracles, suites, statistics and plots for `crashbed`.
pub mod record;
pub mod statistics;
pub mod units;
