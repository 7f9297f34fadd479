//! What a crash handler has lent: the processors of the one that it wakes.
//!
//! A process that has crashed has no more use for its processor. So it *draws* the sleeper that goes on, a spare or the
//! daemon, to that very one, wakes it, and sleeps: the sleeper runs there at once, where an idle processor would have to
//! be woken first, and a busy one would let it wait. What the sleeper had before is noted here, and it gives itself that
//! back before any code of the program runs.
//!
//! Both sides are a wild write away from garbage. So whoever draws fills all of this first, when nothing else of its
//! process runs any more, and the id of whom it draws is checked ([`notice`](crate::notice)).

use crate::sys::processors::{self, Processors, WORDS};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// In a mailbox: whether somebody was drawn, and which processors it had.
#[repr(C)]
pub(crate) struct Drawn {
    is: AtomicU32,
    had: [AtomicU64; WORDS],
}

impl Drawn {
    /// Nobody was drawn.
    pub(crate) fn clear(&self) {
        self.is.store(0, Ordering::Relaxed);
    }

    /// Draws process `sleeper`, where there is one, and notes what it had: `had` where that is known, else what the
    /// kernel says. Async-signal-safe.
    pub(crate) fn draw(&self, sleeper: Option<i32>, had: Option<Processors>) {
        self.clear();
        let Some(had) = had.or_else(|| sleeper.and_then(Processors::of)) else { return };
        for (word, had) in self.had.iter().zip(had.0) {
            word.store(had, Ordering::Relaxed);
        }
        self.is.store(1, Ordering::Release);
        if let Some(sleeper) = sleeper {
            // Where it is refused, the sleeper gives itself what it has.
            processors::draw(sleeper);
        }
    }

    /// What the one that was drawn had, where one was.
    pub(crate) fn had(&self) -> Option<Processors> {
        let had = || Processors(self.had.each_ref().map(|word| word.load(Ordering::Relaxed)));
        (self.is.load(Ordering::Acquire) == 1).then(had)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;

    #[test]
    fn a_sleeper_is_drawn_and_what_it_had_is_noted() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(process::thread_id()).unwrap();
            let _ = ended.recv();
        });
        let sleeper = told.recv().unwrap();
        // SAFETY: all-zero memory is a mailbox in which nobody was drawn.
        let drawn: Drawn = unsafe { std::mem::zeroed() };
        let before = Processors::of(sleeper).unwrap();
        drawn.draw(Some(sleeper), None);
        let now = Processors::of(sleeper).unwrap();
        assert_eq!(now.0.iter().map(|word| word.count_ones()).sum::<u32>(), 1);
        assert_eq!(drawn.had().unwrap().0, before.0);
        assert!(drawn.had().unwrap().give(sleeper));
        assert_eq!(Processors::of(sleeper).unwrap().0, before.0);
        drawn.draw(None, None);
        assert!(drawn.had().is_none(), "an older note");
        drop(end);
        thread.join().unwrap();
    }
}
