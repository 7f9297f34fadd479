//! What the compiler must refuse to let into a state, and what it must let in.
//!
//! Each `fail_*.rs` is a program that would break a state's border, with the complaint that it must draw beside it
//! (`.stderr`); the `pass_*.rs` do the same with types that may cross, so that a refusal is known to come from the
//! type and not from the way the program is written. The complaints are worded as Rust 1.95 does; for another version,
//! `TRYBUILD=overwrite cargo test --test border` writes them anew, to be read before they are committed.

#[test]
fn only_recoverable_types_cross() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/border/pass_*.rs");
    cases.compile_fail("tests/border/fail_*.rs");
}
