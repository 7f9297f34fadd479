//! What a process must have done before it forks, so that nothing below it maps memory or leaks later.
//!
//! Heaps and the main stack are grown to their declared size. Statics and thread-locals that initialise themselves on
//! first use are used once: in a transaction their memory would come out of the region and be leaked into the state.

use crate::error::{Error, Result};
use crate::notice;
use crate::panics;
use crate::sys::{pagemap, process, signal};
use nix::sys::resource::Resource;
use std::hash::BuildHasher;

/// C's heap, grown before the fork: address space only, until it is used.
const C_HEAP: usize = 64 << 20;
/// The main thread's stack.
const STACK: u64 = 8 << 20;
/// What the main stack keeps free above its grown end, for what was on it before the root began.
const STACK_SLACK: u64 = 512 << 10;

/// Prepares the process that becomes the root.
pub(crate) fn prime() -> Result<()> {
    let failed = |what: &'static str| move |errno| Error::system(what, errno);
    process::limit_stack(STACK).map_err(failed("limiting the stack to 8 MiB"))?;
    check_limit(Resource::RLIMIT_STACK, "the stack (ulimit -s)", STACK)?;
    check_limit(Resource::RLIMIT_NOFILE, "open files (ulimit -n)", 64)?;
    // A grown stack is one mapping from here on; the part beyond is the slack that the limit counts.
    process::grow_stack(usize::try_from(STACK - STACK_SLACK).unwrap_or(0));
    process::grow_c_heap(C_HEAP);
    signal::keep_ended_children().map_err(failed("taking SIGCHLD as by default"))?;
    process::limit_core_dumps().map_err(failed("limiting core dumps"))?;
    pagemap::choose_way().map_err(failed("reading /proc/self/pagemap"))?;
    notice::find_image();
    panics::install_hook();
    use_lazy_things();
    Ok(())
}

fn check_limit(resource: Resource, what: &'static str, least: u64) -> Result<()> {
    match process::soft_limit(resource) {
        Some(limit) if limit < least => {
            let message = format!("the limit is {limit}, at least {least} are needed: raise it");
            Err(Error::Proc { what, message })
        }
        _ => Ok(()),
    }
}

/// Uses once what the standard library initialises on first use: the printing buffers, the name of the thread, hash
/// keys, and the machinery of panics.
fn use_lazy_things() {
    use std::io::Write;
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    std::hint::black_box(std::thread::current().id());
    std::hint::black_box(std::hash::RandomState::new().hash_one(0u8));
    // Unwinding reads the program's tables the first time; resume_unwind passes by the hook, so nothing is printed.
    let _ = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(())));
}

/// Raises this process's `oom_score_adj`, so that the root is the last to go when memory runs out. Lowering it again
/// takes a privilege, raising takes none.
pub(crate) fn be_killed_before_the_root() {
    const MORE_LIKELY: i32 = 200;
    let file = "/proc/self/oom_score_adj";
    let now = std::fs::read_to_string(file).ok().and_then(|now| now.trim().parse::<i32>().ok()).unwrap_or(0);
    // Where /proc cannot be written, all processes stay alike.
    let _ = std::fs::write(file, (now + MORE_LIKELY).min(1000).to_string());
}

/// Bytes of address space that this process has mapped, as `RLIMIT_AS` counts them.
pub(crate) fn bytes_mapped() -> Result<u64> {
    let proc_error = |error: procfs::ProcError| Error::Proc { what: "/proc/self/statm", message: error.to_string() };
    let me = procfs::process::Process::myself().map_err(proc_error)?;
    Ok(me.statm().map_err(proc_error)?.size * crate::sys::memory::PAGE as u64)
}
