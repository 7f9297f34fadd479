//! A shard of the fleet: its processes, their next crashes in a queue, and what is done about each.

use super::fault::{self, Kind, Trouble};
use super::histories::Histories;
use super::parameters::Parameters;
use super::quantiles::Quantiles;
use super::rhythm::{Progress, Rhythm};
use super::tally::Tally;
use crashbed::{Action, Intensity, Phase, RestartPolicy, policy};
use rand::rngs::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

mod follow;

/// What happens next to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    /// When, in nanoseconds of simulated time.
    at_ns: u64,
    /// To which process of the shard.
    process: u32,
}

/// What all shards go by.
pub(super) struct Model<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) rhythm: Rhythm,
    pub(super) policy: &'a dyn RestartPolicy,
    pub(super) intensity: Intensity,
    /// The end of simulated time.
    pub(super) end_ns: u64,
}

impl Model<'_> {
    /// How long recoveries by `action` take.
    fn recovery(&self, action: Action) -> &Quantiles {
        let times = &self.parameters.recovery_ns;
        // Parameters are not read without those of `resume`.
        times.get(Parameters::name_of(action)).unwrap_or_else(|| &times["resume"])
    }
}

/// A process between two crashes.
#[derive(Clone, Copy, Debug)]
struct Process {
    /// Its last crash; its time is accounted for until then.
    since_ns: u64,
    /// From when on it works.
    works_from_ns: u64,
    /// Operations that its last commit held then, in its transaction; fewer than that has.
    base: u64,
    incarnation: u64,
    /// What is wrong with it.
    trouble: Option<Trouble>,
    /// Whether its next crash is by that.
    by_trouble: bool,
    /// Whether its next crash comes into the history of its last one, which is kept.
    in_history: bool,
    /// Whether its daemon has a history: it was restarted since its last quiet time.
    daemon_in_history: bool,
}

/// A shard under way.
pub(super) struct Shard<'a> {
    model: &'a Model<'a>,
    rng: ChaCha8Rng,
    processes: Vec<Process>,
    /// The next event of each process, by time, then by process.
    queue: BinaryHeap<Reverse<Event>>,
    histories: Histories,
    /// Of the processes' daemons.
    daemons: Histories,
    tally: Tally,
}

impl<'a> Shard<'a> {
    /// Lives through all of the time, from the stream of random numbers `rng`.
    pub(super) fn run(model: &'a Model<'a>, processes: u32, rng: ChaCha8Rng) -> Tally {
        let start = Process {
            since_ns: 0,
            works_from_ns: 0,
            base: 0,
            incarnation: 1,
            trouble: None,
            by_trouble: false,
            in_history: false,
            daemon_in_history: false,
        };
        let mut this = Self {
            model,
            rng,
            processes: vec![start; processes as usize],
            queue: BinaryHeap::new(),
            histories: Histories::default(),
            daemons: Histories::default(),
            tally: Tally { processes: processes.into(), ..Tally::default() },
        };
        let mut events = Vec::with_capacity(processes as usize);
        for process in 0..processes {
            let at_ns = fault::exponential(model.parameters.mtbf_ns, &mut this.rng);
            if at_ns < model.end_ns {
                events.push(Reverse(Event { at_ns, process }));
            } else {
                this.finish(start);
            }
        }
        this.queue = BinaryHeap::from(events);
        while let Some(&Reverse(event)) = this.queue.peek() {
            let next = this.crash(event);
            // What follows on an event takes its place: one walk down, where taking out and putting in would be two.
            if let Some(mut first) = this.queue.peek_mut() {
                match next {
                    Some(at_ns) => first.0.at_ns = at_ns,
                    None => drop(PeekMut::pop(first)),
                }
            }
        }
        this.tally
    }

    /// Handles a crash; answers when the next one comes, `None` where that is after the end.
    fn crash(&mut self, event: Event) -> Option<u64> {
        let (now, model) = (event.at_ns, self.model);
        let mut process = self.processes[event.process as usize];
        self.tally.events += 1;
        let mut progress = self.account(&process, now);
        self.tally.lost_ns += u128::from(progress.open_ns);
        let site = self.strike(&mut process, &mut progress, now);
        let phase = match progress.committing {
            _ if now < process.works_from_ns => Phase::Starting,
            true => Phase::Committing,
            false => Phase::Running,
        };
        let operation = progress.base + progress.open;
        let crash = fault::crash(now, phase, process.incarnation, operation, progress.base, site);

        let mut history = if process.in_history { self.histories.take(event.process) } else { self.histories.fresh() };
        history.push(crash);
        let decision = policy::decide(model.policy, &crash, &history);
        history.decided(decision);
        self.tally.decided(decision.action, 1);
        let followed = self.follow(decision, &mut process, &progress, phase, &history, event);

        process.incarnation += 1;
        process.since_ns = now;
        process.base = followed.base;
        // The successor is there from then on, and the clock runs.
        let there_ns = now.saturating_add(followed.delay_ns);
        process.works_from_ns = there_ns.saturating_add(followed.recovery_ns);
        let by_clock = there_ns.saturating_add(fault::exponential(model.parameters.mtbf_ns, &mut self.rng));
        let again = process.trouble.map(|trouble| model.rhythm.until(process.base, trouble.at));
        let by_trouble = again.map_or(u64::MAX, |time| process.works_from_ns.saturating_add(time));
        let next = by_clock.min(by_trouble);
        process.by_trouble = by_trouble <= by_clock;
        let ends = process.works_from_ns.saturating_add(model.rhythm.until_end(process.base));
        let is_soon = next < model.end_ns && next < ends && next - now <= model.parameters.quiet_ns;
        process.in_history = is_soon && !followed.is_afresh;
        if !is_soon {
            self.end_daemons_history(&mut process, event.process);
        }
        match process.in_history {
            true => self.histories.keep(event.process, history),
            false => self.histories.end(history),
        }
        if next >= model.end_ns {
            self.finish(process);
            return None;
        }
        self.processes[event.process as usize] = process;
        Some(next)
    }

    /// Accounts for a process's time from its last crash to `now`, but for what it did since its last commit.
    fn account(&mut self, process: &Process, now: u64) -> Progress {
        let rhythm = &self.model.rhythm;
        self.tally.down_ns += u128::from(now.min(process.works_from_ns) - process.since_ns);
        let progress = rhythm.advance(process.base, now.saturating_sub(process.works_from_ns));
        self.tally.useful_ns += u128::from(rhythm.work_ns(progress.committed));
        self.tally.commit_ns += u128::from(rhythm.commits_ns(progress.commits));
        progress
    }

    /// The rest of a process's time.
    fn finish(&mut self, process: Process) {
        let progress = self.account(&process, self.model.end_ns);
        self.tally.open_ns += u128::from(progress.open_ns);
    }

    /// What crashes a process: what was wrong already, or a new fault. Answers where in the program. What stays wrong
    /// strikes in an operation: where the clock fell into a commit, in the last one before it.
    fn strike(&mut self, process: &mut Process, progress: &mut Progress, now: u64) -> u8 {
        if let Some(trouble) = process.trouble.filter(|_| process.by_trouble) {
            self.tally.repeated += 1;
            return trouble.site;
        }
        // One thing is wrong at a time, and a process that comes back has not met anything yet.
        if now >= process.works_from_ns && process.trouble.is_none() {
            let at = progress.base + progress.open - u64::from(progress.committing);
            process.trouble = fault::draw(self.model.parameters, &mut self.rng, at, now);
            if let Some(trouble) = process.trouble {
                progress.open = at - progress.base;
                progress.committing = false;
                let kind = if matches!(trouble.kind, Kind::Poison { .. }) { 1 } else { 2 };
                self.tally.faults[kind] += 1;
                return trouble.site;
            }
        }
        self.tally.faults[0] += 1;
        fault::site(&mut self.rng)
    }
}
