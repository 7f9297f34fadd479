//! `zero-state`: the successor starts over.

use crashbed::{Action, Crash, Decision, History, RestartPolicy};

/// The successor finds the state as it was made, `S::default()`; all commits so far are given up.
///
/// **What for.** The one policy under which nothing that a fault has touched can reach the successor: no corruption
/// outlives the crash, and an operation counter at 0 says so. It is the baseline of every comparison, as it loses
/// the most work and needs the least of the mechanism.
///
/// **When.** For state that is cheap to make again (a cache, an index over files, a session), or that cannot be
/// trusted after a crash. Not for an input that always crashes: the work up to it is done again each time, until
/// the limit on restarts ([`Intensity`](crashbed::Intensity)) gives up.
///
/// **Source.** The first answer to the question that Crashbed began with: "When a process gets restarted, should its
/// state be zeroed out, i.e. should the process start over?" It is what supervisors do that restart a process and
/// know nothing of its state: Erlang/OTP's `supervisor` calls the child's start function again, systemd's
/// `Restart=` runs the command again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZeroState;

impl RestartPolicy for ZeroState {
    fn name(&self) -> &str {
        "zero-state"
    }

    fn decide(&self, _crash: &Crash, _history: &History) -> Decision {
        Decision::now(Action::Zero)
    }
}
