//! The count of an `Arc` would be rolled back with the region; its other owners would not.
use crashbed::Recoverable;
use std::sync::Arc;

#[derive(Recoverable)]
struct State {
    count: u64,
    shared: Arc<String>,
}

fn main() {}
