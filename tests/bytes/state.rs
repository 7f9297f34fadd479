//! The state, its steps, and the model: the same steps on plain values.

use crashbed::{Guarded, Logged, LoggedVec, Recoverable, Tx};

/// Boxes of each kind.
const SLOTS: usize = 12;
/// The longest that the lists grow.
const MOST: usize = 20_000;

/// A block whose alignment is above the heap's own.
#[derive(Clone, Copy, Debug, PartialEq, Recoverable)]
#[repr(align(64))]
pub(crate) struct Wide(pub(crate) [u8; 100]);

#[derive(Clone, Debug, PartialEq, Recoverable)]
pub(crate) struct State {
    bytes: LoggedVec<u8>,
    words: LoggedVec<u64>,
    count: Logged<u64>,
    boxes: Vec<Option<Box<[u8]>>>,
    wide: Vec<Option<Box<Wide>>>,
    plain: [u16; 9],
}

// SAFETY: a program of this test makes each change under a guard.
unsafe impl Guarded for State {}

impl Default for State {
    fn default() -> Self {
        Self {
            bytes: vec![0; 1001].into(),
            words: LoggedVec::new(),
            count: Logged::new(0),
            boxes: vec![None; SLOTS],
            wide: vec![None; SLOTS],
            plain: [0; 9],
        }
    }
}

/// The same without a log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Model {
    bytes: Vec<u8>,
    words: Vec<u64>,
    count: u64,
    boxes: Vec<Option<Vec<u8>>>,
    wide: Vec<Option<u8>>,
    plain: [u16; 9],
}

impl Default for Model {
    fn default() -> Self {
        Self {
            bytes: vec![0; 1001],
            words: Vec::new(),
            count: 0,
            boxes: vec![None; SLOTS],
            wide: vec![None; SLOTS],
            plain: [0; 9],
        }
    }
}

impl State {
    /// Allocates nothing: whoever dies in it leaves nothing behind in a state that is kept.
    pub(crate) fn equals(&self, model: &Model) -> bool {
        let boxes = self.boxes.iter().map(Option::as_deref).eq(model.boxes.iter().map(Option::as_deref));
        let wide = self.wide.iter().map(|slot| slot.as_deref().map(|wide| wide.0));
        let wide = wide.eq(model.wide.iter().map(|byte| byte.map(|byte| [byte; 100])));
        let lists = *self.bytes == *model.bytes && *self.words == *model.words;
        lists && boxes && wide && *self.count == model.count && self.plain == model.plain
    }

    /// Gives back all that it has allocated.
    pub(crate) fn clear(&mut self, tx: &Tx<'_>) {
        self.bytes.replace(tx, Vec::new());
        self.words.replace(tx, Vec::new());
        for slot in &mut self.boxes {
            tx.replace(slot, None);
        }
        for slot in &mut self.wide {
            tx.replace(slot, None);
        }
    }
}

/// A change, drawn at random: each number is taken modulo what there is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Write { at: usize, len: usize, with: u8 },
    Extend { len: usize, with: u8 },
    Resize { len: usize, with: u8 },
    Truncate { len: usize },
    Push { word: u64 },
    Set { at: usize, word: u64 },
    Pop,
    Count { by: u64 },
    Replace { len: usize, with: u8 },
    Allocate { slot: usize, len: usize, with: u8 },
    Release { slot: usize },
    WriteBox { slot: usize, at: usize, len: usize, with: u8 },
    AllocateWide { slot: usize, with: u8 },
    ReleaseWide { slot: usize },
    Plain { at: usize, with: u16 },
}

/// A range inside of `len`, from numbers of any size.
fn range(len: usize, at: usize, count: usize) -> std::ops::Range<usize> {
    let start = at % (len + 1);
    start..start + count % (len - start + 1)
}

impl Change {
    /// Makes it, declared; what `carelessly` is made of a plain array is not.
    pub(crate) fn make(self, tx: &Tx<'_>, state: &mut State, carelessly: bool) {
        match self {
            Self::Write { at, len, with } => {
                let range = range(state.bytes.len(), at, len);
                for (i, byte) in state.bytes.write(tx, range).iter_mut().enumerate() {
                    *byte = with.wrapping_add(i.to_le_bytes()[0]);
                }
            }
            Self::Extend { len, with } if state.bytes.len() + len <= MOST => state.bytes.extend(tx, &vec![with; len]),
            Self::Resize { len, with } => state.bytes.resize(tx, len, with),
            Self::Truncate { len } => state.bytes.truncate(tx, len),
            Self::Push { word } => state.words.push(tx, word),
            Self::Set { at, word } if !state.words.is_empty() => {
                let at = at % state.words.len();
                state.words.set(tx, at, word);
            }
            Self::Pop => drop(state.words.pop(tx)),
            Self::Count { by } => *state.count.write(tx) += by,
            Self::Replace { len, with } => drop(state.bytes.replace(tx, vec![with; len])),
            Self::Allocate { slot, len, with } => {
                tx.replace(&mut state.boxes[slot % SLOTS], Some(vec![with; len].into()));
            }
            Self::Release { slot } => drop(tx.replace(&mut state.boxes[slot % SLOTS], None)),
            Self::WriteBox { slot, at, len, with } => {
                if let Some(bytes) = &mut state.boxes[slot % SLOTS] {
                    let range = range(bytes.len(), at, len);
                    tx.declare_slice(&mut bytes[range]).fill(with);
                }
            }
            Self::AllocateWide { slot, with } => {
                tx.replace(&mut state.wide[slot % SLOTS], Some(Box::new(Wide([with; 100]))));
            }
            Self::ReleaseWide { slot } => drop(tx.replace(&mut state.wide[slot % SLOTS], None)),
            Self::Plain { at, with } if carelessly => state.plain[at % 9] = with,
            Self::Plain { at, with } => *tx.declare(&mut state.plain[at % 9]) = with,
            Self::Extend { .. } | Self::Set { .. } => {}
        }
    }

    /// Makes it on the model.
    pub(crate) fn make_on(self, model: &mut Model) {
        match self {
            Self::Write { at, len, with } => {
                let range = range(model.bytes.len(), at, len);
                for (i, byte) in model.bytes[range].iter_mut().enumerate() {
                    *byte = with.wrapping_add(i.to_le_bytes()[0]);
                }
            }
            Self::Extend { len, with } => {
                let len = if model.bytes.len() + len <= MOST { model.bytes.len() + len } else { model.bytes.len() };
                model.bytes.resize(len, with);
            }
            Self::Resize { len, with } => model.bytes.resize(len, with),
            Self::Truncate { len } => model.bytes.truncate(len),
            Self::Push { word } => model.words.push(word),
            Self::Set { at, word } => {
                let len = model.words.len().max(1);
                if let Some(place) = model.words.get_mut(at % len) {
                    *place = word;
                }
            }
            Self::Pop => drop(model.words.pop()),
            Self::Count { by } => model.count += by,
            Self::Replace { len, with } => model.bytes = vec![with; len],
            Self::Allocate { slot, len, with } => model.boxes[slot % SLOTS] = Some(vec![with; len]),
            Self::Release { slot } => model.boxes[slot % SLOTS] = None,
            Self::WriteBox { slot, at, len, with } => {
                if let Some(bytes) = &mut model.boxes[slot % SLOTS] {
                    let range = range(bytes.len(), at, len);
                    bytes[range].fill(with);
                }
            }
            Self::AllocateWide { slot, with } => model.wide[slot % SLOTS] = Some(with),
            Self::ReleaseWide { slot } => model.wide[slot % SLOTS] = None,
            Self::Plain { at, with } => model.plain[at % 9] = with,
        }
    }
}
