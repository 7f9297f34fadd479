//! The code and the table of a trait object may lie in a library that one process alone has loaded.
use crashbed::Recoverable;

#[derive(Recoverable)]
enum State {
    Idle,
    Busy { next: Box<dyn Fn() -> u64> },
}

fn main() {}
