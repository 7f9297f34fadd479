//! Process trees whose parts may crash.
//!
//! A program built on `crashbed` is a tree of three kinds of process:
//!
//! | process | what it does | when it crashes |
//! |---|---|---|
//! | **root** | owns all memory, forks the daemons, and does next to nothing else | it does not: nothing below can touch it |
//! | **daemon** | keeps one piece of state, and runs transactions on it, one after the other | the root makes it again; the state is there still |
//! | **transaction** | does the work that may crash: parsers, codecs, plug-ins, `unsafe` | its daemon makes it again, as a [`RestartPolicy`] says |
//!
//! The state is an ordinary Rust value of `Vec`s, `String`s and `HashMap`s ([`Recoverable`]). It lives in a *region*,
//! memory that the root made and that outlives every crash. A transaction changes it freely; a *commit* makes the
//! present state the one that a crash goes back to. A segmentation fault, an overflowed stack, an abort, a SIGKILL or a
//! hang costs the work since the last commit, and no more of the state.
//!
//! # A first program
//!
//! It needs six names ([`Daemon`], [`Heap`], [`Outcome`], [`Recoverable`], [`Root`], [`MIB`]) and a policy, here one of
//! the crate `crashbed-policies`:
//!
//! ```
//! use crashbed::{Daemon, Heap, MIB, Outcome, Recoverable, Root};
//! use crashbed_policies::CheckpointResume;
//! use std::collections::HashMap;
//!
//! // SAFETY: this program takes nothing owned out of a static that was filled before a fork.
//! #[global_allocator]
//! static HEAP: Heap = unsafe { Heap::new() }; // what a transaction allocates lives in its daemon's region
//!
//! #[derive(Default, Recoverable)]
//! struct Squares {
//!     of: HashMap<u64, u64>,
//! }
//!
//! fn main() -> crashbed::Result<()> {
//!     Root::new()
//!         .daemon("squares", 16 * MIB, |daemon: &mut Daemon<Squares>| {
//!             let outcome = daemon.transaction(CheckpointResume, |tx, squares| {
//!                 // A successor begins at the first operation that the last commit does not hold.
//!                 for n in tx.operations()..1000 {
//!                     if n == 750 && tx.crash().is_none() {
//!                         std::process::abort(); // a real crash
//!                     }
//!                     squares.of.insert(n, n * n);
//!                     tx.done();
//!                     if n % 100 == 99 {
//!                         tx.commit()?;
//!                     }
//!                 }
//!                 Ok(squares.of.len()) // done: committed
//!             })?;
//!             assert_eq!(outcome, Outcome::Done(1000));
//!             assert_eq!(daemon.report().recoveries[0].resumed_operations, Some(700));
//!             assert_eq!(daemon.state().of[&999], 999 * 999);
//!             Ok(())
//!         })
//!         .run()
//! }
//! ```
//!
//! # Where to go next
//!
//! - What a successor finds: [`RestartPolicy`] with an example, [`Decision`]; the program's own say in it:
//!   [`Prepared::on_crash`], [`Scene`], [`Answer`].
//! - What happened: [`Crash`], as data; [`Report`], with the times of each recovery.
//! - What a transaction can do: [`Tx`]. Parse in [`Tx::scratch`], say where an operation ends by [`Tx::done`].
//! - Many operations in one transaction, with a commit and a reply each: [`Service`], [`Prepared::serve`]. A successor
//!   that is ready before the crash: [`Spare`].
//! - What may be in a state, and why: [`Recoverable`]. The one promise that the compiler cannot check: [`Heap::new`].
//! - Memory that no commit saves: [`Declaration::cache`], [`Tx::cache`].
//! - Memory, threads, deadlines, mechanisms, limits on restarts: [`Declaration`].
//! - One daemon reading what another has committed: [`Daemon::peer`], [`Daemon::read`].
//! - The laws, the memory layouts and the order in which a commit becomes true: `docs/design.md` in the repository.
//!
//! Linux on x86-64 with glibc. The program may have one thread when it calls [`Root::run`]; what needs more belongs
//! into another process.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")))]
compile_error!("crashbed runs on Linux on x86-64 with glibc");

pub mod crash;
pub mod failure;
pub mod floor;
pub mod point;
pub mod policy;
pub mod text;

mod arena;
mod cache;
mod change;
mod checkpoints;
mod commits;
mod copy;
mod crew;
mod daemon;
mod daemon_core;
mod declaration;
mod drawn;
mod environment;
mod error;
mod gate;
mod heap;
mod here;
mod life;
mod link;
mod logged;
mod mailbox;
mod mechanism;
mod mechanism_kind;
mod notice;
mod panics;
mod peer;
mod prefault;
mod prime;
mod pulse;
mod recover;
pub mod recoverable;
mod region;
mod report;
mod resident;
mod root;
mod scene;
mod span;
mod spare;
mod spares;
mod standby;
mod state_head;
mod stop;
mod supervise;
mod sys;
mod threads;
mod transaction;
mod tree;
mod turn;
mod undo;
mod watch;

pub use cache::{Cache, Plain, Returns};
pub use change::{Change, Guarded};
pub use commits::Ticket;
pub use crash::{Cause, Crash, Notice, Phase, Place};
pub use crashbed_derive::Recoverable;
pub use daemon::{Daemon, OnCrash, Outcome, Prepared};
pub use declaration::{Declaration, GIB, KIB, LARGEST_REGION, MIB};
pub use environment::Environment;
pub use error::{Error, Result};
pub use failure::{Failure, FailureKind};
pub use floor::{BareNotice, BareStart, Lap};
pub use gate::LEASE;
pub use heap::Heap;
pub use logged::{Declares, Logged, LoggedVec};
pub use mechanism::choice::{Choice, ChoiceGrounds};
pub use mechanism_kind::{MechanismKind, UnknownMechanism};
pub use peer::Peer;
pub use policy::{Action, Decision, Entry, History, Intensity, RestartPolicy};
pub use recoverable::Recoverable;
pub use report::{Recovery, Report, SpareCost};
pub use resident::{Incoming, Service};
pub use root::Root;
pub use scene::{Answer, Answered, CrashedRegion, Damaged, Intact, Scene};
pub use spare::{Grounds, Picked, Spare, Spin, Start, UnknownSpare};
pub use text::Text;
pub use threads::Scope;
pub use transaction::Tx;

/// The README's programs, compiled and run with the other doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
