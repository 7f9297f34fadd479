//! Resident transactions: every request's effect is there once, and no reply leaves before its commit.

use crate::support::board::Board;
use crate::support::declaration;
use crate::support::fault::Fault;
use crate::support::state::Linked;
use crashbed::{Daemon, Failure, Incoming, Intensity, Outcome, Root, Service, Tx};
use crashbed_policies::CheckpointResume;
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const REQUESTS: u64 = 60;

/// Where a service crashes, each place with requests of its own.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Request,
    Serve,
    Reply,
}

/// Crashes once at each third request, in one of three places after the other.
struct Crashing {
    board: Board,
    /// Nothing is there at every so many requests, where others wait for their replies.
    gaps: u64,
}

/// On the board: the furthest reply, replies in all, crashes in all; behind that, one word a request.
const FURTHEST: usize = 0;
const REPLIES: usize = 1;
const CRASHES: usize = 2;
const STRUCK: usize = 8;

impl Crashing {
    fn pass(&self, place: Place, number: u64) {
        let due = match place {
            Place::Request => 2,
            Place::Serve => 5,
            Place::Reply => 8,
        };
        let word = STRUCK + usize::try_from(number).expect("a small number");
        if number % 9 == due && self.board[word].swap(1, SeqCst) == 0 {
            self.board[CRASHES].fetch_add(1, SeqCst);
            if number.is_multiple_of(2) { Fault::Kill.strike() } else { Fault::NullWrite.strike() }
        }
    }
}

impl Service<Linked> for Crashing {
    type Request = u64;
    type Answer = (u64, String);

    fn request(&self, _: &Tx<'_>, number: u64, wait: bool) -> Result<Incoming<u64>, Failure> {
        // Whatever was replied to is in the commit that this incarnation began with.
        assert!(self.board[FURTHEST].load(SeqCst) <= number, "a reply left before its commit");
        self.pass(Place::Request, number);
        Ok(match number {
            REQUESTS => Incoming::NoMore,
            n if n % self.gaps == 0 && !wait => Incoming::NotYet,
            n => Incoming::Request(n),
        })
    }

    fn serve(&self, _: &mut Tx<'_>, state: &mut Linked, request: u64) -> Result<(u64, String), Failure> {
        state.first_half(request);
        self.pass(Place::Serve, request);
        state.second_half(request);
        Ok((state.sum, format!("reply to {request}")))
    }

    fn reply(&self, number: u64, (sum, words): (u64, String)) {
        assert_eq!((sum, words), (Linked::after(number + 1).sum, format!("reply to {number}")));
        self.board[FURTHEST].fetch_max(number + 1, SeqCst);
        self.board[REPLIES].fetch_add(1, SeqCst);
        self.pass(Place::Reply, number);
    }
}

pub(crate) fn resident() -> crashbed::Result<()> {
    let boards = [Board::new(), Board::new(), Board::new()];
    Root::new()
        .declare(declaration().intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<Linked>| {
            for (board, every) in boards.iter().zip([1, 4, 100]) {
                daemon.zero()?;
                let service = Crashing { board: *board, gaps: 7 };
                let every = NonZeroU64::new(every).expect("not zero");
                let outcome = daemon.prepare(CheckpointResume).serve(&service, every)?;
                assert_eq!(outcome, Outcome::Done(REQUESTS));
                assert_eq!(*daemon.state(), Linked::after(REQUESTS));
                let crashes = board[CRASHES].load(SeqCst);
                assert_eq!(daemon.report().crashes, crashes);
                assert!(crashes >= 18, "{crashes}");
                // Only a crash between the commit and the reply loses one, and those held back with it.
                let replies = board[REPLIES].load(SeqCst);
                assert!(replies <= REQUESTS && replies + 6 * 7 >= REQUESTS, "{replies}");
                assert!(every.get() > 1 || replies == REQUESTS, "{replies}");
            }
            Ok(())
        })
        .run()
}

/// A transaction that waits for input for longer than its heartbeat's deadline is not silent. It gives a sign of life four
/// times in a deadline, which is so long that a busy machine does not keep it from all of them.
pub(crate) fn waits_for_input() -> crashbed::Result<()> {
    let (input, output) = std::io::pipe().map_err(crashbed::Error::program)?;
    Root::new()
        .declare(declaration().heartbeat(Duration::from_millis(180)), |daemon: &mut Daemon<u64>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, _| tx.wait_readable(input.as_fd()))?;
            assert_eq!((outcome, daemon.report().crashes), (Outcome::Done(()), 0));
            Ok(())
        })
        .daemon("writer", crashbed::MIB, |_: &mut Daemon<u64>| {
            use std::io::Write;
            std::thread::sleep(Duration::from_millis(700));
            (&output).write_all(b"x").map_err(crashbed::Error::program)
        })
        .run()
}
