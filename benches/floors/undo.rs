//! The undo log: 64 bytes declared, written, and committed, in a region of 64 MiB and of 1 GiB; and the same with a block
//! that is allocated and another that is released.
//!
//! The floor copies 64 bytes twice: the old ones away, the new ones in.

use crate::tree;
use crashbed::{Daemon, Declaration, LoggedVec, MIB, Recoverable};
use criterion::Criterion;
use std::hint::black_box;
use std::time::Instant;

const PIECE: usize = 64;
/// What is written to in turn: so many pieces.
const PIECES: usize = 16 << 10;

pub(crate) fn bench(criterion: &mut Criterion) {
    for what in ["write", "allocate"] {
        let mut group = criterion.benchmark_group(format!("undo-log/{what}"));
        for mib in [64, 1024] {
            tree::add(&mut group, "undo-log", &format!("{mib}-MiB"), &format!("{what} {mib}"));
        }
        if what == "write" {
            tree::add(&mut group, "undo-log", "floor", "floor 64");
        }
        group.finish();
    }
}

#[derive(Default, Recoverable)]
struct State {
    bytes: LoggedVec<u8>,
    block: Option<Box<[u8; PIECE]>>,
}

pub(crate) fn answer(what: &[&str], iterations: u64) {
    let [what, mib] = what else { panic!("undo-log: WHAT MIB") };
    let bytes = mib.parse::<usize>().expect("a size") * MIB;
    let (floor, allocates) = (*what == "floor", *what == "allocate");
    // SAFETY: the transactions below write what `LoggedVec::write` has lent them, and put blocks in place by `Tx::replace`.
    let declaration = unsafe { Declaration::new("undo", bytes).undo_log(bytes.min(16 * MIB)) };
    tree::in_daemon(declaration, |daemon: &mut Daemon<State>| {
        tree::done(daemon, |tx, state| {
            state.bytes.replace(tx, vec![0; PIECES * PIECE]);
            Ok(())
        })?;
        tree::done(daemon, |tx, state| {
            let mut away = [0u8; PIECE];
            // Its pages are there when it is measured.
            let all = state.bytes.write(tx, ..);
            all.fill(1);
            if floor {
                let start = Instant::now();
                for i in 0..iterations {
                    let piece = &mut all[place(i)..][..PIECE];
                    away.copy_from_slice(black_box(piece));
                    black_box(&mut away);
                    piece.copy_from_slice(black_box(&[i.to_le_bytes()[0]; PIECE]));
                }
                return Ok(tree::nanoseconds(start));
            }
            tx.commit()?;
            let start = Instant::now();
            for i in 0..iterations {
                let new = [i.to_le_bytes()[0]; PIECE];
                let at = place(i);
                state.bytes.write(tx, at..at + PIECE).copy_from_slice(black_box(&new));
                if allocates {
                    tx.replace(&mut state.block, Some(Box::new(new)));
                }
                tx.commit()?;
            }
            Ok(tree::nanoseconds(start))
        })
    });
}

/// Where the piece of iteration `i` begins: here and there.
fn place(i: u64) -> usize {
    let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(mixed).unwrap_or(0) % PIECES * PIECE
}
