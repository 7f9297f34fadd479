//! Resident transactions: one that serves many operations, so that a fork is paid for each crash and not for each
//! operation.
//!
//! ```text
//!         ┌────────────────────────── not yet ◀──┐
//!         ▼                                      │
//! request number n ─▶ serve ─▶ done ─▶ n + 1 ─▶ request … after every k: commit, then reply to those k
//! ```
//!
//! A reply leaves when the commit that holds its operation is true, and not before (law 8). A successor begins at the
//! first request that the last commit does not hold. So a request must be there to be asked for again until its commit:
//! a service that reads from a socket peeks, and takes the message away when it replies.

use crate::daemon::{Outcome, Prepared};
use crate::error::Result;
use crate::failure::Failure;
use crate::policy::RestartPolicy;
use crate::recoverable::Recoverable;
use crate::transaction::Tx;
use std::num::NonZeroU64;

/// What is there to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<R> {
    /// A request.
    Request(R),
    /// None at the moment: what is held back is committed and replied to, then the service is asked again.
    NotYet,
    /// No more: the transaction is done.
    NoMore,
}

/// What a resident transaction does. Its requests are numbered by [`Tx::operations`], over the life of the state.
///
/// All of it runs in the transaction: `request` and `reply` too may crash, and have effects that a crash does not take
/// back.
pub trait Service<S>: Sync {
    /// What comes in.
    type Request;
    /// What goes out.
    type Answer;

    /// The request number `number`. A successor may ask for it again. Where `wait` is false, it answers
    /// [`Incoming::NotYet`] rather than to wait, since others wait for their replies; else it may wait, by
    /// [`Tx::wait_readable`], which is no silence.
    ///
    /// # Errors
    /// As an operation's: the transaction fails, and goes back to the last commit.
    fn request(&self, tx: &Tx<'_>, number: u64, wait: bool) -> std::result::Result<Incoming<Self::Request>, Failure>;

    /// Serves a request, as one operation.
    ///
    /// # Errors
    /// As above. An error that belongs to the request alone is part of its answer.
    fn serve(
        &self,
        tx: &mut Tx<'_>,
        state: &mut S,
        request: Self::Request,
    ) -> std::result::Result<Self::Answer, Failure>;

    /// Replies to request `number`, which is committed. A crash between the commit and this call loses the reply, and
    /// nobody replies to a request that is skipped: who needs one asks again, and `request` answers those whose number
    /// has been passed (`examples/service.rs`).
    ///
    /// It must not wait longer than the heartbeat's deadline: to wait for room in a socket is silence, and the
    /// transaction is ended for it, each successor too. Where a client may not read, write without waiting.
    fn reply(&self, number: u64, answer: Self::Answer);
}

impl<S: Recoverable + Default, P: RestartPolicy> Prepared<'_, S, P> {
    /// Runs `service` as one transaction, with a commit after every `commit_every` operations, until it has no more
    /// requests; answers how many operations the state counts then. A request that the program decided to skip
    /// ([`Answer::Skip`](crate::Answer::Skip)) is counted and not served.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn serve<V: Service<S>>(self, service: &V, commit_every: NonZeroU64) -> Result<Outcome<u64>> {
        self.run(|tx, state| {
            let mut held = Held { service, answers: Vec::new() };
            loop {
                let number = tx.operations();
                if tx.skips(number) {
                    tx.done();
                    continue;
                }
                match service.request(tx, number, held.answers.is_empty())? {
                    Incoming::Request(request) => {
                        let answer = service.serve(tx, state, request)?;
                        tx.done();
                        held.answers.push((number, answer));
                        if held.answers.len() as u64 == commit_every.get() {
                            held.release(tx)?;
                        }
                    }
                    Incoming::NotYet => held.release(tx)?,
                    Incoming::NoMore => {
                        held.release(tx)?;
                        return Ok(number);
                    }
                }
            }
        })
    }
}

/// Answers whose commit is still to come.
struct Held<'v, S, V: Service<S>> {
    service: &'v V,
    answers: Vec<(u64, V::Answer)>,
}

impl<S, V: Service<S>> Held<'_, S, V> {
    /// Commits, then lets the answers out.
    fn release(&mut self, tx: &mut Tx<'_>) -> std::result::Result<(), Failure> {
        if !self.answers.is_empty() {
            let crashes = tx.crashes();
            tx.commit()?;
            if tx.crashes() != crashes {
                // Gone back to, after a crash: it is not known which of them have left already.
                self.answers.clear();
            }
        }
        for (number, answer) in self.answers.drain(..) {
            self.service.reply(number, answer);
        }
        Ok(())
    }
}
