//! What there is to choose from: suites, the levels of each factor and measures, each with a line.

use crate::catalog;
use crate::names::{FAULTS, LOADS, MEASURES, MECHANISMS, POLICIES, SPARES, Table, WORKLOADS};

/// The whole list as text.
pub fn list() -> String {
    let suites = catalog::embedded();
    let suites: Vec<_> = suites.iter().map(|suite| (suite.name.as_str(), "", suite.question.as_str())).collect();
    let mut text = section("suites", &suites);
    for table in [POLICIES, MECHANISMS, WORKLOADS, FAULTS, SPARES, LOADS, MEASURES] {
        text.push('\n');
        text.push_str(&section(table.plural, &rows(&table)));
    }
    text
}

fn rows(table: &Table) -> Vec<(&'static str, &'static str, &'static str)> {
    table.names.iter().map(|name| (name.name, name.kind, name.about)).collect()
}

/// A heading and its rows of name, kind and line, in columns; no column for kinds where there are none.
fn section(heading: &str, rows: &[(&str, &str, &str)]) -> String {
    let widest = |column: fn(&(&str, &str, &str)) -> usize| rows.iter().map(column).max().unwrap_or_default();
    let (name_width, kind_width) = (widest(|row| row.0.len()), widest(|row| row.1.len()));
    let mut text = format!("{heading}\n");
    for (name, kind, line) in rows {
        let kind = if kind_width == 0 { String::new() } else { format!("{kind:kind_width$}  ") };
        text.push_str(&format!("  {name:name_width$}  {kind}{line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_listed_once_with_a_line() {
        let list = list();
        let tables = [POLICIES, MECHANISMS, WORKLOADS, FAULTS, SPARES, LOADS, MEASURES];
        let names = tables.iter().flat_map(Table::iter).chain(["quick", "state-integrity"]);
        for name in names {
            let lines = list.lines().filter(|line| line.trim_start().split(' ').next() == Some(name));
            let lines: Vec<_> = lines.filter(|line| line.starts_with("  ")).collect();
            // `documents` is a suite and a workload, `poison` a suite and a fault, `nested` and `goodput` a suite and a
            // measure, `none` a fault and a load, `auto` a mechanism and a spare.
            let twice = ["documents", "poison", "nested", "goodput", "none", "auto"].contains(&name);
            assert_eq!(lines.len(), if twice { 2 } else { 1 }, "{name}");
            assert!(lines[0].trim().len() > name.len() + 5, "{name}");
        }
    }
}
