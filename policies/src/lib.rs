//! Restart policies for `crashbed`: what a successor finds after a crash.
//!
//! One file a policy, named as the policy. To add one, write its file, declare it as a module, and give it a row in
//! the table below: the row exports it, names it to [`by_name`], and lists it in [`ALL`] for the `crashbed` program.
//! What a policy can be told is in its public fields; the table has it with its defaults ([`Default`]).
//!
//! ```
//! use crashbed::RestartPolicy;
//!
//! let policy = crashbed_policies::by_name("checkpoint-resume").expect("it is in the table");
//! assert_eq!(policy.name(), "checkpoint-resume");
//!
//! for policy in crashbed_policies::ALL {
//!     println!("{:20} {}", policy.name, policy.description);
//! }
//! ```

use crashbed::RestartPolicy;

mod changed_environment;
mod checkpoint_resume;
mod circuit_breaker;
mod escalation;
mod exponential_backoff;
mod keep_if_intact;
mod learning;
mod older_commit;
mod process_decides;
mod quarantine;
mod zero_state;

policies! {
    "zero-state", zero_state::ZeroState, "start over from the state as it was made";
    "checkpoint-resume", checkpoint_resume::CheckpointResume, "resume the last commit";
    "process-decides", process_decides::ProcessDecides, "let the program's own code see the crash and answer";
    "keep-if-intact", keep_if_intact::KeepIfIntact, "go on with the crashed state where it is intact";
    "older-commit", older_commit::OlderCommit, "without progress, resume from further back each time";
    "escalation", escalation::Escalation, "retry, then older commits, then zero, then the daemon, then give up";
    "exponential-backoff", exponential_backoff::ExponentialBackoff, "resume after delays that double, with jitter";
    "circuit-breaker", circuit_breaker::CircuitBreaker, "after too many crashes, wait, then try once";
    "quarantine", quarantine::Quarantine, "resume, and skip an operation that crashed twice";
    "changed-environment", changed_environment::ChangedEnvironment, "resume with memory padded, zeroed, fewer threads";
    "learning", learning::Learning, "learn by kind of crash which answer helps (a bandit)";
}

/// A row of the table: a policy by its name.
#[derive(Clone, Copy, Debug)]
pub struct Registered {
    /// The policy's name in kebab-case, as in results and on the command line.
    pub name: &'static str,
    /// What the successor finds, in one line.
    pub description: &'static str,
    make: fn() -> Box<dyn RestartPolicy + Send>,
}

impl Registered {
    /// The policy itself, with its defaults.
    pub fn policy(&self) -> Box<dyn RestartPolicy + Send> {
        (self.make)()
    }
}

/// The policy called `name`; `None` where there is none. [`ALL`] has the valid names.
pub fn by_name(name: &str) -> Option<Box<dyn RestartPolicy + Send>> {
    ALL.iter().find(|row| row.name == name).map(Registered::policy)
}

/// Exports each policy of the table and makes [`ALL`] of it.
macro_rules! policies {
    ($($name:literal, $module:ident :: $policy:ident, $description:literal;)*) => {
        $(pub use $module::$policy;)*

        /// All policies of this crate, in the order in which they are listed and plotted.
        pub const ALL: &[Registered] = &[
            $(Registered { name: $name, description: $description, make: || Box::<$policy>::default() },)*
        ];
    };
}
use policies;
