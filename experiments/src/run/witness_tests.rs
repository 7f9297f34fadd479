//! What is seen of a trial, against a model of it.
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

fn crash(operation: u64, happened_ns: u64) -> Crash {
    Crash {
        cause: crashbed::Cause::Exited { status: 1 },
        notice: crashbed::Notice::Pidfd,
        phase: crashbed::Phase::Running,
        incarnation: 1,
        operation,
        committed_operations: 0,
        commit: 1,
        thread: 0,
        place: None,
        heap_locked: None,
        changing: false,
        happened_ns,
        noticed_ns: happened_ns,
        note: crashbed::Text::EMPTY,
    }
}

struct By(Action);

impl RestartPolicy for By {
    fn name(&self) -> &str {
        "by"
    }
    fn decide(&self, _: &Crash, _: &History) -> Decision {
        Decision::after(Duration::from_nanos(3), self.0)
    }
}

proptest! {
    /// Against a map: an operation is behind from the first time after its last crash.
    #[test]
    fn an_operation_is_behind_where_it_was_done_after_its_last_crash(
        steps in prop::collection::vec((0..90_u64, any::<bool>()), 0..200),
    ) {
        let witness = Witness::new().unwrap();
        let mut model: BTreeMap<u64, (u64, bool)> = BTreeMap::new();
        for (now, (operation, crashes)) in (1..).zip(steps) {
            if crashes {
                witness.crashed(&crash(operation, now));
                if model.len() < PLACES || model.contains_key(&operation) {
                    model.entry(operation).or_insert((now, false)).1 = false;
                }
            } else {
                witness.past(operation);
                if let Some(place) = model.get_mut(&operation) {
                    place.1 = true;
                }
            }
        }
        let seen = witness.seen().places;
        let known: BTreeMap<_, _> =
            seen.iter().map(|place| (place.operation, (place.first_crash_ns, place.past_ns.is_some()))).collect();
        prop_assert_eq!(known, model);
        prop_assert!(seen.is_sorted_by_key(|place| place.first_crash_ns));
        witness.begin(None);
        prop_assert_eq!(witness.seen(), Seen::default());
    }
}

#[test]
fn what_lies_between_a_crash_and_the_state_that_is_resumed_is_lost() {
    let witness = Witness::new().unwrap();
    witness.begun(0);
    let lost = |crashed: u64, resumed: Option<u64>| {
        witness.crashed(&crash(crashed, 1));
        resumed.into_iter().for_each(|operations| witness.begun(operations));
        witness.seen().lost_operations
    };
    assert_eq!(lost(13, Some(10)), 3);
    // Kept as it was; then from the beginning, by way of one that crashed before it had a state.
    assert_eq!(lost(15, Some(15)), 3);
    assert_eq!(lost(17, None), 3);
    assert_eq!(lost(0, Some(0)), 20);
    assert!(witness.seen().took_ns.is_some());
}

#[test]
fn decisions_are_counted_by_what_they_are() {
    let witness = Witness::new().unwrap();
    for action in [Action::Zero, Action::Zero, Action::KeepIfIntact, Action::RestartDaemon, Action::Resume] {
        let policy = Watched { policy: By(action), witness: &witness };
        assert_eq!(policy.decide(&crash(4, 9), &History::new()).action, action);
    }
    let Seen { decisions, zeros, keeps, daemons, delay_ns, lost_operations, took_ns, places } = witness.seen();
    assert_eq!((decisions, zeros, keeps, daemons, delay_ns, lost_operations, took_ns), (5, 2, 1, 1, 15, 0, None));
    assert_eq!(places, [Stuck { operation: 4, first_crash_ns: 9, past_ns: None }]);
}
