//! Who is to run where: what a process has lost of its processors for a moment, so that it goes on at once.
//!
//! A process that has crashed has no more use for its processor. So it *draws* the sleeper that goes on, a spare or the
//! daemon, to that very one, wakes it, and sleeps: the sleeper runs there at once, where an idle processor would have to
//! be woken first, and a busy one would let it wait. What the sleeper had before is noted here, and it gives itself that
//! back before any code of the program runs.
//!
//! The other way round, a successor that works keeps its daemon *off* its processor, before it wakes it to make the next
//! successor ready: the daemon would wait there, however idle another one is.
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

/// [`Drawn::is`]: what somebody had is noted, and it loses that at any moment.
const NOTED: u32 = 1;
/// [`Drawn::is`]: it loses no more.
const OVER: u32 = 2;

impl Drawn {
    /// Nobody was drawn.
    pub(crate) fn clear(&self) {
        self.is.store(0, Ordering::Relaxed);
    }

    /// Draws process `sleeper`, where there is one, and notes what it had: `had` where that is known, else what the
    /// kernel says. Async-signal-safe.
    pub(crate) fn draw(&self, sleeper: Option<i32>, had: Option<Processors>) {
        let Some(had) = had.or_else(|| sleeper.and_then(Processors::of)) else { return self.clear() };
        self.note(had);
        if let Some(sleeper) = sleeper {
            // Where it is refused, the sleeper gives itself what it has.
            processors::draw(sleeper);
        }
    }

    /// The other way round: keeps process `other` off this processor, and notes what it had. It may be awake, and give
    /// itself back what it has not lost yet; so it does that again until this is over.
    pub(crate) fn keep_off(&self, other: Option<i32>) {
        let Some((other, had)) = other.and_then(|other| Some((other, Processors::of(other)?))) else { return };
        self.note(had);
        processors::keep_off(other, &had);
        self.is.store(OVER, Ordering::Release);
    }

    /// In the one that is kept off, as often as it wakes: gives itself back what it had.
    pub(crate) fn come_back(&self) {
        let is_over = self.is.load(Ordering::Acquire) == OVER;
        if let Some(had) = self.had() {
            had.give(0);
        }
        if is_over {
            self.clear();
        }
    }

    fn note(&self, had: Processors) {
        for (word, had) in self.had.iter().zip(had.0) {
            word.store(had, Ordering::Relaxed);
        }
        self.is.store(NOTED, Ordering::Release);
    }

    /// What the one that was drawn had, where one was.
    pub(crate) fn had(&self) -> Option<Processors> {
        let had = || Processors(self.had.each_ref().map(|word| word.load(Ordering::Relaxed)));
        matches!(self.is.load(Ordering::Acquire), NOTED | OVER).then(had)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;

    fn count(processors: &Processors) -> u32 {
        processors.0.iter().map(|word| word.count_ones()).sum()
    }

    #[test]
    fn one_that_is_kept_off_comes_back_as_often_as_it_has_to() {
        // In a thread of its own, whose processors nobody else changes.
        std::thread::spawn(|| {
            // SAFETY: all-zero memory is a mailbox in which nobody was drawn.
            let kept_off: Drawn = unsafe { std::mem::zeroed() };
            let before = Processors::of(0).unwrap();
            // It is awake between the note and the loss of its processor.
            kept_off.note(before);
            kept_off.come_back();
            processors::keep_off(process::thread_id(), &before);
            kept_off.is.store(OVER, Ordering::Release);
            kept_off.come_back();
            assert_eq!(Processors::of(0).unwrap().0, before.0);
            assert!(kept_off.had().is_none());
        })
        .join()
        .unwrap();
    }

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
        assert_eq!(count(&now), 1);
        assert_eq!(drawn.had().unwrap().0, before.0);
        assert!(drawn.had().unwrap().give(sleeper));
        assert_eq!(Processors::of(sleeper).unwrap().0, before.0);
        drawn.draw(None, None);
        assert!(drawn.had().is_none(), "an older note");
        drawn.keep_off(Some(sleeper));
        if count(&before) > 1 {
            let now = Processors::of(sleeper).unwrap();
            assert_eq!(count(&now) + 1, count(&before), "one is missing");
        }
        assert!(drawn.had().unwrap().give(sleeper));
        drop(end);
        thread.join().unwrap();
    }
}
