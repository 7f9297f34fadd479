//! A field that is never Recoverable, whatever the parameter, is refused where the type is declared.
use crashbed::Recoverable;
use std::rc::Rc;

#[derive(Recoverable)]
struct Shared<T> {
    plain: T,
    shared: Rc<T>,
}

fn main() {}
