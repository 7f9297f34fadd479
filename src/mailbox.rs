//! The words by which a process and its parent speak: shared memory that the child writes and the parent reads.
//!
//! A daemon has one (root reads), and each seat of its region has one: a seat is taken by a process of the present
//! transaction, be it the one that works, a spare, or one that is dying. A mailbox is never trusted: what a crashed
//! process left in it is checked before it is used. Each word has one writer:
//!
//! | words | written by | when |
//! |---|---|---|
//! | `incarnation`, `redo_target`, `acknowledged`, `answer` | parent | before the fork; after a request |
//! | `children` | child | when it has forked or reaped a process of its own |
//! | `phase`, `beat_ns`, `operation`, times | child (the parent `beat_ns` too: before the fork, with an answer, when the count of operations has moved) | as it goes |
//! | `lingers` | child; the parent takes it back | before its program runs; when the page table was read |
//! | `written` | child | before `end`, where it fails |
//! | `protects` | child; the parent takes it back | before a commit finds what to protect; when that commit is true |
//! | `changing` | child | as its change guards, and scopes of threads, come and go |
//! | `request`, `asked` | child | last of all words of a request; then the event descriptor is raised |
//! | `notice` | child, in its crash handler | `claimed` by compare-and-swap, `stage` counts up, see there |
//! | `heir` | the spare that would succeed the child | when it is ready |
//! | `drawn` | child, in its crash handler | before it wakes its parent |
//! | `moved` | child; the parent takes it back | before the child wakes its parent; when that has woken |
//! | `standby` | see there | while the child is a spare |
//! | `chain` | see there | where the child forks at its commits |
//! | `end`, `failure` | child | before it exits |
//!
//! A request is numbered: the child counts `asked` up, the parent sets `acknowledged` to the same number.

use crate::drawn::Drawn;
use crate::failure::{Failure, FailureKind};
use crate::text::Text;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// Seats of a daemon's processes: one works, one is a spare, one's crash is still read, and two may be dying.
pub(crate) const SEATS: usize = 5;
/// Seats beyond those for a process that forks at its commits, besides one for each commit that is kept so: one works, one
/// is about to, one's crash is still read, and one may be dying.
pub(crate) const FORK_SEATS: usize = 4;
/// The most commits that are kept by forks.
pub(crate) const MOST_DEPTH: usize = 8;
/// The most seats that a region has.
pub(crate) const MOST_SEATS: usize = SEATS + FORK_SEATS + MOST_DEPTH;

/// One direction of speech between a child and its parent. All-zero memory is an empty mailbox.
#[repr(C)]
pub(crate) struct Mailbox {
    pub(crate) incarnation: AtomicU64,
    /// The child's keeper; 0 none. Written by the kernel.
    pub(crate) keeper: AtomicI32,
    /// The child's own children, by seat; 0 none.
    pub(crate) children: [AtomicI32; MOST_SEATS],
    pub(crate) phase: AtomicU32,
    pub(crate) beat_ns: AtomicU64,
    pub(crate) operation: AtomicU64,
    pub(crate) started_ns: AtomicU64,
    pub(crate) resumed_operation: AtomicU64,
    pub(crate) first_operation_ns: AtomicU64,
    pub(crate) redo_target: AtomicU64,
    pub(crate) redone_ns: AtomicU64,
    /// Page faults of the child before it began or took over, and from then to its first operation done.
    pub(crate) faults_before: AtomicU64,
    pub(crate) faults: AtomicU64,

    pub(crate) asked: AtomicU32,
    pub(crate) acknowledged: AtomicU32,
    pub(crate) answer: AtomicU32,
    pub(crate) request: AtomicU32,
    pub(crate) pages: AtomicU32,
    pub(crate) checksum: AtomicU32,
    /// 1 with the first piece of a commit, and with the last one.
    pub(crate) first: AtomicU32,
    pub(crate) last: AtomicU32,

    pub(crate) end: AtomicU32,
    pub(crate) answered: AtomicU32,
    /// Pages that the child listed in the stage before it failed, and one more; 0 none.
    pub(crate) written: AtomicU32,
    /// Under dirty pages, child: 1 while pages are protected that may differ from the last commit. Parent: 0 once they are
    /// committed.
    pub(crate) protects: AtomicU32,
    /// 1 while a child that crashes is to linger until the parent has read its page table.
    pub(crate) lingers: AtomicU32,
    /// Change guards that are held, and scopes of threads that run.
    pub(crate) changing: AtomicU32,
    /// 1 once a commit found that segmentation faults lead to somebody else's handler.
    pub(crate) foreign_handler: AtomicU32,
    failure_kind: AtomicU32,
    failure_type: Letter,
    failure_message: Letter,
    failure_place: Letter,
    pub(crate) notice: NoticeRecord,
    /// The seat of the spare that the crash handler releases, counted from 1; 0 where the daemon has to see to it.
    pub(crate) heir: AtomicU32,
    /// The parent, where the crash handler drew it.
    pub(crate) drawn: Drawn,
    /// The parent, where the child that works keeps it off its processor, or has it there while it waits.
    pub(crate) moved: Drawn,
    pub(crate) standby: Standby,
    pub(crate) chain: Chain,
    /// A panic's message, kept in case that it aborts the process.
    pub(crate) panic: Letter,
}

/// What a crash handler leaves behind.
#[repr(C)]
pub(crate) struct NoticeRecord {
    /// The thread whose crash this is; the others park.
    pub(crate) claimed: AtomicI32,
    pub(crate) stage: AtomicU32,
    /// Proves that the record is that of the handler of this very incarnation ([`notice::nonce`](crate::notice::nonce)).
    pub(crate) nonce: AtomicU64,
    /// 1 where every other thread has been stopped: nothing of the process can write any more.
    pub(crate) stopped: AtomicU32,
    pub(crate) signal: AtomicI32,
    pub(crate) code: AtomicI32,
    pub(crate) address: AtomicU64,
    pub(crate) instruction: AtomicU64,
    pub(crate) stack: AtomicU64,
    pub(crate) when_ns: AtomicU64,
}

/// [`NoticeRecord::stage`]: the handler runs.
pub(crate) const NOTICE_ENTERED: u32 = 1;
/// [`NoticeRecord::stage`]: the record is whole; the handler is about to look for an heir.
pub(crate) const NOTICE_COMPLETE: u32 = 2;
/// [`NoticeRecord::stage`]: the record is whole, and the handler has found an heir or none.
pub(crate) const NOTICE_TOLD: u32 = 3;

/// What passes between a spare and those that release it; how is told in `standby.rs`.
#[repr(C)]
pub(crate) struct Standby {
    /// Where the spare stands: a [`Turn`](crate::standby::Turn), and the futex that it sleeps on.
    pub(crate) turn: AtomicU32,
    /// Spare: its process id, sealed ([`notice::seal`](crate::notice::seal)); 0 while it cannot be drawn.
    pub(crate) sleeper: AtomicU64,
    /// Whoever releases it: that it was drawn.
    pub(crate) drawn: Drawn,
    /// Spare: how it began to work ([`Start`](crate::Start)).
    pub(crate) started_by: AtomicU32,
    /// Spare: processor time that it took to get ready, and that it spun, in nanoseconds.
    pub(crate) ready_ns: AtomicU64,
    pub(crate) spun_ns: AtomicU64,
    /// Spare: bytes of memory that are its alone, page tables included; 0 where it was not asked.
    pub(crate) memory_bytes: AtomicU64,
    /// Whoever decided: when it knew, when it had decided, and what.
    pub(crate) noticed_ns: AtomicU64,
    pub(crate) decided_ns: AtomicU64,
    pub(crate) action: AtomicU32,
    pub(crate) delay_ns: AtomicU64,
    pub(crate) environment: AtomicU64,
    /// Daemon, with an order: how the predecessor ended, the number of the last commit then and how many operations that
    /// held, whether the heap's lock was held (0 unknown, 1 no, 2 yes), and in which slot the state was set aside (counted from 1; 0 none).
    pub(crate) ending: [AtomicU64; 3],
    pub(crate) committed: [AtomicU64; 2],
    pub(crate) heap_locked: AtomicU32,
    pub(crate) set_aside: AtomicU64,
    /// Daemon, with an order: 1 where the crashed state was kept in place.
    pub(crate) kept: AtomicU32,
}

/// What passes between a process that forks at its commits and its daemon; how is told in `mechanism/fork.rs`.
#[repr(C)]
pub(crate) struct Chain {
    /// The process of this seat, where it was forked at a commit: written by the kernel before its first instruction.
    pub(crate) pid: AtomicI32,
    /// Child: the seat, counted from 1, in which a fork of it goes on, or is about to: it is frozen itself then.
    pub(crate) successor: AtomicU32,
    /// Child: the number of the commit that it is when it is frozen, and how many operations that counts.
    pub(crate) commit: AtomicU64,
    pub(crate) operations: AtomicU64,
    /// Daemon: other than 0 where it calls the frozen process, which sleeps on this word.
    pub(crate) call: AtomicU32,
    /// Daemon: what the frozen process is to do, sealed ([`notice::seal`](crate::notice::seal)); where it works, in whose
    /// seat the crash stands, and how many there were.
    pub(crate) order: AtomicU64,
    pub(crate) crashed: AtomicU32,
    pub(crate) crashes: AtomicU64,
}

/// The seats that are free for forks at commits, a bit each; the first bit is the seat behind [`SEATS`]. The process that
/// works takes one; its daemon gives it back when it is free again. A wild write into it costs the child that is forked
/// for a seat in use: its daemon does not believe it.
#[repr(transparent)]
pub(crate) struct Pool(AtomicU64);

impl Pool {
    /// Takes a free seat of `seats` in all.
    pub(crate) fn take(&self, seats: usize) -> Option<usize> {
        let free = self.0.load(Ordering::Acquire);
        let seat = SEATS + free.trailing_zeros() as usize;
        (seat < seats).then(|| {
            self.0.fetch_and(!Self::bit(seat), Ordering::AcqRel);
            seat
        })
    }

    /// Gives a seat back.
    pub(crate) fn give(&self, seat: usize) {
        self.0.fetch_or(Self::bit(seat), Ordering::AcqRel);
    }

    /// Those for which `is_free` are free, and no others. To be called while no process takes one.
    pub(crate) fn set(&self, seats: usize, is_free: impl Fn(usize) -> bool) {
        let free = (SEATS..seats).filter(|seat| is_free(*seat)).map(Self::bit).sum();
        self.0.store(free, Ordering::Release);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn bit(seat: usize) -> u64 {
        1 << (seat - SEATS)
    }
}

/// What a child asks of its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Request {
    /// Take `pages` staged pages; with `last`, make the commit true.
    Commit = 1,
    /// Put the crashed state that was kept in place of the last commit.
    Keep = 2,
    /// Take the `pages` pages that the stage lists from the state itself (dirty pages); with `last`, as above.
    CommitInPlace = 3,
    /// Make a seat free for a fork.
    Seat = 4,
}

/// How a child ended, by its own word; believed only together with exit status 0. That its work is done is not said
/// here: the last commit says it ([`StateHead::done`](crate::state_head::StateHead)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum End {
    /// It did not say.
    None = 0,
    /// An error or a panic; [`Mailbox::failure`] holds it.
    Failed = 1,
    /// Its own code gave up (process decides).
    GaveUp = 2,
    /// A daemon's closure has returned.
    Done = 3,
}

/// [`Mailbox::resumed_operation`]: the child has no state yet.
const NOT_RESUMED: u64 = u64::MAX;

/// [`Mailbox::answer`] to a request that was done.
pub(crate) const ANSWER_DONE: u32 = 1;
/// [`Mailbox::answer`] to a request that was refused.
pub(crate) const ANSWER_REFUSED: u32 = 2;

/// A text in shared memory that one process writes before it raises a flag and another reads after it saw the flag.
/// Every pattern of bytes is a valid [`Text`], so a wild write into it can spoil the words but nothing else.
#[repr(transparent)]
pub(crate) struct Letter(UnsafeCell<Text>);

// SAFETY: who may write and read when is the contract of `write` and `read`.
unsafe impl Sync for Letter {}

impl Letter {
    /// # Safety
    /// No other thread or process reads or writes the letter until the flag that guards it was raised.
    pub(crate) unsafe fn write(&self, text: Text) {
        // SAFETY: the caller is the only one at the letter.
        unsafe { self.0.get().write(text) };
    }

    /// # Safety
    /// The flag that guards the letter was seen raised, and its writer has ended or waits.
    pub(crate) unsafe fn read(&self) -> Text {
        // SAFETY: as the caller vouches.
        unsafe { self.0.get().read() }
    }
}

impl Mailbox {
    /// Empties the mailbox for a child that is about to be forked.
    pub(crate) fn prepare(&self, incarnation: u64, redo_target: u64, now_ns: u64) {
        let notice = &self.notice;
        let standby = &self.standby;
        for word in [&self.phase, &self.asked, &self.acknowledged, &self.end, &self.answered, &notice.stage] {
            word.store(0, Ordering::Relaxed);
        }
        for word in [
            &self.heir,
            &self.foreign_handler,
            &self.changing,
            &self.written,
            &self.protects,
            &standby.turn,
            &standby.started_by,
            &standby.kept,
            &notice.stopped,
        ] {
            word.store(0, Ordering::Relaxed);
        }
        notice.claimed.store(0, Ordering::Relaxed);
        // The spare before it in this seat may have been one that was ordered under another mechanism.
        standby.set_aside.store(0, Ordering::Relaxed);
        self.keeper.store(0, Ordering::Relaxed);
        self.drawn.clear();
        self.moved.clear();
        standby.drawn.clear();
        standby.sleeper.store(0, Ordering::Relaxed);
        for child in &self.children {
            child.store(0, Ordering::Relaxed);
        }
        for word in [&self.operation, &self.started_ns, &self.first_operation_ns, &self.redone_ns] {
            word.store(0, Ordering::Relaxed);
        }
        for word in [&self.faults_before, &self.faults, &standby.ready_ns, &standby.spun_ns, &standby.memory_bytes] {
            word.store(0, Ordering::Relaxed);
        }
        self.chain.pid.store(0, Ordering::Relaxed);
        self.chain.successor.store(0, Ordering::Relaxed);
        self.chain.order.store(0, Ordering::Relaxed);
        self.redo_target.store(redo_target, Ordering::Relaxed);
        self.resumed_operation.store(NOT_RESUMED, Ordering::Relaxed);
        self.beat_ns.store(now_ns, Ordering::Relaxed);
        // SAFETY: the child that will write here does not exist yet.
        unsafe { self.panic.write(Text::EMPTY) };
        self.incarnation.store(incarnation, Ordering::Release);
    }

    /// Empties the mailbox for the fork of a child that speaks through `before`, and takes over from there what is said of
    /// the incarnation that goes on in it.
    pub(crate) fn go_on_from(&self, before: &Self, now_ns: u64) {
        let incarnation = before.incarnation.load(Ordering::Relaxed);
        self.prepare(incarnation, before.redo_target.load(Ordering::Relaxed), now_ns);
        for (word, said) in self.of_the_incarnation().into_iter().zip(before.of_the_incarnation()) {
            word.store(said.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let words = [
            (&self.phase, &before.phase),
            (&self.answered, &before.answered),
            (&self.changing, &before.changing),
            (&self.foreign_handler, &before.foreign_handler),
            (&self.end, &before.end),
            (&self.standby.started_by, &before.standby.started_by),
        ];
        for (word, said) in words {
            word.store(said.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// The numbers that are said of an incarnation, whichever process it is in.
    fn of_the_incarnation(&self) -> [&AtomicU64; 6] {
        [
            &self.operation,
            &self.started_ns,
            &self.resumed_operation,
            &self.first_operation_ns,
            &self.redone_ns,
            &self.faults,
        ]
    }

    /// The number of operations that the child's state began with, once it had one.
    pub(crate) fn resumed(&self) -> Option<u64> {
        Some(self.resumed_operation.load(Ordering::Relaxed)).filter(|operations| *operations != NOT_RESUMED)
    }

    /// How the child ended, by its own word.
    pub(crate) fn end(&self) -> End {
        match self.end.load(Ordering::Acquire) {
            1 => End::Failed,
            2 => End::GaveUp,
            3 => End::Done,
            _ => End::None,
        }
    }

    /// Writes why the child fails, and that it does.
    pub(crate) fn fail(&self, failure: &Failure) {
        // SAFETY: the child alone writes here, and the parent reads after it saw `end`.
        unsafe { self.failure_type.write(Text::new(failure.type_name())) };
        // SAFETY: as above.
        unsafe { self.failure_message.write(Text::new(failure.message())) };
        // SAFETY: as above.
        unsafe { self.failure_place.write(Text::new(failure.place())) };
        self.failure_kind.store(failure.kind() as u32, Ordering::Relaxed);
        self.end.store(End::Failed as u32, Ordering::Release);
    }

    /// As [`fail`](Self::fail), for an allocation without room: allocates nothing. Where two threads come here at once,
    /// the words may mix; the kind does not.
    pub(crate) fn fail_exhausted(&self, what: &dyn std::fmt::Display) {
        // SAFETY: the parent reads after it saw `end` and the process is gone.
        unsafe { self.failure_message.write(Text::display(what)) };
        // SAFETY: as above.
        unsafe { self.failure_place.write(Text::EMPTY) };
        // SAFETY: as above.
        unsafe { self.failure_type.write(Text::EMPTY) };
        self.failure_kind.store(FailureKind::Exhausted as u32, Ordering::Relaxed);
        self.end.store(End::Failed as u32, Ordering::Release);
    }

    /// Why the child failed; to be called once [`end`](Self::end) was [`End::Failed`] and the child has ended.
    pub(crate) fn failure(&self) -> Failure {
        let kind = match self.failure_kind.load(Ordering::Relaxed) {
            2 => FailureKind::Panic,
            3 => FailureKind::Exhausted,
            4 => FailureKind::CommitRefused,
            _ => FailureKind::Error,
        };
        // SAFETY: the child raised `end` after writing, and has ended.
        let type_name = unsafe { self.failure_type.read() };
        // SAFETY: as above.
        let message = unsafe { self.failure_message.read() };
        // SAFETY: as above.
        let place = unsafe { self.failure_place.read() };
        Failure::from_parts(kind, type_name, message, place)
    }
}
