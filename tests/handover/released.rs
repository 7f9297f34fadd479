//! A handler that does not get on, once it has released the spare: the successor has its processor.

use crate::support::declaration;
use crate::support::fault::Fault;
use crashbed::point::{self, Point};
use crashbed::{Daemon, Intensity, MechanismKind, Outcome, Root, Spare, Start};
use crashbed_policies::CheckpointResume;
use std::time::Duration;

const CRASHES: u64 = 5;

/// It is stopped there until the daemon loses its patience and kills it.
fn stop(at: Point) {
    if at == Point::Released {
        // SAFETY: no pointer is passed; the process stops itself.
        unsafe { libc::raise(libc::SIGSTOP) };
    }
}

/// The daemon waited for the handler's last word, and served nobody until then: a successor's commit, a spare for it.
pub(crate) fn stops_there() -> crashbed::Result<()> {
    point::set_hook(stop);
    // Silence must not be what ends the wait.
    let declared = declaration().intensity(Intensity::UNLIMITED).heartbeat(Duration::from_secs(3_600));
    Root::new()
        .declare(declared.mechanism(MechanismKind::CopyOnWrite).spare(Spare::Warm), |daemon: &mut Daemon<u64>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                assert_eq!(*state, tx.crashes(), "what the predecessor has committed");
                *state += 1;
                tx.done();
                tx.commit()?;
                if tx.crashes() < CRASHES {
                    // Long enough for a spare to be ready.
                    std::thread::sleep(Duration::from_millis(20));
                    Fault::NullWrite.strike();
                }
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            let report = daemon.report();
            assert_eq!(report.crashes, CRASHES);
            assert!(report.recoveries.iter().any(|recovery| recovery.started_by != Start::Cold), "no spare took over");
            Ok(())
        })
        .run()
}
