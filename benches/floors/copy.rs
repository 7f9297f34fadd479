//! Copying a whole state: what a full copy's commit and restore do, of 64 and of 256 MiB of which 15/16 are in use, or
//! 1/16 is (`sparse-…`). The floor is the C library's copy of the bytes in use, from and to memory that is mapped
//! already; `pread` is the fastest of the ways in which the kernel copies by itself.
//!
//! `first-commit` is the first one of a daemon, which finds its slot unmapped; its floor is `floor-unmapped`.

use crate::tree;
use crashbed::{Daemon, Declaration, MIB, MechanismKind, Outcome};
use crashbed_policies::CheckpointResume;
use criterion::Criterion;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::time::Instant;

const SIZES_MIB: [usize; 2] = [64, 256];
const WHAT: [&str; 8] =
    ["commit", "restore", "floor", "pread", "first-commit", "floor-unmapped", "sparse-commit", "sparse-restore"];
const PAGE: usize = 4096;

pub(crate) fn bench(criterion: &mut Criterion) {
    for mib in SIZES_MIB {
        let mut group = criterion.benchmark_group(format!("copy/{mib}-MiB"));
        group.sample_size(10);
        for what in WHAT {
            tree::add(&mut group, "copy", what, &format!("{what} {mib}"));
        }
        group.finish();
    }
}

pub(crate) fn answer(what: &[&str], iterations: u64) {
    let [what, mib] = what else { panic!("copy: WHAT MIB") };
    let bytes = mib.parse::<usize>().expect("a size") * MIB;
    // A heap has room for a block of this size, and not much more.
    let (what, used) = match what.strip_prefix("sparse-") {
        Some(what) => (what, bytes / 16),
        None => (*what, bytes / 16 * 15),
    };
    match what {
        "floor" | "floor-unmapped" | "pread" => println!("{}", bare(what, used, iterations)),
        _ => in_tree(what, bytes, used, iterations),
    }
}

/// Writes to each page.
fn write_pages(bytes: &mut [u8]) {
    bytes.chunks_mut(PAGE).for_each(|page| page[0] = page[0].wrapping_add(1));
    black_box(bytes);
}

fn in_tree(what: &str, bytes: usize, used: usize, iterations: u64) {
    let declaration = Declaration::new("copy", bytes).mechanism(MechanismKind::FullCopy);
    tree::in_daemon(declaration, |daemon: &mut Daemon<Vec<u8>>| {
        if what == "first-commit" {
            // One a tree: the others would not be the first.
            return tree::done(daemon, |tx, state| {
                *state = vec![1; used];
                let start = Instant::now();
                tx.commit()?;
                Ok(tree::nanoseconds(start) * iterations)
            });
        }
        tree::done(daemon, |tx, state| {
            *state = vec![1; used];
            // Both slots, and the state's pages in the daemon.
            tx.commit()?;
            Ok(())
        })?;
        let mut total = 0;
        for _ in 0..iterations {
            if what == "commit" {
                total += tree::done(daemon, |tx, state| {
                    write_pages(state);
                    let start = Instant::now();
                    tx.commit()?;
                    Ok(tree::nanoseconds(start))
                })?;
            } else {
                let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                    if tx.crash().is_none() {
                        write_pages(state);
                        tree::stamp_and_fault();
                    }
                    Ok(())
                })?;
                assert_eq!(outcome, Outcome::Done(()));
                let recovery = &daemon.report().recoveries[0];
                total += recovery.restored_ns - recovery.decided_ns;
            }
        }
        Ok(total)
    });
}

fn bare(what: &str, used: usize, iterations: u64) -> u64 {
    let file = |name| {
        let file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC).expect("a memfd"));
        file.set_len(used as u64).expect("its bytes");
        let bytes = tree::shared_file(&file, used);
        bytes.fill(1);
        (file, bytes)
    };
    let ((source, from), (target, mut to)) = (file(c"from"), file(c"to"));
    let mut total = 0;
    for _ in 0..iterations {
        write_pages(from);
        if what == "floor-unmapped" {
            to = tree::shared_file(&target, used);
        }
        let start = Instant::now();
        match what {
            "pread" => source.read_exact_at(to, 0).expect("a copy by the kernel"),
            _ => to.copy_from_slice(from),
        }
        total += tree::nanoseconds(start);
        black_box(&mut *to);
    }
    total
}
