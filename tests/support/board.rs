//! Numbers that every process of a scenario's tree shares and that no crash takes back: what a test knows better than
//! the state that it looks at.

use std::sync::atomic::AtomicU64;

/// Made before the root runs; forks inherit it.
#[derive(Clone, Copy)]
pub(crate) struct Board(&'static [AtomicU64; 512]);

impl Board {
    /// A board of zeros.
    pub(crate) fn new() -> Self {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping of the kernel's choice; nothing existing changes.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
        assert_ne!(page, libc::MAP_FAILED);
        // SAFETY: the page is mapped for good, aligned, and zeros are valid atomics.
        Self(unsafe { &*page.cast() })
    }
}

impl std::ops::Deref for Board {
    type Target = [AtomicU64; 512];
    fn deref(&self) -> &Self::Target {
        self.0
    }
}
