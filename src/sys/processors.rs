//! Which processors a process may run on, and drawing one that sleeps to the processor of who wakes it.

use std::sync::atomic::{AtomicBool, Ordering};

/// How many words a set of processors has: that of the C library, for 1024 of them.
pub(crate) const WORDS: usize = size_of::<libc::cpu_set_t>() / 8;

/// A set of processors, as the kernel takes it: a bit each.
#[derive(Clone, Copy)]
pub(crate) struct Processors(pub(crate) [u64; WORDS]);

impl Processors {
    /// Those that process `pid` may run on, the calling thread where that is 0 (`sched_getaffinity(2)`). `None` where
    /// the kernel does not say. Async-signal-safe.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let mut set = [0; WORDS];
        // SAFETY: the set is writable for its size, which is that of a `cpu_set_t`.
        let got = unsafe { libc::sched_getaffinity(pid, size_of_val(&set), set.as_mut_ptr().cast()) };
        (got == 0).then_some(Self(set))
    }

    /// The one that this thread runs on (`getcpu(2)`, answered by the vDSO). Async-signal-safe.
    fn here() -> Option<Self> {
        let mut set = [0; WORDS];
        // SAFETY: no pointer is passed.
        let processor = usize::try_from(unsafe { libc::sched_getcpu() }).ok()?;
        *set.get_mut(processor / 64)? |= 1 << (processor % 64);
        Some(Self(set))
    }

    /// Has process `pid`, the calling thread where that is 0, run on these from now on (`sched_setaffinity(2)`); false
    /// where that is refused. Async-signal-safe.
    pub(crate) fn give(&self, pid: i32) -> bool {
        // SAFETY: the set is readable for its size, which is that of a `cpu_set_t`; no memory changes.
        unsafe { libc::sched_setaffinity(pid, size_of_val(&self.0), self.0.as_ptr().cast()) == 0 }
    }
}

/// Draws process `pid`, which sleeps, to the processor that this thread runs on: woken next, it runs here as soon as
/// this thread sleeps, and no idle processor has to be woken first. False where that is refused: it then wakes wherever
/// the scheduler likes. Async-signal-safe.
pub(crate) fn draw(pid: i32) -> bool {
    !UNKNOWN.load(Ordering::Relaxed) && Processors::here().is_some_and(|here| here.give(pid))
}

/// Whether there are more processors than a set of the C library holds: nobody could be given its own back.
static UNKNOWN: AtomicBool = AtomicBool::new(false);

/// Finds out whether processes can be moved at all. A daemon calls this once.
pub(crate) fn find_out() {
    UNKNOWN.store(Processors::of(0).is_none(), Ordering::Relaxed);
}

/// Keeps process `pid`, which has something to do while this thread works on, off the processor that this thread runs on:
/// woken next, it runs on another, where it has one. Left to itself it may be queued behind this thread, however idle
/// another processor is: with few of them, that is where the scheduler leaves it.
pub(crate) fn keep_off(pid: i32) {
    let (Some(had), Some(here)) = (Processors::of(pid), Processors::here()) else { return };
    let others = Processors(std::array::from_fn(|word| had.0[word] & !here.0[word]));
    if others.0.iter().any(|word| *word != 0) {
        others.give(pid);
    }
}

/// The processors that this process may run on, given back to it when this is dropped: in between somebody may
/// [`draw`] it to one of them.
pub(crate) struct Kept(Option<Processors>);

impl Kept {
    /// Nothing is given back where the kernel does not say what there is.
    pub(crate) fn of_this_process() -> Self {
        Self(Processors::of(0))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(processors) = &self.0 {
            processors.give(0);
        }
    }
}

/// The shortest slice that the kernel grants.
const SHORT_NS: u64 = 100_000;

/// Asks for short slices of processor time for this thread and what it forks (`sched_setattr(2)`): its share stays what
/// it is, but where it wakes on a busy processor it need not wait until the other's slice is over. Linux 6.12 and later
/// grant it; earlier ones, and threads under a real-time policy, go on as before.
pub(crate) fn ask_short_slices() {
    ask_slice(SHORT_NS);
}

/// Asks for the usual slices again. Async-signal-safe.
pub(crate) fn ask_usual_slices() {
    ask_slice(0);
}

fn ask_slice(slice_ns: u64) {
    // SAFETY: all-zero bytes are a valid `sched_attr`.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    let size = libc::c_uint::try_from(size_of_val(&attributes)).unwrap_or(0);
    // SAFETY: the structure is writable for the size that is passed.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    if got != 0 || !matches!(attributes.sched_policy.cast_signed(), libc::SCHED_OTHER | libc::SCHED_BATCH) {
        return;
    }
    attributes.sched_runtime = slice_ns;
    // SAFETY: the structure is readable; no memory changes.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}

/// Lets whoever else is ready on this processor run first (`sched_yield(2)`).
pub(crate) fn step_aside() {
    // SAFETY: no pointer is passed.
    unsafe { libc::sched_yield() };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What this thread has asked for.
    fn slice_ns() -> u64 {
        // SAFETY: all-zero bytes are a valid `sched_attr`.
        let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
        // SAFETY: the structure is writable for its size.
        unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size_of_val(&attributes), 0) };
        attributes.sched_runtime
    }

    #[test]
    fn slices_are_short_until_they_are_usual_again() {
        std::thread::spawn(|| {
            let usual_ns = slice_ns();
            ask_short_slices();
            // An older kernel tells nothing, and goes on as before.
            assert_eq!(slice_ns(), if usual_ns == 0 { 0 } else { SHORT_NS });
            ask_usual_slices();
            assert_eq!(slice_ns(), usual_ns);
        })
        .join()
        .unwrap();
    }
}
