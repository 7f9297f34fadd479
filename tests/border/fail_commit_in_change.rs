//! A commit in the middle of a change would hold half of it.
use crashbed::Daemon;
use crashbed_policies::CheckpointResume;

fn main() {
    let _ = |daemon: &mut Daemon<Vec<String>>| {
        daemon.transaction(CheckpointResume, |tx, _| {
            let change = tx.change();
            tx.commit()?;
            change.done();
            Ok(())
        })
    };
}
