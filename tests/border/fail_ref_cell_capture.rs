//! A cell would let a closure that only borrows take a value out of the daemon's memory.
use crashbed::Daemon;
use crashbed_policies::CheckpointResume;
use std::cell::RefCell;

fn main() {
    let _ = |daemon: &mut Daemon<Vec<String>>, text: &RefCell<String>| {
        daemon.transaction(CheckpointResume, |_, state| {
            state.push(text.take());
            Ok(())
        })
    };
}
