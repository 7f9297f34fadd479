//! The names that suites, results and the command line share, each with a line on what it is.

use crate::faults::{Kind, TABLE};
use crate::measures;
use crashbed::MechanismKind;

/// One name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name, in kebab-case.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// Which kind it is of, where its table has kinds; else empty.
    pub kind: &'static str,
}

/// All names of one factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// What is named, as `policy`.
    pub what: &'static str,
    /// The same in the plural.
    pub plural: &'static str,
    /// The names.
    pub names: &'static [Name],
}

impl Table {
    /// Whether `name` is one of the names.
    pub fn has(&self, name: &str) -> bool {
        self.iter().any(|known| known == name)
    }

    /// The names alone.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.names.iter().map(|name| name.name)
    }

    /// The name that is most like `word`.
    pub fn nearest(&self, word: &str) -> &'static str {
        nearest(word, self.iter()).unwrap_or_default()
    }
}

/// The one of `names` that is most like `word`; `None` where there are no names. Two measures are added up: Jaro and
/// Winkler's likes a common beginning, Damerau and Levenshtein's forgives slips of the finger. A name that holds the
/// whole word goes before all that do not.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let likeness = |name: &str| {
        let holds = if word.len() > 2 && name.contains(&word) { 2.0 } else { 0.0 };
        holds + strsim::jaro_winkler(&word, name) + strsim::normalized_damerau_levenshtein(&word, name)
    };
    names.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

const NOTHING: Name = Name { name: "", about: "", kind: "" };

/// The policies, as `crashbed-policies` lists them.
const fn policies() -> [Name; crashbed_policies::ALL.len()] {
    let mut names = [NOTHING; crashbed_policies::ALL.len()];
    let mut i = 0;
    while i < names.len() {
        let policy = &crashbed_policies::ALL[i];
        names[i] = Name { name: policy.name, about: policy.description, kind: "" };
        i += 1;
    }
    names
}

/// The mechanisms, as the engine lists them.
const fn mechanisms() -> [Name; MechanismKind::ALL.len()] {
    let mut names = [NOTHING; MechanismKind::ALL.len()];
    let mut i = 0;
    while i < names.len() {
        let mechanism = MechanismKind::ALL[i];
        names[i] = Name { name: mechanism.name(), about: mechanism.description(), kind: "" };
        i += 1;
    }
    names
}

/// The faults, as the injector lists them, and none.
const fn faults() -> [Name; TABLE.len() + 1] {
    let mut names = [NOTHING; TABLE.len() + 1];
    names[0] = Name { name: "none", about: "nothing is injected", kind: "" };
    let mut i = 0;
    while i < TABLE.len() {
        let kind = match TABLE[i].kind {
            Kind::Stop => "stop",
            Kind::Memory => "memory",
            Kind::Program => "program error",
        };
        names[i + 1] = Name { name: TABLE[i].name, about: TABLE[i].line, kind };
        i += 1;
    }
    names
}

/// The measures, as their table lists them.
const fn measures() -> [Name; measures::TABLE.len()] {
    let mut names = [NOTHING; measures::TABLE.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = Name { name: measures::TABLE[i].name, about: measures::TABLE[i].about, kind: "" };
        i += 1;
    }
    names
}

/// Restart policies.
pub const POLICIES: Table = Table { what: "policy", plural: "policies", names: &policies() };

/// Mechanisms.
pub const MECHANISMS: Table = Table { what: "mechanism", plural: "mechanisms", names: &mechanisms() };

/// Workloads.
pub const WORKLOADS: Table = Table {
    what: "workload",
    plural: "workloads",
    names: &[
        Name { name: "kv", about: "an ordered map under a mix of YCSB (A to F)", kind: "" },
        Name { name: "documents", about: "parses a folder of JSON documents and indexes words and paths", kind: "" },
        Name { name: "stencil", about: "heat on a plate: steps by threads, proved by a residual", kind: "" },
        Name { name: "native", about: "reads settings files by a C parser that has four memory bugs", kind: "" },
    ],
};

/// Ways to make a successor ready; those of [`Spare`](crashbed::Spare).
pub const SPARES: Table = Table {
    what: "spare",
    plural: "spares",
    names: &[
        Name { name: "cold", about: "the successor is forked after the crash", kind: "" },
        Name { name: "warm", about: "the successor is forked ahead, and sleeps until the crash", kind: "" },
        Name {
            name: "hot",
            about: "the successor is forked ahead, and spins for a bounded time, then sleeps",
            kind: "",
        },
        Name { name: "auto", about: "the engine picks one of these by what it measures", kind: "" },
    ],
};

/// What else runs on the machine.
pub const LOADS: Table = Table {
    what: "load",
    plural: "loads",
    names: &[
        Name { name: "none", about: "nothing that the run starts", kind: "" },
        Name { name: "busy", about: "as many processes as there are processors compute without a pause", kind: "" },
    ],
};

/// Faults.
pub const FAULTS: Table = Table { what: "fault", plural: "faults", names: &faults() };

/// Measures.
pub const MEASURES: Table = Table { what: "measure", plural: "measures", names: &measures() };

#[cfg(test)]
mod tests {
    use super::*;
    use crashbed::Spare;
    use proptest::prelude::*;

    const TABLES: [Table; 7] = [POLICIES, MECHANISMS, WORKLOADS, FAULTS, SPARES, LOADS, MEASURES];

    #[test]
    fn names_are_kebab_case_and_unique() {
        for table in TABLES {
            let mut seen = std::collections::HashSet::new();
            for name in table.iter() {
                assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
                assert!(seen.insert(name), "{name} is twice in {}", table.plural);
            }
        }
    }

    #[test]
    fn spares_are_the_engines() {
        for name in SPARES.iter() {
            assert_eq!(name.parse::<Spare>().ok().map(|spare| spare.name()), Some(name));
        }
    }

    proptest! {
        #[test]
        fn a_slip_of_the_finger_finds_its_name(table in 0..TABLES.len(), pick in 0_usize..100, at in 3_usize..100) {
            let table = TABLES[table];
            let meant = table.names[pick % table.names.len()].name;
            prop_assume!(meant.len() > 5);
            let mut typed = meant.to_owned();
            typed.remove(at % (meant.len() - 3) + 3);
            prop_assert_eq!(table.nearest(&typed), meant);
        }
    }
}
