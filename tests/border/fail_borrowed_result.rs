//! A result is cloned out of the region; a borrow of the state would look into it.
use crashbed::Daemon;
use crashbed_policies::CheckpointResume;

fn main() {
    let _ = |daemon: &mut Daemon<Vec<String>>| daemon.transaction(CheckpointResume, |_, state| Ok(&state[0]));
}
