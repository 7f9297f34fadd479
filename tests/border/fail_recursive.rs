//! A type that holds itself is still checked in all else that it holds.
use crashbed::Recoverable;
use std::sync::Arc;

#[derive(Recoverable)]
enum Tree {
    Leaf(Arc<u64>),
    Node(Box<Tree>, Box<Tree>),
}

fn main() {}
