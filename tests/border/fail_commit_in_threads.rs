//! A commit while threads run would hold what they have half changed.
use crashbed::Daemon;
use crashbed_policies::CheckpointResume;

fn main() {
    let _ = |daemon: &mut Daemon<Vec<String>>| {
        daemon.transaction(CheckpointResume, |tx, _| {
            tx.threads(|scope| {
                scope.spawn(|| ())?;
                tx.commit()
            })?
        })
    };
}
