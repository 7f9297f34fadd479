//! A hash map holds its hasher, which must keep the contract too.
use crashbed::Recoverable;
use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher};
use std::sync::Arc;

struct Shared(Arc<u64>);

impl BuildHasher for Shared {
    type Hasher = DefaultHasher;
    fn build_hasher(&self) -> DefaultHasher {
        DefaultHasher::new()
    }
}

#[derive(Recoverable)]
struct State {
    words: HashMap<String, u64, Shared>,
}

fn main() {}
