//! A declaration ends with the commit, for plain data as well.
use crashbed::Daemon;
use crashbed_policies::CheckpointResume;

fn main() {
    let _ = |daemon: &mut Daemon<[u64; 4]>| {
        daemon.transaction(CheckpointResume, |tx, numbers| {
            let lent = tx.declare_slice(&mut numbers[1..]);
            tx.commit()?;
            lent[0] = 2;
            Ok(())
        })
    };
}
