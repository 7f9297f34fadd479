//! The queue of events: a heap whose nodes have four children, ordered by time, then by process.
//!
//! ```text
//! place 0   the next event
//!       1 … 4    its children, in no order
//!       5 … 20   theirs: those of place n are 4n + 1 … 4n + 4
//! ```
//!
//! Each process has one event under way, its next, so an event that has been handled gives its place to the one that
//! follows on it: one walk down, where taking out and putting in would be two. Four children make the walk half as deep
//! as two, and lie side by side in memory.

/// What happens next to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    /// When, in nanoseconds of simulated time.
    pub(super) at_ns: u64,
    /// To which process of the shard.
    pub(super) process: u32,
}

/// The events of a shard.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    heap: Vec<Event>,
}

const CHILDREN: usize = 4;

impl Queue {
    /// A queue of these events.
    pub(super) fn new(events: Vec<Event>) -> Self {
        let mut queue = Self { heap: events };
        // Places from here on have no children.
        let inner = queue.heap.len().saturating_sub(1).div_ceil(CHILDREN);
        for place in (0..inner).rev() {
            queue.sink(place);
        }
        queue
    }

    /// The next event.
    pub(super) fn first(&self) -> Option<Event> {
        self.heap.first().copied()
    }

    /// Puts `event` in the place of the next one, which is over. An empty queue stays empty.
    pub(super) fn replace_first(&mut self, event: Event) {
        if let Some(first) = self.heap.first_mut() {
            *first = event;
            self.sink(0);
        }
    }

    /// Takes out the next event, on which nothing follows.
    pub(super) fn remove_first(&mut self) {
        if let Some(last) = self.heap.pop() {
            self.replace_first(last);
        }
    }

    /// Lets the event in `place` go down to where it belongs.
    fn sink(&mut self, mut place: usize) {
        let event = self.heap[place];
        loop {
            let children = CHILDREN * place + 1..self.heap.len().min(CHILDREN * place + CHILDREN + 1);
            let Some(least) = children.min_by_key(|child| self.heap[*child]) else { break };
            if event < self.heap[least] {
                break;
            }
            self.heap[place] = self.heap[least];
            place = least;
        }
        self.heap[place] = event;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Against an ordered set: whatever follows on an event, the next one is the least.
        #[test]
        fn events_come_in_order(
            start in prop::collection::vec(0..50_u64, 0..40),
            steps in prop::collection::vec(prop::option::of(0..20_u64), 0..200),
        ) {
            let events: Vec<_> = start.iter().zip(0..).map(|(at_ns, process)| Event { at_ns: *at_ns, process }).collect();
            let mut model: BTreeSet<Event> = events.iter().copied().collect();
            let mut queue = Queue::new(events);
            for step in steps {
                prop_assert_eq!(queue.first(), model.first().copied());
                let first = model.pop_first();
                match (first, step) {
                    (Some(first), Some(later)) => {
                        let event = Event { at_ns: first.at_ns + later, ..first };
                        model.insert(event);
                        queue.replace_first(event);
                    }
                    (first, None) => {
                        queue.remove_first();
                        prop_assert!(first.is_some() || queue.first().is_none());
                    }
                    (None, Some(_)) => queue.replace_first(Event { at_ns: 0, process: 0 }),
                }
            }
            prop_assert_eq!(queue.heap.len(), model.len());
        }
    }
}
