//! What scratch hands out is a clone in the region: a borrow of a temporary would dangle.
use crashbed::Daemon;
use crashbed_policies::CheckpointResume;

fn main() {
    let _ = |daemon: &mut Daemon<Vec<String>>| {
        daemon.transaction(CheckpointResume, |tx, state| {
            let text: &str = tx.scratch(|| "of the program's image");
            state.push(text.to_owned());
            Ok(())
        })
    };
}
