//! A transaction asks, its daemon answers: one request at a time, over the mailbox.

use crate::here;
use crate::mailbox::{ANSWER_DONE, Mailbox, Request};
use crate::sys::event;
use std::sync::atomic::Ordering;

/// How often a transaction looks for the answer before it sleeps: some 20 µs, about what a wake-up costs.
const SPINS: u32 = 400;

/// The daemon refused: what was staged is not a commit of this region.
#[derive(Debug)]
pub(crate) struct Refused;

/// Asks the daemon for `request`, and goes on meanwhile; the answer's number is to be waited for before the next one is
/// asked. In a transaction only.
///
/// The daemon wakes where the scheduler likes. To keep it off this processor would cost more than it brings: an idle one
/// takes longer to wake than a small commit takes.
pub(crate) fn ask(mailbox: &Mailbox, request: Request, last: bool) -> u32 {
    mailbox.request.store(request as u32, Ordering::Relaxed);
    mailbox.last.store(u32::from(last), Ordering::Relaxed);
    let number = mailbox.asked.load(Ordering::Relaxed).wrapping_add(1);
    mailbox.asked.store(number, Ordering::Release);
    event::raise(here::event());
    number
}

/// Asks the daemon for `request`, and waits for the answer. Until then the daemon has this processor, whose caches hold
/// what was written. In a transaction only.
pub(crate) fn ask_and_wait(mailbox: &Mailbox, request: Request, last: bool) -> Result<(), Refused> {
    mailbox.moved.draw_once(here::parent());
    let number = ask(mailbox, request, last);
    wait(mailbox, number)
}

/// Whether request `number` was answered. In a transaction.
pub(crate) fn is_answered(mailbox: &Mailbox, number: u32) -> bool {
    mailbox.acknowledged.load(Ordering::Acquire) == number
}

/// Waits for the answer to request `number`, the newest one. The wait has no end of its own: a daemon that dies takes
/// the transaction with it.
pub(crate) fn wait(mailbox: &Mailbox, number: u32) -> Result<(), Refused> {
    let mut spins = 0;
    loop {
        let acknowledged = mailbox.acknowledged.load(Ordering::Acquire);
        if acknowledged == number {
            let done = mailbox.answer.load(Ordering::Relaxed) == ANSWER_DONE;
            return if done { Ok(()) } else { Err(Refused) };
        }
        if spins < SPINS {
            spins += 1;
            std::hint::spin_loop();
        } else {
            event::futex_wait(&mailbox.acknowledged, acknowledged);
        }
    }
}

/// The request that waits for an answer, if any. In the daemon.
pub(crate) fn pending(mailbox: &Mailbox) -> Option<u32> {
    let asked = mailbox.asked.load(Ordering::Acquire);
    (asked != mailbox.acknowledged.load(Ordering::Relaxed)).then(|| mailbox.request.load(Ordering::Relaxed))
}

/// Answers the pending request. In the daemon.
pub(crate) fn answer(mailbox: &Mailbox, answer: u32) {
    mailbox.answer.store(answer, Ordering::Relaxed);
    let asked = mailbox.asked.load(Ordering::Relaxed);
    mailbox.acknowledged.store(asked, Ordering::Release);
    event::futex_wake(&mailbox.acknowledged);
}
