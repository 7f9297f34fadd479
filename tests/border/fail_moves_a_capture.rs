//! A captured value is the daemon's: moved into the state, both would free it. The closure may also run again.
use crashbed::Daemon;
use crashbed_policies::CheckpointResume;

fn main() {
    let _ = |daemon: &mut Daemon<Vec<String>>| {
        let text = String::from("the daemon's");
        daemon.transaction(CheckpointResume, |_, state| {
            state.push(text);
            Ok(())
        })
    };
}
