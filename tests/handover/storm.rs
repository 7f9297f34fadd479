//! Storms: a thousand crashes a second, and none is lost, nothing grows, nobody is left.

use super::rounds::Cells;
use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::held::{Held, compare, held};
use crate::support::{SPARES, declaration, numbers, start};
use crashbed::{Daemon, Intensity, Outcome, Root};
use crashbed_policies::CheckpointResume;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Between two crashes, where the machine keeps up.
const PACE: Duration = Duration::from_millis(1);
/// Crashes of one transaction.
const GUST: u64 = 500;
/// Gusts before what is held is looked at first.
const FIRST: u64 = 2;
/// How much slower than its pace a storm may be on a busy machine before it counts as hung.
const SLOWEST: u32 = 20;

/// Lives that have begun, in all transactions.
const LIVES: usize = 0;

/// A storm of so many seconds, were the pace kept, under each mechanism with each spare. Tells the pace.
pub(crate) fn of_seconds(seconds: u32) {
    let limit = Duration::from_secs(30) + PACE * 1000 * seconds * SLOWEST;
    for (mechanism, spare) in crate::support::mechanisms_that_begin_anew().flat_map(|m| SPARES.map(|spare| (m, spare)))
    {
        let ended = start("storm", &format!("{mechanism} {spare} {seconds}")).finish(limit, Duration::ZERO);
        assert!(ended.status.success(), "{mechanism} {spare}: {ended:#?}");
        println!("{mechanism}, {spare}: {}", ended.out.trim_end());
    }
}

/// Crashes as many times as there are milliseconds in so many seconds, each no earlier than its own.
pub(crate) fn storm() -> crashbed::Result<()> {
    let gusts = numbers()[0] * 1000 / GUST;
    let (root, board) = (std::process::id(), Board::new());
    Root::new()
        .declare(declaration().intensity(Intensity::UNLIMITED), |daemon: &mut Daemon<Cells>| {
            let me = std::process::id();
            let mut before = (Held::default(), Held::default());
            let began = Instant::now();
            for gust in 0..gusts {
                let outcome = daemon.transaction(CheckpointResume, |tx, cells| {
                    let lives = board[LIVES].fetch_add(1, SeqCst);
                    assert_eq!(gust * (GUST + 1) + tx.crashes(), lives, "each crash begins one life");
                    let n = tx.operations();
                    cells.check(n);
                    cells.write(n + 1);
                    tx.done();
                    tx.commit()?;
                    if tx.crashes() < GUST {
                        // Nothing of this may be found again.
                        cells.write(u64::MAX);
                        let due = PACE * u32::try_from(gust * GUST + tx.crashes()).unwrap_or(u32::MAX);
                        while began.elapsed() < due {
                            std::hint::spin_loop();
                        }
                        Fault::NullWrite.strike();
                    }
                    Ok(())
                })?;
                assert_eq!((outcome, daemon.report().crashes), (Outcome::Done(()), GUST));
                if gust + 1 == FIRST {
                    before = (held(root), held(me));
                }
            }
            let took = began.elapsed().as_secs_f64();
            let crashes = gusts * GUST;
            // Every life did one operation, and none was lost or done twice.
            assert_eq!(daemon.operations(), crashes + gusts);
            daemon.state().check(crashes + gusts);
            compare("the root", before.0, held(root));
            compare("the daemon", before.1, held(me));
            println!("{crashes} crashes, {:.0} a second", crashes as f64 / took);
            Ok(())
        })
        .run()
}
