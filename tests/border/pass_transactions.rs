//! The right ways to do what the refused programs try.
use crashbed::{Daemon, Logged, LoggedVec, Recoverable};
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
    // For `fail_logged_*` and `fail_declared_kept`.
    let _ = |daemon: &mut Daemon<Account>| {
        daemon.transaction(CheckpointResume, |tx, account| {
            *account.balance.write(tx) += 1;
            let (history, noted) = (account.history.write(tx, ..1), tx.declare(&mut account.noted));
            (history[0], *noted) = (*account.balance, true);
            tx.commit()?;
            account.history.push(tx, 2);
            account.history.set(tx, 0, 3);
            drop(tx.replace(&mut account.owner, Some(Box::new("x".to_owned()))));
            let history = &mut account.history;
            tx.threads(|scope| {
                let history = history.write(scope, ..);
                scope.spawn(move || history.fill(4))
            })??;
            Ok(account.history[0])
        })
    };
}

#[derive(Default, Recoverable)]
struct Account {
    balance: Logged<i64>,
    history: LoggedVec<i64>,
    noted: bool,
    owner: Option<Box<String>>,
}
