//! A commit of 1, 16 and 256 written pages, by mechanism. The writing is not measured.
//!
//! The floor moves as many bytes to another process and waits until it has them: a copy into shared memory, a byte
//! through a pipe, a copy out of it, a byte back. It is the same for both mechanisms; full copy moves its whole region
//! instead (4 MiB here), whatever was written.

use crate::tree;
use crashbed::{Daemon, Declaration, MIB, MechanismKind};
use criterion::Criterion;
use std::hint::black_box;
use std::io::{Read, Write};
use std::time::Instant;

const PAGE: usize = 4096;
const MOST_PAGES: usize = 256;

pub(crate) fn bench(criterion: &mut Criterion) {
    for pages in [1, 16, MOST_PAGES] {
        let mut group = criterion.benchmark_group(format!("commit/{pages}-pages"));
        for what in ["copy-on-write", "full-copy", "floor"] {
            tree::add(&mut group, "commit", what, &format!("{what} {pages}"));
        }
        group.finish();
    }
}

pub(crate) fn answer(what: &[&str], iterations: u64) {
    let [what, pages] = what else { panic!("commit: WHAT PAGES") };
    let pages = pages.parse().expect("a number of pages");
    if *what == "floor" {
        println!("{}", bare(pages, iterations).expect("pipes"));
        return;
    }
    let mechanism: MechanismKind = what.parse().expect("a mechanism");
    let declaration = Declaration::new("commit", 4 * MIB).mechanism(mechanism);
    tree::in_daemon(declaration, |daemon: &mut Daemon<Vec<u8>>| {
        tree::done(daemon, |_, bytes| {
            *bytes = vec![0; MOST_PAGES * PAGE];
            Ok(())
        })?;
        tree::done(daemon, |tx, bytes| {
            let mut total = 0;
            for _ in 0..iterations {
                write_pages(&mut bytes[..pages * PAGE]);
                let start = Instant::now();
                tx.commit()?;
                total += tree::nanoseconds(start);
            }
            Ok(total)
        })
    });
}

/// Writes to each page.
fn write_pages(bytes: &mut [u8]) {
    for page in bytes.chunks_mut(PAGE) {
        page[0] = page[0].wrapping_add(1);
    }
    black_box(bytes);
}

fn bare(pages: usize, iterations: u64) -> std::io::Result<u64> {
    let length = pages * PAGE;
    let stage = tree::shared_memory(length);
    let (mut asked, mut ask) = std::io::pipe()?;
    let (mut answered, mut answer) = std::io::pipe()?;
    let mut byte = [0];
    // SAFETY: this process has one thread.
    if unsafe { nix::unistd::fork() }?.is_child() {
        // The other end of its own pipe has to be closed, so that the parent's end is the last one.
        drop(ask);
        let mut kept = vec![0; length];
        while asked.read(&mut byte)? == 1 {
            kept.copy_from_slice(stage);
            black_box(&mut kept);
            answer.write_all(&byte)?;
        }
        std::process::exit(0);
    }
    let mut state = vec![0; length];
    let mut total = 0;
    for _ in 0..iterations {
        write_pages(&mut state);
        let start = Instant::now();
        stage.copy_from_slice(&state);
        ask.write_all(&byte)?;
        answered.read_exact(&mut byte)?;
        total += tree::nanoseconds(start);
    }
    drop(ask);
    nix::sys::wait::wait()?;
    Ok(total)
}
