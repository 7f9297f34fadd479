//! Which pages of a private mapping this process has written: those that it has a copy of its own of.
//!
//! Two ways give the same answer. `PAGEMAP_SCAN` (an `ioctl(2)` on `/proc/self/pagemap`, Linux 6.7; see
//! `Documentation/admin-guide/mm/pagemap.rst`) lets the kernel walk its tables and answers ranges. Older kernels are
//! read one 64-bit entry a page.

use super::{Errno, check, memory::PAGE};
use crate::span::Span;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};

/// How written pages are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Way {
    /// By `PAGEMAP_SCAN`.
    Scan = 1,
    /// By reading `/proc/self/pagemap`.
    Entries = 2,
}

/// 0: not asked yet; else a [`Way`].
static WAY: AtomicU8 = AtomicU8::new(0);

/// Asks the kernel which way it offers. The root calls this once, before it forks.
pub(crate) fn choose_way() -> Result<Way, Errno> {
    let table = Pagemap::open()?;
    let page = 0u8;
    let here = Span { start: (&raw const page as usize) & !(PAGE - 1), len: PAGE };
    let way = match table.scan(here, |_| {}) {
        Ok(()) => Way::Scan,
        Err(_) => Way::Entries,
    };
    WAY.store(way as u8, Ordering::Relaxed);
    Ok(way)
}

/// This process's page table, as `/proc/self/pagemap` shows it. A fork's child opens its own: the descriptor belongs
/// to the address space of the process that opened it.
pub(crate) struct Pagemap(OwnedFd);

impl Pagemap {
    pub(crate) fn open() -> Result<Self, Errno> {
        // SAFETY: the path is a C string.
        let fd = check(unsafe { libc::open(c"/proc/self/pagemap".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) })?;
        // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Calls `found` for each maximal run of written pages in `span`, in ascending order. `span` lies on page
    /// boundaries and is one private mapping of a shared-memory file.
    pub(crate) fn written(&self, span: Span, found: impl FnMut(Span)) -> Result<(), Errno> {
        match WAY.load(Ordering::Relaxed) {
            way if way == Way::Entries as u8 => self.entries(span, found),
            _ => self.scan(span, found),
        }
    }

    fn scan(&self, span: Span, mut found: impl FnMut(Span)) -> Result<(), Errno> {
        const RANGES: usize = 256;
        let mut ranges = [PageRegion::default(); RANGES];
        let mut runs = Runs::default();
        let mut start = span.start;
        while start < span.end() {
            let mut asked = ScanArguments {
                size: size_of::<ScanArguments>() as u64,
                start,
                end: span.end(),
                vec: ranges.as_mut_ptr() as u64,
                vec_len: RANGES as u64,
                // A page of our own is not the file's (the FILE bit, inverted, must be set), and is in memory or swap.
                category_inverted: PAGE_IS_FILE,
                category_mask: PAGE_IS_FILE,
                category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                return_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                ..ScanArguments::default()
            };
            // SAFETY: the arguments describe a writable array of RANGES entries that outlives the call.
            let n = check(unsafe { libc::ioctl(self.0.as_raw_fd(), PAGEMAP_SCAN, &raw mut asked) })?;
            for range in &ranges[..usize::try_from(n).unwrap_or(0)] {
                let PageRegion { start, end, .. } = *range;
                runs.add(Span { start, len: end - start }, &mut found);
            }
            start = asked.walk_end;
        }
        runs.finish(&mut found);
        Ok(())
    }

    fn entries(&self, span: Span, mut found: impl FnMut(Span)) -> Result<(), Errno> {
        const ENTRIES: usize = 512;
        let mut entries = [0u64; ENTRIES];
        let mut runs = Runs::default();
        let mut page = span.start / PAGE;
        let last = span.end() / PAGE;
        while page < last {
            let wanted = (last - page).min(ENTRIES);
            let at = i64::try_from(page * size_of::<u64>()).map_err(|_| Errno::EOVERFLOW)?;
            let bytes = wanted * size_of::<u64>();
            // SAFETY: the buffer is writable and at least `bytes` long; any bytes are valid entries.
            let read = unsafe { libc::pread(self.0.as_raw_fd(), entries.as_mut_ptr().cast(), bytes, at) };
            let got = usize::try_from(read).map_err(|_| Errno::last())? / size_of::<u64>();
            if got == 0 {
                return Err(Errno::EIO);
            }
            for (i, entry) in entries[..got].iter().enumerate() {
                let held = entry & (ENTRY_PRESENT | ENTRY_SWAPPED) != 0;
                if held && entry & ENTRY_FILE == 0 {
                    runs.add(Span { start: (page + i) * PAGE, len: PAGE }, &mut found);
                }
            }
            page += got;
        }
        runs.finish(&mut found);
        Ok(())
    }
}

/// Joins neighbouring pieces into runs.
#[derive(Default)]
struct Runs {
    open: Option<Span>,
}

impl Runs {
    fn add(&mut self, piece: Span, found: &mut impl FnMut(Span)) {
        match &mut self.open {
            Some(run) if run.end() == piece.start => run.len += piece.len,
            open => {
                if let Some(run) = open.replace(piece) {
                    found(run);
                }
            }
        }
    }

    fn finish(self, found: &mut impl FnMut(Span)) {
        if let Some(run) = self.open {
            found(run);
        }
    }
}

/// `_IOWR('f', 16, struct pm_scan_arg)`, as in `linux/fs.h`.
const PAGEMAP_SCAN: libc::c_ulong = 0xc060_6610;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;

/// Bits of an entry of `/proc/self/pagemap`: the page is the file's (or shared); it is swapped; it is in memory.
const ENTRY_FILE: u64 = 1 << 61;
const ENTRY_SWAPPED: u64 = 1 << 62;
const ENTRY_PRESENT: u64 = 1 << 63;

/// `struct pm_scan_arg` of `linux/fs.h`.
#[derive(Default)]
#[repr(C)]
struct ScanArguments {
    size: u64,
    flags: u64,
    // Addresses: 64 bits, as the kernel has them, and a word of this platform.
    start: usize,
    end: usize,
    walk_end: usize,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region` of `linux/fs.h`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct PageRegion {
    start: usize,
    end: usize,
    categories: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::{Map, committed_memfd, map_new};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::os::fd::AsFd;
    use std::sync::atomic::AtomicUsize;

    const PAGES: usize = 700;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Both ways find just the pages that were written, and not those that were only read.
        #[test]
        fn both_ways_find_the_written_pages(
            written in proptest::collection::btree_set(0..PAGES, 0..80),
            read in proptest::collection::btree_set(0..PAGES, 0..80),
        ) {
            static NEXT: AtomicUsize = AtomicUsize::new(0x3000_0000_0000);
            let start = NEXT.fetch_add(2 * PAGES * PAGE, Ordering::Relaxed);
            let span = Span { start, len: PAGES * PAGE };
            let fd = committed_memfd(c"pagemap-test", span.len).unwrap();
            map_new(fd.as_fd(), span, Map::CopyOnWrite).unwrap();
            for page in &read {
                // SAFETY: the page was mapped above.
                unsafe { ((start + page * PAGE) as *const u8).read_volatile() };
            }
            for page in &written {
                // SAFETY: the page was mapped above, writable.
                unsafe { ((start + page * PAGE) as *mut u8).write_volatile(1) };
            }
            let table = Pagemap::open().unwrap();
            let pages = |run: Span| (run.start - start) / PAGE..(run.end() - start) / PAGE;
            let mut by_entries = BTreeSet::new();
            table.entries(span, |run| by_entries.extend(pages(run))).unwrap();
            prop_assert_eq!(&by_entries, &written);
            let mut by_scan = BTreeSet::new();
            if table.scan(span, |run| by_scan.extend(pages(run))).is_ok() {
                prop_assert_eq!(&by_scan, &written);
            }
            // SAFETY: the span was mapped above and nothing borrows from it.
            unsafe { crate::sys::memory::unmap(span) }.unwrap();
        }
    }
}
