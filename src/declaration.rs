//! What a daemon declares before anything is forked, and whether the machine can hold it.
//!
//! Everything is counted: the state, the mechanism's own memory (log or slots, stage), the private copies that a
//! transaction may make, scratch, thread stacks, mailboxes. A declaration that does not fit is refused at the start
//! with the figures, so that no process of the tree runs out of memory later for want of counting.

use crate::Crash;
use crate::cache::{Declared, MOST_CACHES, Returns};
use crate::error::{Error, Result};
use crate::mailbox::{FORK_SEATS, MOST_DEPTH, SEATS};
use crate::mechanism_kind::MechanismKind;
use crate::policy::{Action, Decision, History, Intensity, RestartPolicy};
use crate::spare::Spare;
use crate::sys::memory::PAGE;
use crate::undo;
use std::time::Duration;

/// One kibibyte.
pub const KIB: usize = 1 << 10;
/// One mebibyte.
pub const MIB: usize = 1 << 20;
/// One gibibyte.
pub const GIB: usize = 1 << 30;

/// The largest region, in bytes.
pub const LARGEST_REGION: usize = 32 * GIB;

/// The least bytes of an undo log's part: the heap's head, and some blocks.
const LEAST_UNDO_LOG: usize = 64 * KIB;

/// The most threads that a transaction may declare.
const MOST_THREADS: usize = 4096;

/// The smallest region: the heads of state and heap, and some room.
pub(crate) const MINIMUM_REGION: usize = 64 * KIB;

/// From this size on, a region's transactions have a keeper: to tear down fewer pages takes no longer than to make one.
const KEEPER_PAYS: usize = 16 * MIB;

/// What a daemon declares: its name, the most memory that its state may ever take, and how it is to be run.
pub struct Declaration {
    pub(crate) name: String,
    pub(crate) bytes: usize,
    pub(crate) mechanism: MechanismKind,
    pub(crate) switches_always: bool,
    pub(crate) scratch: usize,
    pub(crate) threads: usize,
    pub(crate) stack: usize,
    pub(crate) hidden: bool,
    pub(crate) heartbeat: Duration,
    pub(crate) intensity: Intensity,
    pub(crate) policy: Box<dyn RestartPolicy + Send>,
    pub(crate) spare: Spare,
    pub(crate) keeper: Option<bool>,
    undo_log: Option<usize>,
    pub(crate) check_declared: bool,
    pub(crate) kept_commits: usize,
    pub(crate) caches: Vec<Declared>,
}

impl Declaration {
    /// A daemon `name` with a region of `bytes` (rounded up to whole pages), with the defaults that the methods below
    /// name.
    pub fn new(name: impl Into<String>, bytes: usize) -> Self {
        Self {
            name: name.into(),
            bytes: whole_pages(bytes),
            mechanism: MechanismKind::CopyOnWrite,
            switches_always: false,
            scratch: 64 * MIB,
            threads: 0,
            stack: 8 * MIB,
            hidden: false,
            heartbeat: Duration::from_secs(5),
            intensity: Intensity::default(),
            policy: Box::new(Resume),
            spare: Spare::Cold,
            keeper: None,
            undo_log: None,
            check_declared: false,
            kept_commits: 0,
            caches: Vec::new(),
        }
    }

    /// How commits are made and restored; copy on write unless declared. The mechanism `undo-log` is asked for by
    /// [`undo_log`](Self::undo_log), which has a promise in it.
    pub fn mechanism(mut self, mechanism: MechanismKind) -> Self {
        self.mechanism = mechanism;
        self
    }

    /// For tests of [`MechanismKind::Auto`]: it takes each opportunity to switch, whatever was measured.
    #[doc(hidden)]
    pub fn switches_always(mut self, always: bool) -> Self {
        self.switches_always = always;
        self
    }

    /// Whether the program's own commits are forks.
    pub(crate) fn forks(&self) -> bool {
        self.mechanism.returns_from_commits()
    }

    /// How many of a transaction's newest commits are kept as frozen processes, under the mechanism that forks.
    pub(crate) fn depth(&self) -> usize {
        1 + self.kept_commits
    }

    /// Seats for the processes of its transactions.
    pub(crate) fn seats(&self) -> usize {
        SEATS + if self.forks() { FORK_SEATS + self.depth() } else { 0 }
    }

    /// How many processes of a transaction may hold memory of their own for long.
    pub(crate) fn processes(&self) -> usize {
        if self.forks() { 1 + self.depth() } else { 1 }
    }

    /// The most that a transaction's temporaries may take at a time ([`Tx::scratch`](crate::Tx::scratch)); 64 MiB
    /// unless declared.
    pub fn scratch(mut self, bytes: usize) -> Self {
        self.scratch = whole_pages(bytes);
        self
    }

    /// How many threads a transaction may run besides its main one ([`Tx::threads`](crate::Tx::threads)), each on a
    /// stack of `stack` bytes; none unless declared.
    pub fn threads(mut self, threads: usize, stack: usize) -> Self {
        self.threads = threads;
        self.stack = whole_pages(stack);
        self
    }

    /// Other daemons cannot even read the region.
    pub fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// How long a transaction may give no sign of life before it is treated as crashed; 5 s unless declared. Signs of
    /// life are [`Tx::done`](crate::Tx::done), [`Tx::commit`](crate::Tx::commit) and [`Tx::beat`](crate::Tx::beat). From
    /// 200 ms on, `done` soon reads no clock any more: the daemon looks at the count of operations sixteen times in a
    /// deadline, which is up to a sixteenth longer for it.
    pub fn heartbeat(mut self, deadline: Duration) -> Self {
        self.heartbeat = deadline;
        self
    }

    /// How many crashes in what time are too many, for the daemon itself and for each of its transactions;
    /// 20 in 5 s unless declared.
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// What a successor of the *daemon* finds; the last commit unless declared. Zero and giving up are followed; every
    /// other action of a daemon's policy is a resume, in which its closure finds the last commit and the crash
    /// ([`Daemon::crash`](crate::Daemon::crash)).
    pub fn policy(mut self, policy: impl RestartPolicy + Send + 'static) -> Self {
        self.policy = Box::new(policy);
        self
    }

    /// How successors of transactions are made ready; cold unless declared.
    pub fn spare(mut self, spare: Spare) -> Self {
        self.spare = spare;
        self
    }

    /// Whether transactions get a keeper: a process that sleeps on their address space, so that even a SIGKILL is
    /// noticed in a time that does not grow with the memory that was touched. It costs some 50 µs once a transaction
    /// has lived for a millisecond, and memory is given back a few milliseconds later. Unless declared, regions of
    /// 16 MiB and more get one.
    pub fn keeper(mut self, keeper: bool) -> Self {
        self.keeper = Some(keeper);
        self
    }

    /// How many commits before the last one are kept, for a policy to go back to
    /// ([`Action::Older`](crate::Action::Older)): the last may hold already what makes the program crash. None unless
    /// declared; each takes as much memory as the state, and makes commits copy what they overwrite; under the
    /// undo log, as much as its log, and what was released stays in use for so many commits more. Under fork each is a frozen
    /// process, 7 at the most, which may come to hold its own copy of the state, of scratch and of the stacks.
    pub fn kept_commits(mut self, kept: u8) -> Self {
        self.kept_commits = kept.into();
        self
    }

    /// A cache of `bytes` (rounded up to whole pages) beside the state, which no commit saves: plain elements in a range
    /// that a successor finds empty, or as it was ([`Tx::cache`](crate::Tx::cache)). There may be several.
    pub fn cache(mut self, name: impl Into<String>, bytes: usize, returns: Returns) -> Self {
        self.caches.push(Declared { name: name.into(), bytes: whole_pages(bytes), returns });
        self
    }

    /// Commits and restores by the mechanism `undo-log`, whose log holds `bytes` (rounded up to whole pages) of what changes
    /// between two commits. Twice that is taken, as two commits use it by turns, and as much again for each older commit
    /// that is kept. A declared piece takes its length and up to 47 bytes, a block that is allocated or released some 250,
    /// and the first of these after a commit 4,400. A transaction that needs more has failed as
    /// [`Exhausted`](crate::FailureKind::Exhausted).
    ///
    /// # Safety
    /// The program promises that each of this daemon's transactions declares what it writes before it does: that whatever
    /// part of the state the last commit holds is changed through [`Logged`](crate::Logged),
    /// [`LoggedVec`](crate::LoggedVec), [`Tx::declare`](crate::Tx::declare),
    /// [`declare_slice`](crate::Tx::declare_slice) or [`replace`](crate::Tx::replace) alone. Memory that was allocated since
    /// the last commit may be written freely.
    ///
    /// An error, a panic or a crash goes back by what was declared. What was not stays as it was written, while the heap
    /// around it goes back: a `Vec` that was assigned then points into a block that is free again, and the next safe use of
    /// it is undefined behaviour. Tests find such writes by [`check_declared`](Self::check_declared).
    pub unsafe fn undo_log(mut self, bytes: usize) -> Self {
        self.mechanism = MechanismKind::UndoLog;
        self.undo_log = Some(whole_pages(bytes));
        self
    }

    /// Under the mechanism `undo-log`: at each commit, compares the state with the commit before, byte for byte, and
    /// refuses it where something has changed that was not declared, with its address. For tests: it takes time and memory
    /// for the whole region.
    pub fn check_declared(mut self, check: bool) -> Self {
        self.check_declared = check;
        self
    }

    /// How many parts the undo log has: one for the epoch that is under way, one for the next, and two for each older
    /// commit that is kept: for the way back to it, and for what is to be released when it is not kept any more.
    pub(crate) fn undo_log_parts(&self) -> usize {
        2 + 2 * self.kept_commits
    }

    /// Bytes of the stage part.
    pub(crate) fn stage_len(&self) -> usize {
        let undo_log = self.undo_log.map_or(0, |room| undo::log::len(self.undo_log_parts(), room));
        self.mechanism.stage_len(undo_log)
    }

    /// Bytes of what a transaction notes of its epoch.
    pub(crate) fn notes_len(&self) -> usize {
        self.mechanism.notes_len(undo::marks_len(self.bytes), if self.check_declared { self.bytes } else { 0 })
    }

    pub(crate) fn wants_keeper(&self) -> bool {
        self.keeper.unwrap_or(self.bytes >= KEEPER_PAYS)
    }

    fn refused(&self, what: String) -> Error {
        Error::Declaration { daemon: self.name.clone(), what }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.name.is_empty() || self.name.contains('\0') {
            return Err(self.refused("a name is needed, without a NUL".into()));
        }
        if self.bytes < MINIMUM_REGION {
            let (is, least) = (self.bytes, MINIMUM_REGION);
            return Err(self.refused(format!("a region of {is} bytes is too small: {least} bytes are the least")));
        }
        if self.bytes > LARGEST_REGION {
            return Err(self.refused(format!("a region of {} bytes is too large: 32 GiB are the most", self.bytes)));
        }
        if self.forks() && self.depth() > MOST_DEPTH {
            return Err(self.refused(format!(
                "{} older commits kept, each a frozen process under the mechanism fork: {} are the most",
                self.kept_commits,
                MOST_DEPTH - 1
            )));
        }
        if self.scratch > LARGEST_REGION || self.stack > GIB || self.threads > MOST_THREADS {
            return Err(self.refused(format!(
                "scratch of {} bytes and {} threads with stacks of {} bytes are too much: 32 GiB, {MOST_THREADS} and 1 \
                 GiB are the most",
                self.scratch, self.threads, self.stack
            )));
        }
        let needs_log = self.mechanism.needs_declared_writes();
        if needs_log && self.undo_log.is_none() {
            return Err(self.refused(format!(
                "{} is safe only where all that a transaction writes is declared first, which `mechanism` does not \
                 promise: ask for it by the unsafe `Declaration::undo_log(bytes)`",
                self.mechanism
            )));
        }
        if let Some(room) = self.undo_log.filter(|room| *room < LEAST_UNDO_LOG || *room > LARGEST_REGION) {
            return Err(self.refused(format!(
                "an undo log of {room} bytes is too small or too large: {LEAST_UNDO_LOG} are the least, 32 GiB the most"
            )));
        }
        if self.check_declared && !needs_log {
            return Err(self.refused(format!(
                "under {} nothing is declared, so there is nothing to check: `check_declared` is for undo-log",
                self.mechanism
            )));
        }
        if self.heartbeat.is_zero() {
            return Err(self.refused("a heartbeat's deadline must be longer than zero".into()));
        }
        if self.stack < 64 * KIB {
            return Err(
                self.refused(format!("a thread's stack of {} bytes is too small: 64 KiB are the least", self.stack))
            );
        }
        self.check_caches()
    }

    fn check_caches(&self) -> Result<()> {
        let caches = &self.caches;
        if caches.len() > MOST_CACHES {
            return Err(self.refused(format!("{} caches are too many: {MOST_CACHES} are the most", caches.len())));
        }
        for (i, cache) in caches.iter().enumerate() {
            let Declared { name, bytes, .. } = cache;
            if *bytes == 0 || *bytes > LARGEST_REGION {
                return Err(self.refused(format!("cache `{name}` of {bytes} bytes: it has from 1 byte to 32 GiB")));
            }
            if caches[..i].iter().any(|other| other.name == *name) {
                return Err(self.refused(format!("there are two caches `{name}`: give each a name of its own")));
            }
        }
        Ok(())
    }
}

/// Bytes rounded up to whole pages; what cannot be rounded is refused by `check` as too large.
fn whole_pages(bytes: usize) -> usize {
    bytes.checked_next_multiple_of(PAGE).unwrap_or(usize::MAX)
}

/// What a daemon finds after a crash unless it is declared otherwise.
struct Resume;

impl RestartPolicy for Resume {
    fn name(&self) -> &str {
        "checkpoint-resume"
    }
    fn decide(&self, _: &Crash, _: &History) -> Decision {
        Decision::now(Action::Resume)
    }
}

/// Memory that the machine has to give, and what says so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Available {
    pub(crate) bytes: u64,
    pub(crate) limit: String,
}

/// What is free: the least of free memory and what the control groups above this process leave.
pub(crate) fn available() -> Result<Available> {
    let meminfo = procfs_current::<procfs::Meminfo>("/proc/meminfo")?;
    let free = meminfo.mem_available.unwrap_or(meminfo.mem_free);
    let mut least = Available { bytes: free, limit: "free memory".into() };
    for (path, limit, used) in control_groups() {
        let left = limit.saturating_sub(used);
        if left < least.bytes {
            least = Available { bytes: left, limit: format!("the limit of {limit} bytes in {path}") };
        }
    }
    Ok(least)
}

fn procfs_current<T: procfs::Current>(what: &'static str) -> Result<T> {
    T::current().map_err(|error| Error::Proc { what, message: error.to_string() })
}

/// The memory limits of this process's control group and those above it: path, limit, use. Both versions of the
/// interface; a file that is missing or says "max" is no limit.
fn control_groups() -> Vec<(String, u64, u64)> {
    let Ok(groups) = std::fs::read_to_string("/proc/self/cgroup") else { return Vec::new() };
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let (mount, limit, used) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max", "memory.current"),
            _ if controllers.split(',').any(|c| c == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
            }
            _ => continue,
        };
        // A container may see its own group as the mount's root, so the bare mount counts as well.
        for group in std::path::Path::new(path).ancestors() {
            let folder = format!("{mount}{}", group.display());
            let folder = folder.trim_end_matches('/');
            let file = format!("{folder}/{limit}");
            if let (Some(limit), Some(used)) = (number(&file), number(&format!("{folder}/{used}"))) {
                found.push((file, limit, used));
            }
        }
    }
    found
}

/// Whether `declared` fits into `available`.
pub(crate) fn check_fits(declared: &[(String, u64)], available: Available) -> Result<()> {
    let total = declared.iter().map(|(_, bytes)| bytes).fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
    if total <= available.bytes {
        return Ok(());
    }
    let parts: Vec<_> = declared.iter().map(|(name, bytes)| format!("{name}: {} MiB", bytes >> 20)).collect();
    Err(Error::Memory { declared: total, available: available.bytes, limit: available.limit, parts: parts.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_more_than_there_is_and_says_the_figures() {
        let declared = [("a".to_owned(), 3 << 20), ("b".to_owned(), 2 << 20)];
        let available = |bytes| Available { bytes, limit: "free memory".into() };
        assert!(check_fits(&declared, available(5 << 20)).is_ok());
        let refused = check_fits(&declared, available((5 << 20) - 1)).unwrap_err().to_string();
        assert!(refused.contains("5 MiB in all") && refused.contains("free memory leaves 4 MiB"), "{refused}");
        assert!(refused.contains("a: 3 MiB, b: 2 MiB"), "{refused}");
    }

    #[test]
    fn something_is_available_here() {
        assert!(available().unwrap().bytes > 0);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let refusal = |d: Declaration| d.check().unwrap_err().to_string();
        assert!(refusal(Declaration::new("d", 1)).contains("65536 bytes are the least"));
        assert!(refusal(Declaration::new("", MIB)).contains("name"));
        assert!(refusal(Declaration::new("d", MIB).heartbeat(Duration::ZERO)).contains("heartbeat"));
        assert!(refusal(Declaration::new("d", MIB).threads(1, 10)).contains("stack"));
        assert!(
            refusal(Declaration::new("d", MIB).mechanism(MechanismKind::Fork).kept_commits(8))
                .contains("8 older commits")
        );
        assert!(Declaration::new("d", MIB).check().is_ok());
        let unpromised = refusal(Declaration::new("d", MIB).mechanism(MechanismKind::UndoLog));
        assert!(unpromised.contains("undo-log is safe only") && unpromised.contains("`Declaration::undo_log(bytes)`"));
        // SAFETY: nothing is run.
        let promised = unsafe { Declaration::new("d", MIB).undo_log(MIB) };
        assert!(promised.check().is_ok() && promised.mechanism == MechanismKind::UndoLog);
        let cached = |names: &[&str], bytes| {
            names.iter().fold(Declaration::new("d", MIB), |d, name| d.cache(*name, bytes, Returns::Empty))
        };
        assert!(refusal(cached(&["c", "c"], 1)).contains("two caches `c`"));
        assert!(refusal(cached(&["c"], 0)).contains("cache `c` of 0 bytes"));
        assert!(refusal(cached(&["c"], usize::MAX)).contains("32 GiB"));
        let many: Vec<String> = (0..65).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(refusal(cached(&many, 1)).contains("65 caches are too many"));
        assert!(cached(&many[..64], 1).check().is_ok());
    }
}
