//! A piece of address space.

/// `len` bytes from address `start`. Says nothing of whether they are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) len: usize,
}

impl Span {
    /// The first address behind it.
    pub(crate) const fn end(self) -> usize {
        self.start + self.len
    }

    /// Whether `address` lies in it.
    pub(crate) const fn contains(self, address: usize) -> bool {
        address.wrapping_sub(self.start) < self.len
    }

    /// What of it lies behind its first `offset` bytes.
    pub(crate) const fn behind(self, offset: usize) -> Self {
        self.part(offset, self.len - offset)
    }

    /// The part of it from byte `offset` on, `len` bytes long.
    pub(crate) const fn part(self, offset: usize, len: usize) -> Self {
        assert!(offset <= self.len && len <= self.len - offset);
        Self { start: self.start + offset, len }
    }
}
