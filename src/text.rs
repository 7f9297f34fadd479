//! A short text of fixed size: what a dying process can leave behind without allocating.

use std::fmt;

/// Up to [`Text::CAPACITY`] bytes of text, stored inline; longer text is cut at a character boundary.
///
/// It is `Copy` and holds no pointer, so it crosses process borders and can be written from a signal handler.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Text {
    len: u16,
    bytes: [u8; Self::CAPACITY],
}

impl Text {
    /// The most bytes that a text holds.
    pub const CAPACITY: usize = 238;

    /// No text.
    pub const EMPTY: Self = Self { len: 0, bytes: [0; Self::CAPACITY] };

    /// `text`, cut where it does not fit.
    pub fn new(text: &str) -> Self {
        let mut this = Self::EMPTY;
        this.push(text);
        this
    }

    /// What a [`fmt::Display`] prints, cut where it does not fit; allocates nothing itself.
    pub fn display(value: &dyn fmt::Display) -> Self {
        let mut this = Self::EMPTY;
        // `write_str` below never fails; a Display that fails leaves what it had written.
        let _ = fmt::Write::write_fmt(&mut this, format_args!("{value}"));
        this
    }

    /// The text. Bytes that are not UTF-8 (a wild write may have hit them) read as empty.
    pub fn as_str(&self) -> &str {
        let len = usize::from(self.len).min(Self::CAPACITY);
        std::str::from_utf8(&self.bytes[..len]).unwrap_or("")
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn push(&mut self, text: &str) {
        let start = usize::from(self.len);
        let mut end = text.len().min(Self::CAPACITY - start);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.bytes[start..start + end].copy_from_slice(&text.as_bytes()[..end]);
        // CAPACITY fits in u16.
        #[allow(clippy::cast_possible_truncation)]
        {
            self.len = (start + end) as u16;
        }
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::Text;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keeps_a_prefix_that_ends_at_a_character(text in "\\PC{0,400}") {
            let kept = Text::new(&text);
            prop_assert!(text.starts_with(kept.as_str()));
            prop_assert!(kept.as_str().len() + 4 > text.len().min(Text::CAPACITY));
        }
    }
}
