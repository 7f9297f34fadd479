//! Fork: a commit is a process. The transaction forks, the fork goes on, and the process that it was forked from is
//! frozen with the state, the stack and the locals of that moment.
//!
//! ```text
//! transaction A                     B                                daemon
//! commit: names a seat
//!   fork ──────────────────────▶    dies with the daemon
//!   freezes                         commit returns            ──▶    follows B; keeps A; ends the oldest kept but for
//!                                   works                            `depth` of them
//!                                   crash                     ──▶    decides; orders A, or one before it
//!   fork ───────────────────────────────────▶ C
//!   freezes                                   commit returns again, with the crash
//!                                             the last commit ──▶    logs and applies it, as under copy on write; ends
//!                                                                    all that are kept
//! ```
//!
//! The state is a private mapping of the daemon's last commit, as under copy on write, and all that is not a fork is done
//! as there: the commit of a state that was made, of what was decided about it, and the last one, with all pages that were
//! written since the transaction began. So is the commit of a process that cannot fork. A commit through the daemon is
//! newer than every frozen process, and ends them: at each moment the commits are the daemon's last one, and behind it the
//! frozen processes, oldest first.
//!
//! What it gives up: between two commits through the daemon the commits live in processes alone. A daemon that dies loses
//! what its transaction did, and so does an answer that ends the transaction's process for good, unless the newest frozen
//! process can *hand in* its state first: it makes a commit of it through the daemon, and ends. That is done where the
//! policy or the program gives up, where the transaction fails, where the daemon is to be restarted, and where the program's
//! own code decides: it may change the state, which the frozen stack borrows, so it is asked in a fresh process.
//!
//! A commit, as the transaction's processes live it; the daemon's side is in `checkpoints.rs`:
//!
//! ```text
//!            a seat, a mailbox            fork
//! commit ───────────────────────▶ ─────────┬──────────▶ frozen ◀──────────────┐
//!                                          │              │ ordered by the daemon
//!                                          ▼              └──▶ fork ──┬──▶ to work: commit returns, with the crash
//!                                   commit returns                    └──▶ to hand in: a commit through the daemon, and exit
//! ```
//!
//! A frozen process does nothing by itself, and as little as can be when it is ordered: a crash in it would cost the
//! commit, one in its fork does not. What the crash demands of the state (a skip) is done before it forks, since it is to
//! hold for the crashes that follow as well.

use crate::cache;
use crate::crash::Crash;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::here;
use crate::life;
use crate::link;
use crate::mailbox::{Chain, End, Mailbox, Request};
use crate::mechanism::Until;
use crate::notice;
use crate::point::{self, Point};
use crate::policy::Action;
use crate::region::Region;
use crate::spare::Start;
use crate::standby;
use crate::sys::process::{self, Forked};
use crate::sys::{clock, event, memory};
use crate::threads;
use crate::transaction::Tx;
use std::sync::atomic::Ordering;

/// What a fork of a frozen process is ordered to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Order {
    /// Go on with the program.
    Work = 1,
    /// Make a commit of the state through the daemon, and end.
    HandIn = 2,
}

impl Order {
    /// The word that is believed in the mailbox of incarnation `incarnation`.
    pub(crate) fn seal(self, incarnation: u64) -> u64 {
        notice::seal(self as i32, incarnation)
    }

    /// What stands in this mailbox; `None` where only a wild write can have put it there.
    fn of(mailbox: &Mailbox) -> Option<Self> {
        let incarnation = mailbox.incarnation.load(Ordering::Relaxed);
        let word = mailbox.chain.order.load(Ordering::Acquire);
        [Self::Work, Self::HandIn].into_iter().find(|order| order.seal(incarnation) == word)
    }
}

/// What a frozen process was woken for.
struct Succeeded {
    order: Order,
    crash: Crash,
    crashes: u64,
    environment: Environment,
}

/// Makes the present state a commit. Returns in a fork of this process, perhaps several times, each time in another.
pub(crate) fn commit(tx: &mut Tx<'_>) -> Result<(), Failure> {
    // What a fork would not have, threads that are none of the engine's; and what a successor that returns from here would
    // find changed behind a borrow of this process's.
    if !threads::is_alone() || cache::is_any_in_use() {
        return tx.commit_through_daemon();
    }
    let mailbox = tx.mailbox;
    // No `beat`: it may prepare this process for a crash, which is about to freeze.
    mailbox.beat_ns.store(clock::now_ns(), Ordering::Relaxed);
    tx.begin_commit(true)?;
    point::pass(Point::Stage);
    life::flush();
    mailbox.chain.commit.store(tx.commit_number(), Ordering::Relaxed);
    mailbox.chain.operations.store(tx.operations(), Ordering::Relaxed);
    mailbox.chain.order.store(0, Ordering::Relaxed);
    point::pass(Point::Staged);
    let mut succeeded = None;
    loop {
        match fork(tx.region, mailbox) {
            Some(Side::GoesOn(seat)) => {
                speak_from(tx, seat);
                if let Some(Succeeded { order: Order::HandIn, .. }) = succeeded {
                    hand_in(tx);
                }
                begin(tx, succeeded.as_ref());
                return Ok(());
            }
            Some(Side::Freezes) => {}
            // It goes on by itself, with nothing to go back to but what its daemon has.
            None => {
                match &succeeded {
                    Some(Succeeded { order: Order::HandIn, .. }) => hand_in(tx),
                    Some(succeeded) => take_note(tx, succeeded),
                    None => {}
                }
                return tx.commit_through_daemon();
            }
        }
        event::raise(here::event());
        point::pass(Point::Freeze);
        succeeded = Some(freeze(tx));
    }
}

/// On which side of a fork this is.
enum Side {
    /// In the fork, which has this seat.
    GoesOn(usize),
    /// In the process that was forked.
    Freezes,
}

/// Forks for a seat of its own; `None` where it cannot.
fn fork(region: &Region, mailbox: &Mailbox) -> Option<Side> {
    let seat = take_seat(region, mailbox)?;
    let own = region.seat(seat);
    own.go_on_from(mailbox, clock::now_ns());
    // Announced before there is such a process: where this one dies now, its daemon looks there for a fork of it.
    mailbox.chain.successor.store(u32::try_from(seat).unwrap_or(0) + 1, Ordering::Release);
    // SAFETY: `commit` has asked the kernel whether this is the only thread, and starts none; the mailbox is shared.
    match unsafe { process::fork_sibling(&own.chain.pid) } {
        Ok(Forked::Parent(_)) => Some(Side::Freezes),
        Ok(Forked::Child) => {
            if !process::die_with_parent(here::told_parent()) {
                process::exit_now(1);
            }
            Some(Side::GoesOn(seat))
        }
        Err(_) => {
            mailbox.chain.successor.store(0, Ordering::Release);
            region.pool().give(seat);
            None
        }
    }
}

/// A seat that is free; has the daemon free one where there is none.
fn take_seat(region: &Region, mailbox: &Mailbox) -> Option<usize> {
    /// A daemon that has answered has freed one, unless somebody has written over the pool since.
    const TRIES: usize = 3;
    for _ in 0..TRIES {
        if let Some(seat) = region.pool().take(region.seats()) {
            return Some(seat);
        }
        link::ask_and_wait(mailbox, Request::Seat, true).ok()?;
    }
    None
}

/// In the fork: gives it its own mailbox.
fn speak_from(tx: &mut Tx<'_>, seat: usize) {
    let region = tx.region;
    tx.mailbox = region.seat(seat);
    here::speak_through(tx.mailbox);
}

/// In the fork: makes it the process that works.
fn begin(tx: &mut Tx<'_>, succeeded: Option<&Succeeded>) {
    if let Some(succeeded) = succeeded {
        take_note(tx, succeeded);
        point::pass(Point::Restore);
    }
    point::pass(Point::Forked);
    tx.end_commit(clock::now_ns());
}

/// Lets the program know of the crash, and empties what is to come back empty.
fn take_note(tx: &mut Tx<'_>, succeeded: &Succeeded) {
    let caches = tx.region.parts.empty_caches;
    if caches.len > 0 {
        // SAFETY: behind these private pages of no file are zeros, which every element of a cache may be; none was in use
        // at this commit.
        let _ = unsafe { memory::drop_private_copies(caches) };
    }
    tx.crash = Some(succeeded.crash);
    tx.crashes = succeeded.crashes;
    tx.incarnation = tx.mailbox.incarnation.load(Ordering::Relaxed);
    tx.steady.set(false);
    succeeded.environment.set();
}

/// Waits, frozen, for an order.
fn freeze(tx: &Tx<'_>) -> Succeeded {
    let Chain { call, order, .. } = &tx.mailbox.chain;
    loop {
        // Before it looks for an order: one that comes after the look has called after this.
        call.store(0, Ordering::SeqCst);
        let now_ns = clock::now_ns();
        if let Some(ordered) = Order::of(tx.mailbox) {
            order.store(0, Ordering::Relaxed);
            return wake(tx, ordered, now_ns);
        }
        // Called without an order, which only a wild write does: it goes on waiting.
        while call.load(Ordering::SeqCst) == 0 {
            event::futex_wait(call, 0);
        }
    }
}

/// Reads what happened, and does what it demands of the state.
fn wake(tx: &Tx<'_>, mut order: Order, now_ns: u64) -> Succeeded {
    let mailbox = tx.mailbox;
    // All else in the mailbox was emptied with the order.
    let (words, chain) = (&mailbox.standby, &mailbox.chain);
    words.started_by.store(Start::Warm as u32, Ordering::Relaxed);
    mailbox.started_ns.store(now_ns, Ordering::Relaxed);
    life::report_operations(tx);
    mailbox.foreign_handler.store(u32::from(!notice::is_installed()), Ordering::Relaxed);
    let seat = chain.crashed.load(Ordering::Relaxed) as usize;
    let crashed = if seat < tx.region.seats() { tx.region.seat(seat) } else { mailbox };
    let crash = standby::told_crash(words, crashed);
    mailbox.redo_target.fetch_max(crash.operation, Ordering::Relaxed);
    if order == Order::Work && standby::action(words) == Action::Skip && !tx.head().skip(crash.operation) {
        mailbox.end.store(End::GaveUp as u32, Ordering::Release);
        order = Order::HandIn;
    }
    Succeeded {
        order,
        crash,
        crashes: chain.crashes.load(Ordering::Relaxed),
        environment: Environment::from_word(words.environment.load(Ordering::Relaxed)),
    }
}

/// Makes a commit of the state through the daemon, and ends. Where it is refused, the commit before stands.
fn hand_in(tx: &Tx<'_>) -> ! {
    let _ = tx.mechanism.commit(tx.region, tx.mailbox, Until::LastOfAll);
    process::exit_now(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_order_is_believed_by_its_seal_alone(incarnation: u64, other: u64, wild: u64) {
            // SAFETY: all-zero memory is an empty mailbox.
            let mailbox: Mailbox = unsafe { std::mem::zeroed() };
            mailbox.incarnation.store(incarnation, Ordering::Relaxed);
            prop_assert_eq!(Order::of(&mailbox), None);
            for order in [Order::Work, Order::HandIn] {
                mailbox.chain.order.store(order.seal(incarnation), Ordering::Relaxed);
                prop_assert_eq!(Order::of(&mailbox), Some(order));
                mailbox.chain.order.store(order.seal(incarnation) ^ wild.max(1), Ordering::Relaxed);
                prop_assert_ne!(Order::of(&mailbox), Some(order));
                mailbox.chain.order.store(order.seal(other), Ordering::Relaxed);
                prop_assert_eq!(Order::of(&mailbox), (other == incarnation).then_some(order));
            }
        }
    }
}
