//! `learning`: answers each kind of crash by what has helped against it so far.

use crashbed::{Action, Cause, Crash, Decision, Environment, History, Phase, RestartPolicy};

/// The successor finds what one of a few decisions makes of the last commit: the one that has done best against crashes
/// of the same kind. It is a bandit, as players of slot machines are called who look for the machine that pays.
///
/// **Kind.** Two crashes are of one kind where the signal (or the exit status, or the silence) and the instruction are
/// the same. An instruction is known by its offset in the program's image where it has one, so that it means the same
/// under another layout of memory.
///
/// **Reward.** A decision is paid when the next crash of the transaction comes: by the share of useful work in all that
/// was done in between. Operations beyond the furthest crash so far are useful; those done again (all of them after a
/// zero), and one that was skipped, are not. Without progress the reward is nothing.
///
/// **Choice.** The decision with the highest index: the mean of its rewards, plus `sqrt(exploration × ln n / k)` for one
/// that was taken `k` times of `n`. Each begins with one imagined reward of [`expected`](Self::expected), so that not all
/// have to be tried before a good one is used; of equal ones the first is taken. A crash outside of the program's own code
/// ([`Phase::Running`]) is never answered by a skip: it is not the operation's.
///
/// **What for.** Nobody has to know beforehand which remedy suits which bug, and two bugs in one program may have two.
///
/// **When.** For long transactions that crash many times, by a few bugs again and again: what it knows is the history of
/// one transaction, [`History::CAPACITY`] crashes at most. It pays for what it learns by trying what does not help, zero
/// included; and it never gives up, which it leaves to the [`Intensity`](crashbed::Intensity). As the policy of a daemon it
/// resumes or makes the state anew.
///
/// **Source.** UCB1 (Auer, Cesa-Bianchi and Fischer, "Finite-time Analysis of the Multiarmed Bandit Problem", Machine
/// Learning, 2002), which takes an exploration of 2 and tries each decision once instead of imagining it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learning {
    /// What it chooses from; the ones that cost least belong to the front. Without any it resumes.
    pub decisions: &'static [Decision],
    /// How much a decision gains by having been taken seldom. 0: only rewards count.
    pub exploration: f64,
    /// The reward, between 0 and 1, that is expected of what was never tried.
    pub expected: f64,
}

/// Room behind new blocks, zeros in them, a thread less.
const CHANGED: Environment = Environment { padding: 256, zeroed: true, fewer_threads: 1 };

impl Default for Learning {
    /// Resume, keep what is intact, resume in a changed environment, skip, an older commit, zero; an exploration of 0.1;
    /// one half expected.
    fn default() -> Self {
        const DECISIONS: &[Decision] = &[
            Decision::now(Action::Resume),
            Decision::now(Action::KeepIfIntact),
            Decision::now(Action::Resume).within(CHANGED),
            Decision::now(Action::Skip),
            Decision::now(Action::Older(1)),
            Decision::now(Action::Zero),
        ];
        Self { decisions: DECISIONS, exploration: 0.1, expected: 0.5 }
    }
}

/// The kind of a crash: what ended the process, and at which instruction.
fn kind(crash: &Crash) -> (u8, i32, Option<u64>) {
    let (what, number) = match crash.cause {
        Cause::Signal { signal, .. } => (0, signal),
        Cause::Exited { status } => (1, status),
        Cause::Hung { stopped, .. } => (2, i32::from(stopped)),
    };
    (what, number, crash.place.map(|place| place.image_offset.unwrap_or(place.instruction)))
}

/// Operations that `action` loses after `crash`: they are done again, or not at all.
fn lost(action: Action, crash: &Crash) -> u64 {
    let uncommitted = crash.reached() - crash.committed_operations;
    match action {
        Action::Zero => crash.reached(),
        Action::Skip => uncommitted.saturating_add(1),
        Action::KeepIfIntact if crash.heap_locked == Some(false) && !crash.changing => 0,
        _ => uncommitted,
    }
}

// Counts of operations: beyond 2^53 a share is still a share.
#[allow(clippy::cast_precision_loss)]
fn share(gained: u64, lost: u64) -> f64 {
    if gained == 0 { 0.0 } else { gained as f64 / (gained as f64 + lost as f64) }
}

impl Learning {
    /// How often `decision` was taken against crashes of this kind, and the sum of its rewards.
    fn paid(&self, decision: &Decision, kind_of: &Crash, history: &History) -> (u32, f64) {
        let (mut furthest, mut taken, mut sum) = (0, 0, 0.0);
        for pair in history.entries().windows(2) {
            let (crash, next) = (&pair[0].crash, &pair[1].crash);
            furthest = crash.reached().max(furthest);
            if pair[0].decision == Some(*decision) && kind(crash) == kind(kind_of) {
                taken += 1;
                sum += share(next.reached().saturating_sub(furthest), lost(decision.action, crash));
            }
        }
        (taken, sum)
    }
}

impl RestartPolicy for Learning {
    fn name(&self) -> &str {
        "learning"
    }

    fn decide(&self, crash: &Crash, history: &History) -> Decision {
        let offered = |decision: &&Decision| crash.phase == Phase::Running || decision.action != Action::Skip;
        // The imagined reward of each counts as one.
        let count = |decision: &Decision| 1.0 + f64::from(self.paid(decision, crash, history).0);
        let all: f64 = self.decisions.iter().filter(offered).map(count).sum();
        let mut best = (f64::NEG_INFINITY, Decision::now(Action::Resume));
        for decision in self.decisions.iter().filter(offered) {
            let (taken, sum) = self.paid(decision, crash, history);
            let taken = 1.0 + f64::from(taken);
            let index = (self.expected + sum) / taken + (self.exploration * all.ln() / taken).sqrt();
            if index > best.0 {
                best = (index, *decision);
            }
        }
        best.1
    }
}
