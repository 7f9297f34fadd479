//! A transaction changes the state, and a crash rolls it back: a daemon holds nothing of it meanwhile.
use crashbed::Daemon;
use crashbed_policies::CheckpointResume;

fn main() {
    let _ = |daemon: &mut Daemon<Vec<String>>| {
        let first = &daemon.state()[0];
        let outcome = daemon.transaction(CheckpointResume, |_, state| Ok(state.clear()));
        println!("{first}");
        outcome
    };
}
