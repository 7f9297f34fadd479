//! The names that suites, results and the command line share, each with a line on what it is.

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

const fn name(name: &'static str, about: &'static str) -> Name {
    Name { name, about, kind: "" }
}

const fn stop(name: &'static str, about: &'static str) -> Name {
    Name { name, about, kind: "stop" }
}

const fn memory(name: &'static str, about: &'static str) -> Name {
    Name { name, about, kind: "memory" }
}

const fn program(name: &'static str, about: &'static str) -> Name {
    Name { name, about, kind: "program error" }
}

/// Restart policies.
pub const POLICIES: Table = Table {
    what: "policy",
    plural: "policies",
    names: &[
        name("zero-state", "the successor starts with the state as it was made first"),
        name("checkpoint-resume", "the successor resumes the last commit"),
        name("process-decides", "the program's own code sees the crash and answers"),
    ],
};

/// Mechanisms.
pub const MECHANISMS: Table = Table {
    what: "mechanism",
    plural: "mechanisms",
    names: &[
        name("copy-on-write", "private pages; a commit stages the written ones, the daemon applies them"),
        name("full-copy", "works in place; a commit copies the region into one of two slots"),
    ],
};

/// Workloads.
pub const WORKLOADS: Table = Table {
    what: "workload",
    plural: "workloads",
    names: &[
        name("kv", "an ordered map under a mix of YCSB (A to F)"),
        name("documents", "parses a folder of JSON documents and indexes words and paths"),
    ],
};

/// Faults.
pub const FAULTS: Table = Table {
    what: "fault",
    plural: "faults",
    names: &[
        name("none", "nothing is injected"),
        stop("null-read", "reads from address 0"),
        stop("null-write", "writes to address 0"),
        stop("wild-read", "reads from an address that is never mapped"),
        stop("wild-write", "writes to an address that is never mapped"),
        stop("execute-bad-memory", "calls into a page that is not code"),
        stop("division-by-zero", "divides an integer by zero"),
        stop("illegal-instruction", "executes an instruction that does not exist"),
        stop("bus-error", "reads a file mapping behind the file's end"),
        stop("stack-overflow", "recurses until the stack is used up"),
        stop("abort", "calls abort"),
        program("panic", "panics"),
        program("error", "returns an error"),
        stop("exit", "exits before it is done"),
        stop("kill", "gets SIGKILL"),
        stop("stop", "gets SIGSTOP"),
        stop("hang", "sleeps for ever"),
        stop("livelock", "spins for ever"),
        memory("bit-flip", "flips one bit of the region's live data"),
        memory("wild-write-then-crash", "writes garbage over live data, then crashes"),
        stop("torn-update", "crashes between the two parts of an update"),
        stop("crash-during-commit", "crashes at a point of a commit"),
        stop("crash-during-restore", "crashes at a point of a restore"),
        program("region-exhausted", "allocates until the region is full"),
        stop("foreign-write", "writes into another daemon's region"),
        stop("crash-loop", "crashes in every incarnation"),
        stop("poison", "crashes whenever one operation is met"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TABLES: [Table; 4] = [POLICIES, MECHANISMS, WORKLOADS, FAULTS];

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
