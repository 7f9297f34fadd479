//! Signs of life: how a transaction gives them, and how its daemon tells that they have stopped.
//!
//! A transaction writes down the time of a sign. Each operation that is done is one too, but to read the clock takes
//! longer than all else that is done about an operation. So where the deadline is long, operations are only *counted*:
//! the daemon looks at the count sixteen times in a deadline, and where it has moved, that is a sign of life at that
//! moment. So a process is taken for hung after its deadline, and before a sixteenth more.

use crate::mailbox::Mailbox;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The shortest deadline within which operations are only counted: the looks at the count are no burden then.
const LONG: Duration = Duration::from_millis(200);
/// Looks at the count within a deadline.
const LOOKS: u32 = 16;

/// Whether operations are only counted.
pub(crate) fn is_counted(deadline: Duration) -> bool {
    deadline >= LONG
}

/// What the daemon knows of a transaction's signs of life.
pub(crate) struct Silence {
    deadline: Duration,
    alive_ns: u64,
    operation: u64,
}

impl Silence {
    /// From here on.
    pub(crate) fn of(mailbox: &Mailbox, deadline: Duration) -> Self {
        let operation = mailbox.operation.load(Ordering::Relaxed);
        Self { deadline, alive_ns: mailbox.beat_ns.load(Ordering::Relaxed), operation }
    }

    /// How long the transaction has given no sign of life, where that is longer than its deadline. A time that has not
    /// come yet is none: a wild write over the mailbox must not keep a process that hangs from being noticed. The daemon
    /// woke at `woke_ns`; a count that has moved is read later, and has the time `now` of that.
    pub(crate) fn is_too_long(
        &mut self,
        mailbox: &Mailbox,
        woke_ns: u64,
        now: impl FnOnce() -> u64,
    ) -> Option<Duration> {
        let mut now_ns = woke_ns;
        let operation = mailbox.operation.load(Ordering::Relaxed);
        if std::mem::replace(&mut self.operation, operation) != operation && is_counted(self.deadline) {
            now_ns = now();
            mailbox.beat_ns.store(now_ns, Ordering::Relaxed);
        }
        let beat_ns = mailbox.beat_ns.load(Ordering::Relaxed);
        if beat_ns <= now_ns {
            self.alive_ns = beat_ns.max(self.alive_ns);
        }
        Some(self.so_far(now_ns)).filter(|silent| *silent >= self.deadline)
    }

    fn so_far(&self, now_ns: u64) -> Duration {
        Duration::from_nanos(now_ns.saturating_sub(self.alive_ns))
    }

    /// How long until the daemon has to look again.
    pub(crate) fn until_next_look(&self, now_ns: u64) -> Duration {
        let left = self.deadline.saturating_sub(self.so_far(now_ns));
        if is_counted(self.deadline) { left.min(self.deadline / LOOKS) } else { left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEADLINE: Duration = Duration::from_millis(1_600);
    const DEADLINE_NS: u64 = 1_600_000_000;

    fn mailbox() -> Mailbox {
        // SAFETY: all-zero memory is an empty mailbox.
        unsafe { std::mem::zeroed() }
    }

    proptest! {
        /// Against a model in which every operation is timed exactly; the daemon looks when it has to, and in between.
        #[test]
        fn who_works_is_never_silent_and_who_hangs_is_not_for_long(
            operations in prop::collection::vec(1..DEADLINE_NS, 1..200),
            between in prop::collection::vec(1..DEADLINE_NS / 10, 1..50),
        ) {
            let mailbox = mailbox();
            let mut silence = Silence::of(&mailbox, DEADLINE);
            let ends: Vec<u64> = operations.iter().scan(0, |end, took| { *end += took; Some(*end) }).collect();
            let hangs_ns = ends[ends.len() - 1];
            let (mut now_ns, mut between) = (0, between.iter().cycle());
            let noticed_ns = loop {
                mailbox.operation.store(ends.partition_point(|end| *end <= now_ns) as u64, Ordering::Relaxed);
                if silence.is_too_long(&mailbox, now_ns, || now_ns).is_some() {
                    break now_ns;
                }
                let sleep = u64::try_from(silence.until_next_look(now_ns).as_nanos()).unwrap();
                // Something else may wake it.
                now_ns += sleep.min(*between.next().unwrap()).max(1);
            };
            prop_assert!(noticed_ns >= hangs_ns + DEADLINE_NS, "{} ns early", hangs_ns + DEADLINE_NS - noticed_ns);
            prop_assert!(noticed_ns <= hangs_ns + DEADLINE_NS + DEADLINE_NS / 16, "{} ns late", noticed_ns - hangs_ns);
        }
    }

    #[test]
    fn within_a_short_deadline_a_sign_has_its_own_time() {
        let mailbox = mailbox();
        let mut silence = Silence::of(&mailbox, LONG / 2);
        mailbox.operation.store(1, Ordering::Relaxed);
        assert_eq!(silence.is_too_long(&mailbox, 100_000_000, || 0), Some(LONG / 2));
        mailbox.beat_ns.store(99_000_000, Ordering::Relaxed);
        assert_eq!(silence.is_too_long(&mailbox, 100_000_000, || 0), None);
        assert_eq!(silence.until_next_look(100_000_000), Duration::from_millis(99));
    }

    #[test]
    fn a_time_that_has_not_come_is_no_sign_of_life() {
        let mailbox = mailbox();
        let mut silence = Silence::of(&mailbox, DEADLINE);
        mailbox.beat_ns.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(silence.is_too_long(&mailbox, DEADLINE_NS, || 0), Some(DEADLINE));
    }
}
