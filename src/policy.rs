//! The rule that says what a successor finds: a pure function of the crash and the history.
//!
//! Pure, so that a policy can be property-tested, replayed over recorded crashes, and run by whichever process is
//! nearest. It sees plain data only, starts nothing and remembers nothing: what it needs to remember is the history.

use crate::crash::Crash;
use crate::environment::Environment;
use crate::prefault;
use std::fmt;
use std::time::Duration;

/// What a successor of a crashed process finds.
///
/// One policy serves many transactions at once; it is shared, so it has no state of its own.
///
/// ```
/// use crashbed::{Action, Crash, Decision, History, RestartPolicy};
///
/// /// Resumes the last commit, but starts over when the same operation has crashed three times.
/// struct ThreeStrikes;
///
/// impl RestartPolicy for ThreeStrikes {
///     fn name(&self) -> &str {
///         "three-strikes"
///     }
///     fn decide(&self, crash: &Crash, history: &History) -> Decision {
///         if history.crashes_in_operation(crash.operation) >= 3 {
///             Decision::now(Action::Zero)
///         } else {
///             Decision::now(Action::Resume)
///         }
///     }
/// }
/// ```
pub trait RestartPolicy: Sync {
    /// The policy's name in kebab-case, as in results and on the command line.
    fn name(&self) -> &str;

    /// What to do about `crash`. `history` holds it already, as its newest entry. A panic is taken for
    /// [`Action::GiveUp`].
    fn decide(&self, crash: &Crash, history: &History) -> Decision;
}

/// Asks `policy` as the engine does: one that panics has given up. For whoever asks a policy about crashes that are
/// recorded or made up.
pub fn decide(policy: &dyn RestartPolicy, crash: &Crash, history: &History) -> Decision {
    let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| policy.decide(crash, history)));
    asked.unwrap_or_else(|payload| {
        // Dropping the payload may panic in turn.
        std::mem::forget(payload);
        Decision::now(Action::GiveUp)
    })
}

impl<P: RestartPolicy + ?Sized> RestartPolicy for &P {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn decide(&self, crash: &Crash, history: &History) -> Decision {
        (**self).decide(crash, history)
    }
}

impl<P: RestartPolicy + Send + ?Sized> RestartPolicy for Box<P> {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn decide(&self, crash: &Crash, history: &History) -> Decision {
        (**self).decide(crash, history)
    }
}

/// A policy's answer: what the successor finds, how long to wait before it starts, and what is changed around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// What the successor finds.
    pub action: Action,
    /// How long to wait before the successor starts.
    pub delay: Duration,
    /// What is changed around the successor.
    pub environment: Environment,
}

impl Decision {
    /// `action`, without delay, in the usual environment.
    pub const fn now(action: Action) -> Self {
        Self::after(Duration::ZERO, action)
    }

    /// `action`, after `delay`, in the usual environment.
    pub const fn after(delay: Duration, action: Action) -> Self {
        Self { action, delay, environment: Environment::USUAL }
    }

    /// The same in another environment.
    pub const fn within(self, environment: Environment) -> Self {
        Self { environment, ..self }
    }
}

/// What a successor finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The state as it was made: `S::default()`.
    Zero,
    /// The last commit.
    Resume,
    /// The commit that is so many before the last one; the oldest that there is, where fewer are kept
    /// ([`Declaration::kept_commits`](crate::Declaration::kept_commits)). The newer ones are given up.
    Older(u8),
    /// The last commit, and the operation that crashed is skipped ([`Tx::skips`](crate::Tx::skips)); that is committed
    /// at once.
    Skip,
    /// The last commit, after the program's own code has seen the crash and answered.
    ProcessDecides,
    /// The crashed state as it is, where nothing speaks against it: its type made the promise
    /// ([`Prepared::keep_if_intact`](crate::Prepared::keep_if_intact)), the mechanism works in place, the crash struck
    /// in the program's own code and outside of a change guard ([`Tx::change`](crate::Tx::change)), the heap's lock was
    /// free and its blocks are whole. Else the last commit. The state that is kept becomes a commit. What belonged to the
    /// function that crashed stays allocated in it, as after [`Answer::Keep`](crate::Answer::Keep).
    KeepIfIntact,
    /// The daemon ends as if it had crashed (by exit status 75): the root makes it again as the daemon's own policy says,
    /// and its closure is called anew, on the last commit, with a fresh history. What bounds that is the daemon's own
    /// policy and intensity.
    RestartDaemon,
    /// No successor: the caller gets the crash.
    GiveUp,
}

impl Action {
    /// The word that crosses between processes: the kind, and how far back.
    pub(crate) fn to_word(self) -> u32 {
        match self {
            Self::Zero => 1,
            Self::Resume => 2,
            Self::Older(back) => 3 | u32::from(back) << 8,
            Self::Skip => 4,
            Self::ProcessDecides => 5,
            Self::KeepIfIntact => 6,
            Self::RestartDaemon => 7,
            Self::GiveUp => 8,
        }
    }

    pub(crate) fn from_word(word: u32) -> Option<Self> {
        let [kind, back, 0, 0] = word.to_le_bytes() else { return None };
        let action = match kind {
            1 => Self::Zero,
            2 => Self::Resume,
            3 => return Some(Self::Older(back)),
            4 => Self::Skip,
            5 => Self::ProcessDecides,
            6 => Self::KeepIfIntact,
            7 => Self::RestartDaemon,
            8 => Self::GiveUp,
            _ => return None,
        };
        (back == 0).then_some(action)
    }

    /// Whether a spare can go on by itself, without anything that the daemon has to do first.
    pub(crate) fn needs_no_daemon(self) -> bool {
        matches!(self, Self::Zero | Self::Resume | Self::Skip | Self::ProcessDecides)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.write_str("zero"),
            Self::Resume => f.write_str("resume"),
            Self::Older(back) => write!(f, "older-{back}"),
            Self::Skip => f.write_str("skip"),
            Self::ProcessDecides => f.write_str("process-decides"),
            Self::KeepIfIntact => f.write_str("keep-if-intact"),
            Self::RestartDaemon => f.write_str("restart-daemon"),
            Self::GiveUp => f.write_str("give-up"),
        }
    }
}

/// The crashes of one transaction (or one daemon) so far, oldest first, the present one last.
///
/// Bounded: it holds the newest [`History::CAPACITY`] and counts the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    recent: Vec<Entry>,
    total: u64,
}

/// One crash in a [`History`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// The crash.
    pub crash: Crash,
    /// What was decided about it; `None` for the present one.
    pub decision: Option<Decision>,
}

impl History {
    /// How many crashes a history holds in full.
    pub const CAPACITY: usize = 64;

    /// A history without a crash. Room for all entries is made here, so that adding one allocates nothing.
    pub fn new() -> Self {
        Self { recent: Vec::with_capacity(Self::CAPACITY), total: 0 }
    }

    /// Forgets all crashes, and keeps the room for them: the history of the next transaction.
    pub fn clear(&mut self) {
        self.recent.clear();
        self.total = 0;
    }

    /// Adds a crash that is yet to be decided about.
    pub fn push(&mut self, crash: Crash) {
        if self.recent.len() == Self::CAPACITY {
            self.recent.remove(0);
        }
        self.recent.push(Entry { crash, decision: None });
        self.total += 1;
    }

    /// Touches the memory that the next crashes are written to, so that it is this process's own by then.
    pub(crate) fn make_writable(&mut self) {
        prefault::touch_room(&mut self.recent);
    }

    /// Notes what was decided about the newest crash.
    pub fn decided(&mut self, decision: Decision) {
        if let Some(newest) = self.recent.last_mut() {
            newest.decision = Some(decision);
        }
    }

    /// The newest crashes, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.recent
    }

    /// How many crashes there were in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many of the held crashes were noticed within `window` of the newest one, itself included.
    pub fn crashes_within(&self, window: Duration) -> usize {
        let Some(newest) = self.recent.last() else { return 0 };
        let window = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        let since = newest.crash.noticed_ns.saturating_sub(window);
        self.recent.iter().filter(|entry| entry.crash.noticed_ns >= since).count()
    }

    /// How many of the held crashes there were since the work last made progress, the newest one included: 1 where the
    /// newest came further than every one before it ([`Crash::reached`]), and one more with each that did not. What is
    /// done again after a restore or from zero is no progress until it passes the furthest crash.
    pub fn crashes_since_progress(&self) -> usize {
        let (mut furthest, mut crashes) = (None, 0);
        for entry in &self.recent {
            let reached = Some(entry.crash.reached());
            crashes = if reached > furthest { 1 } else { crashes + 1 };
            furthest = furthest.max(reached);
        }
        crashes
    }

    /// How many of the held crashes happened in operation `operation`.
    pub fn crashes_in_operation(&self, operation: u64) -> usize {
        self.recent.iter().filter(|entry| entry.crash.operation == operation).count()
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

/// The most restarts within a time; one more and the engine gives up, whatever the policy says
/// (Erlang's "maximum restart intensity").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Intensity {
    /// The most restarts within [`within`](Self::within); at most [`History::CAPACITY`] − 1 can be counted.
    pub restarts: usize,
    /// The window, counted back from the newest crash.
    pub within: Duration,
}

impl Intensity {
    /// No limit: for tests and experiments that bound their crashes themselves.
    pub const UNLIMITED: Self = Self { restarts: usize::MAX, within: Duration::ZERO };

    /// Whether the newest crash in `history` is one too many.
    pub fn exceeded(&self, history: &History) -> bool {
        history.crashes_within(self.within) > self.restarts
    }
}

impl Default for Intensity {
    /// 20 restarts in 5 seconds.
    fn default() -> Self {
        Self { restarts: 20, within: Duration::from_secs(5) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_action_crosses_as_a_word(word: u32, back: u8) {
            use Action::*;
            for action in [Zero, Resume, Older(back), Skip, ProcessDecides, KeepIfIntact, RestartDaemon, GiveUp] {
                prop_assert_eq!(Action::from_word(action.to_word()), Some(action));
            }
            if let Some(action) = Action::from_word(word) {
                prop_assert_eq!(action.to_word(), word);
            }
        }
    }

    #[test]
    fn progress_is_what_passes_every_crash_before() {
        let crashes = |reached: &[(u64, u64)]| {
            let mut history = History::new();
            for &(operation, committed_operations) in reached {
                history.push(Crash { operation, committed_operations, ..crate::crash::tests::a_crash() });
            }
            history.crashes_since_progress()
        };
        assert_eq!(crashes(&[]), 0);
        assert_eq!(crashes(&[(13, 10)]), 1);
        assert_eq!(crashes(&[(13, 10), (13, 10), (12, 10)]), 3);
        // From zero, and past the place of the crash.
        assert_eq!(crashes(&[(13, 10), (5, 0), (13, 0)]), 3);
        assert_eq!(crashes(&[(13, 10), (5, 0), (14, 0)]), 1);
        // A daemon, or an incarnation without a state: the last commit tells.
        assert_eq!(crashes(&[(0, 10), (0, 20), (0, 20)]), 2);
    }
}
