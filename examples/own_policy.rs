//! A restart policy of one's own: it resumes, but starts over when the same operation keeps crashing.
//!
//! `cargo run --example own_policy`
//!
//! The work below reads ten weights, then divides by each. The first time, one weight is misread as 0, and a commit
//! keeps it. The division by it crashes much later, and every resume brings the 0 back. No commit helps any more; a
//! fresh start does.

use crashbed::{Action, Crash, Daemon, Decision, Entry, Heap, History, MIB, Outcome, Recoverable, RestartPolicy, Root};

// SAFETY: this program takes nothing owned out of a static or a lock that was filled before a fork.
#[global_allocator]
static HEAP: Heap = unsafe { Heap::new() };

/// Resumes the last commit; after three crashes in the same operation, starts over.
struct ThreeStrikes;

impl RestartPolicy for ThreeStrikes {
    fn name(&self) -> &str {
        "three-strikes"
    }

    fn decide(&self, crash: &Crash, history: &History) -> Decision {
        // What happened before the last fresh start no longer counts.
        let over = |entry: &Entry| entry.decision.is_some_and(|decision| decision.action == Action::Zero);
        let since = history.entries().rsplit(over).next().unwrap_or_default();
        let strikes = since.iter().filter(|entry| entry.crash.operation == crash.operation).count();
        Decision::now(if strikes < 3 { Action::Resume } else { Action::Zero })
    }
}

/// The state: what has been read, and what has been computed of it.
#[derive(Default, Recoverable)]
struct Shares {
    weights: Vec<u64>,
    sum: u64,
}

const WEIGHTS: u64 = 10;

fn main() -> crashbed::Result<()> {
    Root::new()
        .daemon("shares", 16 * MIB, |daemon: &mut Daemon<Shares>| {
            let outcome = daemon.transaction(ThreeStrikes, |tx, shares| {
                println!("life {}: begins at operation {}", tx.crashes() + 1, tx.operations());
                for operation in tx.operations()..2 * WEIGHTS {
                    if operation < WEIGHTS {
                        let misread = operation == 4 && tx.crashes() == 0;
                        shares.weights.push(if misread { 0 } else { operation + 1 });
                    } else {
                        let weight = shares.weights[usize::try_from(operation - WEIGHTS)?];
                        shares.sum += divide(2520, weight);
                    }
                    tx.done();
                    tx.commit()?;
                }
                Ok(shares.sum)
            })?;

            println!();
            for recovery in &daemon.report().recoveries {
                let ns = recovery.first_operation_ns.checked_sub(recovery.crash.happened_ns);
                let then = match ns {
                    Some(ns) => format!("its first operation was done {} µs after the crash", ns / 1000),
                    None => "no operation was done before the next crash".to_owned(),
                };
                println!("{}: {:?}; {then}", recovery.crash, recovery.decision.action);
            }
            match outcome {
                Outcome::Done(sum) => println!("done: the shares add up to {sum}"),
                Outcome::Failed(failure) => println!("failed: {failure}"),
                Outcome::GaveUp(crash) => println!("gave up: {crash}"),
            }
            Ok(())
        })
        .run()
}

/// Divides as C does: by the processor's instruction, without asking first whether the divisor is 0.
fn divide(dividend: u64, divisor: u64) -> u64 {
    let quotient;
    // SAFETY: `div` changes the two named registers and the flags only. A divisor of 0 makes it fault before it changes
    // anything: the kernel ends the process by SIGFPE, and no instruction behind it runs.
    unsafe {
        std::arch::asm!(
            "div {}",
            in(reg) divisor,
            inlateout("rax") dividend => quotient,
            inlateout("rdx") 0u64 => _,
            options(nomem, nostack),
        );
    }
    quotient
}
