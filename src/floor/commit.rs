//! A commit by page, bare: scan and protect, log, apply and acknowledge, in as few system calls as that takes.
//!
//! ```text
//! writer (the calling process)                  applier (a child)
//! scan: which pages were written; protect them
//! list ← their numbers
//! `asked` ← lap, wake                      →    log ← state; shadow ← log, page by page
//! go on                                    ←    `answered` ← lap, wake
//! ```
//!
//! It is what the mechanism `dirty-pages` does, without what makes that survive a crash of either process at any
//! instruction: no comparison, no ledger, no gate, no mailbox, no checks. The state is one mapping that the kernel tracks
//! in the writer (`sys/userfaultfd.rs`), armed lazily: a page that was never written is not in the writer's table.
//!
//! The applier also copies pages back from the shadow, which is all that a restore must do. They were written by a child
//! that is gone by then, so that they and the shadow are as cold as after a crash: a fork, the writes and an end lie
//! between one lap and the next.
//!
//! Before each lap the applier is drawn to the writer's processor, which the writer leaves to it as soon as it sleeps
//! (see "Where processes run"): the pages that it is to copy are in that one's caches.

use super::board::Line;
use super::failed;
use super::processes::Child;
use super::track::{Track, Words};
use crate::declaration;
use crate::error::{Error, Result};
use crate::span::Span;
use crate::sys::bare::SharedMemory;
use crate::sys::event::Status;
use crate::sys::memory::{self, PAGE};
use crate::sys::pagemap::{Pagemap, Pages};
use crate::sys::{clock, event, process, processors, userfaultfd};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How long the writer sleeps before it looks whether the applier still lives.
const LOOK_AFTER_NS: u64 = 20_000_000;

/// What writer and applier share.
#[repr(C)]
struct Spoken {
    /// The lap that the applier is to do.
    asked: Line<AtomicU32>,
    /// The lap that it has done.
    answered: Line<AtomicU32>,
    /// Written before `asked`: whether pages are to be copied back; how many the list names.
    copies_back: Line<AtomicU32>,
    count: AtomicU32,
    /// Written before `answered`: how long the copying took.
    took_ns: Line<AtomicU64>,
}

// SAFETY: five atomics, for which zeros are valid.
unsafe impl Words for Spoken {}

/// The memory of both, mapped in both.
struct Memory {
    words: Track<Spoken>,
    state: SharedMemory,
    shadow: SharedMemory,
    log: SharedMemory,
    /// A number of 32 bits for each page of the log.
    list: SharedMemory,
}

impl Memory {
    /// The places of the first `count` numbers of the list.
    fn list(&self, count: usize) -> &[AtomicU32] {
        let list = self.list.span().part(0, count * size_of::<u32>());
        // SAFETY: mapped as long as `self`, and aligned to a page; any bytes are valid numbers.
        unsafe { std::slice::from_raw_parts(list.start as *const AtomicU32, count) }
    }

    /// How many pages the log has room for.
    fn most(&self) -> usize {
        self.log.span().len / PAGE
    }

    /// In the applier: does what it is asked for, until it is killed.
    fn apply_all(&self) {
        processors::ask_short_slices();
        for part in [&self.shadow, &self.log, &self.state] {
            memory::populate_to_write(part.span());
        }
        let words = self.words.words();
        let mut lap = 0;
        loop {
            while words.asked.load(Ordering::Acquire) == lap {
                event::futex_wait(&words.asked, lap);
            }
            let began_ns = clock::now_ns();
            let numbers = self.list(words.count.load(Ordering::Relaxed) as usize);
            if words.copies_back.load(Ordering::Relaxed) == 1 {
                for page in numbers {
                    copy(page_of(&self.shadow, page), page_of(&self.state, page));
                }
            } else {
                for (place, page) in numbers.iter().enumerate() {
                    copy(page_of(&self.state, page), self.log.span().part(place * PAGE, PAGE));
                }
                for (place, page) in numbers.iter().enumerate() {
                    copy(self.log.span().part(place * PAGE, PAGE), page_of(&self.shadow, page));
                }
            }
            words.took_ns.store(clock::now_ns() - began_ns, Ordering::Relaxed);
            lap = lap.wrapping_add(1);
            words.answered.store(lap, Ordering::Release);
            event::futex_wake(&words.answered);
        }
    }
}

fn page_of(memory: &SharedMemory, number: &AtomicU32) -> Span {
    memory.span().part(number.load(Ordering::Relaxed) as usize * PAGE, PAGE)
}

/// Copies a page, in the applier.
fn copy(from: Span, to: Span) {
    // SAFETY: pages of two of the shared memories, which are mapped and writable; the writer waits meanwhile.
    unsafe { std::ptr::copy_nonoverlapping(from.start as *const u8, to.start as *mut u8, PAGE) };
}

/// A state whose pages are committed by bare system calls, one lap after the other. The applier sleeps until it is asked,
/// and ends with this.
pub struct BareCommits {
    memory: Memory,
    applier: Child,
    laps: u32,
    /// Tracks the state as long as it is open.
    _tracker: OwnedFd,
}

impl BareCommits {
    /// A state of `bytes` zeros, of which at most `most_pages` pages are written between two commits.
    ///
    /// In a process with one thread, which is not a tree's: it forks, and takes SIGCHLD as by default.
    ///
    /// # Errors
    /// [`Error::Threads`] where the process has several, [`Error::Memory`] where it does not fit, [`Error::System`] where
    /// the kernel does not track writes, or refuses something else.
    pub fn start(bytes: usize, most_pages: usize) -> Result<Self> {
        super::be_alone()?;
        // SAFETY: this process has one thread.
        unsafe { Self::fork(bytes, most_pages) }
    }

    /// # Safety
    /// As for [`bare::fork`](crate::sys::bare::fork).
    unsafe fn fork(bytes: usize, most_pages: usize) -> Result<Self> {
        let (bytes, log) = (bytes.next_multiple_of(PAGE), most_pages.max(1) * PAGE);
        let needed = [("state and shadow of a floor".into(), 2 * bytes as u64), ("its log".into(), log as u64)];
        declaration::check_fits(&needed, declaration::available()?)?;
        let shared = |len| SharedMemory::new(len).map_err(failed("shared memory for the commits of a floor"));
        let memory = Memory {
            words: Track::new(0)?,
            state: shared(bytes)?,
            shadow: shared(bytes)?,
            log: shared(log)?,
            list: shared(log / PAGE * size_of::<u32>())?,
        };
        let parent = process::id();
        let life = || {
            if process::die_with_parent(parent) {
                memory.apply_all();
            }
        };
        // SAFETY: as the caller vouches.
        let applier = unsafe { Child::fork("applier", life) }?;
        let tracker = userfaultfd::track(memory.state.span()).map_err(failed("tracking writes by the kernel"))?;
        Ok(Self { memory, applier, laps: 0, _tracker: tracker })
    }

    /// The state, to be written.
    pub fn state(&mut self) -> &mut [u8] {
        let Span { start, len } = self.memory.state.span();
        // SAFETY: mapped and writable as long as `self`, which is borrowed; the applier sleeps between two laps.
        unsafe { std::slice::from_raw_parts_mut(start as *mut u8, len) }
    }

    /// Commits what was written since the last commit; answers how long that took, in nanoseconds.
    ///
    /// # Errors
    /// Where the kernel refuses a call, more pages were written than the log has room for, or the applier has ended.
    pub fn commit(&mut self) -> Result<u64> {
        processors::draw(self.applier.pid());
        let began_ns = clock::now_ns();
        let state = self.memory.state.span();
        let table = Pagemap::own().map_err(failed("opening the page table"))?;
        let list = self.memory.list(self.memory.most());
        let mut count = 0;
        let add = |run: Span| {
            for at in (run.start..run.end()).step_by(PAGE) {
                if let Some(place) = list.get(count) {
                    place.store(u32::try_from((at - state.start) / PAGE).unwrap_or(u32::MAX), Ordering::Relaxed);
                }
                count += 1;
            }
        };
        table.find_and_protect(Pages::Touched, state, add).map_err(failed("scanning the page table"))?;
        if count > list.len() {
            return Err(Error::Floor {
                process: "writer",
                planned: format!("at most {} written pages", list.len()),
                ended: format!("{count} of them"),
            });
        }
        self.ask(false, count)?;
        Ok(clock::now_ns() - began_ns)
    }

    /// Has a child write to the state, and the applier copy `pages`, by number, back from the last commit when the child
    /// has ended; answers how long the copying alone took, in nanoseconds.
    ///
    /// # Errors
    /// Where the kernel refuses a fork, the child panics, or the applier has ended.
    ///
    /// # Panics
    /// Where these are more pages than the log has room for, or one is beyond the state.
    pub fn copy_back(&mut self, pages: &[usize], write: impl FnOnce(&mut [u8])) -> Result<u64> {
        let Span { start, len } = self.memory.state.span();
        // SAFETY: mapped and writable as long as `self`, which is borrowed; in the child nothing else is run.
        let life = || write(unsafe { std::slice::from_raw_parts_mut(start as *mut u8, len) });
        // SAFETY: `start` has made sure of the one thread, or its caller has.
        unsafe { Child::fork("writer", life) }?.ends_by(Status::Exited(0))?;
        assert!(pages.iter().all(|page| *page < self.memory.state.span().len / PAGE), "{pages:?} lie in the state");
        processors::draw(self.applier.pid());
        for (place, page) in self.memory.list(pages.len()).iter().zip(pages) {
            place.store(u32::try_from(*page).unwrap_or(u32::MAX), Ordering::Relaxed);
        }
        self.ask(true, pages.len())?;
        Ok(self.memory.words.words().took_ns.load(Ordering::Relaxed))
    }

    /// Asks the applier, and waits for its answer.
    fn ask(&mut self, copies_back: bool, count: usize) -> Result<()> {
        let words = self.memory.words.words();
        words.copies_back.store(copies_back.into(), Ordering::Relaxed);
        words.count.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.laps = self.laps.wrapping_add(1);
        words.asked.store(self.laps, Ordering::Release);
        event::futex_wake(&words.asked);
        let is_answered = || words.answered.load(Ordering::Acquire) == self.laps;
        while !is_answered() {
            event::futex_wait_for(&words.answered, self.laps.wrapping_sub(1), LOOK_AFTER_NS);
            if !is_answered() {
                self.applier.still_runs(is_answered)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pages of the shadow that hold `value` throughout.
    fn committed(commits: &BareCommits, value: u8) -> Vec<usize> {
        let Span { start, len } = commits.memory.shadow.span();
        // SAFETY: mapped as long as `commits`, and the applier sleeps.
        let shadow = unsafe { std::slice::from_raw_parts(start as *const u8, len) };
        let pages = shadow.chunks(PAGE).enumerate();
        pages.filter(|(_, page)| page.iter().all(|byte| *byte == value)).map(|(page, _)| page).collect()
    }

    fn write(commits: &mut BareCommits, pages: &[usize], value: u8) {
        pages.iter().for_each(|page| commits.state()[page * PAGE..][..PAGE].fill(value));
    }

    #[test]
    fn what_was_written_is_committed_and_comes_back() {
        // SAFETY: the harness has several threads, but what the applier runs takes no lock that one of them could hold.
        let mut commits = match unsafe { BareCommits::fork(64 * PAGE, 4) } {
            Ok(commits) => commits,
            Err(error) => return eprintln!("skipped, because {error}"),
        };
        for (value, pages) in [(1, &[3, 60][..]), (2, &[0, 3, 4, 63]), (3, &[])] {
            write(&mut commits, pages, value);
            commits.commit().unwrap();
            assert_eq!(committed(&commits, value), pages);
        }
        commits.copy_back(&[3, 60], |state| state[3 * PAGE..].fill(9)).unwrap();
        assert_eq!(commits.state()[4 * PAGE], 9);
        assert_eq!((commits.state()[3 * PAGE], commits.state()[61 * PAGE - 1]), (2, 1));
        write(&mut commits, &[1, 2, 5, 6, 7], 4);
        let refused = commits.commit().unwrap_err().to_string();
        assert!(refused.contains("at most 4 written pages"), "{refused}");
    }
}
