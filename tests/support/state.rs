//! A state of which every bit follows from the number of operations done, so that a whole commit can be told from
//! anything else by looking at it.

use crashbed::Recoverable;
use std::collections::{BTreeMap, HashMap};

/// Three collections that change together.
#[derive(Clone, Default, Debug, PartialEq, Recoverable)]
pub(crate) struct Linked {
    pub(crate) ordered: BTreeMap<u64, String>,
    pub(crate) hashed: HashMap<u64, u64>,
    pub(crate) texts: Vec<String>,
    pub(crate) sum: u64,
}

/// Spreads a number over all bits.
pub(crate) fn mix(n: u64) -> u64 {
    (n ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(29)
}

impl Linked {
    /// The first half of operation `n`.
    pub(crate) fn first_half(&mut self, n: u64) {
        self.ordered.insert(mix(n), format!("operation {n}"));
        self.hashed.insert(n % 50, n);
    }

    /// The second half of operation `n`.
    pub(crate) fn second_half(&mut self, n: u64) {
        if n % 5 == 4 {
            self.ordered.pop_first();
        }
        match self.texts.get_mut(usize::try_from(n % 30).unwrap_or(0)) {
            Some(text) => *text = "x".repeat(usize::try_from(mix(n) % 900).unwrap_or(0)),
            None => self.texts.push(n.to_string()),
        }
        self.sum = self.sum.wrapping_add(mix(n));
    }

    /// Operation `n`.
    pub(crate) fn operate(&mut self, n: u64) {
        self.first_half(n);
        self.second_half(n);
    }

    /// What the state is after `operations`.
    pub(crate) fn after(operations: u64) -> Self {
        let mut state = Self::default();
        (0..operations).for_each(|n| state.operate(n));
        state
    }
}
