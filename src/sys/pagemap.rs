//! What a process has done to the pages of a mapping, as its page table says.
//!
//! Two ways give the same answer. `PAGEMAP_SCAN` (an `ioctl(2)` on `/proc/PID/pagemap`, Linux 6.7; see
//! `Documentation/admin-guide/mm/pagemap.rst`) lets the kernel walk its tables and answers ranges. Older kernels are
//! read one 64-bit entry a page. The table of a process that has let go of its memory is empty.

use super::{Errno, check, memory::PAGE, process};
use crate::span::Span;
use std::ffi::CStr;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

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
    let way = match table.scan(Pages::Private, here, 0, |_| {}) {
        Ok(()) => Way::Scan,
        Err(_) => Way::Entries,
    };
    WAY.store(way as u8, Ordering::Relaxed);
    Ok(way)
}

/// Which pages are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    /// Of a private mapping of a file: those that the process has a copy of its own of, since it wrote them.
    Private,
    /// Of a shared mapping: those that the process has touched and that are not write-protected. Where it is tracked
    /// (`userfaultfd.rs`), those that it wrote since they were protected, and those that it touched and that never
    /// were; else all that it touched.
    Touched,
    /// Those that are in its page table at all.
    Present,
}

/// A process's page table, as `/proc/PID/pagemap` shows it. A fork's child opens its own: the descriptor belongs to the
/// address space of the process that it names.
pub(crate) struct Pagemap(OwnedFd);

impl Pagemap {
    /// This process's.
    pub(crate) fn open() -> Result<Self, Errno> {
        Self::at(c"/proc/self/pagemap")
    }

    /// This process's, opened once; it stays open.
    pub(crate) fn own() -> Result<ManuallyDrop<Self>, Errno> {
        static OPENED: AtomicI32 = AtomicI32::new(-1);
        static OPENED_BY: AtomicI32 = AtomicI32::new(0);
        let me = process::id();
        // A fork's child has its parent's, which shows the parent's table.
        if OPENED_BY.load(Ordering::Relaxed) != me {
            OPENED.store(Self::open()?.0.into_raw_fd(), Ordering::Relaxed);
            OPENED_BY.store(me, Ordering::Relaxed);
        }
        // SAFETY: this process has opened it and never closes it.
        Ok(ManuallyDrop::new(Self(unsafe { OwnedFd::from_raw_fd(OPENED.load(Ordering::Relaxed)) })))
    }

    /// That of process `pid`, which the caller may trace (`ptrace(2)`: `PTRACE_MODE_READ_FSCREDS`).
    pub(crate) fn of(pid: i32) -> Result<Self, Errno> {
        let mut path = [0u8; 32];
        // The last byte stays the terminator.
        let len = path.len();
        write!(&mut path[..len - 1], "/proc/{pid}/pagemap").map_err(|_| Errno::ENAMETOOLONG)?;
        Self::at(CStr::from_bytes_until_nul(&path).map_err(|_| Errno::ENAMETOOLONG)?)
    }

    fn at(path: &CStr) -> Result<Self, Errno> {
        // SAFETY: the path is a C string.
        let fd = check(unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) })?;
        // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Calls `found` for each maximal run of such pages in `span`, in ascending order. `span` lies on page boundaries
    /// and is one mapping of a shared-memory file, of the kind that `pages` names.
    pub(crate) fn find(&self, pages: Pages, span: Span, found: impl FnMut(Span)) -> Result<(), Errno> {
        match WAY.load(Ordering::Relaxed) {
            way if way == Way::Entries as u8 => self.entries(pages, span, found),
            _ => self.scan(pages, span, 0, found),
        }
    }

    /// The same, and write-protects what it finds in the same step, where this process is tracked. Of a process that is
    /// killed in it, some pages are protected.
    pub(crate) fn find_and_protect(&self, pages: Pages, span: Span, mut found: impl FnMut(Span)) -> Result<(), Errno> {
        match WAY.load(Ordering::Relaxed) {
            way if way == Way::Entries as u8 => self.entries(pages, span, found),
            _ => match self.scan(pages, span, PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC, &mut found) {
                // It is not tracked; the kernel has not begun.
                Err(Errno::EPERM) => self.scan(pages, span, 0, found),
                done => done,
            },
        }
    }

    fn scan(&self, pages: Pages, span: Span, flags: u64, mut found: impl FnMut(Span)) -> Result<(), Errno> {
        const RANGES: usize = 256;
        let held = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
        // Bits that must be set, those of them that are inverted first, and bits of which one must be set.
        let (mask, inverted, any) = match pages {
            // A page of our own is not the file's, and is in memory or swap.
            Pages::Private => (PAGE_IS_FILE, PAGE_IS_FILE, held),
            Pages::Touched => (PAGE_IS_WRITTEN, 0, held),
            Pages::Present => (0, 0, held),
        };
        let mut ranges = [PageRegion::default(); RANGES];
        let mut runs = Runs::default();
        let mut start = span.start;
        while start < span.end() {
            let mut asked = ScanArguments {
                size: size_of::<ScanArguments>() as u64,
                flags,
                start,
                end: span.end(),
                vec: ranges.as_mut_ptr() as u64,
                vec_len: RANGES as u64,
                category_inverted: inverted,
                category_mask: mask,
                category_anyof_mask: any,
                return_mask: held,
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

    fn entries(&self, pages: Pages, span: Span, mut found: impl FnMut(Span)) -> Result<(), Errno> {
        const ENTRIES: usize = 512;
        let without = match pages {
            Pages::Private => ENTRY_FILE,
            Pages::Touched => ENTRY_PROTECTED,
            Pages::Present => 0,
        };
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
                if held && entry & without == 0 {
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
/// Protect what is found, in the same step.
const PM_SCAN_WP_MATCHING: u64 = 1 << 0;
/// Refuse where that cannot be; else what is not tracked would be passed over.
const PM_SCAN_CHECK_WPASYNC: u64 = 1 << 1;
const PAGE_IS_WRITTEN: u64 = 1 << 1;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;

/// Bits of an entry of `/proc/PID/pagemap`: the page is write-protected by userfaultfd; it is the file's (or shared); it
/// is swapped; it is in memory.
const ENTRY_PROTECTED: u64 = 1 << 57;
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
            table.entries(Pages::Private, span, |run| by_entries.extend(pages(run))).unwrap();
            prop_assert_eq!(&by_entries, &written);
            let mut by_scan = BTreeSet::new();
            if table.scan(Pages::Private, span, 0, |run| by_scan.extend(pages(run))).is_ok() {
                prop_assert_eq!(&by_scan, &written);
            }
            // SAFETY: the span was mapped above and nothing borrows from it.
            unsafe { crate::sys::memory::unmap(span) }.unwrap();
        }
    }
}
