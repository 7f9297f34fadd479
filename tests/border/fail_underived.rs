//! A type of one's own says that it is Recoverable, or is not.
use crashbed::Recoverable;

struct Position {
    offset: u64,
}

#[derive(Recoverable)]
struct State {
    positions: Vec<Position>,
}

fn main() {}
