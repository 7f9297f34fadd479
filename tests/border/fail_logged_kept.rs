//! What was declared may be written until the commit, and is lent no longer.
use crashbed::{Daemon, Logged};
use crashbed_policies::CheckpointResume;

fn main() {
    let _ = |daemon: &mut Daemon<Logged<u64>>| {
        daemon.transaction(CheckpointResume, |tx, count| {
            let lent = count.write(tx);
            tx.commit()?;
            *lent = 2;
            Ok(())
        })
    };
}
