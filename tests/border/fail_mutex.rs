//! The holder of a lock may be dead, and what a lock guards could grow inside `tx.scratch`.
use crashbed::Recoverable;
use std::sync::Mutex;

#[derive(Recoverable)]
struct State {
    words: Mutex<Vec<String>>,
}

fn main() {}
