//! Sizes of memory as people write them: `64 MiB`.

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// A size in bytes: whole pages, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

impl Size {
    /// The unit of memory protection on this architecture.
    pub const PAGE: u64 = 4096;
    /// The most that a process of this architecture can address (47 bits).
    pub const MOST: u64 = 1 << 47;

    /// `bytes` as a size, rounded up to whole pages.
    pub fn at_least(bytes: u64) -> Self {
        Self(bytes.clamp(1, Self::MOST).next_multiple_of(Self::PAGE))
    }

    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// It is not a number with a unit.
    #[error("`{text}` is not a size; write a number and a unit, as `64 MiB` (units: B, KiB, MiB, GiB)")]
    NotASize {
        /// What was written.
        text: String,
    },
    /// It is not a number of whole pages.
    #[error("`{text}` is {bytes} bytes; a size must be a multiple of {page} bytes, at least one", page = Size::PAGE)]
    NotPages {
        /// What was written.
        text: String,
        /// What it means.
        bytes: u64,
    },
    /// No process can have so much.
    #[error("`{text}` is more than a process can address; the most is {most}", most = Size(Size::MOST))]
    TooLarge {
        /// What was written.
        text: String,
    },
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let size: ByteSize = text.parse().map_err(|_| SizeError::NotASize { text: text.to_owned() })?;
        match size.as_u64() {
            bytes if bytes > Self::MOST => Err(SizeError::TooLarge { text: text.to_owned() }),
            bytes if bytes == 0 || bytes % Self::PAGE != 0 => Err(SizeError::NotPages { text: text.to_owned(), bytes }),
            bytes => Ok(Self(bytes)),
        }
    }
}

impl fmt::Display for Size {
    /// Exact, in the largest unit that divides it: what is printed reads back as the same size.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        match units.iter().find(|(_, shift)| self.0.trailing_zeros() >= *shift) {
            Some((unit, shift)) => write!(f, "{} {unit}", self.0 >> shift),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SizeVisitor)
    }
}

/// A visitor, because `toml` gives an element of a list its own line only in errors that come out of one.
struct SizeVisitor;

impl de::Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size, as \"64 MiB\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_printed_reads_back(pages in 1_u64..1 << 35) {
            let size = Size(pages * Size::PAGE);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}") {
            let _ = text.parse::<Size>();
        }
    }

    #[test]
    fn sizes_as_people_write_them() {
        assert_eq!("64 MiB".parse(), Ok(Size(64 << 20)));
        assert_eq!("1GiB".parse(), Ok(Size(1 << 30)));
        assert_eq!("4096".parse(), Ok(Size(4096)));
    }

    #[test]
    fn bad_sizes_say_what_is_wrong() {
        for text in ["", "many", "-64 MiB", "64 Mib bytes", "NaN MiB"] {
            assert!(matches!(text.parse::<Size>(), Err(SizeError::NotASize { .. })), "{text}");
        }
        for text in ["0", "0 MiB", "1 B", "1 KB", "4097"] {
            assert!(matches!(text.parse::<Size>(), Err(SizeError::NotPages { .. })), "{text}");
        }
        assert!(matches!("1000000 PiB".parse::<Size>(), Err(SizeError::TooLarge { .. })));
    }
}
