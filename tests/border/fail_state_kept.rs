//! A borrow of the state must not outlive the closure, in a variable of the daemon's.
use crashbed::Daemon;
use crashbed_policies::CheckpointResume;
use std::sync::Mutex;

fn main() {
    let _ = |daemon: &mut Daemon<Vec<String>>| {
        let kept: Mutex<Option<&mut Vec<String>>> = Mutex::new(None);
        daemon.transaction(CheckpointResume, |_, state| {
            *kept.lock().unwrap() = Some(state);
            Ok(())
        })
    };
}
