//! What the engine's paths cost, each beside its floor: the least that the kernel allows for the same work.
//!
//! `cargo bench -p crashbed --bench floors [-- GROUP]`, with the groups `paths`, `fork`, `notice`,
//! `restore`, `commit`, `copy`, `allocation` and `undo-log`. In each, `floor` is the bare way and the rest is the engine's; `paths` has only
//! bare ways.
//!
//! How to read it: divide the engine's median by the median of the floor in the same group of the *same run*. Neither
//! number says anything by itself, nor beside one of another run: both move with the machine, its load and its kernel.
//! The two are measured one after the other, so a load that changes in between moves their quotient as well: run the
//! group again where the intervals are wide. `-- --verbose GROUP` prints medians beside Criterion's default estimate.
//!
//! The measured code runs in a tree of its own. A root has one thread, so this program starts itself again with
//! [`tree::VARIABLE`] set; that process runs the tree, and prints the nanoseconds that all iterations took together.

mod allocation;
mod commit;
mod copy;
mod fork;
mod notice;
mod paths;
mod restore;
mod tree;
mod undo;

use crashbed::Heap;
use criterion::Criterion;
use std::time::Duration;

// SAFETY: this program takes nothing owned out of a static or a lock that was filled before a fork.
#[global_allocator]
static HEAP: Heap = unsafe { Heap::new() };

fn main() {
    if let Ok(asked) = std::env::var(tree::VARIABLE) {
        tree::answer(&asked);
        return;
    }
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1200))
        .configure_from_args();
    paths::bench(&mut criterion);
    fork::bench(&mut criterion);
    notice::bench(&mut criterion);
    restore::bench(&mut criterion);
    commit::bench(&mut criterion);
    copy::bench(&mut criterion);
    allocation::bench(&mut criterion);
    undo::bench(&mut criterion);
    criterion.final_summary();
}
