//! `Box::leak` makes a `&'static str` too, in memory that one process alone has.
use crashbed::Recoverable;

#[derive(Recoverable)]
struct State {
    name: &'static str,
}

fn main() {}
