//! A spare: a successor that is forked before there is a crash, gets ready, waits, and takes over in one hop.
//!
//! ```text
//! daemon         transaction            spare                              daemon, off the path
//! fork ────────────────────────────▶    map the state, touch it
//!                                       heir ← its seat
//!                                       spin, sleep
//!                fault
//!                record, stop threads
//!                release           ──▶  check the record, decide
//!                die                    work                        ──▶    sees the death, writes it down, forks the
//!                                                                          next spare
//! ```
//!
//! It can decide because a policy is a pure function, and because it knows the history: its own copy of the daemon's
//! memory, which is that of the moment of the fork. A spare that was forked before the newest crash is stale, and not
//! used. Where the daemon has to do something first (restore by copying, wait out a delay, give up), the spare refers
//! to it, and goes on when it is ordered to.

use crate::crash::Crash;
use crate::environment::Environment;
use crate::here::{self, Source};
use crate::life::{self, Begin, How, Program};
use crate::link;
use crate::mailbox::{self, Mailbox};
use crate::notice::{self, Ending};
use crate::point::{self, Point};
use crate::policy::{self, Action, Decision, History, Intensity, RestartPolicy};
use crate::prefault;
use crate::region::Region;
use crate::spare::Start;
use crate::state_head::Committed;
use crate::sys::event::{self, Status};
use crate::sys::{clock, process};
use crate::turn::{self, Turn};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a spare is forked with.
pub(crate) struct Standby<'a> {
    pub(crate) region: &'a Region,
    pub(crate) program: &'a Program<'a>,
    pub(crate) policy: &'a dyn RestartPolicy,
    pub(crate) intensity: Intensity,
    pub(crate) history: &'a mut History,
    pub(crate) begin: Begin,
    /// The seat of the process that it would succeed.
    pub(crate) predecessor: usize,
    /// Whether the crash handler may release it.
    pub(crate) is_heir: bool,
    /// How long it may spin.
    pub(crate) spin_ns: u64,
    /// Whether it is to tell what memory it takes.
    pub(crate) weighs: bool,
}

impl Standby<'_> {
    /// The life of a spare, to its exit. In the fork's child.
    pub(crate) fn live(mut self) -> ! {
        let region = self.region;
        let mailbox = region.seat(self.begin.seat);
        // Its daemon may have been moved when it forked.
        if let Some(own) = &self.begin.own {
            own.give(0);
        }
        life::become_transaction(region, &self.begin);
        if life::enter(region, &self.begin).is_err() {
            process::exit_now(1);
        }
        prefault::touch(region);
        self.begin.mechanism.ready(region);
        self.history.make_writable();
        if region.declaration.wants_keeper() {
            life::start_keeper(region, mailbox);
        }
        if self.weighs {
            mailbox.standby.memory_bytes.store(own_memory(), Ordering::Relaxed);
        }
        // The thread-locals' page becomes its own.
        here::set_source(Source::Private);
        let predecessor = region.seat(self.predecessor);
        mailbox.faults_before.store(process::page_faults(), Ordering::Relaxed);
        mailbox.standby.ready_ns.store(clock::processor_ns(), Ordering::Relaxed);
        let sealed = notice::seal(process::id(), self.begin.incarnation);
        mailbox.standby.sleeper.store(sealed, Ordering::Relaxed);
        if self.is_heir {
            // A crash from here on finds it; while it is still starting, the handler leaves it to the daemon.
            let seat = u32::try_from(self.begin.seat).unwrap_or(0);
            predecessor.heir.store(seat + 1, Ordering::Release);
        }
        let mut from = turn::wait(&mailbox.standby, Turn::Starting, self.spin_ns);
        loop {
            let now_ns = clock::now_ns();
            match Turn::of(&mailbox.standby) {
                Turn::Released if notice::is_complete(predecessor) && link::pending(predecessor).is_none() => {
                    self.start(mailbox, from, now_ns);
                    self.go_home(mailbox);
                    self.succeed(predecessor, mailbox, now_ns, from == Turn::Spinning);
                }
                Turn::Released => {
                    // Nobody released it but a wild write.
                    Turn::Released.change(&mailbox.standby, Turn::Asleep);
                }
                Turn::Ordered => {
                    self.start(mailbox, from, now_ns);
                    self.go_home(mailbox);
                    self.follow(predecessor, mailbox);
                }
                _ => {}
            }
            from = turn::wait(&mailbox.standby, Turn::Asleep, 0);
        }
    }

    /// Stamps the first instruction of its work.
    fn start(&self, mailbox: &Mailbox, from: Turn, now_ns: u64) {
        let start = if from == Turn::Spinning { Start::Hot } else { Start::Warm };
        mailbox.standby.started_by.store(start as u32, Ordering::Relaxed);
        mailbox.started_ns.store(now_ns, Ordering::Relaxed);
        mailbox.beat_ns.store(now_ns, Ordering::Relaxed);
    }

    /// Decides about the crash that its predecessor's handler has told, and works, at once or when it is ordered to.
    fn succeed(&mut self, predecessor: &Mailbox, mailbox: &Mailbox, noticed_ns: u64, spun: bool) -> ! {
        let head = self.region.head();
        let crash = notice::read(predecessor, &Ending::Handled, noticed_ns, head.committed());
        self.history.push(crash);
        let decision = policy::decide(self.policy, &crash, self.history);
        self.history.decided(decision);
        let standby = &mailbox.standby;
        standby.noticed_ns.store(noticed_ns, Ordering::Relaxed);
        standby.decided_ns.store(clock::now_ns(), Ordering::Relaxed);
        tell(standby, &decision);
        let done = head.done.load(Ordering::Relaxed) == self.begin.transaction;
        let by_itself = decision.action.needs_no_daemon()
            && decision.delay.is_zero()
            && !self.intensity.exceeded(self.history)
            && !done;
        if by_itself {
            Turn::Released.change(standby, Turn::Taken);
        } else {
            Turn::Released.change(standby, Turn::Referred);
        }
        if spun {
            // It is drawn late, where it is drawn at all.
            self.go_home(mailbox);
        }
        if !by_itself {
            event::raise(self.begin.event);
            while Turn::of(standby) != Turn::Ordered {
                turn::wait(standby, Turn::Referred, 0);
            }
            mailbox.started_ns.store(clock::now_ns(), Ordering::Relaxed);
            self.go_home(mailbox);
        }
        self.begin.crash = Some(crash);
        let ordered = if by_itself { None } else { Some(mailbox) };
        self.work(mailbox, ordered.map_or(decision.action, |mailbox| action(&mailbox.standby)))
    }

    /// Works as the daemon has decided.
    fn follow(&mut self, predecessor: &Mailbox, mailbox: &Mailbox) -> ! {
        let standby = &mailbox.standby;
        let crash = told_crash(standby, predecessor);
        self.history.push(crash);
        if let Some(decision) = told(standby) {
            self.history.decided(decision);
        }
        self.begin.crash = Some(crash);
        self.work(mailbox, action(standby))
    }

    /// Gives it its own processors back, where it was drawn.
    fn go_home(&self, mailbox: &Mailbox) {
        mailbox.standby.drawn.come_back(self.begin.own.as_ref());
    }

    fn work(&mut self, mailbox: &Mailbox, action: Action) -> ! {
        let words = &mailbox.standby;
        self.begin.how = How {
            action,
            environment: Environment::from_word(words.environment.load(Ordering::Relaxed)),
            set_aside: words.set_aside.load(Ordering::Relaxed).checked_sub(1),
            kept: words.kept.load(Ordering::Relaxed) == 1,
        };
        if let Some(crash) = &self.begin.crash {
            mailbox.redo_target.fetch_max(crash.operation, Ordering::Relaxed);
        }
        point::pass(Point::Restore);
        life::work(self.region, self.program, self.history, self.begin, Ok(()))
    }
}

/// Writes down what was decided.
pub(crate) fn tell(words: &mailbox::Standby, decision: &Decision) {
    words.action.store(decision.action.to_word(), Ordering::Relaxed);
    words.environment.store(decision.environment.to_word(), Ordering::Relaxed);
    words.delay_ns.store(u64::try_from(decision.delay.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// What the spare or its daemon has written down as decided; `None` where that is no decision.
pub(crate) fn told(words: &mailbox::Standby) -> Option<Decision> {
    let action = Action::from_word(words.action.load(Ordering::Relaxed))?;
    let delay = Duration::from_nanos(words.delay_ns.load(Ordering::Relaxed));
    let environment = Environment::from_word(words.environment.load(Ordering::Relaxed));
    Some(Decision::after(delay, action).within(environment))
}

/// The crash that an order is about; `predecessor` is the mailbox of the process that crashed.
pub(crate) fn told_crash(words: &mailbox::Standby, predecessor: &Mailbox) -> Crash {
    let ending = decode(words.ending.each_ref().map(|word| word.load(Ordering::Relaxed)));
    // The state in place may be another by now: an older commit, or the crashed one.
    let [commit, operations] = words.committed.each_ref().map(|word| word.load(Ordering::Relaxed));
    let committed = Committed { commit, operations };
    let mut crash = notice::read(predecessor, &ending, words.noticed_ns.load(Ordering::Relaxed), committed);
    crash.heap_locked = match words.heap_locked.load(Ordering::Relaxed) {
        0 => None,
        word => Some(word == 2),
    };
    crash
}

/// What was decided, by the spare or its daemon.
pub(crate) fn action(words: &mailbox::Standby) -> Action {
    Action::from_word(words.action.load(Ordering::Relaxed)).unwrap_or(Action::Resume)
}

/// Bytes of memory that are this process's alone: pages that are no file's, and page tables.
fn own_memory() -> u64 {
    let status = procfs::process::Process::myself().and_then(|me| me.status());
    status.map_or(0, |status| (status.rssanon.unwrap_or(0) + status.vmpte.unwrap_or(0)) * 1024)
}

/// How a process ended, as three words of an order.
pub(crate) fn encode(ending: &Ending) -> [u64; 3] {
    let word = |status: i32| u64::from(status.cast_unsigned());
    match *ending {
        Ending::Handled => [0, 0, 0],
        Ending::Status(Status::Exited(status)) => [1, word(status), 0],
        Ending::Status(Status::Killed(signal)) => [2, word(signal), 0],
        Ending::Status(Status::Stopped(signal)) => [3, word(signal), 0],
        Ending::Silent { silent, stopped } => {
            [4, u64::try_from(silent.as_nanos()).unwrap_or(u64::MAX), u64::from(stopped)]
        }
    }
}

/// The other way round.
fn decode([kind, value, stopped]: [u64; 3]) -> Ending {
    let word = i32::try_from(value).unwrap_or(0);
    match kind {
        1 => Ending::Status(Status::Exited(word)),
        2 => Ending::Status(Status::Killed(word)),
        3 => Ending::Status(Status::Stopped(word)),
        4 => Ending::Silent { silent: Duration::from_nanos(value), stopped: stopped == 1 },
        _ => Ending::Handled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_ending_crosses_as_three_words(status in 0i32..256, silent in any::<u64>(), stopped: bool) {
            let endings = [
                Ending::Handled,
                Ending::Status(Status::Exited(status)),
                Ending::Status(Status::Killed(status)),
                Ending::Status(Status::Stopped(status)),
                Ending::Silent { silent: Duration::from_nanos(silent), stopped },
            ];
            for ending in endings {
                prop_assert_eq!(decode(encode(&ending)), ending);
            }
        }
    }
}
