//! Nothing says which field of a union is alive.
use crashbed::Recoverable;

#[derive(Recoverable)]
union State {
    number: u64,
    float: f64,
}

fn main() {}
