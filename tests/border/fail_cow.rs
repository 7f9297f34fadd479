//! A `Cow` may hold a reference.
use crashbed::Recoverable;
use std::borrow::Cow;

#[derive(Recoverable)]
struct State {
    name: Cow<'static, str>,
}

fn main() {}
