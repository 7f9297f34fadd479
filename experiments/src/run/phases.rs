//! The phases of a recovery, from the times that the tree reports.

use super::message::{Times, TrialReply};
use crate::record::Phases;

/// The time between two instants; `None` where one of them was not reached.
fn since(later: u64, earlier: u64) -> Option<u64> {
    (later != 0 && earlier != 0).then(|| later.saturating_sub(earlier))
}

/// The phases of a transaction's recovery, from the strike (or, where nothing was injected, from the crash itself).
///
/// Between the notice and the first operation lie four steps, in an order that depends on who does them: a daemon
/// decides, restores and starts a successor; a spare starts, decides and restores by itself. Each phase ends with its
/// step and begins with the step before. That the crashed process could not run any more is a step only where it came
/// before the state was restored; later, nobody waited for it.
pub(super) fn phases(strike: Option<(u64, u64)>, times: Times) -> Phases {
    let Times { happened_ns, noticed_ns, gone_ns, decided_ns, restored_ns, started_ns, first_operation_ns, redone_ns } =
        times;
    // A strike that is later than the crash is another one.
    let start = strike.map(|(at, _)| at).filter(|at| (1..=noticed_ns).contains(at)).unwrap_or(happened_ns);
    let waited = gone_ns <= restored_ns;
    let ends = [if waited { gone_ns } else { 0 }, decided_ns, restored_ns, started_ns];
    let mut steps: Vec<(u64, usize)> = ends.into_iter().zip(0..).filter(|(end, _)| *end != 0).collect();
    steps.sort_unstable();
    let mut lengths = [None; 4];
    let mut now = noticed_ns;
    for (end, step) in steps {
        // Clocks are read by several processes: what seems to end before it began took no time.
        lengths[step] = since(end.max(now), now);
        now = end.max(now);
    }
    let [stop_ns, decide_ns, restore_ns, start_ns] = lengths;
    Phases {
        recovery_ns: since(first_operation_ns, start),
        notice_ns: since(noticed_ns, start),
        stop_ns: stop_ns.or((decided_ns != 0).then_some(0)),
        decide_ns,
        restore_ns,
        start_ns,
        first_operation_ns: since(first_operation_ns, now).filter(|_| started_ns != 0),
        hand_over_ns: since(started_ns, start),
        redo_ns: since(redone_ns, first_operation_ns),
        teardown_ns: since(gone_ns, noticed_ns).filter(|_| !waited),
        undetected_operations: None,
        take_over_faults: None,
    }
}

/// What can be told of a daemon's recovery: its notice, and when its new transaction had done its first operation.
pub(super) fn daemon_phases(reply: &TrialReply, noticed_ns: u64) -> Phases {
    let start = reply.strike.map_or(0, |(at, _)| at);
    Phases {
        recovery_ns: since(reply.first_operation_ns, start),
        notice_ns: since(noticed_ns, start),
        ..Phases::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Times in the order of the path, from the fault at 1,000; the end of the crashed process is where it is put.
    fn times(steps: [u64; 5], gone_ns: u64) -> Times {
        let mut now = 1_000;
        let [noticed_ns, decided_ns, restored_ns, started_ns, first_operation_ns] = steps.map(|step| {
            now += step;
            now
        });
        Times {
            happened_ns: 1_000,
            noticed_ns,
            gone_ns,
            decided_ns,
            restored_ns,
            started_ns,
            first_operation_ns,
            redone_ns: first_operation_ns,
        }
    }

    fn sum(phases: &Phases) -> Option<u64> {
        phases.parts().iter().map(|(_, part)| *part).sum()
    }

    proptest! {
        #[test]
        fn the_phases_add_up_wherever_the_crashed_process_ended(steps in prop::array::uniform5(0..500_u64), ended in 0..3_000_u64) {
            let times = times(steps, times(steps, 0).noticed_ns + ended);
            let phases = phases(Some((1_000, 7)), times);
            prop_assert_eq!(sum(&phases), phases.recovery_ns);
            prop_assert_eq!(phases.recovery_ns, Some(steps.iter().sum()));
            // The end is either on the path or beside it.
            prop_assert_eq!(phases.teardown_ns.is_some(), times.gone_ns > times.restored_ns);
            prop_assert!(phases.teardown_ns.is_none() || phases.stop_ns == Some(0));
        }

        #[test]
        fn the_phases_add_up_though_clocks_were_read_out_of_order(stamps in prop::array::uniform4(1_000..2_000_u64), ended in 1_000..3_000_u64) {
            let [noticed_ns, decided_ns, restored_ns, started_ns] = stamps;
            let mut times = times([0; 5], ended);
            times = Times { noticed_ns, decided_ns, restored_ns, started_ns, first_operation_ns: 2_500, ..times };
            prop_assert_eq!(sum(&phases(Some((1_000, 7)), times)), Some(1_500));
        }
    }

    #[test]
    fn a_wait_for_the_end_is_part_of_the_recovery_where_it_stood() {
        let steps = [10, 20, 30, 40, 50];
        // Before the decision: 1,010 to 1,015.
        let early = phases(Some((1_000, 7)), times(steps, 1_015));
        assert_eq!((early.stop_ns, early.decide_ns, early.restore_ns), (Some(5), Some(15), Some(30)));
        // After it: 1,030 to 1,045.
        let late = phases(Some((1_000, 7)), times(steps, 1_045));
        assert_eq!((late.stop_ns, late.decide_ns, late.restore_ns), (Some(15), Some(20), Some(15)));
        // Beside the path.
        let beside = phases(Some((1_000, 7)), times(steps, 1_200));
        assert_eq!((beside.stop_ns, beside.restore_ns, beside.teardown_ns), (Some(0), Some(30), Some(190)));
    }

    #[test]
    fn a_spare_starts_before_it_decides() {
        let times = Times { started_ns: 1_012, ..times([10, 20, 30, 0, 50], 1_011) };
        let phases = phases(Some((1_000, 7)), times);
        assert_eq!((phases.notice_ns, phases.stop_ns, phases.start_ns), (Some(10), Some(1), Some(1)));
        assert_eq!((phases.decide_ns, phases.restore_ns), (Some(18), Some(30)));
        assert_eq!((phases.first_operation_ns, phases.hand_over_ns), (Some(50), Some(12)));
        assert_eq!(sum(&phases), phases.recovery_ns);
    }

    #[test]
    fn what_was_not_reached_is_null() {
        let mut times = times([10; 5], 1_015);
        (times.started_ns, times.first_operation_ns, times.redone_ns) = (0, 0, 0);
        let phases = phases(Some((1_000, 7)), times);
        assert_eq!((phases.start_ns, phases.first_operation_ns, phases.recovery_ns), (None, None, None));
        assert_eq!((phases.notice_ns, phases.hand_over_ns, phases.redo_ns), (Some(10), None, None));
    }
}
