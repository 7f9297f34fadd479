//! What the front program makes of a round; whole rounds are in `tests/measures.rs`.

use super::said::{Said, Sampled};
use super::*;
use crate::record::Unit;

#[test]
fn a_line_reads_back_as_what_was_said() {
    let mut row =
        Sampled::new("failover", Unit::OperationsPerSecond, "per lap").at("load", "none").at("records", 7_u64);
    row.samples = vec![3, 1, 2];
    for said in [Said::Row(row), Said::skipped("`erl` is not installed")] {
        let line = serde_json::to_string(&said).unwrap();
        assert_eq!(serde_json::from_str::<Said>(&line).unwrap(), said, "{line}");
    }
}

#[test]
fn every_measure_runs_with_the_settings_that_a_suite_leaves_out() {
    for row in TABLE {
        let empty = ValueDeserializer::parse("{}").unwrap();
        assert!((row.check)(empty).is_ok(), "{}", row.name);
        let unknown = ValueDeserializer::parse("{ no-such-setting = 1 }").unwrap();
        assert!((row.check)(unknown).is_err(), "{}", row.name);
    }
}

#[test]
fn one_level_reaches_a_measure_as_a_list_of_one_does() {
    // As a suite has it, and as its process is given it.
    for (name, settings) in [("steady", "commit_every = 7"), ("bare", "threads = 3"), ("live", "transactions = 2")] {
        let text = format!("{{ {settings} }}");
        assert!((named(name).unwrap().check)(ValueDeserializer::parse(&text).unwrap()).is_ok(), "{name}");
        let table: toml::Table = toml::from_str(settings).unwrap();
        let json = serde_json::to_string(&table).unwrap();
        let read = match name {
            "steady" => serde_json::from_str::<steady::Steady>(&json).map(drop),
            "bare" => serde_json::from_str::<bare::Bare>(&json).map(drop),
            _ => serde_json::from_str::<live::Live>(&json).map(drop),
        };
        assert!(read.is_ok(), "{name}: {read:?}");
    }
}
