//! A cache is neither saved nor restored, and a crash may tear it: an owned value in it would dangle.
use crashbed::Tx;

fn main() {
    let _ = |tx: &Tx| {
        if let Ok(mut words) = tx.cache::<String>("words") {
            words[0] = String::from("in the region");
        }
    };
}
