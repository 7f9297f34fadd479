//! Every policy of the table over random histories: it answers each crash, always the same to the same, under its own
//! name. What each one promises beyond that is in `promises.rs`.

mod strategies;

use crashbed::History;
use crashbed_policies::{ALL, by_name};
use proptest::prelude::*;
use strategies::{crashes, histories, newest};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Asked again, after other questions, by another instance: the answer depends on the arguments alone, and it
    /// leaves them as they were.
    #[test]
    fn a_policy_is_a_pure_function(history in histories(), other in histories()) {
        for row in ALL {
            let (asked, fresh) = (row.policy(), row.policy());
            let before = history.clone();
            let first = asked.decide(&newest(&history), &history);
            asked.decide(&newest(&other), &other);
            prop_assert_eq!(asked.decide(&newest(&history), &history), first);
            prop_assert_eq!(fresh.decide(&newest(&history), &history), first);
            prop_assert_eq!(&history, &before);
        }
    }

    /// Even a history that does not hold the crash, which no engine hands out, gets an answer.
    #[test]
    fn a_policy_is_total(crash in crashes(), history in histories()) {
        for row in ALL {
            row.policy().decide(&crash, &History::new());
            row.policy().decide(&crash, &history);
        }
    }

    /// Names are exact: a cut, lengthened, capitalised or snake-case one finds nothing.
    #[test]
    fn an_unknown_name_has_no_policy(row in prop::sample::select(ALL), cut in 0..8_usize, more in "[ a-z-]{1,4}") {
        prop_assert!(by_name(&row.name[..cut]).is_none());
        let longer = row.name.to_owned() + &more;
        prop_assert!(by_name(&longer).is_none());
        prop_assert!(by_name(&row.name.to_uppercase()).is_none());
        let snake = row.name.replace('-', "_");
        prop_assert!(snake == row.name || by_name(&snake).is_none());
    }
}

#[test]
fn each_policy_is_found_by_its_own_name() {
    for row in ALL {
        let found = by_name(row.name).expect("a name in the table");
        assert_eq!(found.name(), row.name);
        assert_eq!(ALL.iter().filter(|other| other.name == row.name).count(), 1, "{} has two rows", row.name);
        assert!(!row.description.is_empty() && !row.description.contains('\n'), "{} needs one line", row.name);
    }
}

/// A file that nobody registered, or a row whose policy lives in a file of another name.
#[test]
fn each_file_is_a_policy_of_the_same_name() {
    let mut files = files("src");
    files.retain(|file| file != "lib");
    let mut names: Vec<&str> = ALL.iter().map(|row| row.name).collect();
    names.sort();
    assert_eq!(files, names);
}

/// A policy that promises something has a test of it.
#[test]
fn each_policy_has_its_promises_tested() {
    let mut names: Vec<&str> = ALL.iter().map(|row| row.name).collect();
    names.sort();
    assert_eq!(files("tests/promises"), names);
}

/// The names of the files in a folder of this crate, in kebab-case.
fn files(folder: &str) -> Vec<String> {
    let folder = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .expect("the crate's sources")
        .map(|entry| entry.expect("an entry of the folder").file_name().into_string().expect("a name in UTF-8"))
        .filter_map(|file| file.strip_suffix(".rs").map(|name| name.replace('_', "-")))
        .collect();
    files.sort();
    files
}
