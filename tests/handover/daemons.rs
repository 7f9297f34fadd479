//! Daemons that die in the middle of a hand-over: killed by the spare that decides, or as the predecessor crashes.

use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::state::{Linked, mix};
use crate::support::{declaration, mechanism_and_spare};
use crashbed::{
    Action, Crash, Daemon, Decision, History, Intensity, MechanismKind, Outcome, RestartPolicy, Root, Spare,
};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Operations of the story, each of which ends in a crash but the last.
const OPERATIONS: u64 = 120;
/// Every so many crashes the daemon is killed.
const RARELY: u64 = 5;

/// Who the daemon is, and how many were killed by a spare, and by a transaction.
const DAEMON: usize = 0;
const BY_A_SPARE: usize = 1;
const BY_A_TRANSACTION: usize = 2;

static BOARD: OnceLock<Board> = OnceLock::new();

fn board() -> Board {
    *BOARD.get_or_init(Board::new)
}

fn kill_the_daemon(count: usize) {
    board()[count].fetch_add(1, SeqCst);
    let daemon = i32::try_from(board()[DAEMON].load(SeqCst)).expect("a process id");
    // SAFETY: no pointer is passed. It is this process's parent: it cannot be reaped and followed by another before
    // this process is gone too.
    unsafe { libc::kill(daemon, libc::SIGKILL) };
}

/// Resumes; where a spare asks, it kills the daemon now and then.
struct KillsTheDaemon;

impl RestartPolicy for KillsTheDaemon {
    fn name(&self) -> &str {
        "kills-the-daemon"
    }
    fn decide(&self, crash: &Crash, _: &History) -> Decision {
        if u64::from(std::process::id()) != board()[DAEMON].load(SeqCst) && crash.operation.is_multiple_of(RARELY) {
            kill_the_daemon(BY_A_SPARE);
        }
        Decision::now(Action::Resume)
    }
}

/// Whatever the moment, the next daemon finds a commit, nobody else works on it, and the work is done to its end.
pub(crate) fn die_in_a_hand_over() -> crashbed::Result<()> {
    let board = board();
    Root::new()
        .declare(declaration().intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<Linked>| {
            board[DAEMON].store(u64::from(std::process::id()), SeqCst);
            assert!(*daemon.state() == Linked::after(daemon.operations()), "the daemon found no commit");
            if daemon.operations() == OPERATIONS {
                return Ok(());
            }
            let outcome = daemon.transaction(&KillsTheDaemon, |tx, state| {
                let n = tx.operations();
                assert!(*state == Linked::after(n), "the state is no commit");
                state.operate(n);
                tx.done();
                tx.commit()?;
                if n + 1 < OPERATIONS {
                    state.first_half(n + 1);
                    // Its spare is ready in most rounds.
                    std::thread::sleep(Duration::from_micros(700));
                    if n % RARELY == 1 {
                        kill_the_daemon(BY_A_TRANSACTION);
                        let (began, moment) = (Instant::now(), Duration::from_nanos(mix(n) % 60_000));
                        while began.elapsed() < moment {
                            std::hint::spin_loop();
                        }
                    }
                    Fault::NullWrite.strike();
                }
                Ok(())
            })?;
            assert_eq!((outcome, daemon.operations()), (Outcome::Done(()), OPERATIONS));
            let killed = [BY_A_SPARE, BY_A_TRANSACTION].map(|count| board[count].load(SeqCst));
            // Under full copy it is always the daemon that decides.
            let (mechanism, spare) = mechanism_and_spare();
            let decides = mechanism == MechanismKind::CopyOnWrite && spare != Spare::Cold;
            // Under `auto` now the one, now the other.
            let may_decide = decides || mechanism == MechanismKind::Auto && spare != Spare::Cold;
            assert!(if killed[0] > 0 { may_decide } else { !decides }, "{killed:?}");
            assert!(killed[1] >= OPERATIONS / RARELY && daemon.restarts() >= killed[1], "{killed:?}");
            Ok(())
        })
        .run()
}
