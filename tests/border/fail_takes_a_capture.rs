//! Taking a value out of the daemon's would leave it in the state and in the daemon.
use crashbed::Daemon;
use crashbed_policies::CheckpointResume;

fn main() {
    let _ = |daemon: &mut Daemon<Vec<String>>, text: &mut String| {
        daemon.transaction(CheckpointResume, |_, state| {
            state.push(std::mem::take(text));
            Ok(())
        })
    };
}
