//! The one clock: `CLOCK_MONOTONIC`, in nanoseconds. One machine, all processes.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds on `CLOCK_MONOTONIC` (`clock_gettime(2)`, answered by the vDSO; async-signal-safe).
pub(crate) fn now_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Processor time that this process has used, in nanoseconds (`CLOCK_PROCESS_CPUTIME_ID`).
pub(crate) fn processor_ns() -> u64 {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

fn read(clock: ClockId) -> u64 {
    // The call fails only for a clock that does not exist or a bad pointer.
    let Ok(now) = clock_gettime(clock) else { return 0 };
    let (seconds, nanoseconds) = (now.tv_sec().cast_unsigned(), now.tv_nsec().cast_unsigned());
    seconds * 1_000_000_000 + nanoseconds
}
