//! Daemons that are killed while they switch.

use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::state::{Linked, mix};
use crate::support::{argument, passes, step};
use crashbed::point::{self, Point};
use crashbed::{Daemon, Declaration, Intensity, KIB, MIB, MechanismKind, Outcome, Recoverable, Root};
use crashbed_policies::CheckpointResume;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// On the board: passes of the point so far, and the daemons that died there.
const PASSES: usize = 0;
const DEATHS: usize = 1;
/// Tries of the present switch, and how many instructions the longest has.
const TRIED: usize = 2;
const LENGTH: usize = 3;
/// Operations that were acknowledged.
const ACKNOWLEDGED: usize = 4;
/// The last operation that has crashed.
const CRASHED: usize = 5;
/// Switches that were stepped through whole.
const WHOLE: usize = 6;

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

/// More than half of the region lies before what changes: a copy that is struck in its middle lacks that. Not where a
/// switch is gone through step by step, which would take the longer.
#[derive(Recoverable)]
struct State {
    _before: Vec<u8>,
    linked: Linked,
}

impl Default for State {
    fn default() -> Self {
        let before = if argument().is_empty() { 0 } else { 140 * KIB };
        Self { _before: vec![7; before], linked: Linked::default() }
    }
}

/// Operations, each a transaction with a switch before it, on the state that all before it have made.
fn operate(daemon: &mut Daemon<State>, is_over: impl Fn(u64) -> bool) -> crashbed::Result<()> {
    loop {
        let n = daemon.operations();
        let acknowledged = board()[ACKNOWLEDGED].load(SeqCst);
        assert!(n == acknowledged || n == acknowledged + 1, "{n} operations, {acknowledged} acknowledged");
        assert!(daemon.state().linked == Linked::after(n), "the state is no commit");
        if is_over(n) {
            return Ok(());
        }
        let outcome = daemon.transaction(CheckpointResume, |tx, State { linked: state, .. }| {
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
            let each = argument().parse().unwrap_or(5);
            if (board()[PASSES].fetch_add(1, SeqCst) + 1).is_multiple_of(each) {
                board()[DEATHS].fetch_add(1, SeqCst);
                Fault::Kill.strike();
            }
        }
    }
    board();
    point::set_hook(strike);
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<State>| {
            operate(daemon, |n| n == 150)?;
            let [passes, deaths] = [PASSES, DEATHS].map(|count| board()[count].load(SeqCst));
            assert!(deaths >= 70 && daemon.restarts() == deaths, "{deaths} deaths, {} restarts", daemon.restarts());
            println!("{deaths} daemons died at {passes} points");
            Ok(())
        })
        .run()
}

/// How many instructions of each switch are tried. A trap takes some 20 µs on a virtual machine, and a switch that copies
/// has tens of thousands of instructions in a build without optimisation.
fn tries() -> u64 {
    std::env::var("CRASHBED_AUTO_TRIES").ok().and_then(|tries| tries.parse().ok()).unwrap_or(4)
}

/// From the first point of a switch to its last, the daemon is killed after some instruction. The switch, which is begun
/// again by the next daemon, is let through after so many tries. Those without a copy are short: so every other try is
/// among the first instructions.
pub(crate) fn at_each_instruction() -> crashbed::Result<()> {
    fn strike(at: Point) {
        /// Instructions of a switch without a copy.
        const FEW: u64 = 1500;
        /// What this process does: nothing yet, a switch, one step by step.
        static DOES: AtomicU64 = AtomicU64::new(0);
        let (tried, longest) = (board()[TRIED].load(SeqCst), board()[LENGTH].load(SeqCst));
        if at == Point::Switch && DOES.load(Relaxed) == 0 {
            board()[TRIED].store(tried + 1, SeqCst);
            // The first two, of which one has a copy, tell how long it is.
            let is_whole = board()[WHOLE].load(SeqCst) < 2;
            let steps = is_whole || tried < tries();
            DOES.store(1 + u64::from(steps), Relaxed);
            if steps {
                let below = if tried % 2 == 0 { FEW } else { longest.max(1) };
                let drawn = mix(board()[PASSES].fetch_add(1, SeqCst)) % below;
                step::begin(if is_whole { u64::MAX } else { drawn });
            }
        }
        if at == Point::Switched {
            if DOES.swap(0, Relaxed) == 2 {
                board()[LENGTH].fetch_max(step::end(), SeqCst);
                board()[WHOLE].fetch_add(1, SeqCst);
            }
            board()[TRIED].store(0, SeqCst);
        }
    }
    board();
    point::set_hook(strike);
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<State>| {
            operate(daemon, |n| n == 6)?;
            let longest = board()[LENGTH].load(SeqCst);
            println!("{} daemons died in switches of up to {longest} instructions", daemon.restarts());
            assert!(longest > 10_000 && daemon.restarts() >= 3 * tries(), "{} of {longest}", daemon.restarts());
            Ok(())
        })
        .run()
}
