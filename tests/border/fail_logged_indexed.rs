//! A logged list is read by an index, and not written.
use crashbed::LoggedVec;

fn set(list: &mut LoggedVec<u64>) {
    list[0] = 1;
}

fn main() {
    set(&mut LoggedVec::new());
}
