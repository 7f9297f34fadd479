//! Faults, workloads, oracles, suites, statistics and plots for `crashbed`.
pub mod faults;
pub mod record;
