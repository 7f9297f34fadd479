//! crashbed
pub mod crash;
pub mod policy;
pub mod text;
pub use crash::{Cause, Crash, Notice, Phase, Place};
pub use policy::{Action, Decision, Entry, History, Intensity, RestartPolicy};
pub use text::Text;
