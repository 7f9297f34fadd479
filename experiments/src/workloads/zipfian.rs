//! YCSB's zipfian request distributions: a few records are asked for often, most hardly ever.
//!
//! [`Zipfian`] is the generator of Gray et al., *Quickly Generating Billion-Record Synthetic Databases* (SIGMOD 1994),
//! that YCSB uses: rank 0 is the most popular. Ranks 0 and 1 have their exact zipfian probability; the rest follow a
//! continuous approximation of it, which is why `rand_distr::Zipf`, an exact sampler, is not the same distribution.
//! [`Scrambled`] spreads the popular ranks over all keys, as YCSB does.

use fnv::FnvHasher;
use std::hash::Hasher;

/// YCSB's zipfian constant (`ZIPFIAN_CONSTANT`).
pub const THETA: f64 = 0.99;

/// The sum of `1 / i^THETA` for `i` from 1 to `items`.
pub fn zeta(items: u64) -> f64 {
    (1..=items).map(zeta_term).sum()
}

/// What item number `item`, counted from 1, adds to [`zeta`].
pub fn zeta_term(item: u64) -> f64 {
    1.0 / (item as f64).powf(THETA)
}

/// Zipfian ranks `0..items`, rank 0 the most popular.
#[derive(Clone, Copy, Debug)]
pub struct Zipfian {
    items: u64,
    zeta: f64,
    eta: f64,
}

impl Zipfian {
    /// Ranks `0..items`; `zeta` must be [`zeta`]`(items)`, which the caller can keep up to date item by item.
    ///
    /// As in Gray et al., `eta` follows the number of items. (YCSB keeps it at the first number of items when records
    /// are inserted, which moves a popularity by less than a hundredth.)
    pub fn new(items: u64, zeta: f64) -> Self {
        let eta = (1.0 - (2.0 / items as f64).powf(1.0 - THETA)) / (1.0 - (1.0 + zeta_term(2)) / zeta);
        Self { items, zeta, eta }
    }

    /// The rank at `u`, a uniform draw from `[0, 1)`.
    pub fn rank(&self, u: f64) -> u64 {
        let uz = u * self.zeta;
        if uz < 1.0 {
            return 0;
        }
        if uz < 1.0 + zeta_term(2) {
            return 1;
        }
        let rank = self.items as f64 * (self.eta * u - self.eta + 1.0).powf(1.0 / (1.0 - THETA));
        // A float-to-integer cast saturates, and rounding may reach `items` itself.
        #[allow(clippy::cast_possible_truncation)]
        let rank = rank as u64;
        rank.min(self.items - 1)
    }
}

/// Zipfian popularity, with the popular ranks scattered over all keys.
///
/// The ranks are drawn from ten quadrillion, hashed, and taken modulo the number of keys, so that the popular keys stay
/// the same ones whatever that number's history (YCSB's `ScrambledZipfianGenerator`).
#[derive(Clone, Copy, Debug)]
pub struct Scrambled {
    ranks: Zipfian,
    keys: u64,
}

impl Scrambled {
    /// The zeta of all of YCSB's ranks, from its `ScrambledZipfianGenerator.ZETAN`; summing it would take years.
    pub const ZETA: f64 = 26.469_028_201_783_02;
    /// YCSB's number of ranks, both ends included.
    pub const RANKS: u64 = 10_000_000_000_000_001;

    /// Keys `0..keys`.
    pub fn new(keys: u64) -> Self {
        Self { ranks: Zipfian::new(Self::RANKS, Self::ZETA), keys }
    }

    /// The key at `u`, a uniform draw from `[0, 1)`.
    pub fn key(&self, u: f64) -> u64 {
        fnv_hash(self.ranks.rank(u)) % self.keys
    }
}

/// FNV-1a, 64 bits, over the number's bytes from the lowest, made positive as a Java `long` (YCSB's `Utils.fnvhash64`).
pub fn fnv_hash(number: u64) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(&number.to_le_bytes());
    hasher.finish().cast_signed().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::{Scrambled, THETA, Zipfian, fnv_hash, zeta, zeta_term};
    use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

    const ITEMS: u64 = 1000;
    const DRAWS: u32 = 300_000;

    fn counts() -> Vec<f64> {
        let zipfian = Zipfian::new(ITEMS, zeta(ITEMS));
        let mut rng = ChaCha8Rng::seed_from_u64(2010);
        let mut counts = vec![0.0; usize::try_from(ITEMS).unwrap()];
        for _ in 0..DRAWS {
            counts[usize::try_from(zipfian.rank(rng.random())).unwrap()] += 1.0;
        }
        counts
    }

    /// Pearson's chi-square against the law that Gray's generator has by construction, solved for `u`.
    #[test]
    fn draws_follow_the_generators_own_law() {
        let n = ITEMS as f64;
        let zeta = zeta(ITEMS);
        let eta = (1.0 - (2.0 / n).powf(1.0 - THETA)) / (1.0 - (1.0 + zeta_term(2)) / zeta);
        let below = |rank: usize| match rank {
            0 => 0.0,
            1 => 1.0 / zeta,
            2 => (1.0 + zeta_term(2)) / zeta,
            _ => (1.0 - (1.0 - (rank as f64 / n).powf(1.0 - THETA)) / eta).max((1.0 + zeta_term(2)) / zeta),
        };
        let chi_square: f64 = counts()
            .iter()
            .enumerate()
            .map(|(rank, seen)| (seen, f64::from(DRAWS) * (below(rank + 1) - below(rank))))
            .filter(|(_, expected)| *expected > 0.0)
            .map(|(seen, expected)| (seen - expected).powi(2) / expected)
            .sum();
        // 999 degrees of freedom: mean 999, standard deviation 44.7; 1143 is the 99.9 % quantile.
        assert!((860.0..1143.0).contains(&chi_square), "{chi_square}");
    }

    /// How far the approximation may be from a true zipfian: exact for the first two ranks,
    /// at most a fiftieth of all draws off for the first so many.
    #[test]
    fn draws_are_zipfian() {
        let counts = counts();
        let zeta_all = zeta(ITEMS);
        for (rank, item) in [(0, 1), (1, 2)] {
            let (seen, expected) = (counts[rank] / f64::from(DRAWS), zeta_term(item) / zeta_all);
            assert!((seen / expected - 1.0).abs() < 0.02, "rank {rank}: {seen}, expected {expected}");
        }
        for ranks in [5_u32, 10, 50, 100, 500] {
            let seen = counts[..ranks as usize].iter().sum::<f64>() / f64::from(DRAWS);
            let expected = zeta(u64::from(ranks)) / zeta_all;
            assert!((seen - expected).abs() < 0.02, "first {ranks}: {seen}, expected {expected}");
        }
    }

    #[test]
    fn few_items_have_no_rank_beyond_them() {
        for items in 1..5 {
            let zipfian = Zipfian::new(items, zeta(items));
            for step in 0..1000 {
                assert!(zipfian.rank(f64::from(step) / 1000.0) < items);
            }
            assert_eq!(zipfian.rank(0.999_999_999), items - 1);
        }
    }

    #[test]
    fn the_hottest_scrambled_key_is_where_ycsb_has_it() {
        let scrambled = Scrambled::new(ITEMS);
        let mut rng = ChaCha8Rng::seed_from_u64(1994);
        let mut counts = vec![0_u32; usize::try_from(ITEMS).unwrap()];
        for _ in 0..DRAWS {
            counts[usize::try_from(scrambled.key(rng.random())).unwrap()] += 1;
        }
        let hottest = (0..counts.len()).max_by_key(|&key| counts[key]).unwrap();
        assert_eq!(hottest as u64, fnv_hash(0) % ITEMS);
        let (seen, expected) = (f64::from(counts[hottest]) / f64::from(DRAWS), 1.0 / Scrambled::ZETA);
        // The key's share of the long tail, about 1 / ITEMS, comes on top.
        assert!((0.0..0.003).contains(&(seen - expected)), "{seen}, expected {expected}");
        assert!(counts.iter().all(|&count| count > 0), "the tail reaches every key");
    }

    /// The first keys of every YCSB data set.
    #[test]
    fn hashes_as_ycsb_does() {
        assert_eq!(fnv_hash(0), 6_284_781_860_667_377_211);
        assert_eq!(fnv_hash(1), 8_517_097_267_634_966_620);
    }
}
