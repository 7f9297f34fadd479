//! A fleet of processes over years of simulated time, under any restart policy.
//!
//! # The model
//!
//! Each process works through transactions of some operations, with commits between ([`Parameters`]). Faults come to it
//! by an exponential clock that runs whenever the process is there: at work, in a commit and while it comes back, not
//! while a policy's delay or a repair lasts. A fault is one of three:
//!
//! - **transient**: one crash, and nothing of it is left;
//! - **poison**: the operation in flight crashes whenever it is met again. It is got past by a skip, by a changed
//!   environment where that cures it, or by giving up;
//! - **propagated**: the state had been damaged before one commit or several, and the crash comes again, at the same
//!   operation, from any of them (Lowell, Chandra and Chen, "Exploring Failure Transparency and the Limits of Generic
//!   Recovery", OSDI 2000). It is got past by zero, by a commit that is old enough, or by giving up.
//!
//! The policy is the real one: it gets a [`crashbed::Crash`] and a [`crashbed::History`] as the engine would hand them
//! out, and the engine's limit on restarts holds. What it decides is done to the process by the rules of the engine: what
//! is lost, what is done again, how long it takes, drawn from what was measured for that action.
//!
//! The policy is the daemon's as well, as in a run's trials: where it restarts that, it is asked again about the crash that
//! this is to the root, by the daemon's own history, and the limit holds there too.
//!
//! A history begins anew where the engine begins one: with each transaction, and with each incarnation of the daemon. It
//! also does so after a quiet time, which the engine does not do; a resident transaction that lives for months would
//! otherwise show each policy that counts its crashes a number that means nothing. Few crashes have another one before
//! them in their history, so that a history is kept only where the next crash, which is known, will come into it.
//!
//! A program that is asked is asked in a successor, which takes a recovery also where it answers to give up.
//!
//! A transaction that is given up goes to whoever looks after the fleet: after the time of a repair its process begins
//! anew, with nothing wrong any more. So does one that gets nowhere for longer than their patience.
//!
//! # What it leaves out
//!
//! All processes are alike and strike each other in nothing: no fault hits several of them, and no recovery waits for
//! another one. A successor's first operations cost what later ones do, since the recovery that was measured has that in
//! it. A skipped operation takes the time of one. Going back ends at the transaction's beginning.
//!
//! # How it is computed
//!
//! The fleet is cut into shards of nearly the same size, each with a stream of random numbers of its own and a queue of
//! its processes' next events. Threads take shards as they come, so that the result is the same whatever their number.
//! An event is a crash; what a process does between two of them is computed in one step, in whole nanoseconds, so that
//! each one is accounted for once: as useful, spent on commits, lost, down, or open at the end. The shards are
//! independent samples of the same thing, from which the error is told.

mod answer;
mod fault;
mod fit;
mod fleet;
mod histories;
mod parameters;
mod prepare;
mod quantiles;
mod rhythm;
mod shard;
mod tally;
#[cfg(test)]
mod tests;

pub use answer::{Estimate, GaveUp, Shares, Simulated};
pub use fit::{FitError, Fitted, Wanted, fit, shares};
pub use fleet::{Fleet, simulate};
pub use parameters::{Intensity, Parameters, Program};
pub use prepare::SimulateError;
pub use quantiles::Quantiles;

/// A year, of 365.25 days.
pub const YEAR_NS: u64 = 31_557_600_000_000_000;
