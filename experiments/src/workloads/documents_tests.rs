use super::{CorpusError, DocumentError, Extract, Index, list, parse, read};
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

fn counts(names: &[(&str, u64)]) -> HashMap<String, u64> {
    names.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn takes_words_from_values_and_paths_to_them() {
    let text = r#"{"a": {"b": [{"c": "Rain, rain; ÜBER 42nd"}, {"c": null}]}, "empty": {}, "n": 1.5, "": [[true]]}"#;
    let extract = parse(text.as_bytes()).unwrap();
    assert_eq!(extract.words, counts(&[("rain", 2), ("über", 1), ("42nd", 1)]));
    assert_eq!(extract.paths, counts(&[("a.b[].c", 2), ("n", 1), ("[][]", 1)]));
    assert_eq!(parse(b"\"one\"").unwrap(), Extract { words: counts(&[("one", 1)]), paths: counts(&[("", 1)]) });
}

#[test]
fn what_is_no_document_is_an_error() {
    assert_eq!(parse(b"\"ab\xff\""), Err(DocumentError::NotUtf8 { at: 3 }));
    for text in ["", "{\"a\": [1, 2", "{} {}", "[1,]", "nul", "\"\\ud800\""] {
        assert!(matches!(parse(text.as_bytes()), Err(DocumentError::NotJson { .. })), "{text}");
    }
    let missing = read(Path::new("/nonexistent/a.json")).unwrap_err();
    assert!(missing.to_string().starts_with("/nonexistent/a.json: "), "{missing}");
}

#[test]
fn the_digest_sees_the_index_only() {
    let (first, second) = (parse(br#"{"a": "x y"}"#).unwrap(), parse(br#"{"b": ["y", "z"]}"#).unwrap());
    let mut one = Index::default();
    one.add(&first, || ());
    one.add(&second, || ());
    let mut other = Index::default();
    other.quarantine("deep.json");
    other.add(&second, || ());
    other.fail("torn.json", &DocumentError::NotUtf8 { at: 0 });
    other.add(&first, || ());
    assert_eq!(one.digest(), other.digest());
    assert_eq!((other.indexed, other.failed.len(), other.quarantined.len()), (2, 1, 1));
    other.add(&first, || ());
    assert_ne!(one.digest(), other.digest());
}

/// The crash that the workload is for: the same nesting that a hostile document of the corpus has, at the size of a
/// main thread's stack. A document that is a hundred deep must not do it.
#[test]
fn a_hundred_thousand_brackets_overflow_the_stack() {
    const DEPTH: &str = "CRASHBED_TEST_DEPTH";
    if let Ok(depth) = std::env::var(DEPTH) {
        let parsing = std::thread::Builder::new().stack_size(8 << 20).spawn(move || {
            let error = parse("[".repeat(depth.parse().unwrap()).as_bytes()).unwrap_err();
            assert!(matches!(error, DocumentError::NotJson { .. }));
        });
        parsing.unwrap().join().unwrap();
        return;
    }
    let child = |depth: &str| {
        let name = "workloads::documents::tests::a_hundred_thousand_brackets_overflow_the_stack";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "ulimit -c 0; exec \"$0\" --exact \"$1\""]).arg(std::env::current_exe().unwrap());
        command.arg(name).env(DEPTH, depth).output().unwrap()
    };
    let shallow = child("100");
    assert!(shallow.status.success(), "{shallow:?}");
    assert!(String::from_utf8_lossy(&shallow.stdout).contains("1 passed"), "{shallow:?}");
    let deep = child("100000");
    assert!(matches!(deep.status.signal(), Some(libc::SIGABRT | libc::SIGSEGV)), "{deep:?}");
    assert!(String::from_utf8_lossy(&deep.stderr).contains("overflowed its stack"), "{deep:?}");
}

#[test]
fn lists_regular_json_files_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("b/c.json")).unwrap();
    for name in ["z.json", "a.JSON", "b/m.json", "b/c.json/k.json", "notes.txt", "json"] {
        std::fs::write(at(name), "1").unwrap();
    }
    std::os::unix::fs::symlink(at("z.json"), at("link.json")).unwrap();
    std::os::unix::fs::symlink(folder.path(), at("b/loop")).unwrap();
    let documents = list(folder.path()).unwrap();
    let names: Vec<&str> = documents.iter().map(|document| document.name.as_str()).collect();
    assert_eq!(names, ["a.JSON", "b/c.json/k.json", "b/m.json", "z.json"]);
    assert!(documents.iter().all(|document| read(&document.path).unwrap() == b"1"));
}

#[test]
fn what_is_no_corpus_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let empty = list(folder.path()).unwrap_err();
    assert!(matches!(&empty, CorpusError::Empty { path } if path == folder.path()), "{empty}");
    let missing = list(&folder.path().join("none")).unwrap_err();
    assert!(matches!(&missing, CorpusError::Io { .. }) && missing.to_string().contains("none"), "{missing}");
    let file = folder.path().join("a.json");
    std::fs::write(&file, "1").unwrap();
    let error = list(&file).unwrap_err();
    assert!(matches!(&error, CorpusError::NotAFolder { path } if *path == file), "{error}");
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
    let listed = list(folder.path());
    // Root may read a folder that is closed to all.
    if std::fs::read_dir(&closed).is_ok() {
        assert_eq!(listed.unwrap().len(), 1);
    } else {
        assert!(listed.unwrap_err().to_string().contains("closed"));
    }
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
}
