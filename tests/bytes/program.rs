//! A program: steps drawn from a seed, played by transactions that crash, and by daemons that do.

use crate::state::{Change, Model, State};
use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::{argument, state::mix};
use crashbed::point::{self, Point};
use crashbed::{
    Action, Crash, Daemon, Decision, Declaration, Failure, History, Intensity, KIB, MIB, MechanismKind, Outcome,
    RestartPolicy, Root, Spare, Tx,
};
use crashbed_policies::{CheckpointResume, ZeroState};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// On the board: operations in the last acknowledged commit, and in the one in flight (or the same).
const ACKNOWLEDGED: usize = 0;
const IN_FLIGHT: usize = 1;
/// The case that is played, counted from the first one, and whether its state was made.
const CASE: usize = 2;
const BEGUN: usize = 3;
/// Where a process dies next, plus one; how many passes to let by; how many are to die there.
const POINT: usize = 4;
const PASSES: usize = 5;
const DEATHS: usize = 6;
/// Bytes in use when the state was made; crashes that were struck.
const LIVE: usize = 7;
const CRASHES: usize = 8;
/// Operations in the last commit that does not die with the daemon, under a mechanism whose commits are processes.
const OUTLIVES: usize = 9;
/// Whether step so-and-so has struck.
const STRUCK: usize = 64;

/// How many commits before the last one are kept; none in check mode, and none where `auto` is to switch.
const KEPT: u8 = 2;

static BOARD: OnceLock<Board> = OnceLock::new();

/// Where processes die: transactions, then daemons.
const POINTS: [Point; 11] = [
    Point::Stage,
    Point::Staged,
    Point::Forked,
    Point::Flipped,
    Point::Restore,
    Point::Log,
    Point::Apply,
    Point::Acknowledge,
    Point::Switch,
    Point::Switched,
    Point::DaemonRestore,
];

#[derive(Clone, Copy, Debug)]
enum Step {
    Change(Change),
    Commit,
    /// Changes something, and dies in the middle of it.
    Crash(Fault),
    /// Is killed so many microseconds later, wherever it is then.
    Timer(i64),
    /// The next so many processes that pass this point, after some passes, die there.
    Point {
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

    fn step(&mut self) -> Step {
        match self.below(40) {
            0..=5 => Step::Commit,
            6 | 7 => Step::Crash([Fault::NullWrite, Fault::Kill, Fault::Abort][self.size(3)]),
            8 => Step::Timer(i64::try_from(1 + self.below(400)).unwrap_or(1)),
            9 | 10 => {
                let (which, passes) = (self.size(POINTS.len() as u64), self.below(3));
                Step::Point { which, passes, deaths: 1 + self.below(2) }
            }
            11 => Step::Restores { passes: self.below(3), deaths: 1 + self.below(3) },
            12 => Step::Daemon,
            13 if self.below(3) == 0 => Step::Fail,
            _ => Step::Change(self.change()),
        }
    }
}

/// Resumes the commit before the last one.
struct Older;

impl RestartPolicy for Older {
    fn name(&self) -> &str {
        "older"
    }
    fn decide(&self, _: &Crash, _: &History) -> Decision {
        Decision::now(Action::Older(1))
    }
}

/// A case: what it does, how, and what its commits hold.
struct Case {
    steps: Vec<Step>,
    zero: bool,
    older: bool,
    spare: Spare,
    /// For each number of operations that may be committed, what the state is then.
    commits: Vec<(u64, Model)>,
}

impl Case {
    fn draw(seed: u64, number: u64) -> Self {
        let mut numbers = Numbers(mix(seed ^ mix(number)));
        let (zero, older) = (numbers.below(8) == 0, numbers.below(6) == 0);
        let spare = Spare::all()[numbers.size(4)];
        let count = numbers.size(60);
        let steps: Vec<Step> = (0..count).map(|_| numbers.step()).collect();
        let (mut model, mut commits) = (Model::default(), vec![(0, Model::default())]);
        for (i, step) in steps.iter().enumerate() {
            match step {
                Step::Change(change) => change.make_on(&mut model),
                Step::Commit => commits.push((i as u64 + 1, model.clone())),
                _ => {}
            }
        }
        commits.push((count as u64, model));
        Self { steps, zero, older, spare, commits }
    }

    fn policy(&self) -> Box<dyn RestartPolicy + Send> {
        match (self.zero, self.older) {
            (true, _) => Box::new(ZeroState),
            (_, true) => Box::new(Older),
            _ => Box::new(CheckpointResume),
        }
    }

    /// Whether this is what a commit held that may be the last one.
    fn check(&self, state: &State, operations: u64, board: &Board, mode: &Mode, who: &str) {
        let (acknowledged, in_flight) = (board[ACKNOWLEDGED].load(SeqCst), board[IN_FLIGHT].load(SeqCst));
        // How far back it goes that dies on its way back depends on where.
        let may_be = operations == acknowledged
            || operations == in_flight
            || (self.zero && operations == 0)
            || (self.older && operations < acknowledged)
            || (mode.forks && operations == board[OUTLIVES].load(SeqCst));
        let model = self.commits.iter().find(|(at, _)| *at == operations).map(|(_, model)| model);
        let equals = model.is_some_and(|model| state.equals(model));
        assert!(
            may_be && equals,
            "no commit that was made, in a {who}: {operations} operations, {acknowledged} acknowledged, {in_flight} in \
             flight; may be: {may_be}, equals: {equals}"
        );
        board[ACKNOWLEDGED].store(operations, SeqCst);
        board[IN_FLIGHT].store(operations, SeqCst);
    }
}

/// The hook: kills who passes the planned point.
fn strike(at: Point) {
    let Some(board) = BOARD.get() else { return };
    let planned = board[POINT].load(SeqCst);
    if planned == 0 || POINTS[usize::try_from(planned - 1).unwrap_or(0)] != at {
        return;
    }
    if board[PASSES].load(SeqCst) > 0 {
        board[PASSES].fetch_sub(1, SeqCst);
    } else if board[DEATHS].fetch_sub(1, SeqCst) > 1 {
        board[CRASHES].fetch_add(1, SeqCst);
        Fault::Kill.strike();
    } else {
        board[POINT].store(0, SeqCst);
        board[CRASHES].fetch_add(1, SeqCst);
        Fault::Kill.strike();
    }
}

fn plan(board: &Board, which: usize, passes: u64, deaths: u64) {
    board[PASSES].store(passes, SeqCst);
    board[DEATHS].store(deaths, SeqCst);
    board[POINT].store(which as u64 + 1, SeqCst);
}

/// SIGALRM, which nobody handles, ends this process in so many microseconds.
fn kill_by_timer(microseconds: i64) {
    let zero = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let timer = libc::itimerval { it_interval: zero, it_value: libc::timeval { tv_sec: 0, tv_usec: microseconds } };
    // SAFETY: the new timer is readable, and the old one is not asked for.
    unsafe {
        libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut::<libc::itimerval>())
    };
}

/// Changes something that no commit has, and dies.
fn die_in_a_change(tx: &Tx<'_>, state: &mut State, n: u64, fault: Fault) {
    for change in [
        Change::Write { at: 3, len: 777, with: 0xee },
        Change::Allocate { slot: 1, len: 1234, with: 0xee },
        Change::Release { slot: 2 },
        Change::Push { word: n },
    ] {
        change.make(tx, state, false);
    }
    fault.strike();
}

/// How a tree plays.
struct Mode {
    careless: bool,
    lost: bool,
    /// Commits are processes.
    forks: bool,
}

/// A transaction's work: the steps from the first one that the last commit does not hold.
fn work(tx: &mut Tx<'_>, state: &mut State, case: &Case, board: &Board, mode: &Mode) -> Result<(), Failure> {
    case.check(state, tx.operations(), board, mode, "transaction");
    while let Some(step) = case.steps.get(usize::try_from(tx.operations()).unwrap_or(usize::MAX)) {
        let n = tx.operations();
        let once = || board[STRUCK + usize::try_from(n).unwrap_or(0)].swap(1, SeqCst) == 0;
        match *step {
            Step::Change(change) => change.make(tx, state, mode.careless),
            Step::Crash(fault) if once() => {
                board[CRASHES].fetch_add(1, SeqCst);
                die_in_a_change(tx, state, n, fault);
            }
            Step::Timer(microseconds) if once() => kill_by_timer(microseconds),
            Step::Point { which, passes, deaths } if once() => plan(board, which, passes, deaths),
            Step::Restores { passes, deaths } if once() => {
                plan(board, POINTS.len() - 1, passes, deaths);
                die_in_a_change(tx, state, n, Fault::Kill);
            }
            Step::Daemon if once() => {
                board[CRASHES].fetch_add(1, SeqCst);
                let daemon = nix::unistd::getppid();
                nix::sys::signal::kill(daemon, nix::sys::signal::Signal::SIGKILL).expect("kill the daemon");
                std::thread::sleep(Duration::from_secs(10));
            }
            Step::Fail if once() => {
                Change::Write { at: 0, len: 99, with: 0xdd }.make(tx, state, false);
                return Err(Failure::new("as planned"));
            }
            _ => {}
        }
        tx.done();
        if matches!(step, Step::Commit) {
            board[IN_FLIGHT].store(n + 1, SeqCst);
            if !mode.lost {
                if mode.forks {
                    // The timer would go off in the process that is frozen, and take an acknowledged commit away.
                    kill_by_timer(0);
                }
                tx.commit()?;
            }
            board[ACKNOWLEDGED].store(n + 1, SeqCst);
            // It may be a successor that has returned from it, with the locals of that moment.
            case.check(state, tx.operations(), board, mode, "transaction that has committed");
        }
    }
    board[IN_FLIGHT].store(tx.operations(), SeqCst);
    Ok(())
}

/// Plays one case to its end, or goes on with it.
fn play_case(daemon: &mut Daemon<State>, case: &Case, board: &Board, mode: &Mode) -> crashbed::Result<()> {
    if board[BEGUN].load(SeqCst) == 0 {
        daemon.zero()?;
        // No case goes back to a commit of the one before.
        let outcome = daemon.transaction(CheckpointResume, |tx, _| (0..KEPT).try_for_each(|_| tx.commit()))?;
        assert_eq!(outcome, Outcome::Done(()));
        for slot in [ACKNOWLEDGED, IN_FLIGHT].into_iter().chain(STRUCK..STRUCK + 64) {
            board[slot].store(0, SeqCst);
        }
        board[BEGUN].store(1, SeqCst);
    }
    loop {
        case.check(daemon.state(), daemon.operations(), board, mode, "daemon");
        board[OUTLIVES].store(daemon.operations(), SeqCst);
        let prepared = daemon.prepare(case.policy()).spare(case.spare);
        let outcome = prepared.run(|tx, state| work(tx, state, case, board, mode))?;
        match outcome {
            Outcome::Done(()) => break,
            Outcome::Failed(failure) if failure.message() == "as planned" => {}
            other => panic!("{other:?}"),
        }
    }
    board[POINT].store(0, SeqCst);
    board[ACKNOWLEDGED].store(case.steps.len() as u64, SeqCst);
    case.check(daemon.state(), case.steps.len() as u64, board, mode, "daemon in the end");
    let outcome = daemon.transaction(CheckpointResume, |tx, state| {
        state.clear(tx);
        // Under the undo log it is released when no commit that is kept has it.
        (0..KEPT).try_for_each(|_| tx.commit())
    })?;
    assert_eq!(outcome, Outcome::Done(()));
    board[LIVE].compare_exchange(0, daemon.live_bytes(), SeqCst, SeqCst).ok();
    assert_eq!(daemon.live_bytes(), board[LIVE].load(SeqCst), "bytes in use when all was released");
    Ok(())
}

/// Plays the cases of the argument: `MECHANISM MODE SEED FIRST COUNT`.
pub(crate) fn play() -> crashbed::Result<()> {
    let argument = argument();
    let words: Vec<&str> = argument.split(' ').collect();
    let [mechanism, mode, rest @ ..] = &words[..] else { panic!("MECHANISM MODE SEED FIRST COUNT") };
    let numbers: Vec<u64> = rest.iter().map(|word| word.parse().expect("a number")).collect();
    let [seed, first, count] = numbers[..] else { panic!("SEED FIRST COUNT") };
    let mechanism: MechanismKind = mechanism.parse().expect("a mechanism");
    let board = *BOARD.get_or_init(Board::new);
    point::set_hook(strike);
    let declaration = Declaration::new("d", 256 * KIB)
        .mechanism(mechanism)
        .check_declared(*mode == "checked")
        .kept_commits(if ["checked", "switching"].contains(mode) { 0 } else { KEPT })
        .switches_always(*mode == "switching")
        .scratch(0)
        .heartbeat(Duration::from_secs(30))
        .intensity(Intensity::UNLIMITED);
    let declaration = match mechanism {
        // SAFETY: each step declares what it writes, but for the numbers of a plain array in the careless mode, which is to be
        // found out: they own nothing.
        MechanismKind::UndoLog => unsafe { declaration.undo_log(MIB) },
        _ => declaration,
    };
    let mode = Mode { careless: *mode == "careless", lost: *mode == "lost", forks: mechanism.returns_from_commits() };
    Root::new()
        .declare(declaration, |daemon: &mut Daemon<State>| {
            loop {
                let number = first + board[CASE].load(SeqCst);
                if number == first + count {
                    println!("{} crashes", board[CRASHES].load(SeqCst));
                    return Ok(());
                }
                let case = Case::draw(seed, number);
                let ended =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play_case(daemon, &case, &board, &mode)));
                match ended {
                    Ok(ended) => ended?,
                    Err(payload) => {
                        eprintln!("case {number} of seed {seed}: {:?}", case.steps);
                        std::panic::resume_unwind(payload);
                    }
                }
                board[BEGUN].store(0, SeqCst);
                board[CASE].fetch_add(1, SeqCst);
            }
        })
        .run()
}
