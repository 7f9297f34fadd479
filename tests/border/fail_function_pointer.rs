//! A function may lie in a library that one process alone has loaded.
use crashbed::Recoverable;

#[derive(Recoverable)]
struct State {
    next: fn(u64) -> u64,
}

fn main() {}
