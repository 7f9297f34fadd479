//! Playing cases: by transactions that crash, and by daemons that do.

use crate::case::{Case, Finds, Step, decide};
use crate::mode::{KEPT, Mode, POINTS};
use crate::state::{Change, State};
use crate::strikes::{
    ACKNOWLEDGED, BEGUN, BOARD, CASE, CRASHES, GONE_ON, IN_FLIGHT, LIVE, OUTLIVES, REACHED, STRUCK, UNDER_WAY,
    forget_plans, kill_by_timer, plan, print_counts, strike,
};
use crate::support::argument;
use crate::support::board::Board;
use crate::support::fault::Fault;
use crashbed::point::{self, Point};
use crashbed::{Daemon, Failure, Outcome, Root, Spare, Ticket, Tx};
use crashbed_policies::CheckpointResume;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// A case that is played.
struct Playing<'a> {
    case: &'a Case,
    board: &'a Board,
    mode: &'a Mode<'a>,
}

/// A commit that was not waited for, and how many operations it holds.
type Later = Option<(Ticket, u64)>;

impl Playing<'_> {
    /// Whether this is what a commit held that may be the last one, or a crashed state that may be gone on with.
    fn check(&self, state: &State, operations: u64, who: &str) {
        let Self { case, board, mode } = self;
        let (acknowledged, in_flight) = (board[ACKNOWLEDGED].load(SeqCst), board[IN_FLIGHT].load(SeqCst));
        let at = usize::try_from(operations).unwrap_or(usize::MAX);
        let may_be_last = operations == acknowledged
            || (case.commits_after(at) && (acknowledged..=in_flight).contains(&operations))
            || (case.finds == Finds::Zero && operations == 0)
            // How far back it goes that dies on its way back depends on where.
            || (case.finds == Finds::Older && operations < acknowledged)
            || (mode.forks() && operations == board[OUTLIVES].load(SeqCst));
        let reached = board[REACHED].load(SeqCst);
        let may_have_crashed = case.keeps(mode) && (reached..=reached + 1).contains(&operations);
        let may_be = may_be_last || may_have_crashed;
        let equals = case.model(at).is_some_and(|model| state.equals(model));
        assert!(
            may_be && equals,
            "no commit that was made, in a {who}: {operations} operations, {acknowledged} acknowledged, {in_flight} in \
             flight, {reached} reached; may be: {may_be}, equals: {equals}"
        );
        board[GONE_ON].fetch_add(u64::from(!may_be_last), SeqCst);
        for slot in [ACKNOWLEDGED, IN_FLIGHT, REACHED] {
            board[slot].store(operations, SeqCst);
        }
    }

    /// Whether step `n` has struck already.
    fn has_struck(&self, n: u64) -> &AtomicU64 {
        &self.board[STRUCK + usize::try_from(n).unwrap_or(0)]
    }

    /// The commit of so many operations is known to be true.
    fn acknowledge(&self, operations: u64) {
        self.board[ACKNOWLEDGED].fetch_max(operations, SeqCst);
    }

    /// Changes something that no commit has, and dies.
    fn die_in_a_change(&self, tx: &Tx<'_>, state: &mut State, fault: Fault) {
        self.board[CRASHES].fetch_add(1, SeqCst);
        let _changing = tx.change();
        for change in [
            Change::Write { at: 3, len: 777, with: 0xee },
            Change::Allocate { slot: 1, len: 1234, with: 0xee },
            Change::Release { slot: 2 },
            Change::Push { word: tx.operations() },
        ] {
            change.make(tx, state, false);
        }
        fault.strike();
    }

    /// A transaction's work: the steps from the first one that the state in place does not hold.
    fn work(&self, tx: &mut Tx<'_>, state: &mut State) -> Result<(), Failure> {
        let Self { case, board, mode } = self;
        self.check(state, tx.operations(), "transaction");
        // Whoever begins anew has what the daemon has.
        board[OUTLIVES].store(tx.operations(), SeqCst);
        let mut later = Later::None;
        while let Some(step) = case.steps.get(usize::try_from(tx.operations()).unwrap_or(usize::MAX)) {
            let n = tx.operations();
            board[REACHED].store(n, SeqCst);
            let once = || self.has_struck(n).swap(1, SeqCst) == 0;
            match *step {
                Step::Change(change) => {
                    let changing = tx.change();
                    change.make(tx, state, mode.is("careless"));
                    changing.done();
                    continue;
                }
                Step::Wait => {
                    if let Some((ticket, operations)) = later.take() {
                        tx.wait(ticket)?;
                        self.acknowledge(operations);
                    }
                }
                Step::Look => {
                    if let Some((_, operations)) = later.filter(|(ticket, _)| ticket.is_done(tx)) {
                        self.acknowledge(operations);
                    }
                }
                Step::Crash { fault, changing: true } if once() => self.die_in_a_change(tx, state, fault),
                Step::Crash { fault, changing: false } if once() => {
                    board[CRASHES].fetch_add(1, SeqCst);
                    fault.strike();
                }
                Step::Timer(microseconds) if once() => kill_by_timer(microseconds),
                Step::Plan { which, passes, deaths } if once() => {
                    let at = mode.points().nth(which % mode.points().count()).expect("a point");
                    let in_staging = [Point::Stage, Point::Staged];
                    if mode.forks() && in_staging.contains(&at) {
                        // A frozen process hands its commit in by a fork, and is given up where three of these die.
                        forget_plans(board, &in_staging);
                    }
                    plan(board, at, passes, deaths);
                }
                Step::Restores { passes, deaths } if once() => {
                    plan(board, Point::DaemonRestore, passes, deaths);
                    self.die_in_a_change(tx, state, Fault::Kill);
                }
                Step::Daemon if once() => {
                    board[CRASHES].fetch_add(1, SeqCst);
                    let daemon = nix::unistd::getppid();
                    nix::sys::signal::kill(daemon, nix::sys::signal::Signal::SIGKILL).expect("kill the daemon");
                    std::thread::sleep(Duration::from_secs(10));
                }
                Step::Fail if once() => {
                    // It is never over: what it has written is no state to go on with.
                    std::mem::forget(tx.change());
                    Change::Write { at: 0, len: 99, with: 0xdd }.make(tx, state, false);
                    return Err(Failure::new("as planned"));
                }
                _ => {}
            }
            tx.done();
            if step.is_commit() {
                self.commit(tx, state, *step, &mut later)?;
            }
            if let Step::CommitAndDie { fault, .. } = *step
                && once()
            {
                let is_under_way = later.is_some_and(|(ticket, _)| !ticket.is_done(tx));
                board[UNDER_WAY].fetch_add(is_under_way.into(), SeqCst);
                self.die_in_a_change(tx, state, fault);
            }
        }
        board[IN_FLIGHT].store(tx.operations(), SeqCst);
        board[REACHED].store(tx.operations(), SeqCst);
        Ok(())
    }

    /// Commits, as the step says that was done just now.
    fn commit(&self, tx: &mut Tx<'_>, state: &State, step: Step, later: &mut Later) -> Result<(), Failure> {
        let operations = tx.operations();
        if let Step::CommitAndDie { at, .. } = step
            && self.has_struck(operations - 1).load(SeqCst) == 0
        {
            plan(self.board, at, 0, 0);
            if self.case.spare != Spare::Cold {
                // It is ready by then, mostly.
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.board[IN_FLIGHT].store(operations, SeqCst);
        if self.mode.forks() {
            // The timer would go off in the process that is frozen, and take an acknowledged commit away.
            kill_by_timer(0);
        }
        let before = later.take();
        match step {
            _ if self.mode.is("lost") => {}
            Step::Commit => tx.commit()?,
            _ => *later = Some((tx.commit_later()?, operations)).filter(|(ticket, _)| !ticket.is_done(tx)),
        }
        match (&later, before) {
            // It may be a successor that has returned from the commit, with the locals of that moment.
            (None, _) => self.check(state, tx.operations(), "transaction that has committed"),
            // The next one has waited for it.
            (Some(_), Some((_, operations))) => self.acknowledge(operations),
            (Some(_), None) => {}
        }
        Ok(())
    }
}

/// Plays one case to its end, or goes on with it.
fn play_case(daemon: &mut Daemon<State>, playing: &Playing<'_>) -> crashbed::Result<()> {
    let Playing { case, board, .. } = playing;
    if board[BEGUN].load(SeqCst) == 0 {
        daemon.zero()?;
        // No case goes back to a commit of the one before.
        let outcome = daemon.transaction(CheckpointResume, |tx, _| (0..KEPT).try_for_each(|_| tx.commit()))?;
        assert_eq!(outcome, Outcome::Done(()));
        for slot in [ACKNOWLEDGED, IN_FLIGHT, REACHED].into_iter().chain(STRUCK..STRUCK + 64) {
            board[slot].store(0, SeqCst);
        }
        board[BEGUN].store(1, SeqCst);
    }
    loop {
        playing.check(daemon.state(), daemon.operations(), "daemon");
        let prepared = daemon.prepare(case.policy()).spare(case.spare).on_crash(&decide).keep_if_intact();
        let outcome = prepared.run(|tx, state| playing.work(tx, state))?;
        match outcome {
            Outcome::Done(()) => break,
            Outcome::Failed(failure) if failure.message() == "as planned" => {}
            other => panic!("{other:?}"),
        }
    }
    forget_plans(board, &POINTS);
    board[ACKNOWLEDGED].store(case.steps.len() as u64, SeqCst);
    playing.check(daemon.state(), case.steps.len() as u64, "daemon in the end");
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

/// Plays the cases of the argument: `MECHANISM MODE SEED FIRST COUNT`. Prints what must have happened, and how often it has.
pub(crate) fn play() -> crashbed::Result<()> {
    let argument = argument();
    let words: Vec<&str> = argument.split(' ').collect();
    let [mechanism, mode, rest @ ..] = &words[..] else { panic!("MECHANISM MODE SEED FIRST COUNT") };
    let numbers: Vec<u64> = rest.iter().map(|word| word.parse().expect("a number")).collect();
    let [seed, first, count] = numbers[..] else { panic!("SEED FIRST COUNT") };
    let mode = Mode::read(mechanism, mode);
    mode.mask();
    let board = *BOARD.get_or_init(Board::new);
    point::set_hook(strike);
    Root::new()
        .declare(mode.declaration(), |daemon: &mut Daemon<State>| {
            loop {
                let number = first + board[CASE].load(SeqCst);
                if number == first + count {
                    print_counts(&board, &mode);
                    return Ok(());
                }
                let case = Case::draw(seed, number, &mode);
                let playing = Playing { case: &case, board: &board, mode: &mode };
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play_case(daemon, &playing)));
                match ended {
                    Ok(ended) => ended?,
                    Err(payload) => {
                        let Case { steps, finds, spare, .. } = &case;
                        eprintln!("case {number} of seed {seed} finds {finds:?}, spare {spare}: {steps:?}");
                        std::panic::resume_unwind(payload);
                    }
                }
                board[BEGUN].store(0, SeqCst);
                board[CASE].fetch_add(1, SeqCst);
            }
        })
        .run()
}
