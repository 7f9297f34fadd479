//! What a `Drop` has released is released again after a restore, for only memory goes back.
use crashbed::Recoverable;

#[derive(Recoverable)]
struct Lease<T> {
    number: i32,
    value: T,
}

impl<T> Drop for Lease<T> {
    fn drop(&mut self) {
        println!("released {}", self.number);
    }
}

fn main() {}
