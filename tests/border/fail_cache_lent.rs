//! What a daemon has borrowed of its cache is a transaction's to write: it ends before one begins.
use crashbed::Daemon;
use crashbed_policies::CheckpointResume;

fn main() {
    let _ = |daemon: &mut Daemon<u64>| -> crashbed::Result<u64> {
        let numbers = daemon.cache::<u64>("numbers")?;
        daemon.transaction(CheckpointResume, |_, _| Ok(()))?;
        Ok(numbers[0])
    };
}
