//! The way into the C parser: the one place where its function is declared and called.

use super::{Summary, Wrong};
use std::ffi::c_char;

/// `struct settings_summary` of `parser.h`.
#[repr(C)]
#[derive(Default)]
struct RawSummary {
    entries: u64,
    numbers: u64,
    texts: u64,
    lists: u64,
    sum: u64,
    digest: u64,
}

unsafe extern "C" {
    /// `settings_parse` of `parser.h`.
    fn settings_parse(text: *const c_char, length: usize, summary: *mut RawSummary) -> u64;
}

/// Reads an input by the C parser. **One that reaches one of its bugs ends the process**, or damages its C heap: for a
/// process that may crash.
///
/// # Errors
/// The first line that is wrong.
pub fn parse(input: &[u8]) -> Result<Summary, Wrong> {
    let mut raw = RawSummary::default();
    // SAFETY: the text is `length` bytes that the parser only reads, and only during the call; `raw` is a whole and
    // writable structure of the layout that `parser.h` gives. All else that the parser touches are blocks of its own from
    // `malloc`, but for its planted bugs, which are what this workload is about: an input that reaches one is for a
    // process that nobody counts on, as the function's own words demand.
    let line = unsafe { settings_parse(input.as_ptr().cast(), input.len(), &raw mut raw) };
    let RawSummary { entries, numbers, texts, lists, sum, digest } = raw;
    if line == 0 { Ok(Summary { entries, numbers, texts, lists, sum, digest }) } else { Err(Wrong { line }) }
}
