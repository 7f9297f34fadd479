//! The inputs of workload `native`: settings files, each made from a seed and its number alone: sound ones, wrong ones, and
//! poisoned ones, each of which reaches a bug of the parser.
//!
//! What sort an input is follows from its number, so that all trials of a cell meet the same bugs at the same places; what
//! it says is drawn.

use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write};

/// A bug of the parser; `parser.c` marks each where it is made.
///
/// How a process ends by it was seen with the GNU C library 2.36. Its allocator finds damage by checks that came with
/// 2.26 to 2.32 (where an older one does not have them, the process may go on with a damaged heap), and says a line about
/// it on the terminal or on standard error, which nothing here keeps back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bug {
    /// A tab in a text takes up to eight places, of which one was counted: some kilobytes of blanks go over what lies
    /// behind the text in the heap. The process ends when the allocator next comes upon them (SIGABRT), or when the
    /// parser follows a pointer that they replaced (SIGSEGV). **A single tab is silent**: the seven blanks end in what the
    /// allocator had rounded up, or in the size of a free block that nobody asks about, and the summary is right.
    OutOfBoundsWrite,
    /// A name is unset right after it was set, and the parser looks at it once more, when a text has taken its memory:
    /// the name's address is now eight letters, which is none (SIGSEGV). Where nothing had taken the memory, the parser
    /// would follow what the allocator keeps there, mostly to the same end.
    UseAfterFree,
    /// A list breaks off behind an item, which is then freed by itself and with the list. The allocator finds it in its
    /// list of free blocks (SIGABRT). Freed memory is read on the way there, silently.
    DoubleFree,
    /// Brackets, deeper than the stack (SIGSEGV). It damages nothing.
    Recursion,
}

impl Bug {
    /// All bugs.
    pub const ALL: [Self; 4] = [Self::OutOfBoundsWrite, Self::UseAfterFree, Self::DoubleFree, Self::Recursion];

    /// Its name in suites.
    pub fn name(self) -> &'static str {
        match self {
            Self::OutOfBoundsWrite => "out-of-bounds-write",
            Self::UseAfterFree => "use-after-free",
            Self::DoubleFree => "double-free",
            Self::Recursion => "recursion",
        }
    }

    /// Lines that reach it.
    fn lines(self) -> String {
        match self {
            Self::OutOfBoundsWrite => {
                // Texts of many sizes, so that some lie before others, and the allocator comes by once more after all.
                (1..9).map(|n| format!("tabs-{n} = \"{}\"\n", "\\t".repeat(n * n * 24))).collect()
            }
            Self::UseAfterFree => {
                // As long as the parser's structure for a name, which the allocator gives out again before other memory.
                let texts = vec!["\"AAAAAAAAAAAAAAAAAAAAAAA\""; 48].join(", ");
                format!("gone = 1\nunset gone\ntexts = [{texts}]\n")
            }
            Self::DoubleFree => "list = [1 2]\n".to_owned(),
            Self::Recursion => format!("deep = {}\n", "[".repeat(DEPTH)),
        }
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Opening brackets of a poisoned input; each takes more than 80 bytes of the stack, which has 8 MiB.
const DEPTH: usize = 100_000;

/// Every so many inputs is a wrong one.
const WRONG_EVERY: u64 = 7;

/// What sort of input it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// It can be read.
    Sound,
    /// One of its lines is wrong, in a way that the parser is made for.
    Wrong,
    /// It reaches a bug.
    Poisoned(Bug),
}

/// The inputs of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    /// What all of them are drawn from.
    pub seed: u64,
    /// How many there are.
    pub inputs: u64,
    /// Every so many is a poisoned one; 0 poisons none.
    pub poison_every: u64,
    /// The bugs that poisoned ones reach, by turns.
    pub bugs: Vec<Bug>,
}

impl Corpus {
    /// The name of input `number`.
    pub fn name(number: u64) -> String {
        format!("input-{number:04}")
    }

    /// What sort input `number` is.
    pub fn sort(&self, number: u64) -> Sort {
        let nth = |every: u64| (number + 1).checked_rem(every).filter(|left| *left == 0).map(|_| number / every);
        let poison = nth(self.poison_every).and_then(|turn| {
            let bug = usize::try_from(turn).ok()?.checked_rem(self.bugs.len())?;
            self.bugs.get(bug)
        });
        match (poison, nth(WRONG_EVERY)) {
            (Some(bug), _) => Sort::Poisoned(*bug),
            (None, Some(_)) => Sort::Wrong,
            (None, None) => Sort::Sound,
        }
    }

    /// Whether input `number` can be read.
    pub fn is_sound(&self, number: u64) -> bool {
        self.sort(number) == Sort::Sound
    }

    /// Input `number`.
    pub fn input(&self, number: u64) -> Vec<u8> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number);
        let mut writer = Writer { rng, text: String::new(), names: Vec::new(), recent: None };
        writer.lines();
        match self.sort(number) {
            Sort::Sound => {}
            Sort::Wrong => writer.wrong_line(),
            Sort::Poisoned(bug) => writer.text += &bug.lines(),
        }
        writer.lines();
        writer.text.into_bytes()
    }
}

/// Writes lines that the parser reads without harm.
struct Writer {
    rng: ChaCha8Rng,
    text: String,
    /// Names that are set, and whether to a text.
    names: Vec<(String, bool)>,
    /// The name that was set or added to last, which must not be unset.
    recent: Option<String>,
}

const WORDS: [&str; 12] =
    ["port", "host", "path", "title", "limit", "retries", "colour", "verbose", "unset", "a", "x-1", "zone"];

const WRONG: [&str; 10] = [
    "= 1",
    "Name = 1",
    "name",
    "name = ",
    "name = 99999999999999999999",
    "name = \"open",
    "name = \"\\q\"",
    "name = [1, ",
    "never-set += \"text\"",
    "unset never-set",
];

impl Writer {
    fn lines(&mut self) {
        for _ in 0..self.rng.random_range(1..16) {
            match self.rng.random_range(0..12) {
                0 => self.text += "\n",
                1 => self.text += "  # a comment = \"of no effect\n",
                2 | 3 => self.add(),
                4 => self.unset(),
                _ => self.set(),
            }
        }
    }

    fn wrong_line(&mut self) {
        self.text += WRONG.choose(&mut self.rng).copied().unwrap_or_default();
        self.text += "\n";
    }

    fn set(&mut self) {
        let mut name = self.word().to_owned();
        if self.rng.random() {
            let _ = write!(name, "-{}", self.rng.random_range(0..9));
        }
        self.text += &format!("{name} = ");
        let is_text = self.value(3);
        self.text += if self.rng.random() { "\n" } else { " # why\n" };
        self.names.retain(|(known, _)| *known != name);
        self.names.push((name.clone(), is_text));
        self.recent = Some(name);
    }

    fn add(&mut self) {
        let texts: Vec<&String> = self.names.iter().filter(|(_, is_text)| *is_text).map(|(name, _)| name).collect();
        let Some(name) = texts.choose(&mut self.rng).map(|name| (*name).clone()) else { return };
        self.text += &format!("{name} += ");
        self.string();
        self.text += "\n";
        self.recent = Some(name);
    }

    fn unset(&mut self) {
        let others: Vec<&String> =
            self.names.iter().map(|(name, _)| name).filter(|name| Some(*name) != self.recent.as_ref()).collect();
        let Some(name) = others.choose(&mut self.rng).map(|name| (*name).clone()) else { return };
        self.text += &format!("unset {name}\n");
        self.names.retain(|(known, _)| *known != name);
    }

    /// Writes a value; whether it is a text.
    fn value(&mut self, depth: u32) -> bool {
        match self.rng.random_range(0..if depth > 0 { 5 } else { 4 }) {
            0 | 1 => {
                let number =
                    if self.rng.random_bool(0.1) { self.rng.random() } else { self.rng.random_range(-99..999) };
                let _ = write!(self.text, "{number}");
            }
            2 | 3 => {
                self.string();
                return true;
            }
            _ => {
                self.text += "[";
                for item in 0..self.rng.random_range(0..5) {
                    self.text += if item > 0 { ", " } else { "" };
                    self.value(depth - 1);
                }
                self.text += "]";
            }
        }
        false
    }

    fn string(&mut self) {
        self.text += "\"";
        for _ in 0..self.rng.random_range(0..9) {
            let word = self.word();
            self.text += word;
            self.text +=
                [" ", ", ", "\\n", "\\\"", "\\\\", "ß", "#"].choose(&mut self.rng).copied().unwrap_or_default();
        }
        self.text += "\"";
    }

    fn word(&mut self) -> &'static str {
        WORDS.choose(&mut self.rng).copied().unwrap_or_default()
    }
}
