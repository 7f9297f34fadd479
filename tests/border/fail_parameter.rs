//! A generic type is Recoverable only where its parameters are.
use crashbed::Recoverable;
use std::sync::Arc;

#[derive(Recoverable)]
struct Pair<T> {
    left: T,
    right: Vec<T>,
}

fn recoverable<T: Recoverable>() {}

fn main() {
    recoverable::<Pair<Arc<u64>>>();
}
