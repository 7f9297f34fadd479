//! Law 6: errors and panics are outcomes; an exit before the work is done is a crash.

use crate::support::{mechanism_and_spare, state::Linked};
use crashbed::{Cause, Daemon, Declaration, Error, Failure, FailureKind, MIB, Outcome, Root, Tx};
use crashbed_policies::CheckpointResume;

type Work = fn(&mut Tx<'_>, &mut Linked) -> Result<(), Failure>;

fn declaration() -> Declaration {
    Declaration::new("d", 2 * MIB).mechanism(mechanism_and_spare().0).spare(mechanism_and_spare().1).threads(1, MIB)
}

fn error(_: &mut Tx<'_>, _: &mut Linked) -> Result<(), Failure> {
    let number: u64 = "twelve".parse()?;
    Err(Failure::new(number))
}

fn own_error(_: &mut Tx<'_>, _: &mut Linked) -> Result<(), Failure> {
    Err(Failure::new(format_args!("no operation {}", 12)))
}

fn panics(_: &mut Tx<'_>, state: &mut Linked) -> Result<(), Failure> {
    panic!("{} texts are too few", state.texts.len())
}

fn a_thread_panics(tx: &mut Tx<'_>, _: &mut Linked) -> Result<(), Failure> {
    tx.threads(|scope| scope.spawn(|| panic!("in a thread")))??;
    Ok(())
}

fn panics_in_scratch(tx: &mut Tx<'_>, _: &mut Linked) -> Result<(), Failure> {
    tx.scratch(|| {
        let temporary = vec![1u8; 1000];
        assert_eq!(temporary.len(), 1001, "in scratch");
    });
    Ok(())
}

fn succeeds(_: &mut Tx<'_>, _: &mut Linked) -> Result<(), Failure> {
    Ok(())
}

pub(crate) fn errors_and_panics() -> crashbed::Result<()> {
    let cases: [(Work, FailureKind, &str, &str); 5] = [
        (error, FailureKind::Error, "ParseIntError", "invalid digit"),
        (own_error, FailureKind::Error, "", "no operation 12"),
        (panics, FailureKind::Panic, "", "11 texts are too few"),
        (a_thread_panics, FailureKind::Panic, "", "in a thread"),
        (panics_in_scratch, FailureKind::Panic, "", "in scratch"),
    ];
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Linked>| {
            // Changes the state by ten operations, commits those, changes it again, and ends as `work` does.
            let attempt = |daemon: &mut Daemon<Linked>, work: Work| {
                daemon.transaction(CheckpointResume, |tx, state| {
                    while !tx.operations().is_multiple_of(10) || tx.operations() == 0 {
                        state.operate(tx.operations());
                        tx.done();
                    }
                    tx.commit()?;
                    state.operate(tx.operations());
                    tx.done();
                    work(tx, state)
                })
            };
            for (work, kind, type_name, message) in cases {
                let Outcome::Failed(failure) = attempt(daemon, work)? else { panic!("{message}: not failed") };
                assert_eq!(failure.kind(), kind, "{failure:?}");
                assert!(failure.type_name().contains(type_name), "{failure:?}");
                assert!(failure.message().contains(message), "{failure:?}");
                let (file, line) = failure.place().rsplit_once(':').expect("a place");
                assert!(file.ends_with("outcomes.rs") && line.parse::<u32>().is_ok(), "{failure:?}");
                assert_eq!(*daemon.state(), Linked::after(10), "{message}: the last commit stands");
                assert_eq!(daemon.operations(), 10);
                assert_eq!(daemon.report().crashes, 0, "{message}: no crash");
            }
            // The same changes are kept where the work does not fail: the check above can tell.
            assert_eq!(attempt(daemon, succeeds)?, Outcome::Done(()));
            assert_eq!(*daemon.state(), Linked::after(11));
            Ok(())
        })
        .run()?;
    // A daemon's own panic is its failure, told with its message and place.
    let told = Root::new().daemon("d", MIB, |_: &mut Daemon<u64>| panic!("out of {}", "work")).run();
    let Err(Error::Daemon { message, .. }) = told else { panic!("a daemon's panic: {told:?}") };
    assert!(message.contains("out of work") && message.contains("outcomes.rs:"), "{message}");
    Ok(())
}

/// Exit status 0 before the work is done is no success, and no failure told by the program: it is a crash.
pub(crate) fn exit_before_done() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Linked>| {
            for status in [0, 7] {
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    let n = tx.operations();
                    state.operate(n);
                    tx.done();
                    if tx.crash().is_none() {
                        std::process::exit(status);
                    }
                    Ok(n)
                })?;
                assert!(matches!(outcome, Outcome::Done(_)));
                let recovery = &daemon.report().recoveries[0];
                assert_eq!(recovery.crash.cause, Cause::Exited { status });
                assert_eq!(
                    recovery.resumed_operations.map(|resumed| resumed + 1),
                    Some(daemon.operations()),
                    "what it did is not kept"
                );
            }
            assert_eq!(*daemon.state(), Linked::after(2));
            Ok(())
        })
        .run()
}
