//! Faults, workloads, oracles, suites, statistics and plots for `crashbed`.
pub mod oracle;
pub mod plots;
pub mod record;
pub mod report;
pub mod results;
pub mod statistics;
pub mod summary;
pub mod units;
pub mod workloads;
