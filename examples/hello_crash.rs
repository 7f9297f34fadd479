//! A first program: a transaction that really crashes, is made again, and goes on from its last commit.
//!
//! `cargo run --example hello_crash`

use crashbed::{Daemon, Heap, MIB, Outcome, Recoverable, Root};
use crashbed_policies::CheckpointResume;
use std::collections::HashMap;

// SAFETY: this program takes nothing owned out of a static or a lock that was filled before a fork.
#[global_allocator]
static HEAP: Heap = unsafe { Heap::new() };

#[derive(Default, Recoverable)]
struct Squares {
    of: HashMap<u64, u64>,
}

fn main() -> crashbed::Result<()> {
    Root::new()
        .daemon("squares", 16 * MIB, |daemon: &mut Daemon<Squares>| {
            let outcome = daemon.transaction(CheckpointResume, |tx, squares| {
                if let Some(crash) = tx.crash() {
                    println!("made again after {crash}; the state holds {} squares", squares.of.len());
                }
                for n in tx.operations()..1000 {
                    if n == 700 && tx.crash().is_none() {
                        println!("writing to address 8 …");
                        // SAFETY: nothing is mapped at address 8: the instruction changes no memory, it faults.
                        unsafe { std::arch::asm!("mov qword ptr [{}], 1", in(reg) 8) };
                    }
                    squares.of.insert(n, n * n);
                    tx.done();
                    if n % 100 == 99 {
                        tx.commit()?;
                    }
                }
                Ok(squares.of.len())
            })?;
            match outcome {
                Outcome::Done(squares) => println!("done: {squares} squares"),
                Outcome::Failed(failure) => println!("failed: {failure}"),
                Outcome::GaveUp(crash) => println!("gave up: {crash}"),
            }
            println!("9 squared is {:?}", daemon.state().of.get(&9));
            let recovery = &daemon.report().recoveries[0];
            println!("recovered in {} µs", (recovery.first_operation_ns - recovery.crash.happened_ns) / 1000);
            Ok(())
        })
        .run()
}
