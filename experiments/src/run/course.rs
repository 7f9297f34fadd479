//! What a policy did in a trial, and what came of operations that crash whenever they are met: the record's `course` and
//! `poison`, from what the tree saw and what the oracle knows.

use super::message::TrialReply;
use super::witness::Stuck;
use crate::record::{Course, GaveUpBy, Poison};
use std::collections::BTreeSet;

/// What the policy did; the daemon was made again `daemon_crashes` times.
pub(super) fn course(reply: &TrialReply, daemon_crashes: u64) -> Course {
    let seen = &reply.seen;
    // Whoever gives up starts nobody, but for the program, which is asked in a successor. A daemon that is given up is made
    // again to say so, which is no restart.
    let without = u64::from(matches!(reply.gave_up_by, Some(GaveUpBy::Policy | GaveUpBy::Limit)));
    let kept_nothing = (seen.keeps > 0 && reply.kept == 0).then(|| {
        let why = reply.keeps_nothing.as_deref();
        why.unwrap_or("each crash struck in a change, in the engine, or left a broken heap").to_owned()
    });
    Course {
        restarts: seen.decisions.saturating_sub(without) + daemon_crashes.saturating_sub(seen.daemons),
        daemon_restarts: daemon_crashes - u64::from(reply.daemon_given_up),
        zeroed: seen.zeros + reply.answered_zero,
        keeps_asked: seen.keeps,
        kept: reply.kept,
        kept_nothing,
        delay_ns: seen.delay_ns,
        gave_up_by: reply.gave_up_by,
    }
}

/// What came of the operations that crash whenever they are met, which `is_poison` tells by their number; `None` where
/// none was met. `skipped` are the names of those that were left out, and `name` names an operation.
pub(super) fn poison(
    reply: &TrialReply,
    skipped: &[String],
    is_poison: impl Fn(u64) -> bool,
    name: impl Fn(u64) -> String,
) -> Option<Poison> {
    let mut met: Vec<Stuck> = reply.seen.places.iter().filter(|place| is_poison(place.operation)).copied().collect();
    met.sort_unstable_by_key(|place| place.operation);
    if met.is_empty() {
        return None;
    }
    let past = |place: &&Stuck| place.operation < reply.operations && place.past_ns.is_some();
    let time = |place: &Stuck| Some(place.past_ns?.saturating_sub(place.first_crash_ns));
    let past: Vec<&Stuck> = met.iter().filter(past).collect();
    let poisoned: BTreeSet<String> = met.iter().map(|place| name(place.operation)).collect();
    let harmless = skipped.iter().filter(|skipped| !poisoned.contains(*skipped)).count();
    Some(Poison {
        met: met.len() as u64,
        past: past.len() as u64,
        past_ns: past.into_iter().filter_map(time).collect(),
        harmless_skipped: harmless as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::witness::Seen;

    fn reply(places: &[(u64, Option<u64>)], operations: u64) -> TrialReply {
        let place = |&(operation, past_ns)| Stuck { operation, first_crash_ns: 100, past_ns };
        let places = places.iter().map(place).collect();
        TrialReply { operations, seen: Seen { places, ..Seen::default() }, ..TrialReply::default() }
    }

    fn of(reply: &TrialReply, skipped: &[&str]) -> Option<Poison> {
        let skipped: Vec<String> = skipped.iter().map(|name| (*name).to_owned()).collect();
        poison(reply, &skipped, |operation| operation % 10 == 5, |operation| format!("input {operation}"))
    }

    #[test]
    fn what_was_met_passed_and_left_out_is_told_apart() {
        // 5 is behind; 15 was never; 25 was, but the state that was left does not hold it; 7 crashed by accident.
        let reply = reply(&[(15, None), (5, Some(130)), (25, Some(900)), (7, Some(110))], 20);
        let poison = of(&reply, &["input 5", "input 8"]).unwrap();
        assert_eq!(poison, Poison { met: 3, past: 1, past_ns: vec![30], harmless_skipped: 1 });
        assert_eq!(of(&self::reply(&[(7, Some(110))], 20), &[]), None);
    }

    #[test]
    fn restarts_are_the_successors_that_were_started() {
        let seen = Seen { decisions: 7, daemons: 1, zeros: 2, keeps: 3, delay_ns: 9, ..Seen::default() };
        let reply = TrialReply { seen, ..TrialReply::default() };
        let restarts = |gave_up_by, daemon_given_up, daemon| {
            let course = course(&TrialReply { gave_up_by, daemon_given_up, ..reply.clone() }, daemon);
            (course.restarts, course.daemon_restarts)
        };
        assert_eq!(restarts(None, false, 1), (7, 1));
        assert_eq!(restarts(Some(GaveUpBy::Policy), false, 1), (6, 1));
        assert_eq!(restarts(Some(GaveUpBy::Limit), false, 1), (6, 1));
        assert_eq!(restarts(Some(GaveUpBy::Program), false, 1), (7, 1));
        // The daemon that its policy restarted was given up.
        assert_eq!(restarts(Some(GaveUpBy::Policy), true, 1), (6, 0));
        // Two of its crashes no transaction's policy had decided; the last of them gave it up.
        assert_eq!(restarts(None, false, 3), (9, 3));
        assert_eq!(restarts(Some(GaveUpBy::Limit), true, 3), (8, 2));
        let course = course(&reply, 1);
        assert_eq!((course.zeroed, course.keeps_asked, course.delay_ns), (2, 3, 9));
        assert!(course.kept_nothing.unwrap().contains("in a change"));
    }
}
