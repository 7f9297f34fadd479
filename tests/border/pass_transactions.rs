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
            let mut numbers = tx.cache::<[f64; 2]>("numbers")?;
            tx.threads(|scope| scope.spawn(|| numbers[0] = [1.0, 2.0]))??;
            tx.commit()?;
            numbers[1] = numbers[0];
            Ok(state[0].clone())
        });
        println!("{first:?} {:?}", daemon.cache::<u64>("numbers").map(|numbers| numbers[0]));
        outcome
    };
}
