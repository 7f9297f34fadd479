//! Laws 2 and 3: all memory is there before the fork, and none is mapped after it.

use crashbed::{Daemon, Declaration, Error, GIB, KIB, MIB, Outcome, Returns, Root};
use crashbed_policies::CheckpointResume;

/// Two tebibytes and more are refused with figures, before anything is forked.
pub(crate) fn declares_too_much() -> crashbed::Result<()> {
    let descriptors = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let before = descriptors();
    let mut root = Root::new();
    for i in 0..64 {
        let declaration = Declaration::new(format!("d{i}"), 32 * GIB).cache("kept", 16 * GIB, Returns::AsItWas).cache(
            "empty",
            16 * GIB,
            Returns::Empty,
        );
        root = root.declare(declaration, |_: &mut Daemon<u64>| {
            println!("forked");
            Ok(())
        });
    }
    match root.run() {
        Err(error @ Error::Memory { declared, available, .. }) => {
            // Copy on write: the state, its log, and the private copies of a transaction; two caches of half of that.
            assert!(declared > 64 * 4 * 32 * GIB as u64, "mechanism and caches count as well: {declared}");
            let text = error.to_string();
            for figure in [declared >> 20, available >> 20] {
                assert!(text.contains(&format!("{figure} MiB")), "{text}");
            }
            assert!(text.contains("d63: "), "{text}");
        }
        other => panic!("too much was declared: {other:?}"),
    }
    assert_eq!(descriptors(), before, "nothing is left mapped or open");
    // SAFETY: a null status pointer is allowed.
    assert_eq!(unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) }, -1, "nothing was forked");
    Ok(())
}

/// What fits is committed whole before the fork: the kernel has given the blocks.
pub(crate) fn declares_what_fits() -> crashbed::Result<()> {
    Root::new()
        .daemon("d", 24 * MIB, |_: &mut Daemon<u64>| {
            println!("forked");
            let mut found = false;
            for entry in std::fs::read_dir("/proc/self/fd").map_err(Error::program)?.flatten() {
                let Ok(target) = std::fs::read_link(entry.path()) else { continue };
                if target.to_string_lossy().contains("crashbed-d-state") {
                    use std::os::unix::fs::MetadataExt;
                    let blocks = std::fs::metadata(entry.path()).map_err(Error::program)?.blocks();
                    assert!(blocks * 512 >= 24 * MIB as u64, "only {blocks} blocks are committed");
                    found = true;
                }
            }
            assert!(found, "the state is a memfd of this name");
            Ok(())
        })
        .run()
}

/// Which ways to get new memory, or a thread, still work in this process.
fn ways_that_work() -> Vec<&'static str> {
    let mut works = Vec::new();
    // SAFETY: a new mapping of the kernel's choice; nothing existing changes.
    let mapped = unsafe {
        libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    if mapped != libc::MAP_FAILED {
        works.push("mmap");
    }
    // SAFETY: asks where the break is.
    let end = unsafe { libc::sbrk(0) } as usize;
    // SAFETY: moves the end of C's heap up, which nobody relies on to stay.
    if unsafe { libc::brk((end + (1 << 20)) as *mut _) } == 0 {
        works.push("brk");
    }
    if std::thread::Builder::new().spawn(|| {}).is_ok_and(|thread| thread.join().is_ok()) {
        works.push("thread");
    }
    works
}

fn bytes_mapped() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("/proc/self/statm");
    text.split(' ').next().and_then(|pages| pages.parse().ok()).expect("a number")
}

/// The check can fail: all ways are open in a process outside of any tree.
pub(crate) fn mapping_outside_of_a_tree() -> crashbed::Result<()> {
    assert_eq!(ways_that_work(), ["mmap", "brk", "thread"]);
    Ok(())
}

/// All ways are closed in daemons and transactions, where what was declared works.
pub(crate) fn no_mapping() -> crashbed::Result<()> {
    let declaration = Declaration::new("closed", 16 * MIB)
        .threads(2, 256 * KIB)
        .cache("kept", MIB, Returns::AsItWas)
        .cache("empty", MIB, Returns::Empty);
    Root::new()
        .declare(declaration, |daemon: &mut Daemon<Vec<u64>>| {
            assert_eq!(ways_that_work(), Vec::<&str>::new(), "in a daemon");
            let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                let before = bytes_mapped();
                assert_eq!(ways_that_work(), Vec::<&str>::new(), "in a transaction");
                state.extend(0..500_000);
                for cache in ["kept", "empty"] {
                    tx.cache::<u8>(cache)?.fill(1);
                }
                let length = tx.scratch(|| (0..200_000u64).map(|n| n.to_string()).collect::<Vec<_>>().len());
                assert_eq!(length, 200_000);
                let (left, right) = state.split_at_mut(250_000);
                tx.threads(|scope| {
                    for half in [left, right] {
                        scope.spawn(|| half.iter_mut().for_each(|n| *n += 1))?;
                    }
                    // A third is more than was declared.
                    assert!(scope.spawn(|| {}).is_err_and(|refused| refused.message().contains("at most the 2")));
                    Ok::<(), crashbed::failure::Failure>(())
                })??;
                tx.commit()?;
                assert_eq!(bytes_mapped(), before, "the address space grew");
                Ok(state.iter().sum::<u64>())
            })?;
            assert_eq!(outcome, Outcome::Done((1..=500_000).sum()));
            Ok(())
        })
        .run()
}

/// C's allocator serves from the heap that was grown before the fork, and makes no system call for it.
pub(crate) fn c_heap() -> crashbed::Result<()> {
    Root::new()
        .daemon("c", MIB, |daemon: &mut Daemon<u64>| {
            let outcome = daemon.transaction(CheckpointResume, |_, _| {
                // SAFETY: asks where the break is.
                let end = || unsafe { libc::sbrk(0) } as usize;
                let before = end();
                for size in [24, 4096, 100 << 10, 1 << 20, 16 << 20] {
                    for _ in 0..2 {
                        // SAFETY: an ordinary allocation; not released, so that the next one needs more room.
                        let block = unsafe { libc::malloc(size) };
                        assert!(!block.is_null(), "malloc({size})");
                        // SAFETY: the block has `size` bytes.
                        unsafe { std::ptr::write_bytes(block.cast::<u8>(), 1, size) };
                    }
                }
                assert_eq!(end(), before, "the break moved");
                // SAFETY: as above; more than was grown is refused, not mapped.
                assert!(unsafe { libc::malloc(1 << 30) }.is_null());
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            Ok(())
        })
        .run()
}
