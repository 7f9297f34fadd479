//! A block of a wide alignment, which says inside of itself where its header is: released, its memory used by others, and
//! gone back to.

use crate::declaration;
use crate::support::fault::Fault;
use crashbed::{Action, Crash, Daemon, Decision, History, Outcome, Recoverable, RestartPolicy, Root};

/// A cache line, and one more: its payload does not follow on the block's header.
#[derive(Clone, Recoverable)]
#[repr(align(128))]
struct Wide([u8; 384]);

#[derive(Default, Recoverable)]
pub(crate) struct State {
    wide: Option<Box<Wide>>,
    /// What takes the memory of the wide ones.
    narrow: Option<Box<[u8]>>,
}

/// Goes back to the commit before the last one; not for ever.
struct Older;

impl RestartPolicy for Older {
    fn name(&self) -> &str {
        "older"
    }
    fn decide(&self, _: &Crash, history: &History) -> Decision {
        let action = if history.total() > 100 { Action::GiveUp } else { Action::Older(1) };
        Decision::now(action)
    }
}

/// Each commit after the first few releases a wide block, and what follows on it takes that block's memory; a crash then
/// goes back to where the block was in use, and the commit is made again.
pub(crate) fn released_again() -> crashbed::Result<()> {
    const COMMITS: u64 = 40;
    Root::new()
        .declare(declaration().kept_commits(1), |daemon: &mut Daemon<State>| {
            let outcome = daemon.transaction(Older, |tx, state: &mut State| {
                while tx.operations() < COMMITS {
                    let n = tx.operations();
                    let with = n.to_le_bytes()[0] | 1;
                    drop(tx.replace(&mut state.wide, Some(Box::new(Wide([with; 384])))));
                    drop(tx.replace(&mut state.narrow, Some(vec![with; 8000].into())));
                    // Each crash goes back by one, and the next is struck one farther on.
                    if tx.crashes() < n / 2 {
                        Fault::NullWrite.strike();
                    }
                    tx.done();
                    tx.commit()?;
                }
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            assert_eq!(daemon.report().crashes, COMMITS / 2 - 1);
            let with = (COMMITS - 1).to_le_bytes()[0] | 1;
            assert!(daemon.state().wide.as_ref().is_some_and(|wide| wide.0 == [with; 384]));
            assert!(daemon.state().narrow.as_ref().is_some_and(|narrow| **narrow == [with; 8000]));
            Ok(())
        })
        .run()
}
