//! What a process must have done before it forks, so that nothing below it maps memory or leaks later.
//!
//! Heaps and the main stack are grown to their declared size. Statics and thread-locals that initialise themselves on
//! first use are used once: in a transaction their memory would come out of the region and be leaked into the state.

use crate::error::{Error, Result};
use crate::notice;
use crate::panics;
use crate::prefault;
use crate::sys::{pagemap, process, signal};
use nix::sys::resource::Resource;
use std::hash::BuildHasher;

/// C's heap, grown before the fork: address space only, until it is used.
const C_HEAP: usize = 64 << 20;
/// The main thread's stack.
const STACK: u64 = 8 << 20;
/// What the main stack keeps free below its grown end: the kernel refuses to grow it to the limit's last page.
const STACK_SLACK: u64 = 64 << 10;
/// The least that must be left below the present frame, once arguments and environment have taken their part.
const STACK_LEAST: u64 = 1 << 20;

/// Prepares the process that becomes the root.
pub(crate) fn prime() -> Result<()> {
    let failed = |what: &'static str| move |errno| Error::system(what, errno);
    process::limit_stack(STACK).map_err(failed("limiting the stack to 8 MiB"))?;
    check_limit(Resource::RLIMIT_STACK, "the stack (ulimit -s)", STACK)?;
    check_limit(Resource::RLIMIT_NOFILE, "open files (ulimit -n)", 64)?;
    // A grown stack is one mapping from here on; the part beyond is the slack that the limit counts.
    grow_stack()?;
    process::grow_c_heap(C_HEAP);
    signal::keep_ended_children().map_err(failed("taking SIGCHLD as by default"))?;
    process::limit_core_dumps().map_err(failed("limiting core dumps"))?;
    pagemap::choose_way().map_err(failed("reading /proc/self/pagemap"))?;
    notice::find_image();
    notice::draw_secret().map_err(failed("drawing a random number"))?;
    prefault::find_image();
    panics::install_hook();
    use_lazy_things();
    Ok(())
}

/// Refuses a soft limit below `least`.
pub(crate) fn check_limit(resource: Resource, what: &'static str, least: u64) -> Result<()> {
    match process::soft_limit(resource) {
        Some(limit) if limit < least => {
            let message = format!("the limit is {limit}, at least {least} are needed: raise it");
            Err(Error::Proc { what, message })
        }
        _ => Ok(()),
    }
}

/// Grows the main stack to its limit, which counts from its far end: arguments and environment lie there.
fn grow_stack() -> Result<()> {
    let what = "the stack, in /proc/self/maps";
    let me = procfs::process::Process::myself().and_then(|me| me.maps());
    let maps = me.map_err(|error| Error::Proc { what, message: error.to_string() })?;
    let stack = maps.iter().find(|map| map.pathname == procfs::process::MMapPath::Stack);
    let top = stack.map(|map| map.address.1).ok_or_else(|| Error::Proc { what, message: "there is none".into() })?;
    let far = top - (STACK - STACK_SLACK);
    let here = 0u8;
    let left = (&raw const here as u64).saturating_sub(far);
    if left < STACK_LEAST {
        let message = format!("arguments and environment leave {left} bytes of it, {STACK_LEAST} are needed");
        return Err(Error::Proc { what: "the stack", message });
    }
    process::grow_stack(usize::try_from(left).unwrap_or(0));
    Ok(())
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

/// Bytes of this process's memory that are no file's and not shared.
pub(crate) fn private_bytes() -> Result<u64> {
    let proc_error = |error: procfs::ProcError| Error::Proc { what: "/proc/self/status", message: error.to_string() };
    let status = procfs::process::Process::myself().and_then(|me| me.status()).map_err(proc_error)?;
    Ok(status.rssanon.unwrap_or(0) * 1024)
}

/// Bytes of address space that this process has mapped, as `RLIMIT_AS` counts them.
pub(crate) fn bytes_mapped() -> Result<u64> {
    let proc_error = |error: procfs::ProcError| Error::Proc { what: "/proc/self/statm", message: error.to_string() };
    let me = procfs::process::Process::myself().map_err(proc_error)?;
    Ok(me.statm().map_err(proc_error)?.size * crate::sys::memory::PAGE as u64)
}
