//! Running measured code in a tree of its own: a process of this program, started again for it.

use crate::{allocation, commit, copy, fork, notice, paths, restore, undo};
use crashbed::{Daemon, Declaration, Outcome, Recoverable, Root};
use crashbed_policies::CheckpointResume;
use criterion::BenchmarkGroup;
use criterion::measurement::WallTime;
use nix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Says to a process of this program what to measure: `GROUP ITERATIONS WHAT …`.
pub(crate) const VARIABLE: &str = "CRASHBED_BENCH";

/// Adds a benchmark of `what` to a group; `id` is its name in the output.
pub(crate) fn add(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, id: &str, what: &str) {
    group.bench_function(id, |bencher| bencher.iter_custom(|iterations| ask(&format!("{name} {iterations} {what}"))));
}

/// Has another process measure, and answers how long all iterations took.
fn ask(what: &str) -> Duration {
    let program = std::env::current_exe().expect("this program has a path");
    let output = std::process::Command::new(program).env(VARIABLE, what).output().expect("this program starts again");
    let said = String::from_utf8_lossy(&output.stdout);
    match said.trim().parse() {
        Ok(nanoseconds) if output.status.success() => Duration::from_nanos(nanoseconds),
        _ => panic!("`{what}`: {}, {said}{}", output.status, String::from_utf8_lossy(&output.stderr)),
    }
}

/// Measures what was asked for, and prints the nanoseconds.
pub(crate) fn answer(asked: &str) {
    let words: Vec<&str> = asked.split(' ').collect();
    let [group, iterations, what @ ..] = &words[..] else { panic!("{VARIABLE}=`{asked}`: GROUP ITERATIONS WHAT") };
    let iterations = iterations.parse().expect("a number of iterations");
    match *group {
        "paths" => paths::answer(what, iterations),
        "fork" => fork::answer(what, iterations),
        "notice" => notice::answer(what, iterations),
        "restore" => restore::answer(what, iterations),
        "commit" => commit::answer(what, iterations),
        "copy" => copy::answer(what, iterations),
        "allocation" => allocation::answer(what, iterations),
        "undo-log" => undo::answer(what, iterations),
        _ => panic!("no group `{group}`"),
    }
}

/// Runs `measure` in a daemon, and prints the nanoseconds that it answers.
pub(crate) fn in_daemon<S: Recoverable + Default>(
    declaration: Declaration,
    measure: impl Fn(&mut Daemon<S>) -> crashbed::Result<u64>,
) {
    stamp();
    let declaration = declaration.heartbeat(Duration::from_secs(60));
    let ended = Root::new()
        .declare(declaration, |daemon: &mut Daemon<S>| {
            println!("{}", measure(daemon)?);
            Ok(())
        })
        .run();
    ended.unwrap_or_else(|error| panic!("{error}"));
}

/// Runs a transaction that is to be done, and answers its result.
pub(crate) fn done<S, T, F>(daemon: &mut Daemon<S>, work: F) -> crashbed::Result<T>
where
    S: Recoverable + Default,
    T: Recoverable + Clone,
    F: Fn(&mut crashbed::Tx<'_>, &mut S) -> Result<T, crashbed::Failure> + Sync,
{
    match daemon.transaction(CheckpointResume, work)? {
        Outcome::Done(result) => Ok(result),
        Outcome::Failed(failure) => Err(crashbed::Error::program(failure)),
        Outcome::GaveUp(crash) => Err(crashbed::Error::program(crash)),
    }
}

/// Nanoseconds on `CLOCK_MONOTONIC`, as in the engine's report.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the clock exists");
    now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned()
}

/// A word that all processes of a tree share. The first call has to come before the root.
pub(crate) fn stamp() -> &'static AtomicU64 {
    static STAMP: OnceLock<usize> = OnceLock::new();
    let address = *STAMP.get_or_init(|| shared_memory(size_of::<AtomicU64>()).as_ptr() as usize);
    // SAFETY: shared memory that is never unmapped, zero at first; it is used as this atomic only.
    unsafe { &*(address as *const AtomicU64) }
}

/// New memory that forks share with this process; never unmapped.
pub(crate) fn shared_memory(bytes: usize) -> &'static mut [u8] {
    use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
    let length = bytes.try_into().expect("some bytes");
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: new memory at a place of the kernel's choice changes none that is in use.
    let mapped = unsafe { mmap_anonymous(None, length, protection, MapFlags::MAP_SHARED) };
    let start = mapped.expect("shared memory").cast().as_ptr();
    // SAFETY: mapped above, that long, zeroed, and nobody else has the address.
    unsafe { std::slice::from_raw_parts_mut(start, bytes) }
}

/// The first `bytes` of a file, as memory that writes it; never unmapped.
pub(crate) fn shared_file(file: &std::fs::File, bytes: usize) -> &'static mut [u8] {
    use nix::sys::mman::{MapFlags, ProtFlags, mmap};
    let length = bytes.try_into().expect("some bytes");
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: new memory at a place of the kernel's choice changes none that is in use.
    let mapped = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, file, 0) };
    let start = mapped.expect("a mapping").cast().as_ptr();
    // SAFETY: mapped above, that long; the file is the caller's, who uses one mapping of it at a time.
    unsafe { std::slice::from_raw_parts_mut(start, bytes) }
}

/// Stamps the time and dies of a write to address 0.
pub(crate) fn stamp_and_fault() {
    stamp().store(now_ns(), Ordering::Relaxed);
    // SAFETY: nothing is mapped at address 0: the instruction changes no memory, it faults.
    unsafe { std::arch::asm!("mov qword ptr [{}], 1", in(reg) 0u64) };
}

/// Stamps the time and dies of SIGKILL.
pub(crate) fn stamp_and_kill() {
    let me = nix::unistd::getpid();
    stamp().store(now_ns(), Ordering::Relaxed);
    let _ = nix::sys::signal::kill(me, nix::sys::signal::Signal::SIGKILL);
}

/// Forks a child that runs `life` and exits, and waits for it (`waitpid(2)`).
pub(crate) fn fork_and_wait(life: impl FnOnce()) -> nix::sys::wait::WaitStatus {
    use nix::unistd::{ForkResult, fork};
    // SAFETY: a daemon has one thread.
    match unsafe { fork() }.expect("a fork") {
        ForkResult::Child => {
            life();
            // SAFETY: ends the process at once.
            unsafe { nix::libc::_exit(0) }
        }
        ForkResult::Parent { child } => nix::sys::wait::waitpid(child, None).expect("the child ends"),
    }
}

/// How long ago `start` was, in nanoseconds.
pub(crate) fn nanoseconds(start: std::time::Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).expect("less than 500 years")
}
