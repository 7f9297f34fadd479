//! Mixes of faults: a level `mix:NAME` of the factor `fault`, of which each trial draws one fault by its seed.
//!
//! ```toml
//! [factors]
//! fault = ["none", "mix:transient"]
//!
//! [mix.transient]
//! null-write = 3
//! kill = 1
//! ```
//!
//! A weight is how often a fault is drawn beside the others. Under a mix a trial's seed leaves out the policy
//! ([`trial_seed`](crate::plan::trial_seed)), so that trial number n of each policy meets the same fault at the same
//! operation, and policies can be held against each other trial by trial.

use crate::levels;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a level begins with that is a mix.
const PREFIX: &str = "mix:";

/// The name of the mix that a level of the factor `fault` is; `None` where it is a fault.
pub fn mix_of(level: &str) -> Option<&str> {
    level.strip_prefix(PREFIX)
}

/// A mix: faults with their weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultMix(#[serde(deserialize_with = "levels::weights")] pub BTreeMap<String, u64>);

impl FaultMix {
    /// The fault that the trial with this seed draws; `None` of a mix without faults, which no suite has.
    fn draw(&self, seed: u64) -> Option<&str> {
        let all: u64 = self.0.values().sum();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // What the trial draws else from its seed is another stream.
        rng.set_stream(1);
        let mut left = (all > 0).then(|| rng.random_range(0..all))?;
        let found = self.0.iter().find(|(_, weight)| match left.checked_sub(**weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        found.map(|(fault, _)| fault.as_str())
    }
}

/// The mixes of a suite, by name.
pub type Mixes = BTreeMap<String, FaultMix>;

/// The fault of the trial with this seed: the level itself, or what it draws where the level is a mix.
///
/// # Errors
/// In words, where there is no such mix.
pub fn drawn<'a>(level: &'a str, seed: u64, mixes: &'a Mixes) -> Result<&'a str, String> {
    let Some(name) = mix_of(level) else { return Ok(level) };
    let mix = mixes.get(name).and_then(|mix| mix.draw(seed));
    mix.ok_or_else(|| format!("the suite has no mix of faults `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_drawn_by_their_weights_and_the_same_again() {
        let mix = FaultMix(BTreeMap::from([("kill".to_owned(), 1), ("abort".to_owned(), 3)]));
        let mixes = BTreeMap::from([("mine".to_owned(), mix)]);
        let draws: Vec<&str> = (0..4_000).map(|seed| drawn("mix:mine", seed, &mixes).unwrap()).collect();
        let kills = draws.iter().filter(|fault| **fault == "kill").count();
        // Five standard deviations of a binomial.
        assert!((1_000 - 137..1_000 + 137).contains(&kills), "{kills}");
        assert!((0..4_000).zip(&draws).all(|(seed, fault)| drawn("mix:mine", seed, &mixes).unwrap() == *fault));
        assert_eq!(drawn("kill", 7, &mixes), Ok("kill"));
        assert!(drawn("mix:other", 7, &mixes).unwrap_err().contains("`other`"));
    }
}
