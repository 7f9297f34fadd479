//! A cell changes behind a shared borrow; a state is lent out exclusively, so it needs none.
use crashbed::Recoverable;
use std::cell::{Cell, OnceCell, RefCell};

#[derive(Recoverable)]
struct State {
    count: Cell<u64>,
    words: RefCell<Vec<String>>,
    first: OnceCell<String>,
}

fn main() {}
