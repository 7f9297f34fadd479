//! A transaction's heap beside the system's allocator.
//!
//! `replace-random` frees one of 10,000 blocks of 16 to 511 bytes and allocates another in its place; `allocate-free`
//! frees what it has just allocated. The floor runs in a daemon and calls the system's allocator without ours between.

use crate::{HEAP, tree};
use crashbed::{Daemon, Declaration, MIB};
use criterion::Criterion;
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::time::Instant;

const BLOCKS: usize = 10_000;

pub(crate) fn bench(criterion: &mut Criterion) {
    for pattern in ["replace-random", "allocate-free"] {
        let mut group = criterion.benchmark_group(format!("allocation/{pattern}"));
        for what in ["region", "floor"] {
            tree::add(&mut group, "allocation", what, &format!("{what} {pattern}"));
        }
        group.finish();
    }
}

pub(crate) fn answer(what: &[&str], iterations: u64) {
    let [what, pattern] = what else { panic!("allocation: WHAT PATTERN") };
    let random = *pattern == "replace-random";
    tree::in_daemon(Declaration::new("allocation", 16 * MIB), |daemon: &mut Daemon<u64>| {
        if *what == "floor" {
            return Ok(measure(&System, random, iterations));
        }
        tree::done(daemon, |_, _| Ok(measure(&HEAP, random, iterations)))
    });
}

fn measure(allocator: &dyn GlobalAlloc, random: bool, iterations: u64) -> u64 {
    let run = if random { replace_random } else { allocate_free };
    run(allocator, iterations)
}

/// Marsaglia's xorshift64 ("Xorshift RNGs", 2003): cheap beside what is measured.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The remainder is below `limit`, which is a usize.
        #[allow(clippy::cast_possible_truncation)]
        let below = (self.0 % limit as u64) as usize;
        below
    }

    fn layout(&mut self) -> Layout {
        Layout::from_size_align(16 + self.below(496), 8).expect("a small block")
    }
}

fn replace_random(allocator: &dyn GlobalAlloc, iterations: u64) -> u64 {
    let mut random = Xorshift(0x9E37_79B9_7F4A_7C15);
    let mut blocks: Vec<(*mut u8, Layout)> = Vec::with_capacity(BLOCKS);
    for _ in 0..BLOCKS {
        let layout = random.layout();
        blocks.push((allocate(allocator, layout), layout));
    }
    let mut replace = |times: u64| {
        for _ in 0..times {
            let block = &mut blocks[random.below(BLOCKS)];
            free(allocator, *block);
            let layout = random.layout();
            *block = (allocate(allocator, layout), layout);
        }
    };
    // Until all pages have been written once, and the free blocks are mixed.
    replace(10 * BLOCKS as u64);
    let start = Instant::now();
    replace(iterations);
    let took = tree::nanoseconds(start);
    blocks.into_iter().for_each(|block| free(allocator, block));
    took
}

fn allocate_free(allocator: &dyn GlobalAlloc, iterations: u64) -> u64 {
    let layout = Layout::new::<[u64; 8]>();
    let start = Instant::now();
    for _ in 0..iterations {
        free(allocator, (allocate(allocator, layout), layout));
    }
    tree::nanoseconds(start)
}

/// Allocates a block and writes its first byte.
fn allocate(allocator: &dyn GlobalAlloc, layout: Layout) -> *mut u8 {
    // SAFETY: the layout is not empty.
    let block = black_box(unsafe { allocator.alloc(layout) });
    assert!(!block.is_null(), "no room");
    // SAFETY: a new block of one byte or more.
    unsafe { block.write(1) };
    block
}

fn free(allocator: &dyn GlobalAlloc, (block, layout): (*mut u8, Layout)) {
    // SAFETY: the callers pass each block once, with its layout, to the allocator that made it.
    unsafe { allocator.dealloc(black_box(block), layout) };
}
