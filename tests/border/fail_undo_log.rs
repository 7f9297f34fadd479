//! The undo log trusts a state to be written as declared; safe code can write it otherwise, and so cannot ask for it.
use crashbed::{Daemon, Declaration, LoggedVec, MIB, Root};
use crashbed_policies::CheckpointResume;

fn main() {
    let declaration = Declaration::new("d", MIB).undo_log(MIB);
    let _ = Root::new().declare(declaration, |daemon: &mut Daemon<LoggedVec<u64>>| {
        daemon.transaction(CheckpointResume, |_, list| {
            // After a crash the list still points here, and the memory is free.
            *list = vec![1, 2, 3].into();
            Ok(())
        })?;
        Ok(())
    });
}
