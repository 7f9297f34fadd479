//! Who is to run where: processors that a process is lent or denied for a moment, so that somebody goes on at once.
//!
//! A process that has crashed has no more use for its processor. So it *draws* the sleeper that goes on, a spare or the
//! daemon, to that very one, wakes it, and sleeps: the sleeper runs there at once, where an idle processor would have to
//! be woken first, and a busy one would let it wait. It gives itself its own processors back before any code of the
//! program runs.
//!
//! A transaction that waits for an answer draws its daemon, too: what the daemon is to copy lies in the caches of that
//! processor, and another one that is idle takes longer to wake than a small commit takes.
//!
//! The other way round, a successor that works keeps its daemon *off* its processor, before it wakes it to make the next
//! successor ready: the daemon would wait there, however idle another one is. Both times it takes its own processors back
//! when it has woken.
//!
//! Which processors are its own, everybody knows by itself: a daemon looks once for each transaction, its children are
//! forked with that. What stands in the mailbox says only *that* somebody was moved. So garbage there costs a system
//! call, and whoever moves a process that was moved already does no harm. The id of whom a handler draws is checked
//! ([`notice`](crate::notice)).

use crate::sys::processors::{self, Processors};
use std::sync::atomic::{AtomicU32, Ordering};

/// In a mailbox: that somebody was moved, or may be at any moment.
#[repr(transparent)]
pub(crate) struct Drawn(AtomicU32);

/// It is being moved, or was drawn for good.
const MOVED: u32 = 1;
/// It was kept off.
const KEPT_OFF: u32 = 2;
/// It was drawn until it has woken.
const LENT: u32 = 3;

impl Drawn {
    /// Nobody was moved.
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Whether somebody was moved.
    pub(crate) fn is(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    /// Draws process `sleeper`, where there is one. Async-signal-safe.
    pub(crate) fn draw(&self, sleeper: Option<i32>) {
        let Some(sleeper) = sleeper else { return self.clear() };
        self.0.store(MOVED, Ordering::Release);
        // Where it is refused, the sleeper gives itself what it has.
        processors::draw(sleeper);
    }

    /// Draws process `sleeper` until it has woken and takes back what it had; it may be awake already.
    pub(crate) fn draw_once(&self, sleeper: Option<i32>) {
        let Some(sleeper) = sleeper else { return };
        self.0.store(MOVED, Ordering::Release);
        processors::draw(sleeper);
        self.0.store(LENT, Ordering::Release);
    }

    /// Keeps process `other` off this processor. It may be awake, and come back before it has gone; so it does that again
    /// until this is over.
    pub(crate) fn keep_off(&self, other: Option<i32>) {
        let Some(other) = other else { return };
        self.0.store(MOVED, Ordering::Release);
        processors::keep_off(other);
        self.0.store(KEPT_OFF, Ordering::Release);
    }

    /// Whether somebody was kept off, and has not come back.
    pub(crate) fn is_kept_off(&self) -> bool {
        self.0.load(Ordering::Acquire) == KEPT_OFF
    }

    /// In the one that is moved: gives it its own processors back, where it was; whether it was.
    pub(crate) fn come_back(&self, own: Option<&Processors>) -> bool {
        let moved = self.0.load(Ordering::Acquire);
        if moved == 0 {
            return false;
        }
        // Before it comes back: where it is moved again in between, there is a note of that.
        if moved != MOVED {
            let _ = self.0.compare_exchange(moved, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
        if let Some(own) = own {
            own.give(0);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;

    fn count(processors: &Processors) -> u32 {
        processors.0.iter().map(|word| word.count_ones()).sum()
    }

    fn nobody() -> Drawn {
        Drawn(AtomicU32::new(0))
    }

    #[test]
    fn one_that_is_kept_off_comes_back_as_often_as_it_has_to() {
        // In a thread of its own, whose processors nobody else changes.
        let alone = || {
            let (kept_off, own) = (nobody(), Processors::of(0).unwrap());
            // It is awake between the note and the loss of its processor.
            kept_off.0.store(MOVED, Ordering::Release);
            assert!(kept_off.come_back(Some(&own)));
            processors::keep_off(process::thread_id());
            assert_eq!(count(&Processors::of(0).unwrap()), count(&own).max(2) - 1);
            kept_off.0.store(KEPT_OFF, Ordering::Release);
            assert!(kept_off.is_kept_off());
            assert!(kept_off.come_back(Some(&own)));
            assert_eq!(Processors::of(0).unwrap().0, own.0);
            assert!(!kept_off.come_back(Some(&own)));
        };
        std::thread::spawn(alone).join().unwrap();
    }

    #[test]
    fn one_that_is_drawn_once_comes_back_once() {
        let alone = || {
            let (moved, own) = (nobody(), Processors::of(0).unwrap());
            moved.draw_once(Some(process::thread_id()));
            assert_eq!(count(&Processors::of(0).unwrap()), 1);
            assert!(!moved.is_kept_off());
            assert!(moved.come_back(Some(&own)));
            assert_eq!(Processors::of(0).unwrap().0, own.0);
            moved.draw_once(None);
            assert!(!moved.come_back(Some(&own)));
        };
        std::thread::spawn(alone).join().unwrap();
    }

    #[test]
    fn a_sleeper_is_drawn() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(process::thread_id()).unwrap();
            let _ = ended.recv();
        });
        let sleeper = told.recv().unwrap();
        let drawn = nobody();
        let before = Processors::of(sleeper).unwrap();
        drawn.draw(Some(sleeper));
        assert_eq!(count(&Processors::of(sleeper).unwrap()), 1);
        assert!(drawn.is());
        assert!(before.give(sleeper));
        assert_eq!(Processors::of(sleeper).unwrap().0, before.0);
        drawn.draw(None);
        assert!(!drawn.is(), "an older note");
        drop(end);
        thread.join().unwrap();
    }
}
