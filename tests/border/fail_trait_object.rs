//! `Recoverable` itself is no way round: a trait object of it does not exist.
use crashbed::Recoverable;

trait Shape: Recoverable {}

#[derive(Recoverable)]
struct State {
    shape: Box<dyn Shape>,
}

fn main() {}
