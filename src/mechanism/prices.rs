//! What a page costs under each of the mechanisms that `auto` chooses from, on this machine and by this kernel: measured
//! by the root, before it forks.
//!
//! What is copied is copied where it will be: from the state to the backing, both still zeros. What page faults, scans and
//! protection cost is tried on some pages of the same kind of memory, with the steps of a real commit in their order. Of a
//! few rounds the quickest counts: what is slower was disturbed. All of it takes some milliseconds.

use super::measured::Prices;
use super::page_log::{copy, differs};
use crate::copy::{self, Way};
use crate::region::Parts;
use crate::span::Span;
use crate::sys::memory::{self, Map, PAGE};
use crate::sys::pagemap::{Pagemap, Pages};
use crate::sys::{Errno, clock, userfaultfd};
use std::os::fd::{AsFd, OwnedFd};

/// Pages that are tried: a commit of some size, of which not all stays in the caches.
const TRIED: usize = 256;
/// Rounds of which the quickest counts.
const ROUNDS: usize = 5;
/// The most that is copied in a round. Beyond it a copy goes past the caches, and does not become slower.
const MOST_COPIED: usize = 32 << 20;

/// The quickest round, for each of `pages` pages.
fn quickest(pages: usize, mut round: impl FnMut() -> Result<(), Errno>) -> Result<f64, Errno> {
    let mut least_ns = u64::MAX;
    for _ in 0..ROUNDS {
        let began_ns = clock::now_ns();
        round()?;
        least_ns = least_ns.min(clock::now_ns() - began_ns);
    }
    // Nanoseconds and pages far below 2^53.
    #[allow(clippy::cast_precision_loss)]
    let each_ns = least_ns as f64 / pages as f64;
    Ok(each_ns)
}

impl Prices {
    /// Measures, in the root, for a region whose parts are mapped and hold zeros. What lies behind the region is unmapped
    /// still.
    pub(crate) fn measure(parts: &Parts, may_be_swapped: bool) -> Result<Self, Errno> {
        let len = parts.state.len.min(MOST_COPIED);
        let (from, to) = (parts.state.part(0, len), parts.backing.part(0, len));
        let copied_ns = quickest(len / PAGE, || {
            // SAFETY: both parts are mapped, the second is writable, and nothing uses them before the root forks.
            unsafe { copy::pages(from, to, Way::of(len)) };
            Ok(())
        })?;
        let desk = Desk::lay(parts.end())?;
        let private_ns = desk.private_ns();
        let tracked_ns = if may_be_swapped { None } else { desk.tracked_ns().ok() };
        desk.clear()?;
        Ok(Self { copied_ns, private_ns: private_ns?, tracked_ns })
    }
}

/// Memory to try commits on: pages of a state, and three times as many for stage, log and target.
struct Desk {
    fd: OwnedFd,
    table: Pagemap,
    state: Span,
    places: [Span; 3],
}

impl Desk {
    fn lay(start: usize) -> Result<Self, Errno> {
        let all = Span { start, len: 4 * TRIED * PAGE };
        let fd = memory::committed_memfd(c"crashbed-prices", all.len)?;
        memory::map_new(fd.as_fd(), all, Map::Shared)?;
        memory::populate_to_write(all);
        let part = |i: usize| all.part(i * TRIED * PAGE, TRIED * PAGE);
        Ok(Self { fd, table: Pagemap::open()?, state: part(0), places: [part(1), part(2), part(3)] })
    }

    fn clear(self) -> Result<(), Errno> {
        let len = self.state.len + self.places.iter().map(|place| place.len).sum::<usize>();
        // SAFETY: mapped by `lay`, and nothing borrows from it.
        unsafe { memory::unmap(Span { start: self.state.start, len }) }
    }

    /// Maps the state anew, in one of the ways in which a transaction has it.
    fn enter(&self, map: Map) -> Result<(), Errno> {
        // SAFETY: mapped by `lay`, and nothing borrows from it.
        unsafe { memory::map_over(self.fd.as_fd(), self.state, map) }?;
        memory::populate_to_read(self.state);
        Ok(())
    }

    fn pages(span: Span) -> impl Iterator<Item = Span> {
        (0..TRIED).map(move |i| span.part(i * PAGE, PAGE))
    }

    /// Writes a word to each page of the state, as a program does.
    fn write(&self, word: u64) {
        for page in Self::pages(self.state) {
            // SAFETY: mapped writable, aligned, and nobody else's.
            unsafe { (page.start as *mut u64).write_volatile(word) };
        }
    }

    fn find(&self, pages: Pages, protects: bool) -> Result<(), Errno> {
        let mut found = 0;
        let add = |run: Span| found += run.len;
        let (table, state) = (&self.table, self.state);
        if protects { table.find_and_protect(pages, state, add) } else { table.find(pages, state, add) }?;
        if found == self.state.len { Ok(()) } else { Err(Errno::ENOTSUP) }
    }

    fn sum(span: Span) -> u32 {
        // SAFETY: mapped, and nobody writes it meanwhile.
        crc32fast::hash(unsafe { std::slice::from_raw_parts(span.start as *const u8, span.len) })
    }

    /// As `copy_on_write.rs`: fault, find, stage, sum; log, sum again, apply; drop.
    fn private_ns(&self) -> Result<f64, Errno> {
        let [stage, log, target] = self.places;
        self.enter(Map::CopyOnWrite)?;
        quickest(TRIED, || {
            self.write(1);
            self.find(Pages::Private, false)?;
            Self::pages(self.state).zip(Self::pages(stage)).for_each(|(page, staged)| copy(page, staged));
            let staged = Self::sum(stage);
            copy(stage, log);
            if Self::sum(log) != staged {
                return Err(Errno::EIO);
            }
            Self::pages(log).zip(Self::pages(target)).for_each(|(page, applied)| copy(page, applied));
            // SAFETY: what is behind the mapping are pages of this desk as well, which nothing borrows.
            unsafe { memory::drop_private_copies(self.state) }
        })
    }

    /// As `dirty_pages.rs`: fault, find and protect, compare; log, apply.
    fn tracked_ns(&self) -> Result<f64, Errno> {
        let [_, log, shadow] = self.places;
        self.enter(Map::Shared)?;
        let _tracker = userfaultfd::track(self.state)?;
        self.write(0);
        self.find(Pages::Touched, true)?;
        let mut word = 0;
        quickest(TRIED, || {
            word += 1;
            self.write(word);
            self.find(Pages::Touched, true)?;
            for ((page, logged), shadowed) in Self::pages(self.state).zip(Self::pages(log)).zip(Self::pages(shadow)) {
                if differs(page, shadowed) {
                    copy(page, logged);
                }
            }
            Self::pages(log).zip(Self::pages(shadow)).for_each(|(page, applied)| copy(page, applied));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_tried_and_nothing_is_left_of_them() {
        // Far from all regions.
        const START: usize = 0x3000_0000_0000;
        for _ in 0..2 {
            let desk = Desk::lay(START).expect("a place that is free");
            assert!(Desk::lay(START).is_err(), "it is taken");
            let private_ns = desk.private_ns().unwrap();
            assert!(private_ns > 10.0, "a page was written, copied and summed in {private_ns} ns");
            if let Ok(tracked_ns) = desk.tracked_ns() {
                assert!(tracked_ns > 10.0, "a page was written, compared and copied in {tracked_ns} ns");
            }
            desk.clear().unwrap();
        }
    }
}
