//! Random programs against a plain model: operations, commits, crashes by a random fault at a random place, under
//! each restart policy, each mechanism and each kind of spare. After every transaction the state equals the model's.
//!
//! Some seconds by default; more by `CRASHBED_MODEL_CASES=2000 cargo test --test model`. What fails is made smaller by
//! proptest and printed as the argument of the scenario: play it again by
//! `CRASHBED_TEST_SCENARIO=program CRASHBED_TEST_ARGUMENT='…' target/debug/deps/model-…`.

mod support;

use crashbed::{
    Action, Answer, Crash, Daemon, Decision, Declaration, History, Intensity, MIB, MechanismKind, Outcome, Recoverable,
    RestartPolicy, Root, Spare,
};
use crashbed_policies::{CheckpointResume, ProcessDecides, ZeroState};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::time::Duration;
use support::board::Board;
use support::fault::{self, Fault};
use support::mask::Without;
use support::play;

fn main() -> ExitCode {
    let tests: &[support::Test] = &[
        ("random_programs_equal_their_model", random_programs_equal_their_model),
        ("without_kernel_tracking_too", without_kernel_tracking_too),
        ("without_kernel_scans_too", without_kernel_scans_too),
        ("a_wrong_model_is_found_out", a_wrong_model_is_found_out),
    ];
    let scenarios: &[support::Scenario] = &[
        ("program", program),
        ("program-untracked", || {
            Without::Tracking.apply();
            program()
        }),
        ("program-unscanned", || {
            Without::Scanning.apply();
            program()
        }),
    ];
    support::main(scenarios, tests, &[])
}

/// The state that programs change.
#[derive(Clone, Debug, Default, PartialEq, Recoverable)]
struct State {
    ordered: BTreeMap<u64, String>,
    hashed: HashMap<String, u64>,
    texts: Vec<String>,
}

/// One operation of a program, in one letter and a number.
#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(u64),
    Remove(u64),
    Count(u64),
    Push(u64),
    Truncate(u64),
    Commit,
    /// Without waiting for it.
    CommitLater,
    /// By fault number so-and-so, once.
    Crash(u64),
    /// The transaction returns an error, once.
    Fail,
}

impl Step {
    fn apply(self, state: &mut State) {
        match self {
            Self::Insert(n) => {
                drop(state.ordered.insert(n % 40, "v".repeat(usize::try_from(n * 37 % 3000).unwrap_or(0))))
            }
            Self::Remove(n) => drop(state.ordered.remove(&(n % 40))),
            Self::Count(n) => *state.hashed.entry(format!("word {}", n % 60)).or_default() += n,
            Self::Push(n) => state.texts.push(n.to_string().repeat(5)),
            Self::Truncate(n) => state.texts.truncate(usize::try_from(n % 20).unwrap_or(0)),
            Self::Commit | Self::CommitLater | Self::Crash(_) | Self::Fail => {}
        }
    }

    fn write(self) -> String {
        match self {
            Self::Insert(n) => format!("i{n}"),
            Self::Remove(n) => format!("r{n}"),
            Self::Count(n) => format!("c{n}"),
            Self::Push(n) => format!("p{n}"),
            Self::Truncate(n) => format!("t{n}"),
            Self::Commit => "C0".to_owned(),
            Self::CommitLater => "L0".to_owned(),
            Self::Crash(n) => format!("X{n}"),
            Self::Fail => "F0".to_owned(),
        }
    }

    fn read(text: &str) -> Self {
        let n = text[1..].parse().expect("a number");
        match &text[..1] {
            "i" => Self::Insert(n),
            "r" => Self::Remove(n),
            "c" => Self::Count(n),
            "p" => Self::Push(n),
            "t" => Self::Truncate(n),
            "C" => Self::Commit,
            "L" => Self::CommitLater,
            "X" => Self::Crash(n),
            "F" => Self::Fail,
            other => panic!("no step `{other}`"),
        }
    }
}

/// How a crash is answered: 0 zero, 1 resume, 2 to 4 the program decides (resume, zero, skip), 5 the policy skips, 6 the
/// commit before the last.
#[derive(Clone, Debug)]
struct Program {
    mechanism: MechanismKind,
    spare: Spare,
    answer: u64,
    /// The daemon dies after each transaction.
    dies: bool,
    transactions: Vec<Vec<Step>>,
}

impl Program {
    fn write(&self) -> String {
        let steps = |steps: &Vec<Step>| steps.iter().map(|step| step.write()).collect::<Vec<_>>().join(" ");
        let all: Vec<String> = self.transactions.iter().map(steps).collect();
        format!("{};{};{};{};{}", self.mechanism, self.spare, self.answer, u64::from(self.dies), all.join(";"))
    }

    fn read(text: &str) -> Self {
        let mut fields = text.split(';');
        let mut next = || fields.next().expect("a field");
        let (mechanism, spare, answer, dies) = (next(), next(), next(), next());
        let transactions = fields.map(|steps| steps.split_whitespace().map(Step::read).collect()).collect();
        Self {
            mechanism: mechanism.parse().expect("a mechanism"),
            spare: spare.parse().expect("a spare"),
            answer: answer.parse().expect("a number"),
            dies: dies == "1",
            transactions,
        }
    }

    /// How many commits before the last one are kept; none where `auto` is to switch and nobody asks for them.
    fn kept(&self) -> u8 {
        if self.mechanism == MechanismKind::Auto && self.answer != 6 { 0 } else { u8::try_from(KEPT).unwrap_or(0) }
    }

    fn policy(&self) -> Box<dyn RestartPolicy + Send> {
        match self.answer {
            0 => Box::new(ZeroState),
            1 => Box::new(CheckpointResume),
            5 => Box::new(Always(Action::Skip)),
            6 => Box::new(Always(Action::Older(1))),
            _ => Box::new(ProcessDecides),
        }
    }
}

/// How many commits before the last one are kept.
const KEPT: usize = 2;

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

/// What the model knows: the state and the count of operations, at present and in the last commit.
#[derive(Clone, Default)]
struct Model {
    state: State,
    operations: u64,
    /// Decided to be skipped: committed at once, so that a failure of the transaction does not take it back.
    skipped: Vec<u64>,
    /// The commits before this one that are kept, oldest first.
    before: Vec<Model>,
}

impl Model {
    /// Makes `present` the last commit.
    fn commit(&mut self, present: &Self) {
        let mut before = std::mem::take(&mut self.before);
        before.push(std::mem::take(self));
        if before.len() > KEPT {
            before.remove(0);
        }
        *self = Self { before, ..present.clone() };
    }

    /// Goes back to the commit before the last one, where it is kept.
    fn go_back(&mut self) {
        if let Some(last) = self.before.pop() {
            let before = std::mem::take(&mut self.before);
            *self = Self { before, ..last };
        }
    }
}

/// The commits of one transaction that are processes, which end with it: of each other commit the daemon's list knows.
#[derive(Default)]
struct Frozen {
    oldest_first: Vec<Model>,
    /// One between these and the daemon's last was let go.
    has_gap: bool,
}

impl Frozen {
    fn commit(&mut self, present: &Model) {
        self.oldest_first.push(Model { before: Vec::new(), ..present.clone() });
        if self.oldest_first.len() > KEPT + 1 {
            self.oldest_first.remove(0);
            self.has_gap = true;
        }
    }
}

/// The last commit.
fn last<'a>(committed: &'a mut Model, frozen: &'a mut Frozen) -> &'a mut Model {
    frozen.oldest_first.last_mut().unwrap_or(committed)
}

/// Runs transaction `steps` on the model, which says what its outcome is: done, or failed.
fn run_model(committed: &mut Model, steps: &[Step], answer: u64, forks: bool) -> bool {
    let mut frozen = Frozen::default();
    let first = committed.operations;
    let mut present = committed.clone();
    let mut struck = vec![false; steps.len()];
    loop {
        // After a zero, the transaction begins with its first step again, at operation 0.
        let start = present.operations.checked_sub(first);
        let at = start.unwrap_or(present.operations);
        let Some(step) = steps.get(usize::try_from(at).unwrap_or(usize::MAX)) else { break };
        let i = usize::try_from(at).unwrap_or(0);
        if present.skipped.contains(&present.operations) {
            present.operations += 1;
            continue;
        }
        match *step {
            Step::Crash(_) if !struck[i] => {
                struck[i] = true;
                match answer {
                    0 | 3 => {
                        frozen = Frozen::default();
                        committed.commit(&Model::default());
                    }
                    4 | 5 => {
                        let mut skipping = Model { before: Vec::new(), ..last(committed, &mut frozen).clone() };
                        skipping.skipped.push(present.operations);
                        // The program decides in a process that begins anew; a policy's skip is told to the frozen one.
                        match frozen.oldest_first.last_mut() {
                            Some(last) if answer == 5 => *last = skipping,
                            _ => {
                                frozen = Frozen::default();
                                committed.commit(&skipping);
                            }
                        }
                    }
                    6 if frozen.oldest_first.is_empty() => committed.go_back(),
                    6 if frozen.oldest_first.len() > usize::from(frozen.has_gap) => drop(frozen.oldest_first.pop()),
                    _ => {}
                }
                present = last(committed, &mut frozen).clone();
                continue;
            }
            Step::Fail if !struck[i] => {
                struck[i] = true;
                if let Some(last) = frozen.oldest_first.pop() {
                    committed.commit(&last);
                }
                return false;
            }
            step => step.apply(&mut present.state),
        }
        present.operations += 1;
        if matches!(step, Step::Commit | Step::CommitLater) {
            if forks { frozen.commit(&present) } else { committed.commit(&present) }
        }
    }
    committed.commit(&present);
    true
}

/// Plays the program of the argument and compares with the model after each transaction.
fn program() -> crashbed::Result<()> {
    fault::prepare();
    let board = Board::new();
    let wrong = support::argument().ends_with("wrong");
    let program = Program::read(support::argument().trim_end_matches("wrong"));
    let declaration = Declaration::new("d", MIB)
        .mechanism(program.mechanism)
        .switches_always(true)
        .spare(program.spare)
        .scratch(MIB)
        // Who was killed has a page table still, or none.
        .keeper(program.answer.is_multiple_of(2))
        .kept_commits(program.kept())
        .heartbeat(Duration::from_secs(30))
        .intensity(Intensity::UNLIMITED);
    Root::new()
        .declare(declaration, |daemon: &mut Daemon<State>| {
            // The model as of the transactions that were played; the daemon's own life does not matter to it.
            let played = usize::try_from(daemon.restarts()).unwrap_or(0);
            let mut model = Model::default();
            for (t, steps) in program.transactions.iter().enumerate() {
                // Each transaction counts its operations from zero, so that a step's place is its operation.
                let first = model.operations;
                let done = run_model(&mut model, steps, program.answer, program.mechanism.returns_from_commits());
                if program.dies && t < played {
                    continue;
                }
                let outcome = play_transaction(daemon, &program, t, first, &board)?;
                assert_eq!(matches!(outcome, Outcome::Done(())), done, "transaction {t}: {outcome:?}");
                if wrong {
                    model.operations += 1;
                }
                assert_eq!(daemon.operations(), model.operations, "operations after transaction {t}");
                assert_eq!(*daemon.state(), model.state, "state after transaction {t}");
                if program.dies {
                    Fault::Kill.strike();
                }
            }
            Ok(())
        })
        .run()
}

fn play_transaction(
    daemon: &mut Daemon<State>,
    program: &Program,
    t: usize,
    first: u64,
    board: &Board,
) -> crashbed::Result<Outcome<()>> {
    let steps = &program.transactions[t];
    let decide = |_: &crashbed::Scene<'_, State>| match program.answer {
        3 => Answer::Zero,
        4 => Answer::Skip,
        _ => Answer::Resume,
    };
    daemon.prepare(program.policy()).on_crash(&decide).run(|tx, state| {
        loop {
            let n = tx.operations();
            let at = usize::try_from(n.checked_sub(first).unwrap_or(n)).unwrap_or(usize::MAX);
            let Some(&step) = steps.get(at) else { return Ok(()) };
            if tx.skips(n) {
                tx.done();
                continue;
            }
            let once = || board[t * 40 + at].swap(1, std::sync::atomic::Ordering::SeqCst) == 0;
            match step {
                Step::Crash(fault) if once() => {
                    // In the middle of a change, which must be taken back.
                    state.ordered.clear();
                    state.texts.push("lost".repeat(1000));
                    // Some spares are ready by then, others are not.
                    if program.spare != Spare::Cold && n % 2 == 0 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Fault::ALL[usize::try_from(fault).unwrap_or(0)].strike();
                }
                Step::Fail if once() => {
                    state.hashed.clear();
                    return Err(crashbed::Failure::new("as planned"));
                }
                step => step.apply(state),
            }
            tx.done();
            match step {
                Step::Commit => tx.commit()?,
                // It is in flight now; whoever comes next finds it true.
                Step::CommitLater => drop(tx.commit_later()?),
                _ => {}
            }
        }
    })
}

fn programs(mechanism: MechanismKind) -> impl Strategy<Value = Program> {
    let faults: Vec<u64> =
        Fault::ALL.iter().filter(|fault| fault.ends_by_itself()).map(|fault| fault.number()).collect();
    let step = prop_oneof![
        3 => (0u64..1000).prop_map(Step::Insert),
        1 => (0u64..1000).prop_map(Step::Remove),
        2 => (0u64..1000).prop_map(Step::Count),
        2 => (0u64..1000).prop_map(Step::Push),
        1 => (0u64..1000).prop_map(Step::Truncate),
        2 => Just(Step::Commit),
        1 => Just(Step::CommitLater),
        2 => proptest::sample::select(faults).prop_map(Step::Crash),
        1 => Just(Step::Fail),
    ];
    let transactions = proptest::collection::vec(proptest::collection::vec(step, 0..40), 1..10);
    let spares = proptest::sample::select(Spare::all().to_vec());
    (spares, 0u64..7, any::<bool>(), transactions).prop_map(move |(spare, answer, dies, transactions)| Program {
        mechanism,
        spare,
        answer,
        dies,
        transactions,
    })
}

fn random_programs_equal_their_model() {
    equal_their_model("program", &support::mechanisms().collect::<Vec<_>>(), 1);
}

/// What finds written pages falls back, and stays right.
fn without_kernel_tracking_too() {
    equal_their_model("program-untracked", &[MechanismKind::DirtyPages], 2);
}

fn without_kernel_scans_too() {
    equal_their_model("program-unscanned", &[MechanismKind::DirtyPages, MechanismKind::CopyOnWrite], 4);
}

/// Plays as many programs as asked for, or that part of them, as `scenario`.
fn equal_their_model(scenario: &str, mechanisms: &[MechanismKind], part: u32) {
    let cases = std::env::var("CRASHBED_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(200) / part;
    for &mechanism in mechanisms {
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let result = TestRunner::new(config).run(&programs(mechanism), |program| {
            let text = program.write();
            let ended = play(scenario, &text);
            prop_assert!(ended.status.success(), "{text}\n{}", ended.err);
            Ok(())
        });
        if let Err(failure) = result {
            panic!("{failure}");
        }
    }
}

/// The check can fail: a model that counts one operation too many does not equal any run.
fn a_wrong_model_is_found_out() {
    support::fails("program", "copy-on-write;warm;1;0;i1 C0 X0 p2wrong", "operations after transaction 0");
}
