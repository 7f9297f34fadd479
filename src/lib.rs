//! crashbed

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")))]
compile_error!("crashbed runs on Linux on x86-64 with glibc");

pub mod crash;
pub mod failure;
pub mod point;
pub mod policy;
pub mod text;

mod arena;
mod daemon;
mod declaration;
mod error;
mod floor;
mod gate;
mod heap;
mod here;
mod link;
mod mailbox;
mod mechanism;
mod notice;
mod panics;
mod peer;
mod prime;
pub mod recoverable;
mod region;
mod report;
mod root;
mod scene;
mod span;
mod supervise;
mod sys;
mod threads;
mod transaction;

pub use crash::{Cause, Crash, Notice, Phase, Place};
pub use crashbed_derive::Recoverable;
pub use daemon::{Daemon, OnCrash, Outcome, Prepared};
pub use declaration::{Declaration, GIB, KIB, MIB};
pub use error::{Error, Result};
pub use failure::{Failure, FailureKind};
pub use floor::{BareNotice, Lap};
pub use gate::LEASE;
pub use heap::Heap;
pub use mechanism::{MechanismKind, UnknownMechanism};
pub use peer::Peer;
pub use policy::{Action, Decision, Entry, History, Intensity, RestartPolicy};
pub use recoverable::Recoverable;
pub use report::{Recovery, Report};
pub use root::Root;
pub use scene::{Answer, Answered, CrashedRegion, Damaged, Intact, Scene};
pub use text::Text;
pub use threads::Scope;
pub use transaction::Tx;
