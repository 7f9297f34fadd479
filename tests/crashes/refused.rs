//! A commit of several pieces of which the daemon refuses one.

use crate::support::mechanism_and_spare;
use crashbed::point::{self, Point};
use crashbed::{Daemon, Declaration, FailureKind, MIB, MechanismKind, Outcome, Root};
use crashbed_policies::CheckpointResume;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Where the daemon's next look at a staged piece finds a byte changed; 0 where it does not.
pub(crate) static SPOILT: AtomicUsize = AtomicUsize::new(0);

/// The memory of the stage, as the kernel names it.
pub(crate) fn stage() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the mappings");
    let line = maps.lines().find(|line| line.contains("crashbed-d-stage")).expect("the stage");
    usize::from_str_radix(line.split('-').next().expect("a range"), 16).expect("an address")
}

pub(crate) fn spoil(point: Point) {
    let at = SPOILT.load(SeqCst);
    if point == Point::Log && at != 0 {
        SPOILT.store(0, SeqCst);
        // SAFETY: in the first page that is staged, behind the table of numbers; the daemon has the stage mapped, and the
        // transaction waits.
        unsafe { ((at + 4096) as *mut u32).write_volatile(u32::MAX) };
    }
}

/// Three pieces, of which the first is refused: there is no commit of the other two.
pub(crate) fn piece_refused() -> crashbed::Result<()> {
    const PAGES: usize = 700;
    let (mechanism, spare) = mechanism_and_spare();
    if mechanism == MechanismKind::FullCopy {
        // It stages nothing.
        return Ok(());
    }
    point::set_hook(spoil);
    Root::new()
        .declare(Declaration::new("d", 8 * MIB).mechanism(mechanism).spare(spare), |daemon: &mut Daemon<Vec<u8>>| {
            let fill = daemon.transaction(CheckpointResume, |_, bytes| {
                bytes.resize(PAGES * 4096, 1);
                Ok(())
            })?;
            assert_eq!(fill, Outcome::Done(()));
            SPOILT.store(stage(), SeqCst);
            let outcome = daemon.transaction(CheckpointResume, |tx, bytes| {
                bytes.fill(2);
                tx.done();
                let ticket = tx.commit_later()?;
                tx.wait(ticket)
            })?;
            assert_eq!(SPOILT.load(SeqCst), 0, "no piece was spoilt");
            let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
            assert_eq!(failure.kind(), FailureKind::CommitRefused);
            assert_eq!(daemon.operations(), 0);
            assert!(daemon.state().iter().all(|byte| *byte == 1), "a part of the commit was made");
            Ok(())
        })
        .run()
}
