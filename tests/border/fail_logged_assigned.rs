//! What is logged is written by whoever declares it: it lends nothing to write without a transaction.
use crashbed::Logged;

fn add(count: &mut Logged<u64>) {
    **count += 1;
}

fn main() {
    add(&mut Logged::new(1));
}
