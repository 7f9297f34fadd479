//! What a process holds, so that growth is seen.

/// What a process holds: descriptors, bytes mapped, its own resident memory in KiB, and processes of the group.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) descriptors: u64,
    pub(crate) mapped: u64,
    pub(crate) resident_kib: u64,
    pub(crate) processes: u64,
}

/// What process `pid` holds at this moment.
pub(crate) fn held(pid: u32) -> Held {
    let field = |name: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let line = status.lines().find(|line| line.starts_with(name)).expect("the field").to_owned();
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
    };
    // SAFETY: no pointer is passed.
    let group = unsafe { libc::getpgid(pid.cast_signed()) }.to_string();
    let in_group = |entry: &std::fs::DirEntry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name, which may hold anything but ends with the last parenthesis: state, parent, group.
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(2)).is_some_and(|g| g == group)
    };
    Held {
        descriptors: std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |fds| fds.count() as u64),
        mapped: field("VmSize:"),
        resident_kib: field("RssAnon:"),
        processes: std::fs::read_dir("/proc").expect("/proc").flatten().filter(in_group).count() as u64,
    }
}

/// The most processes that are on their way out at a moment, each with its descriptor: a crashed transaction, its
/// keeper, spares.
pub(crate) const DYING: u64 = 4;

/// Compares what a process held early with what it holds now, after many more crashes.
pub(crate) fn compare(who: &str, early: Held, now: Held) {
    assert!(now.descriptors <= early.descriptors + DYING, "{who}'s descriptors grew: {early:?}, {now:?}");
    assert!(now.processes <= early.processes + DYING, "the processes grew: {early:?}, {now:?}");
    assert!(now.mapped <= early.mapped, "{who}'s address space grew: {early:?}, {now:?}");
    // A page or two may be touched for the first time late.
    assert!(now.resident_kib <= early.resident_kib + 64, "{who}'s memory grew: {early:?}, {now:?}");
}
