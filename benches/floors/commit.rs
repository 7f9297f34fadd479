//! A commit of 1, 16 and 256 written pages, by mechanism. The writing is not measured.
//!
//! The floor moves as many bytes to another process and waits until it has them: a copy into shared memory, a byte
//! through a pipe, a copy out of it, a byte back. It is the same for all mechanisms; full copy moves all of its region
//! that is in use instead (1 MiB here), whatever was written.
//!
//! `256-freed-pages` writes one page that stays and 256 of a temporary that is gone by the commit; its floor is that of a
//! page.

use crate::tree;
use crashbed::{Daemon, Declaration, MIB, MechanismKind};
use criterion::Criterion;
use std::hint::black_box;
use std::io::{Read, Write};
use std::time::Instant;

const PAGE: usize = 4096;
const MOST_PAGES: usize = 256;

pub(crate) fn bench(criterion: &mut Criterion) {
    for (pages, freed) in [(1, 0), (16, 0), (MOST_PAGES, 0), (1, MOST_PAGES)] {
        let name = if freed > 0 { format!("commit/{freed}-freed-pages") } else { format!("commit/{pages}-pages") };
        let mut group = criterion.benchmark_group(name);
        // The state of this bench is bytes that nobody declares.
        let mechanisms = MechanismKind::ALL.into_iter().filter(|mechanism| !mechanism.needs_declared_writes());
        for what in mechanisms.map(MechanismKind::name).chain(["floor"]) {
            tree::add(&mut group, "commit", what, &format!("{what} {pages} {freed}"));
        }
        group.finish();
    }
}

pub(crate) fn answer(what: &[&str], iterations: u64) {
    let [what, pages, freed] = what else { panic!("commit: WHAT PAGES FREED-PAGES") };
    let [pages, freed]: [usize; 2] = [pages, freed].map(|pages| pages.parse().expect("a number of pages"));
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
                if freed > 0 {
                    write_pages(&mut vec![1; freed * PAGE]);
                }
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
