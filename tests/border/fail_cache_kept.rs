//! A cache in use must not outlive the closure, in a variable of the daemon's: the next transaction takes it anew.
use crashbed::{Cache, Daemon};
use crashbed_policies::CheckpointResume;
use std::sync::Mutex;

fn main() {
    let _ = |daemon: &mut Daemon<u64>| {
        let kept: Mutex<Option<Cache<'_, u64>>> = Mutex::new(None);
        daemon.transaction(CheckpointResume, |tx, _| {
            *kept.lock().unwrap() = Some(tx.cache("numbers")?);
            Ok(())
        })
    };
}
