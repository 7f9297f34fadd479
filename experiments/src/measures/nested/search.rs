//! The program: it calls itself, level below level; a level works on a copy of what the level above it has worked out,
//! and puts both together when it returns. All of that lives on the stack.
//!
//! ```text
//! level 0   commit · steps ─┬─ level 1   commit · steps ─┬─ level 2 …
//!           both together ◀─┘            both together ◀─┘
//! ```

use super::Way;
use super::bed::Board;
use crate::faults::null_write;
use crate::faults::trigger::monotonic_ns;
use crashbed::{Failure, Recoverable, Tx};

/// The most levels of a program.
pub(super) const MOST_LEVELS: usize = 32;
pub(super) const MOST_DEPTH: u64 = MOST_LEVELS as u64;
/// Words of a level's locals: 16 KiB.
const WORDS: usize = 2048;

/// What a level has on its stack.
type Locals = [u64; WORDS];

/// What becomes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// Nothing.
    Clean,
    /// Nothing; at its deepest it is looked at how much memory there is.
    Weighed,
    /// A crash in the middle of this level.
    Crash(u64),
    /// Damage so many levels above the last one, which crashes each time that it meets it.
    Hidden { levels: u64 },
}

/// A program, and what it comes to.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) depth: u64,
    pub(super) steps: u64,
    /// The digest of each level's locals when its steps are done, then that of the result.
    expected: Vec<u64>,
}

/// The state: the result; and, by hand, the locals of the levels whose steps are done.
#[derive(Default, Recoverable)]
pub(super) struct Kept {
    pub(super) result: u64,
    locals: Vec<Vec<u64>>,
}

impl Search {
    /// A program of so many levels with so many steps each.
    pub(super) fn new(depth: u64, steps: u64) -> Self {
        let mut expected = Vec::new();
        let mut path = vec![seed()];
        for level in 0..depth {
            let mut locals = *path.last().unwrap_or(&seed());
            (0..steps).for_each(|step| work(&mut locals, level, step));
            expected.push(digest(&locals));
            path.push(locals);
        }
        let mut below = path.pop().unwrap_or_else(seed);
        for locals in path[1..].iter_mut().rev() {
            join(locals, &below);
            below = *locals;
        }
        expected.push(digest(&below));
        Self { depth, steps, expected }
    }

    /// Steps of a run that does none again.
    pub(super) fn all_steps(&self) -> u64 {
        self.depth * self.steps
    }

    /// Whether this is its result.
    pub(super) fn is_result(&self, result: u64) -> bool {
        self.expected.last() == Some(&result)
    }
}

/// A run of a program.
pub(super) struct Run<'a, 't> {
    pub(super) search: &'a Search,
    pub(super) tx: &'a mut Tx<'t>,
    pub(super) state: &'a mut Kept,
    pub(super) way: Way,
    pub(super) case: Case,
    pub(super) board: &'a Board,
}

impl Run<'_, '_> {
    /// From the first level to the result.
    pub(super) fn play(&mut self) -> Result<(), Failure> {
        let result = self.level(0, &seed())?;
        self.state.result = digest(&result);
        Ok(())
    }

    fn level(&mut self, level: u64, above: &Locals) -> Result<Locals, Failure> {
        let mut locals = *above;
        if let Some(done) = self.state.locals.get(usize::try_from(level)?) {
            locals.copy_from_slice(done);
        } else {
            self.begin(level)?;
            for step in 0..self.search.steps {
                self.step(level, step, &mut locals);
            }
            if matches!(self.way, Way::ByHand(_)) {
                self.state.locals.push(locals.to_vec());
            }
        }
        if level + 1 < self.search.depth {
            let below = self.level(level + 1, &locals)?;
            join(&mut locals, &below);
        }
        Ok(locals)
    }

    /// The beginning of a level: a commit, unless it starts over, or has been gone back to.
    fn begin(&mut self, level: u64) -> Result<(), Failure> {
        if self.tx.operations() > level {
            return Ok(());
        }
        self.tx.done();
        if self.way != Way::StartsOver {
            let (crashes, began_ns) = (self.tx.crashes(), monotonic_ns());
            self.tx.commit()?;
            if self.tx.crashes() == crashes {
                self.board.committed(level, monotonic_ns().saturating_sub(began_ns));
            }
        }
        Ok(())
    }

    fn step(&mut self, level: u64, step: u64, locals: &mut Locals) {
        let board = self.board;
        board.step();
        work(locals, level, step);
        let last = level + 1 == self.search.depth;
        match self.case {
            Case::Crash(at) if at == level && step == self.search.steps / 2 && board.once() => {
                null_write(board.fault())
            }
            Case::Hidden { levels } => {
                if level + levels + 1 == self.search.depth && step == 0 && board.once() {
                    locals[WORDS / 2] ^= 1 << 40;
                }
                if last && step + 1 == self.search.steps && self.is_damaged(level, locals) {
                    null_write(board.fault());
                }
            }
            Case::Weighed if last && step + 1 == self.search.steps => board.weigh(),
            _ => {}
        }
    }

    fn is_damaged(&self, level: u64, locals: &Locals) -> bool {
        usize::try_from(level).ok().and_then(|level| self.search.expected.get(level)) != Some(&digest(locals))
    }
}

fn seed() -> Locals {
    let mut locals = [0; WORDS];
    locals.iter_mut().zip(1..).for_each(|(word, n): (&mut u64, u64)| *word = n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    locals
}

/// A step: each word takes up its neighbour.
fn work(locals: &mut Locals, level: u64, step: u64) {
    let mut before = level ^ step.rotate_left(17);
    for word in locals {
        before = (*word ^ before.rotate_left(23)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        *word = before;
    }
}

/// Puts what a level has worked out together with what the level below it has.
fn join(locals: &mut Locals, below: &Locals) {
    locals.iter_mut().zip(below).for_each(|(word, below)| *word = word.rotate_left(7) ^ below);
}

fn digest(locals: &Locals) -> u64 {
    locals.iter().fold(0, |sum: u64, word| (sum ^ word).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damage_shows_in_what_comes_after_it() {
        let mut right = seed();
        let mut wrong = seed();
        wrong[WORDS / 2] ^= 1 << 40;
        for step in 0..3 {
            work(&mut right, 1, step);
            work(&mut wrong, 1, step);
        }
        assert_ne!(digest(&right), digest(&wrong));
        let (mut right_above, mut wrong_above) = (seed(), seed());
        join(&mut right_above, &right);
        join(&mut wrong_above, &wrong);
        assert_ne!(digest(&right_above), digest(&wrong_above));
    }

    #[test]
    fn another_program_has_another_result() {
        let result = |depth, steps| *Search::new(depth, steps).expected.last().unwrap();
        assert_ne!(result(2, 3), result(3, 3));
        assert_ne!(result(2, 3), result(2, 4));
        assert_eq!(result(4, 2), result(4, 2));
    }
}
