//! Daemons that are killed while they switch.

use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::state::Linked;
use crate::support::{passes, step};
use crashbed::point::{self, Point};
use crashbed::{Daemon, Declaration, Intensity, KIB, MIB, MechanismKind, Outcome, Root};
use crashbed_policies::CheckpointResume;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// On the board: passes of the point so far, and the daemons that died there.
const PASSES: usize = 0;
const DEATHS: usize = 1;
/// Instructions of the present switch that were tried, and how many the one before had.
const TRIED: usize = 2;
const LENGTH: usize = 3;
/// Operations that were acknowledged.
const ACKNOWLEDGED: usize = 4;
/// The last operation that has crashed.
const CRASHED: usize = 5;

fn board() -> &'static Board {
    static BOARD: OnceLock<Board> = OnceLock::new();
    BOARD.get_or_init(Board::new)
}

fn declaration() -> Declaration {
    Declaration::new("d", 256 * KIB)
        .mechanism(MechanismKind::Auto)
        .switches_always(true)
        .scratch(MIB)
        .intensity(Intensity::UNLIMITED)
}

/// Operations, each a transaction with a switch before it, on the state that all before it have made.
fn operate(daemon: &mut Daemon<Linked>, is_over: impl Fn(u64) -> bool) -> crashbed::Result<()> {
    loop {
        let n = daemon.operations();
        let acknowledged = board()[ACKNOWLEDGED].load(SeqCst);
        assert!(n == acknowledged || n == acknowledged + 1, "{n} operations, {acknowledged} acknowledged");
        assert!(*daemon.state() == Linked::after(n), "the state is no commit");
        if is_over(n) {
            return Ok(());
        }
        let outcome = daemon.transaction(CheckpointResume, |tx, state| {
            assert!(*state == Linked::after(tx.operations()), "the state is no commit");
            // What is undone by a restore from where the new mechanism has laid the commit.
            if n % 4 == 3 && board()[CRASHED].swap(n, SeqCst) != n {
                state.first_half(n);
                Fault::Kill.strike();
            }
            state.operate(tx.operations());
            tx.done();
            Ok(())
        })?;
        assert_eq!(outcome, Outcome::Done(()));
        board()[ACKNOWLEDGED].store(n + 1, SeqCst);
    }
}

pub(crate) fn a_daemon_that_dies_in_a_switch_leaves_the_commit() {
    // A switch passes three or four points, one of them in the middle of a copy where there is one. So each of them is met.
    for each in [5, 6, 7, 8] {
        println!("{}", passes("points", &format!("{each}")).out.trim_end());
    }
}

pub(crate) fn at_each_step() -> crashbed::Result<()> {
    fn strike(at: Point) {
        if [Point::Switch, Point::Switched].contains(&at) {
            let each = crate::support::argument().parse().unwrap_or(5);
            if (board()[PASSES].fetch_add(1, SeqCst) + 1).is_multiple_of(each) {
                board()[DEATHS].fetch_add(1, SeqCst);
                Fault::Kill.strike();
            }
        }
    }
    board();
    point::set_hook(strike);
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Linked>| {
            operate(daemon, |n| n == 150)?;
            let [passes, deaths] = [PASSES, DEATHS].map(|count| board()[count].load(SeqCst));
            assert!(deaths >= 70 && daemon.restarts() == deaths, "{deaths} deaths, {} restarts", daemon.restarts());
            println!("{deaths} daemons died at {passes} points");
            Ok(())
        })
        .run()
}

/// How many instructions of each switch are tried: a build without optimisation has tens of thousands in one.
fn tries() -> u64 {
    std::env::var("CRASHBED_AUTO_TRIES").ok().and_then(|tries| tries.parse().ok()).unwrap_or(8)
}

/// From the first point of a switch to its last, the daemon is killed after one of the instructions, evenly spread over
/// them. Each switch is gone through whole once, to know how long it is, then with a kill; the restart begins it again.
pub(crate) fn at_each_instruction() -> crashbed::Result<()> {
    fn strike(at: Point) {
        /// Whether this process is between the two points.
        static STEPS: AtomicBool = AtomicBool::new(false);
        let [tried, length] = [TRIED, LENGTH].map(|count| board()[count].load(SeqCst));
        if at == Point::Switch && !STEPS.swap(true, Relaxed) {
            // The last try, which has more than there are, is let go through.
            let count = if length == 0 { u64::MAX } else { tried * length / tries() };
            board()[TRIED].store(tried + 1, SeqCst);
            board()[DEATHS].fetch_add(u64::from(count < length), SeqCst);
            step::begin(count.saturating_add(u64::from(count >= length) << 40));
        }
        if at == Point::Switched {
            STEPS.store(false, Relaxed);
            let passed = step::end();
            board()[PASSES].fetch_add(passed, SeqCst);
            board()[LENGTH].store(passed, SeqCst);
            board()[TRIED].store(0, SeqCst);
        }
    }
    board();
    point::set_hook(strike);
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Linked>| {
            operate(daemon, |n| n == 12)?;
            let [instructions, deaths] = [PASSES, DEATHS].map(|count| board()[count].load(SeqCst));
            println!("{deaths} daemons died in switches of {instructions} instructions in all");
            assert!(deaths >= 10 * (tries() - 1) && daemon.restarts() >= deaths, "{deaths}, {}", daemon.restarts());
            Ok(())
        })
        .run()
}
