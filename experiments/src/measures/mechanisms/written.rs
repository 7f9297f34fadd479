//! What is written between two commits, and where.

use serde::{Deserialize, Deserializer, de};
use std::fmt;
use std::ops::Range;

/// A page of memory.
pub(super) const PAGE: usize = 4096;

/// What is written lies in the first so many pages of a state at the most: the same pages in all large ones.
const SPREAD: usize = (56 << 20) / PAGE;

/// How many bytes are written: some of one page, or all of several pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written(usize);

impl Written {
    pub(super) fn bytes(self) -> u64 {
        self.0 as u64
    }

    /// How many pages are written to.
    pub(super) fn pages(self) -> usize {
        self.0.div_ceil(PAGE)
    }

    /// Whether a state of so many whole pages has as many.
    pub(super) fn fits(self, state_pages: usize) -> bool {
        self.pages() <= state_pages.min(SPREAD)
    }

    /// The numbers of the pages that are written to, spread evenly over a state of so many that it [fits](Self::fits).
    pub(super) fn places(self, state_pages: usize) -> impl Iterator<Item = usize> + Clone {
        let stride = state_pages.min(SPREAD) / self.pages();
        (0..self.pages()).map(move |page| page * stride)
    }

    /// The pieces that are written of a state of so many pages, as ranges of bytes from its first page on.
    pub(super) fn pieces(self, state_pages: usize) -> impl Iterator<Item = Range<usize>> + Clone {
        let piece = self.0.min(PAGE);
        self.places(state_pages).map(move |page| page * PAGE..page * PAGE + piece)
    }
}

impl TryFrom<u64> for Written {
    type Error = String;

    fn try_from(bytes: u64) -> Result<Self, String> {
        match usize::try_from(bytes) {
            Ok(whole) if (1..PAGE).contains(&whole) || (whole > 0 && whole.is_multiple_of(PAGE)) => Ok(Self(whole)),
            _ => Err(format!(
                "{bytes} bytes are neither less than a page nor whole pages; write 1 to 4095, or a multiple of 4096"
            )),
        }
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer)?.try_into().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_lie_in_pages_of_their_own_inside_of_the_state(
            bytes in prop_oneof![1..PAGE as u64, (1_u64..5_000).prop_map(|pages| pages * PAGE as u64)],
            state_pages in 1_usize..300_000,
        ) {
            let written = Written::try_from(bytes).unwrap();
            prop_assume!(written.fits(state_pages));
            let pieces: Vec<_> = written.pieces(state_pages).collect();
            prop_assert_eq!(pieces.iter().map(|piece| piece.len() as u64).sum::<u64>(), bytes);
            prop_assert!(pieces.iter().all(|piece| piece.start.is_multiple_of(PAGE) && piece.end <= state_pages * PAGE));
            prop_assert!(pieces.is_sorted_by(|a, b| a.start < b.start));
            // What is written does not depend on how large a large state is.
            prop_assert!(state_pages < SPREAD || written.pieces(SPREAD).eq(pieces));
        }
    }

    #[test]
    fn a_level_is_less_than_a_page_or_whole_pages() {
        for bytes in [0, 4097, u64::MAX] {
            assert!(Written::try_from(bytes).unwrap_err().starts_with(&format!("{bytes} bytes are neither")));
        }
        assert_eq!(Written::try_from(4096).unwrap().pages(), 1);
    }
}
