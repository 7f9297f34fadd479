//! What grows inside scratch is gone with it: the state must not.
use crashbed::Daemon;
use crashbed_policies::CheckpointResume;

fn main() {
    let _ = |daemon: &mut Daemon<Vec<String>>| {
        daemon.transaction(CheckpointResume, |tx, state| {
            tx.scratch(|| state.push(String::from("temporary")));
            Ok(())
        })
    };
}
