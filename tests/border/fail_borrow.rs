//! A state outlives the process that it could borrow from.
use crashbed::Recoverable;

#[derive(Recoverable)]
struct State<'a, 'b> {
    name: &'a str,
    text: &'b str,
}

fn main() {}
