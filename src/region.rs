//! A daemon's memory: laid out, committed and mapped by the root before it forks.
//!
//! ```text
//! part             mapped as            root  own daemon  its transactions      other daemons and theirs
//! state            memfd, sealed        rw    rw          by the mechanism       read-only for good, or not at all
//! backing          memfd, sealed        rw    rw          not (crashed state:    not
//!                                                         read-only)
//! stage            memfd                rw    rw          rw                     not
//! seats            memfd                rw    rw          rw                     not
//! daemon mailbox   memfd                rw    rw          not                    not
//! ledger           memfd, sealed        rw    rw          not                    read-only for good
//! caches as        memfd, sealed        rw    rw          rw                     not
//! they were
//! empty caches     private, empty       -     -           rw, its own            -
//! scratch, notes   private, empty       -     -           rw, its own            -
//! stacks           private, empty       -     signal      rw, its own            -
//!                                             stack
//! ```
//!
//! Between two parts lie unmapped pages. The state begins with a [`StateHead`]; what follows is the heap. The ledger
//! says which commit is the last one; how depends on the mechanism, and is drawn there.

use crate::arena::free::FreePages;
use crate::cache::{self, Returns};
use crate::declaration::Declaration;
use crate::error::{Error, Result};
use crate::mailbox::{Mailbox, Pool};
use crate::mechanism::measured::Prices;
use crate::span::Span;
use crate::state_head::{STATE_ARENA, StateHead};
use crate::sys::memory::{self, Map, PAGE};
use std::any::TypeId;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The first region's address: in the middle of the lower half, far from the program, its heap and its libraries.
const FIRST: usize = 0x2000_0000_0000;
/// Regions begin at multiples of this.
const ALIGNMENT: usize = 1 << 30;
/// Unmapped space between two parts.
const GAP: usize = 16 * PAGE;
/// The alternate signal stack of a thread: the handler needs about two pages, AVX-512 state included.
const SIGNAL_STACK: usize = 8 * PAGE;

/// The stack of a keeper, which calls nothing but the kernel.
const KEEPER_STACK: usize = 2 * PAGE;

/// A seat's mailbox has whole pages, so that two processes do not write to one line of a cache.
const SEAT: usize = size_of::<Mailbox>().next_multiple_of(PAGE);

/// The daemon's record of its commits. All-zero memory is a region without a commit.
#[repr(C)]
pub(crate) struct Ledger {
    /// The number of the last commit; 0 before the first. One store of it makes a commit true (full copy), or says
    /// that the log was applied.
    pub(crate) commit: AtomicU64,
    /// The number of the commit that the log holds whole, where the mechanism has a log.
    pub(crate) logged: AtomicU64,
    /// The oldest commit that is kept, where older ones than the last are; 0 before there was one.
    pub(crate) oldest: AtomicU64,
    /// While the daemon goes back: from which commit, and to which; 0 while it does not.
    pub(crate) back_from: AtomicU64,
    pub(crate) back_to: AtomicU64,
    /// 1 while the state part holds a whole commit, for readers in other daemons.
    pub(crate) whole: AtomicU32,
    /// The daemon's incarnations so far.
    pub(crate) incarnations: AtomicU64,
    /// Undo log: 1 while a crashed state is put back from the backing.
    pub(crate) putting_back: AtomicU64,
    /// `auto`: the mechanism in use, by its place among the candidates. The daemon's last commit is where that one looks
    /// for it.
    pub(crate) in_use: AtomicU32,
}

impl Ledger {
    /// The number of the commit that is `back` before the last one, or of the oldest that is kept.
    pub(crate) fn before_last(&self, back: u8) -> u64 {
        let last = self.commit.load(Ordering::Relaxed);
        last.saturating_sub(back.into()).max(self.oldest.load(Ordering::Relaxed).max(1)).min(last)
    }

    /// Gives up the commits that are more than `kept` before commit `next`, which is about to be made.
    pub(crate) fn give_up_before(&self, next: u64, kept: usize) {
        self.oldest.fetch_max(next.saturating_sub(kept as u64).max(1), Ordering::Release);
    }
}

/// Where the parts of a region lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    pub(crate) state: Span,
    pub(crate) backing: Span,
    pub(crate) stage: Span,
    pub(crate) seats: Span,
    pub(crate) daemon_mailbox: Span,
    pub(crate) ledger: Span,
    /// The caches, one behind the other: those that come back as they were, and those that come back empty. No bytes
    /// where none is declared.
    kept_caches: Span,
    pub(crate) empty_caches: Span,
    pub(crate) scratch: Span,
    /// Undo log: what a transaction notes of its epoch. Else empty.
    pub(crate) notes: Span,
    pub(crate) signal_stack: Span,
    pub(crate) keeper_stack: Span,
    pub(crate) threads: Span,
    thread_slot: usize,
}

impl Parts {
    fn new(start: usize, declaration: &Declaration) -> Self {
        let mut at = start;
        let mut next = |len: usize| {
            let span = Span { start: at, len: len.next_multiple_of(PAGE) };
            at = span.end() + GAP;
            span
        };
        // Each thread: unmapped pages, its signal stack, unmapped pages, its stack.
        let thread_slot = GAP + SIGNAL_STACK + GAP + declaration.stack;
        Self {
            state: next(declaration.bytes),
            backing: next(declaration.mechanism.backing_len(declaration.bytes, declaration.kept_commits)),
            stage: next(declaration.stage_len().max(PAGE)),
            // Behind the mailboxes, the pool of those seats that are free for forks.
            seats: next(declaration.seats() * SEAT + size_of::<Pool>()),
            daemon_mailbox: next(size_of::<Mailbox>()),
            ledger: next(size_of::<Ledger>()),
            kept_caches: next(cache::bytes(&declaration.caches, Returns::AsItWas)),
            empty_caches: next(cache::bytes(&declaration.caches, Returns::Empty)),
            scratch: next(declaration.scratch.max(PAGE)),
            notes: next(declaration.notes_len()),
            signal_stack: next(SIGNAL_STACK),
            keeper_stack: next(KEEPER_STACK),
            threads: next(declaration.threads * thread_slot),
            thread_slot,
        }
    }

    /// The signal stack and the stack of pooled thread `i`.
    pub(crate) fn thread(&self, i: usize) -> (Span, Span) {
        let slot = self.threads.part(i * self.thread_slot, self.thread_slot);
        let signal = slot.part(GAP, SIGNAL_STACK);
        (signal, slot.part(2 * GAP + SIGNAL_STACK, self.thread_slot - 2 * GAP - SIGNAL_STACK))
    }

    pub(crate) fn thread_count(&self) -> usize {
        self.threads.len / self.thread_slot
    }

    /// The first address behind it all.
    pub(crate) fn end(&self) -> usize {
        self.threads.end()
    }
}

/// A region, mapped in this process.
pub(crate) struct Region {
    pub(crate) declaration: Declaration,
    pub(crate) parts: Parts,
    /// `auto`: what pages cost here, once that was measured.
    pub(crate) prices: Option<Prices>,
    /// The type of the state, for readers in other daemons.
    pub(crate) state_type: TypeId,
    /// Whether other daemons can read it: only then do commits have to mind readers.
    pub(crate) has_readers: bool,
    /// Whether the kernel may take pages of the state out of memory, and out of page tables with that.
    pub(crate) may_be_swapped: bool,
    pub(crate) state_fd: OwnedFd,
    pub(crate) backing_fd: OwnedFd,
    ledger_fd: OwnedFd,
}

/// Bytes that `declaration` may come to use, everything counted.
pub(crate) fn bytes_declared(declaration: &Declaration) -> u64 {
    let parts = Parts::new(0, declaration);
    let shared = [parts.state, parts.backing, parts.stage, parts.seats, parts.daemon_mailbox, parts.ledger];
    let private = [parts.scratch, parts.notes, parts.signal_stack, parts.keeper_stack];
    let stacks = declaration.threads * (declaration.stack + SIGNAL_STACK);
    let sum = |parts: &[Span]| -> usize { parts.iter().map(|part| part.len).sum() };
    let own = sum(&private) + parts.empty_caches.len + stacks + declaration.mechanism.private_copies(declaration.bytes);
    let shared = sum(&shared) + parts.kept_caches.len;
    shared.saturating_add(own.saturating_mul(declaration.processes())) as u64
}

/// The address of the first region, and of the one behind `region`.
pub(crate) fn address_after(region: Option<&Region>) -> usize {
    region.map_or(FIRST, |region| region.parts.end().next_multiple_of(ALIGNMENT))
}

impl Region {
    /// Commits and maps a region at `start`, in the root.
    pub(crate) fn map(declaration: Declaration, start: usize, state_type: TypeId, has_readers: bool) -> Result<Self> {
        let parts = Parts::new(start, &declaration);
        let shared = |part: Span, what: &str, sealed: bool| -> Result<OwnedFd> {
            let name = format!("crashbed-{}-{what}", declaration.name);
            let failed =
                |errno| Error::system(format!("daemon `{}`: {what} of {} bytes", declaration.name, part.len), errno);
            // A memfd's name may have 249 bytes at the most (memfd_create(2)).
            let name = CString::new(&name.as_bytes()[..name.len().min(249)]).unwrap_or_default();
            let fd = memory::committed_memfd(&name, part.len).map_err(failed)?;
            memory::map_new(fd.as_fd(), part, Map::Shared).map_err(failed)?;
            if sealed {
                memory::seal(&fd).map_err(failed)?;
            }
            Ok(fd)
        };
        let state_fd = shared(parts.state, "state", true)?;
        let backing_fd = shared(parts.backing, "backing", true)?;
        let ledger_fd = shared(parts.ledger, "ledger", true)?;
        if declaration.mechanism.fills_backing() {
            memory::populate_to_write(parts.backing);
        }
        for (part, what) in [(parts.stage, "stage"), (parts.seats, "seats"), (parts.daemon_mailbox, "daemon mailbox")] {
            shared(part, what, false)?;
        }
        if parts.kept_caches.len > 0 {
            shared(parts.kept_caches, "caches", true)?;
        }
        let may_be_swapped = memory::has_swap() && memory::lock(parts.state).is_err();
        let prices = None;
        let region = Self {
            declaration,
            parts,
            prices,
            state_type,
            has_readers,
            may_be_swapped,
            state_fd,
            backing_fd,
            ledger_fd,
        };
        region.let_forks_have(false)?;
        Ok(region)
    }

    /// Unmaps everything, in the root, when the tree has ended.
    pub(crate) fn unmap(&self) {
        let whole = Span { start: self.parts.state.start, len: self.parts.end() - self.parts.state.start };
        // SAFETY: the whole piece of address space is this region's, and the tree that used it has ended.
        let _ = unsafe { memory::unmap(whole) };
    }

    /// Makes this region one's own, in a freshly forked daemon: maps what is private to it and its transactions, and keeps
    /// from them what they must not reach.
    pub(crate) fn adopt(&self) -> Result<()> {
        let parts = &self.parts;
        let threads = (0..parts.thread_count()).flat_map(|i| <[Span; 2]>::from(parts.thread(i)));
        let empty_caches = Some(parts.empty_caches).filter(|part| part.len > 0);
        let notes = Some(parts.notes).filter(|part| part.len > 0);
        let private = [parts.scratch, parts.signal_stack, parts.keeper_stack];
        for part in private.into_iter().chain(empty_caches).chain(notes).chain(threads) {
            let failed = |errno| Error::system(format!("daemon `{}`: private memory", self.declaration.name), errno);
            memory::map_empty(part).map_err(failed)?;
        }
        for part in [self.parts.backing, self.parts.daemon_mailbox, self.parts.ledger] {
            memory::keep_from_forks(part).map_err(|errno| Error::system("keeping memory from transactions", errno))?;
        }
        Ok(())
    }

    /// In the root: lets the next forks have this region, or not. Its own daemon does, and no other, which would only have
    /// to unmap it.
    pub(crate) fn let_forks_have(&self, have: bool) -> Result<()> {
        let let_have = if have { memory::let_forks_have } else { memory::keep_from_forks };
        let parts = &self.parts;
        let shared = [parts.state, parts.backing, parts.stage, parts.seats, parts.daemon_mailbox, parts.ledger];
        for part in shared.into_iter().chain(Some(parts.kept_caches).filter(|part| part.len > 0)) {
            let failed = |errno| Error::system(format!("handing on region `{}`", self.declaration.name), errno);
            let_have(part).map_err(failed)?;
        }
        Ok(())
    }

    /// Makes this region a foreign one, in a freshly forked daemon of another, which has not inherited it: its state and
    /// ledger can only be read, for good (or not even that where it is hidden).
    pub(crate) fn disown(&self) -> Result<()> {
        if self.declaration.hidden {
            return Ok(());
        }
        for (fd, part) in [(&self.state_fd, self.parts.state), (&self.ledger_fd, self.parts.ledger)] {
            let failed = |errno| Error::system(format!("mapping region `{}` to be read", self.declaration.name), errno);
            memory::map_new(fd.as_fd(), part, Map::ReadOnly).map_err(failed)?;
            memory::seal_mapping(part);
        }
        Ok(())
    }

    /// How much smaller a transaction's address space is than its daemon's.
    pub(crate) fn bytes_kept_from_transactions(&self) -> usize {
        self.parts.backing.len + self.parts.daemon_mailbox.len + self.parts.ledger.len
    }

    /// The pages of `state`, which is the region's or a copy of it, that hold nothing: those inside of the `most_blocks`
    /// largest free blocks of its heap.
    ///
    /// # Safety
    /// `state` is mapped, as long as the region's, and nothing writes it meanwhile.
    pub(crate) unsafe fn free_pages(&self, state: Span, most_blocks: usize) -> FreePages {
        // SAFETY: as the caller vouches.
        unsafe { FreePages::find(state, STATE_ARENA, self.parts.state.start, most_blocks) }
    }

    /// The cache at place `index` of the declaration.
    pub(crate) fn cache(&self, index: usize) -> Span {
        let (before, cache) = (&self.declaration.caches[..index], &self.declaration.caches[index]);
        let all = match cache.returns {
            Returns::AsItWas => self.parts.kept_caches,
            Returns::Empty => self.parts.empty_caches,
        };
        all.part(cache::bytes(before, cache.returns), cache.bytes)
    }

    /// How many seats there are.
    pub(crate) fn seats(&self) -> usize {
        self.declaration.seats()
    }

    /// The seats that are free for forks at commits.
    pub(crate) fn pool(&self) -> &Pool {
        let at = self.parts.seats.part(self.seats() * SEAT, size_of::<Pool>()).start;
        // SAFETY: mapped by `map` behind the mailboxes, zeroed at first, and aligned as they are.
        unsafe { &*(at as *const Pool) }
    }

    /// The mailbox of seat `seat`, which is below [`seats`](Self::seats).
    pub(crate) fn seat(&self, seat: usize) -> &Mailbox {
        let at = self.parts.seats.part(seat * SEAT, SEAT).start;
        // SAFETY: mapped by `map`, zeroed at first; all bytes are valid for its atomics and letters.
        unsafe { &*(at as *const Mailbox) }
    }

    /// The daemon's own mailbox. Not to be used in a transaction, where it is not mapped.
    pub(crate) fn daemon_mailbox(&self) -> &Mailbox {
        // SAFETY: as for `seat`; root and daemon have it mapped.
        unsafe { &*(self.parts.daemon_mailbox.start as *const Mailbox) }
    }

    /// The ledger. Not to be used in a transaction of the region's own, where it is not mapped.
    pub(crate) fn ledger(&self) -> &Ledger {
        // SAFETY: as for `seat`; root and daemons have it mapped, others read-only, and they only load.
        unsafe { &*(self.parts.ledger.start as *const Ledger) }
    }

    /// The head of the state that this process sees.
    #[inline]
    pub(crate) fn head(&self) -> &StateHead {
        // SAFETY: the state stays mapped as long as the region.
        unsafe { StateHead::of(self.parts.state) }
    }
}
