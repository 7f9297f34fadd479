//! What points elsewhere cannot be lent to be written: what it points to was not declared.
use crashbed::{Daemon, Logged};
use crashbed_policies::CheckpointResume;

fn main() {
    let _ = |daemon: &mut Daemon<Logged<Option<Box<u64>>>>| {
        daemon.transaction(CheckpointResume, |tx, value| {
            *value.write(tx) = None;
            Ok(())
        })
    };
}
