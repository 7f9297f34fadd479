//! The digest by which a state is compared with what it must be.
//!
//! Hashing is XXH3 (64 bits), whose values are fixed by its specification, so that digests of different runs and
//! machines can be compared. It is a check against damage, not against an adversary.

use serde::{Deserialize, Serialize};
use std::fmt;
use xxhash_rust::xxh3::Xxh3;

/// A digest of a state; prints as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(transparent)]
pub struct Digest(pub u64);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Takes in a sequence of fields and gives their [`Digest`]. It allocates nothing.
pub struct Digester(Xxh3);

impl Digester {
    /// Nothing taken in yet.
    pub fn new() -> Self {
        Self(Xxh3::new())
    }

    /// Takes in a number.
    pub fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    /// Takes in bytes, with their length first, so that two neighbours cannot be mistaken for one.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    /// Takes in counted names as a set: their order does not matter, which makes it fit for a hash map.
    pub fn counts<'a>(&mut self, counts: impl IntoIterator<Item = (&'a str, u64)>) {
        let (mut len, mut sum) = (0, 0_u64);
        for (name, count) in counts {
            let mut entry = Self::new();
            entry.bytes(name.as_bytes());
            entry.number(count);
            len += 1;
            sum = sum.wrapping_add(entry.finish().0);
        }
        self.number(len);
        self.number(sum);
    }

    /// The digest of all that was taken in.
    pub fn finish(self) -> Digest {
        Digest(self.0.digest())
    }
}

impl Default for Digester {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, Digester};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn of_counts<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>) -> Digest {
        let mut digester = Digester::new();
        digester.counts(counts);
        digester.finish()
    }

    proptest! {
        #[test]
        fn counts_are_blind_to_order_and_to_nothing_else(
            counts in prop::collection::btree_map("[a-c]{0,3}", 1..4_u64, 2..8),
            at in any::<prop::sample::Index>(),
        ) {
            let digest = |map: &BTreeMap<String, u64>| {
                of_counts(map.iter().map(|(name, count)| (name.as_str(), *count)))
            };
            let backwards = of_counts(counts.iter().rev().map(|(name, count)| (name.as_str(), *count)));
            prop_assert_eq!(digest(&counts), backwards);
            let name = at.get(&counts.keys().collect::<Vec<_>>()).to_string();
            let mut other = counts.clone();
            *other.get_mut(&name).unwrap() += 1;
            prop_assert_ne!(digest(&counts), digest(&other), "another count");
            other.remove(&name);
            prop_assert_ne!(digest(&counts), digest(&other), "one name less");
            other.insert(name.clone() + "d", counts[&name]);
            prop_assert_ne!(digest(&counts), digest(&other), "another name");
        }
    }

    #[test]
    fn neighbours_do_not_run_together() {
        let digest = |first: &str, second: &str| {
            let mut digester = Digester::new();
            digester.bytes(first.as_bytes());
            digester.bytes(second.as_bytes());
            digester.finish()
        };
        assert_ne!(digest("ab", "c"), digest("a", "bc"));
    }
}
