//! The count of an `Rc` would be rolled back with the region; its other owners would not.
use crashbed::Recoverable;
use std::rc::Rc;

#[derive(Recoverable)]
struct State(u64, Vec<Rc<str>>);

fn main() {}
