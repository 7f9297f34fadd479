//! A descriptor is a number that only one process can explain.
use crashbed::Recoverable;
use std::fs::File;

#[derive(Recoverable)]
struct State {
    log: Option<File>,
}

fn main() {}
