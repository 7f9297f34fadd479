//! The memory that a mechanism holds beside the state, as the kernel counts it (`proc(5)`: `maps`, `smaps`).

use procfs::ProcError;
use procfs::process::{MMapPath, MemoryMap, Process};

/// A region lies in the lower half of the address space, below programs, libraries and stacks.
const ABOVE_REGIONS: u64 = 1 << 46;

/// The part of a region that a mapping shows, as `state`: the kernel shows a descriptor of `memfd_create(2)` as
/// `/memfd:NAME (deleted)`.
fn part_of<'a>(mapping: &'a MemoryMap, daemon: &str) -> Option<&'a str> {
    let MMapPath::Path(path) = &mapping.pathname else { return None };
    let part = path.to_str()?.strip_prefix("/memfd:crashbed-")?.strip_prefix(daemon)?.strip_prefix('-')?;
    Some(part.trim_end_matches(" (deleted)"))
}

/// The bytes that daemon `name` and its transaction, which is process `transaction`, hold beside the state: the other
/// parts of the region, all of which are committed from the start, and what the transaction has for itself of the state
/// and of what lies behind it.
pub(super) fn beside_state(name: &str, transaction: i32) -> Result<u64, ProcError> {
    let transaction = Process::new(transaction)?;
    let daemon = Process::new(transaction.stat()?.ppid)?;
    let shared = daemon.maps()?;
    let others = shared.iter().filter(|mapping| part_of(mapping, name).is_some_and(|part| part != "state"));
    let others: u64 = others.map(|mapping| mapping.address.1 - mapping.address.0).sum();
    let own = transaction.smaps()?;
    let state = own.iter().find(|mapping| part_of(mapping, name) == Some("state"));
    let first = state.map_or(ABOVE_REGIONS, |state| state.address.0);
    let behind = own.iter().filter(|mapping| (first..ABOVE_REGIONS).contains(&mapping.address.0));
    let own: u64 = behind.filter_map(|mapping| mapping.extension.map.get("Anonymous")).sum();
    Ok(others + own)
}
