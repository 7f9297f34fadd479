//! The right ways to do what the refused programs try.
use crashbed::Daemon;
use crashbed_policies::CheckpointResume;

fn main() {
    let _ = |daemon: &mut Daemon<Vec<String>>, text: &String| {
        let first = daemon.state().first().cloned();
        let outcome = daemon.transaction(CheckpointResume, |tx, state| {
            state.push(text.clone());
            state.push(tx.scratch(|| text.to_uppercase()));
            tx.threads(|scope| scope.spawn(|| state.sort()))??;
            tx.commit()?;
            Ok(state[0].clone())
        });
        println!("{first:?}");
        outcome
    };
}
