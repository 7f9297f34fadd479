//! A tree that plays a program in one of the ways, again and again, and what its processes note of it.

use super::super::process::{Child, Shared};
use super::search::{Case, Kept, MOST_LEVELS, Run, Search};
use super::{MeasureError, Way};
use crate::faults::trigger::monotonic_ns;
use crashbed::{Daemon, Declaration, Error, Intensity, MIB, Outcome, RestartPolicy, Root};
use crashbed_policies::{CheckpointResume, OlderCommit};
use procfs::process::Process;
use std::io::{self, PipeWriter, Read, Write};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Laps of each case that are made first and not counted.
const WARM_UP: u64 = 2;

/// What the laps of a case measured, a sample a lap; of commits a sample each.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) took_ns: Vec<u64>,
    pub(super) again: Vec<u64>,
    pub(super) commit_ns: Vec<u64>,
    pub(super) recovery_ns: Vec<u64>,
    pub(super) crashes: Vec<u64>,
    pub(super) bytes: Vec<u64>,
    pub(super) wrong: Vec<u64>,
}

/// What the processes of a tree share about the present lap; no crash takes it back.
pub(super) struct Board(Shared<[AtomicU64; COMMITS_NS + MOST_LEVELS]>);

/// The last instant before the newest crash, as long as no step has followed it.
const FAULT_NS: usize = 0;
/// From the first crash to the first step after it.
const RECOVERY_NS: usize = 1;
const STEPS: usize = 2;
/// Whether the fault of this lap has done what it does.
const STRUCK: usize = 3;
const BYTES: usize = 4;
/// The commit at the beginning of each level.
const COMMITS_NS: usize = 5;

impl Board {
    fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Relaxed));
    }

    fn read(&self, word: usize) -> u64 {
        self.0[word].load(Relaxed)
    }

    /// A step begins.
    pub(super) fn step(&self) {
        self.0[STEPS].fetch_add(1, Relaxed);
        let fault_ns = self.read(FAULT_NS);
        if fault_ns != 0 {
            self.0[FAULT_NS].store(0, Relaxed);
            let took_ns = monotonic_ns().saturating_sub(fault_ns);
            // That of the first crash alone: those that follow go back further.
            let _ = self.0[RECOVERY_NS].compare_exchange(0, took_ns, Relaxed, Relaxed);
        }
    }

    /// The word to note the next crash in.
    pub(super) fn fault(&self) -> &AtomicU64 {
        &self.0[FAULT_NS]
    }

    /// Whether this is the first time in this lap.
    pub(super) fn once(&self) -> bool {
        self.0[STRUCK].swap(1, Relaxed) == 0
    }

    /// The commit of a level took so long.
    pub(super) fn committed(&self, level: u64, took_ns: u64) {
        if let Some(word) = usize::try_from(level).ok().and_then(|level| self.0.get(COMMITS_NS + level)) {
            word.store(took_ns, Relaxed);
        }
    }

    /// Notes the memory of all children of this process's parent; 0 where the kernel does not say.
    pub(super) fn weigh(&self) {
        self.0[BYTES].store(siblings_bytes().unwrap_or(0), Relaxed);
    }
}

/// Bytes that the transaction's processes have, what several have counted by its parts (`Pss`, proc_pid_smaps(5)).
fn siblings_bytes() -> Option<u64> {
    let daemon = Process::new(std::os::unix::process::parent_id().cast_signed()).ok()?;
    let siblings = daemon.task_main_thread().ok()?.children().ok()?;
    let share = |pid: u32| -> Option<u64> {
        let rollup = Process::new(pid.cast_signed()).ok()?.smaps_rollup().ok()?;
        let map = rollup.memory_map_rollup.0.first()?;
        map.extension.map.get("Pss").copied()
    };
    Some(siblings.into_iter().filter_map(share).sum())
}

/// A tree to measure.
pub(super) struct Bed {
    way: Way,
    search: Search,
    kept: u8,
    board: Board,
}

impl Bed {
    pub(super) fn new(way: Way, search: Search, kept: u8) -> Result<Self, MeasureError> {
        Ok(Self { way, search, kept, board: Board(Shared::new()?) })
    }

    /// Plays so many laps of each case, one after the other in each lap.
    pub(super) fn measure(&self, cases: &[Case], laps: u64) -> Result<Vec<(Case, Figures)>, MeasureError> {
        let (mut figures, give) = io::pipe()?;
        let mut tree = Child::fork(|| self.tree(cases, laps, &give))?;
        drop(give);
        let mut bytes = Vec::new();
        figures.read_to_end(&mut bytes)?;
        tree.wait().map_err(|how| MeasureError::Unplanned(format!("the tree ended with {how}")))?;
        let mut words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
        let mut all: Vec<_> = cases.iter().map(|case| (*case, Figures::default())).collect();
        for _ in 0..laps {
            for (case, figures) in &mut all {
                let mut next = || words.next().ok_or_else(|| MeasureError::Unplanned("a lap is missing".to_owned()));
                figures.took_ns.push(next()?);
                figures.again.push(next()?);
                figures.crashes.push(next()?);
                figures.wrong.push(next()?);
                figures.recovery_ns.extend(Some(next()?).filter(|ns| *ns > 0));
                figures.bytes.extend(Some(next()?).filter(|bytes| *bytes > 0));
                for _ in 0..self.search.depth {
                    figures.commit_ns.extend(Some(next()?).filter(|ns| *ns > 0 && *case == Case::Clean));
                }
            }
        }
        Ok(all)
    }

    fn tree(&self, cases: &[Case], laps: u64, give: &PipeWriter) -> crashbed::Result<()> {
        let declared = Declaration::new("nested", 4 * MIB)
            .mechanism(self.way.mechanism())
            .kept_commits(self.kept)
            .scratch(0)
            .keeper(false)
            .intensity(Intensity::UNLIMITED);
        let laps = WARM_UP + laps;
        Root::new()
            .declare(declared, |daemon| {
                if daemon.restarts() > 0 {
                    return Err(Error::program("the daemon of a measure has died"));
                }
                for lap in 0..laps {
                    for case in cases {
                        let words = self.lap(daemon, *case)?;
                        if lap >= WARM_UP {
                            words
                                .iter()
                                .try_for_each(|word| { give }.write_all(&word.to_le_bytes()))
                                .map_err(Error::program)?;
                        }
                    }
                }
                Ok(())
            })
            .run()
    }

    /// One run of the program; answers what `measure` reads.
    fn lap(&self, daemon: &mut Daemon<Kept>, case: Case) -> crashbed::Result<Vec<u64>> {
        daemon.zero()?;
        self.board.clear();
        let policy: &dyn RestartPolicy = match case {
            Case::Hidden { .. } => &OlderCommit::default(),
            _ => &CheckpointResume,
        };
        let began_ns = monotonic_ns();
        let outcome = daemon.transaction(policy, |tx, state| {
            Run { search: &self.search, tx, state, way: self.way, case, board: &self.board }.play()
        })?;
        let took_ns = monotonic_ns().saturating_sub(began_ns);
        let is_right = outcome == Outcome::Done(()) && self.search.is_result(daemon.state().result);
        let board = &self.board;
        let again = board.read(STEPS).saturating_sub(self.search.all_steps());
        let mut words = vec![took_ns, again, daemon.report().crashes, u64::from(!is_right)];
        words.extend([RECOVERY_NS, BYTES].map(|word| board.read(word)));
        let depth = usize::try_from(self.search.depth).unwrap_or(0);
        words.extend((COMMITS_NS..COMMITS_NS + depth).map(|word| board.read(word)));
        Ok(words)
    }
}
