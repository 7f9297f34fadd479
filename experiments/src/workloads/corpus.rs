//! A small corpus for workload `documents`, made from a seed: documents as programs exchange them, and hostile ones.

use super::documents::CorpusError;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::path::Path;

/// Opening brackets in a `deep-*.json`.
pub const DEPTH: usize = 100_000;

/// The names of what was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corpus {
    /// Documents that are sound.
    pub sound: Vec<String>,
    /// Documents that are errors: not UTF-8, or not JSON.
    pub failing: Vec<String>,
    /// Documents that overflow the stack.
    pub crashing: Vec<String>,
}

const WORDS: [&str; 40] = [
    "river",
    "stone",
    "winter",
    "signal",
    "garden",
    "copper",
    "letter",
    "bridge",
    "summer",
    "market",
    "engine",
    "harbour",
    "window",
    "forest",
    "silver",
    "ticket",
    "Straße",
    "Öl",
    "Fähre",
    "naïve",
    "garçon",
    "coração",
    "ñandú",
    "smörgås",
    "żółw",
    "река",
    "зима",
    "мост",
    "βουνό",
    "θάλασσα",
    "東京",
    "桜",
    "山道",
    "서울",
    "하늘",
    "שלום",
    "مدينة",
    "e-mail",
    "42nd",
    "🚲",
];

/// Writes `documents` sound documents and `hostile` hostile ones into `folder`, which is made where it is missing. The
/// same seed and numbers write the same bytes.
///
/// Hostile are, by turns: [`DEPTH`] opening brackets, a document that breaks off, bytes that are not UTF-8, and an empty
/// file. By name the deep ones come in the midst of the sound ones.
///
/// # Errors
/// [`CorpusError::Io`] with the folder or file that cannot be written.
pub fn write(folder: &Path, seed: u64, documents: u32, hostile: u32) -> Result<Corpus, CorpusError> {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(|source| CorpusError::Io { path, source })
    };
    std::fs::create_dir_all(folder).map_err(|source| CorpusError::Io { path: folder.to_owned(), source })?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut corpus = Corpus::default();
    for number in 0..documents {
        let (kind, document) = match number % 4 {
            0 => ("article", article(&mut rng)),
            1 => ("order", order(&mut rng)),
            2 => ("measurement", measurement(&mut rng)),
            _ => ("configuration", configuration(&mut rng)),
        };
        let name = format!("{kind}-{number:04}.json");
        put(&name, document.to_string().as_bytes())?;
        corpus.sound.push(name);
    }
    for number in 0..hostile {
        let (kind, bytes) = match number % 4 {
            0 => ("deep", "[".repeat(DEPTH).into_bytes()),
            1 => {
                let mut bytes = article(&mut rng).to_string().into_bytes();
                // Its opening brace is never closed.
                bytes.truncate(rng.random_range(1..bytes.len()));
                ("truncated", bytes)
            }
            2 => ("latin-1", b"{\"title\": \"stra\xdfe\"}".to_vec()),
            _ => ("empty", Vec::new()),
        };
        let name = format!("{kind}-{number:04}.json");
        put(&name, &bytes)?;
        if kind == "deep" { corpus.crashing.push(name) } else { corpus.failing.push(name) }
    }
    Ok(corpus)
}

fn word(rng: &mut ChaCha8Rng) -> &'static str {
    WORDS.choose(rng).copied().unwrap_or_default()
}

fn text(rng: &mut ChaCha8Rng, words: usize) -> String {
    (0..words).map(|_| word(rng)).collect::<Vec<_>>().join(" ")
}

fn article(rng: &mut ChaCha8Rng) -> Value {
    let sections: Vec<Value> = (0..rng.random_range(1..6))
        .map(|_| {
            let words = rng.random_range(20..120);
            json!({ "heading": text(rng, 3), "body": text(rng, words), "notes": [] })
        })
        .collect();
    json!({
        "title": text(rng, 5),
        "author": { "name": text(rng, 2), "verified": rng.random::<bool>() },
        "tags": (0..rng.random_range(0..5)).map(|_| word(rng)).collect::<Vec<_>>(),
        "sections": sections,
        "reply_to": null,
    })
}

fn order(rng: &mut ChaCha8Rng) -> Value {
    let lines: Vec<Value> = (0..rng.random_range(1..9))
        .map(|_| json!({ "item": text(rng, 2), "count": rng.random_range(1..20), "cents": rng.random_range(99..99_999) }))
        .collect();
    json!({
        "id": format!("{:08x}-{:08x}", rng.random::<u32>(), rng.random::<u32>()),
        "lines": lines,
        "ship": { "to": { "street": format!("{} {}", text(rng, 1), rng.random_range(1..300)), "city": word(rng) } },
        "comment": if rng.random() { json!(text(rng, 9)) } else { Value::Null },
    })
}

fn measurement(rng: &mut ChaCha8Rng) -> Value {
    let rows: Vec<Value> = (0..rng.random_range(10..80))
        .map(|row| {
            json!([row, rng.random::<f64>() * 40.0 - 10.0, -rng.random_range(0..1_i64 << 40), "\u{b0}C \"ok\"\n"])
        })
        .collect();
    json!({ "station": text(rng, 2), "columns": ["n", "value", "offset", "unit"], "rows": rows })
}

/// Objects in objects, under names that differ from document to document.
fn configuration(rng: &mut ChaCha8Rng) -> Value {
    fn level(rng: &mut ChaCha8Rng, depth: u32) -> Value {
        if depth == 0 || rng.random_ratio(1, 4) {
            return match rng.random_range(0..4) {
                0 => json!(rng.random::<u64>()),
                1 => json!(rng.random::<bool>()),
                2 => Value::Null,
                _ => json!(text(rng, 2)),
            };
        }
        if rng.random_ratio(1, 5) {
            return (0..rng.random_range(0..4)).map(|_| level(rng, depth - 1)).collect();
        }
        (0..rng.random_range(1..5)).map(|_| (word(rng).to_owned(), level(rng, depth - 1))).collect()
    }
    json!({ "version": rng.random_range(1..9), "settings": level(rng, 7) })
}

#[cfg(test)]
mod tests {
    use super::write;
    use crate::workloads::documents::{list, parse, read};
    use std::collections::BTreeSet;

    #[test]
    fn documents_are_what_they_are_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let corpus = write(folder.path(), 1, 40, 9).unwrap();
        assert_eq!((corpus.sound.len(), corpus.failing.len(), corpus.crashing.len()), (40, 6, 3));
        let listed = list(folder.path()).unwrap();
        let names: BTreeSet<&String> = listed.iter().map(|document| &document.name).collect();
        assert_eq!(names, corpus.sound.iter().chain(&corpus.failing).chain(&corpus.crashing).collect());
        let mut words = 0;
        for document in &listed {
            let bytes = read(&document.path).unwrap();
            if corpus.crashing.contains(&document.name) {
                assert_eq!(bytes, vec![b'['; super::DEPTH]);
            } else {
                let extract = parse(&bytes);
                assert_eq!(extract.is_ok(), corpus.sound.contains(&document.name), "{}", document.name);
                words += extract.map_or(0, |extract| extract.words.len());
            }
        }
        assert!(words > 400, "{words}");
    }

    #[test]
    fn a_seed_makes_the_same_bytes() {
        let bytes = |seed| {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), seed, 8, 4).unwrap();
            list(folder.path()).unwrap().iter().map(|document| read(&document.path).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = write(&file.path().join("corpus"), 1, 1, 0).unwrap_err();
        assert!(error.to_string().contains("corpus"), "{error}");
    }
}
