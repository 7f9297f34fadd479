//! Which processors a process may run on, and drawing one that sleeps to the processor of who wakes it.

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
    Processors::here().is_some_and(|here| here.give(pid))
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

/// Lets whoever else is ready on this processor run first (`sched_yield(2)`).
pub(crate) fn step_aside() {
    // SAFETY: no pointer is passed.
    unsafe { libc::sched_yield() };
}
