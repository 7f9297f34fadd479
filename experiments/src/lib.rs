//! Faults, workloads, oracles, suites, statistics and plots for `crashbed`.
pub mod oracle;
pub mod record;
pub mod workloads;
