//! Spares that die: as they start, while they wait, while they decide, right after they have taken over, at any moment.

use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::state::{Linked, mix};
use crate::support::{declaration, mechanism_and_spare};
use crashbed::point::{self, Point};
use crashbed::{
    Action, Crash, Daemon, Decision, Failure, History, Intensity, MechanismKind, Outcome, Report, RestartPolicy, Root,
    Spare, Start, Tx,
};
use crashbed_policies::CheckpointResume;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Who the daemon is.
const DAEMON: usize = 0;
/// How many were forked, and who: two lists, of all, and of those that are no spares any more.
const FORKED: usize = 1;
const NO_SPARE: usize = 2;
const FORKED_LIST: usize = 16;
const NO_SPARE_LIST: usize = 256;
/// How many more are to die in the way that the story is about, and how many have.
const TO_DIE: usize = 3;
const DIED: usize = 4;
/// Lives of the transaction that its own code has begun.
const LIVES: usize = 5;
/// Operations done in all, to draw another moment each time.
const DRAWN: usize = 6;

static BOARD: OnceLock<Board> = OnceLock::new();

fn board() -> Board {
    *BOARD.get_or_init(Board::new)
}

/// The most spares that may be lost in one transaction: from then on there are none.
const MOST_LOST: u64 = 9;

fn me() -> u64 {
    u64::from(std::process::id())
}

/// Adds a process to one of the lists.
fn note(count: usize, list: usize, pid: u64) {
    let at = usize::try_from(board()[count].fetch_add(1, SeqCst)).unwrap_or(usize::MAX);
    if let Some(slot) = board()[list..list + 240].get(at) {
        slot.store(pid, SeqCst);
    }
}

/// Takes one of those that are to die; false where there is none left.
fn is_to_die() -> bool {
    let taken = board()[TO_DIE].fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
    if taken {
        board()[DIED].fetch_add(1, SeqCst);
    }
    taken
}

/// Runs a transaction that commits after each operation and then crashes, by `crash`, as long as `goes_on` says so.
/// Looks at what came of it.
fn supervised(
    policy: impl RestartPolicy,
    goes_on: impl Fn(u64) -> bool + Sync,
    crash: impl Fn(&mut Tx<'_>) -> Result<(), Failure> + Sync,
    look: impl Fn(&Report),
) -> crashbed::Result<()> {
    let board = board();
    Root::new()
        .declare(declaration().intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<Linked>| {
            board[DAEMON].store(me(), SeqCst);
            // The daemon itself, and the process that has made its state.
            board[FORKED].store(0, SeqCst);
            board[FORKED_LIST..FORKED_LIST + 240].iter().for_each(|slot| slot.store(0, SeqCst));
            let outcome = daemon.transaction(&policy, |tx, state| {
                note(NO_SPARE, NO_SPARE_LIST, me());
                let lives = board[LIVES].fetch_add(1, SeqCst);
                assert!(tx.crashes() >= lives, "{lives} lives have ended, {} crashes were counted", tx.crashes());
                assert!(*state == Linked::after(tx.operations()), "the state is no commit");
                let n = tx.operations();
                state.operate(n);
                tx.done();
                tx.commit()?;
                if goes_on(tx.crashes()) {
                    state.first_half(n + 1);
                    crash(tx)?;
                    return Err(Failure::new("it did not crash"));
                }
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            assert!(daemon.operations() <= board[LIVES].load(SeqCst), "each life does one operation");
            assert!(*daemon.state() == Linked::after(daemon.operations()), "the state is no commit");
            look(daemon.report());
            Ok(())
        })
        .run()
}

fn null_write(_: &mut Tx<'_>) -> Result<(), Failure> {
    Fault::NullWrite.strike();
    Ok(())
}

/// Resumes; kills whoever asks, if that is not the daemon, as long as some are to die.
struct Lethal;

impl RestartPolicy for Lethal {
    fn name(&self) -> &str {
        "lethal"
    }
    fn decide(&self, _: &Crash, _: &History) -> Decision {
        if me() != board()[DAEMON].load(SeqCst) && is_to_die() {
            Fault::Kill.strike();
        }
        Decision::now(Action::Resume)
    }
}

/// A spare that dies while it decides: the daemon decides, and forks.
pub(crate) fn dies_deciding() -> crashbed::Result<()> {
    let (mechanism, spare) = mechanism_and_spare();
    // Under full copy it is always the daemon that decides.
    let to_die = if mechanism == MechanismKind::CopyOnWrite && spare != Spare::Cold { 5 } else { 0 };
    board()[TO_DIE].store(to_die, SeqCst);
    // A spare that is not ready yet when its predecessor crashes is told by the daemon what was decided.
    let goes_on = |crashes| crashes < 20 || board()[TO_DIE].load(SeqCst) > 0 && crashes < 500;
    let crash = |tx: &mut Tx<'_>| {
        std::thread::sleep(Duration::from_micros(500));
        null_write(tx)
    };
    supervised(Lethal, goes_on, crash, |report| {
        assert_eq!(
            (board()[DIED].load(SeqCst), report.spares.lost),
            (to_die, to_die),
            "spares that died and were lost"
        );
        assert_eq!(report.crashes, board()[LIVES].load(SeqCst) - 1);
    })
}

/// A successor that dies as soon as it has taken over: each of its deaths is a crash, told or not by a handler.
pub(crate) fn dies_taking_over() -> crashbed::Result<()> {
    fn strike(at: Point) {
        if at == Point::Restore && board()[LIVES].load(SeqCst) > 0 && is_to_die() {
            let killed = board()[DIED].load(SeqCst).is_multiple_of(2);
            if killed { Fault::Kill.strike() } else { Fault::NullWrite.strike() }
        }
    }
    point::set_hook(strike);
    board()[TO_DIE].store(200, SeqCst);
    let crash = |tx: &mut Tx<'_>| {
        // In some rounds the predecessor takes so long to be torn down that it outlives its successor.
        if tx.crashes().is_multiple_of(3) {
            tx.scratch(|| std::hint::black_box(vec![1u8; 32 << 20]).len());
        }
        null_write(tx)
    };
    supervised(
        CheckpointResume,
        |_| board()[TO_DIE].load(SeqCst) > 0,
        crash,
        |report| {
            assert_eq!(board()[DIED].load(SeqCst), 200);
            // Those, and those that the lives which began ended in, but for the last.
            assert_eq!(report.crashes, 200 + board()[LIVES].load(SeqCst) - 1, "crashes");
            assert_eq!(report.spares.lost, 0, "spares that were lost");
        },
    )
}

/// In each forked process, first of all: tells who it is; dies, if it is a spare that is to, at once or after a while.
extern "C" fn forked() {
    let board = board();
    note(FORKED, FORKED_LIST, me());
    let is_spare = board[LIVES].load(SeqCst) > 0;
    let draw = mix(board[DRAWN].fetch_add(1, SeqCst));
    if is_spare && board[TO_DIE].load(SeqCst) > 0 && draw.is_multiple_of(4) && is_to_die() {
        match draw % 3 {
            0 => Fault::Kill.strike(),
            // Nobody handles SIGALRM: it ends the process.
            _ => set_timer(1 + draw % 1500, 0),
        }
    }
}

/// SIGALRM comes to this process in so many microseconds, and then every so many; 0 is never.
fn set_timer(first: u64, then: u64) {
    let span = |micros: u64| libc::timeval { tv_sec: 0, tv_usec: i64::try_from(micros).unwrap_or(1000) };
    let timer = libc::itimerval { it_interval: span(then), it_value: span(first) };
    let none = std::ptr::null_mut::<libc::itimerval>();
    // SAFETY: the new timer is readable, and the old one is not asked for.
    unsafe { libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &raw const timer, none) };
}

/// From now on [`forked`] runs in whoever is forked.
fn watch_forks() {
    // SAFETY: the handler makes async-signal-safe calls only, and lives as long as the program.
    let registered = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    assert_eq!(registered, 0);
}

/// Every fourth of those that are forked dies, at its first instruction or within 1.5 ms: while it starts, waits, decides
/// or works.
pub(crate) fn dies_at_any_moment() -> crashbed::Result<()> {
    watch_forks();
    board()[TO_DIE].store(60, SeqCst);
    supervised(
        CheckpointResume,
        |crashes| crashes < 300,
        null_write,
        |report| {
            assert_eq!(board()[DIED].load(SeqCst), 60);
            assert!(report.spares.lost <= MOST_LOST, "{:?}", report.spares);
        },
    )
}

/// A spare that was not told of before, once there is one; `None` where none comes.
fn next_spare() -> Option<u64> {
    let board = board();
    let listed = |list: usize| board[list..list + 240].iter().map(|slot| slot.load(SeqCst)).take_while(|pid| *pid != 0);
    (0..3_000).find_map(|_| {
        let found = listed(FORKED_LIST).find(|pid| !listed(NO_SPARE_LIST).any(|other| other == *pid));
        match found {
            Some(pid) => note(NO_SPARE, NO_SPARE_LIST, pid),
            None => std::thread::sleep(Duration::from_micros(100)),
        }
        found
    })
}

/// A spare that is killed while it waits is replaced, at ever longer intervals, and after so many not any more.
pub(crate) fn dies_waiting() -> crashbed::Result<()> {
    let has_spares = mechanism_and_spare().1 != Spare::Cold;
    watch_forks();
    let kill_some = |tx: &mut Tx<'_>| {
        // First a few; then all that come.
        for _ in 0..if has_spares { [4, 20, 0][usize::try_from(tx.crashes()).unwrap_or(0)] } else { 0 } {
            tx.beat();
            let Some(spare) = next_spare() else { break };
            std::thread::sleep(Duration::from_micros(mix(spare) % 500));
            // SAFETY: no pointer is passed. It is the daemon's child, which has not been waited for: it waits.
            unsafe { libc::kill(i32::try_from(spare).unwrap_or(0), libc::SIGKILL) };
            board()[DIED].fetch_add(1, SeqCst);
        }
        if has_spares && tx.crashes() == 0 {
            next_spare().ok_or_else(|| Failure::new("it was not replaced"))?;
        }
        null_write(tx)
    };
    supervised(
        CheckpointResume,
        |crashes| crashes < 3,
        kill_some,
        |report| {
            let killed = board()[DIED].load(SeqCst);
            assert_eq!(killed, if has_spares { MOST_LOST } else { 0 });
            assert_eq!((report.spares.lost, report.crashes), (killed, 3));
            let cold: Vec<bool> = report.recoveries.iter().map(|recovery| recovery.started_by == Start::Cold).collect();
            assert_eq!(cold, if has_spares { [false, true, true] } else { [true; 3] });
        },
    )
}

extern "C" fn ignore(_: i32) {}

/// A daemon that its own timer wakes all the time looks at a crash at every moment, also in the middle of the handler.
pub(crate) fn is_looked_at_early() -> crashbed::Result<()> {
    let board = board();
    Root::new()
        .declare(declaration().intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<Linked>| {
            // SAFETY: the handler does nothing.
            unsafe { libc::signal(libc::SIGALRM, ignore as *const () as libc::sighandler_t) };
            set_timer(20, 20);
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                let lives = board[LIVES].fetch_add(1, SeqCst);
                assert_eq!(tx.crashes(), lives, "a life is a crash's, and a crash has one");
                assert!(*state == Linked::after(0), "the state is no commit");
                state.first_half(0);
                // Every other one is slow enough for its spare to be ready.
                std::thread::sleep(Duration::from_micros(lives % 2 * 500));
                if lives < 1500 {
                    null_write(tx)?;
                }
                state.second_half(0);
                tx.done();
                Ok(())
            })?;
            set_timer(0, 0);
            assert_eq!(outcome, Outcome::Done(()));
            assert_eq!((daemon.operations(), daemon.report().crashes), (1, 1500));
            Ok(())
        })
        .run()
}
