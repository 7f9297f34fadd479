//! A case: a program of steps, drawn from a seed, and how its crashes are answered.

use crate::mode::Mode;
use crate::state::{Change, Model, State};
use crate::support::fault::Fault;
use crate::support::state::mix;
use crashbed::point::Point;
use crashbed::{Action, Answer, Crash, Decision, History, Phase, RestartPolicy, Scene, Spare};
use crashbed_policies::{CheckpointResume, ProcessDecides, ZeroState};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Change(Change),
    Commit,
    /// Commits without waiting for it.
    CommitLater,
    /// The same; the daemon stays at this point of it, and the transaction goes on and dies.
    CommitAndDie {
        at: Point,
        fault: Fault,
    },
    /// Waits for that.
    Wait,
    /// Looks whether it is true.
    Look,
    /// Dies; in the middle of changes, or between two.
    Crash {
        fault: Fault,
        changing: bool,
    },
    /// Is killed so many microseconds later, wherever it is then.
    Timer(i64),
    /// See [`plan`](crate::strikes::plan).
    Plan {
        which: usize,
        passes: u64,
        deaths: u64,
    },
    /// Dies, and so do so many daemons that restore it, after some passes.
    Restores {
        passes: u64,
        deaths: u64,
    },
    /// Kills its daemon.
    Daemon,
    /// Returns an error.
    Fail,
}

impl Step {
    pub(crate) fn is_commit(&self) -> bool {
        matches!(self, Self::Commit | Self::CommitLater | Self::CommitAndDie { .. })
    }
}

/// Numbers from a seed (splitmix64's stream).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = mix(self.0);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn size(&mut self, end: u64) -> usize {
        usize::try_from(self.below(end)).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// Mostly short, seldom of many pages.
    fn len(&mut self) -> usize {
        let end = [17, 200, 1000, 9000][self.size(4)];
        self.size(end)
    }

    fn change(&mut self) -> Change {
        let (at, len, with, slot) = (self.size(30_000), self.len(), self.byte(), self.size(100));
        match self.below(20) {
            0..=4 => Change::Write { at, len, with },
            5 => Change::Extend { len, with },
            6 => Change::Resize { len, with },
            7 => Change::Truncate { len },
            8 => Change::Push { word: self.next() },
            9 => Change::Set { at, word: self.next() },
            10 => Change::Pop,
            11 => Change::Count { by: len as u64 },
            12 => Change::Replace { len, with },
            13 | 14 => Change::Allocate { slot, len: len + 1, with },
            15 => Change::Release { slot },
            16 => Change::WriteBox { slot, at, len, with },
            17 => Change::AllocateWide { slot, with },
            18 => Change::ReleaseWide { slot },
            _ => Change::Plain { at, with: with.into() },
        }
    }

    fn fault(&mut self) -> Fault {
        [Fault::NullWrite, Fault::Kill, Fault::Abort][self.size(3)]
    }

    fn step(&mut self) -> Step {
        match self.below(40) {
            0..=3 => Step::Commit,
            4 | 5 => Step::CommitLater,
            6 => {
                let at = [Point::Log, Point::Apply, Point::Acknowledge][self.size(3)];
                Step::CommitAndDie { at, fault: self.fault() }
            }
            7 => [Step::Wait, Step::Look][self.size(2)],
            8 | 9 => Step::Crash { fault: self.fault(), changing: self.below(2) == 0 },
            10 => Step::Timer(i64::try_from(1 + self.below(400)).unwrap_or(1)),
            11..=13 => Step::Plan { which: self.size(1000), passes: self.below(3), deaths: self.below(3) },
            14 => Step::Restores { passes: self.below(3), deaths: 1 + self.below(3) },
            15 => Step::Daemon,
            16 if self.below(3) == 0 => Step::Fail,
            _ => Step::Change(self.change()),
        }
    }
}

/// Answers every crash alike.
struct Always(Action);

impl RestartPolicy for Always {
    fn name(&self) -> &str {
        "always"
    }
    fn decide(&self, _: &Crash, _: &History) -> Decision {
        Decision::now(self.0)
    }
}

/// What a successor is to find: the last commit, a state made anew, the commit before the last one, or the crashed state,
/// as the policy or as the program says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Finds {
    Last,
    Zero,
    Older,
    Crashed,
    CrashedAsDecided,
}

/// What a case does, how its crashes are answered, and what its states are.
pub(crate) struct Case {
    pub(crate) steps: Vec<Step>,
    pub(crate) finds: Finds,
    pub(crate) spare: Spare,
    /// For each number of operations of which the state may be found, what that is then. Made ahead, as a transaction's
    /// own memory is its state.
    models: Vec<Option<Model>>,
}

impl Case {
    pub(crate) fn draw(seed: u64, number: u64, mode: &Mode<'_>) -> Self {
        let mut numbers = Numbers(mix(seed ^ mix(number)));
        let finds = match numbers.below(24) {
            0..=2 => Finds::Zero,
            3..=6 => Finds::Older,
            7..=9 => Finds::Crashed,
            10..=12 => Finds::CrashedAsDecided,
            _ => Finds::Last,
        };
        let spare = Spare::all()[numbers.size(4)];
        let count = numbers.size(60);
        let steps: Vec<Step> = (0..count).map(|_| numbers.step()).collect();
        let mut case = Self { steps, finds, spare, models: Vec::new() };
        let mut model = Model::default();
        for operations in 0..=count {
            if let Some(Step::Change(change)) = operations.checked_sub(1).map(|before| case.steps[before]) {
                change.make_on(&mut model);
            }
            let is_found = case.commits_after(operations) || case.keeps(mode);
            case.models.push(is_found.then(|| model.clone()));
        }
        case
    }

    /// Whether the state after so many operations is made a commit.
    pub(crate) fn commits_after(&self, operations: usize) -> bool {
        let is_commit = |before: usize| self.steps.get(before).is_some_and(Step::is_commit);
        operations == self.steps.len() || operations.checked_sub(1).is_none_or(is_commit)
    }

    /// What the state is after so many operations; `None` where nobody is to find that.
    pub(crate) fn model(&self, operations: usize) -> Option<&Model> {
        self.models.get(operations).and_then(Option::as_ref)
    }

    /// Whether the crashed state may be kept.
    pub(crate) fn keeps(&self, mode: &Mode<'_>) -> bool {
        mode.can_keep() && matches!(self.finds, Finds::Crashed | Finds::CrashedAsDecided)
    }

    pub(crate) fn policy(&self) -> Box<dyn RestartPolicy + Send> {
        match self.finds {
            Finds::Last => Box::new(CheckpointResume),
            Finds::Zero => Box::new(ZeroState),
            Finds::Older => Box::new(Always(Action::Older(1))),
            Finds::Crashed => Box::new(Always(Action::KeepIfIntact)),
            Finds::CrashedAsDecided => Box::new(ProcessDecides),
        }
    }
}

/// The program's own decision: keeps the crashed state unless it was in the middle of a change.
pub(crate) fn decide(scene: &Scene<'_, State>) -> Answer<State> {
    let crash = scene.crash();
    let is_between = !crash.changing && matches!(crash.phase, Phase::Running | Phase::Committing);
    // SAFETY: each change is made under a guard, and none was held.
    let intact = scene.crashed().filter(|_| is_between).map(|crashed| unsafe { crashed.assume_intact() });
    intact.and_then(Result::ok).map_or(Answer::Resume, Answer::Keep)
}
