//! Nothing says what a raw pointer owns.
use crashbed::Recoverable;

#[derive(Recoverable)]
struct State {
    first: *mut u64,
}

fn main() {}
