//! What this machine and its container allow, and what falls away without it: one line each.

use crate::manifest::{self, UNKNOWN};
use crate::probe;
use crate::size::Size;
use nix::errno::Errno;
use nix::sys::resource::Resource;
use procfs::{Current, Meminfo};
use std::fmt;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub feature: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found and, unless it is [`State::Ok`], what falls away.
    pub remark: String,
}

/// How a feature stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It works.
    Ok,
    /// It works, with less than there could be.
    Limited,
    /// It is not there, or not allowed: to a program that is the same.
    Absent,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Absent => "absent",
        })
    }
}

/// Looks at everything.
pub fn examine() -> Vec<Finding> {
    let mut findings = system_calls();
    findings.extend(machine());
    findings
}

/// The findings as a table.
pub fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.feature.len()).max().unwrap_or_default();
    let mut table = format!("{:width$}  {:7}  what it means\n", "feature", "state");
    for Finding { feature, state, remark } in findings {
        table.push_str(&format!("{feature:width$}  {state:7}  {remark}\n"));
    }
    table
}

/// What the kernel does when it is asked.
fn system_calls() -> Vec<Finding> {
    let scan = probe::pagemap_scan();
    let without_scan = match (scan, probe::pagemap()) {
        (Err(_), Ok(())) => "written pages are found by /proc/self/pagemap, which is slower",
        _ => "nothing finds written pages: no copy-on-write",
    };
    vec![
        asked("memfd seals", probe::sealed_memory(), "a region can be mapped writable by its readers"),
        asked("pidfd_open", probe::pidfd().map(drop), "no process can be followed: nothing runs"),
        asked("waitid(P_PIDFD)", probe::wait_by_pidfd(), "no process can be followed: nothing runs"),
        asked("PAGEMAP_SCAN", scan, without_scan),
        asked("/proc/self/pagemap", probe::pagemap(), "no fallback for PAGEMAP_SCAN"),
        asked("mseal", probe::sealed_mapping(), "foreign regions are read-only, but a call could make them writable"),
        asked("short slices", probe::slices(), "who is woken on a busy processor waits for the other's slice to end"),
        asked("PR_SET_PDEATHSIG", probe::death_with_parent(), "a killed root leaves processes behind"),
        asked("child subreaper", probe::subreaper(), "orphans go to init, not to the root"),
        asked("oom_score_adj", probe::oom_score(), "out of memory, the kernel may kill the root first"),
    ]
}

fn asked(feature: &'static str, answer: Result<(), Errno>, without: &str) -> Finding {
    match answer {
        Ok(()) => Finding { feature, state: State::Ok, remark: "works".to_owned() },
        Err(error) => {
            // The constant's name is what a reader can look up.
            Finding { feature, state: State::Absent, remark: format!("{error:?}: {without}") }
        }
    }
}

/// What the machine has, and what limits it.
fn machine() -> Vec<Finding> {
    vec![
        limited("RLIMIT_STACK", Resource::RLIMIT_STACK),
        limited("RLIMIT_AS", Resource::RLIMIT_AS),
        limited("RLIMIT_NPROC", Resource::RLIMIT_NPROC),
        limited("RLIMIT_MEMLOCK", Resource::RLIMIT_MEMLOCK),
        limited("RLIMIT_NOFILE", Resource::RLIMIT_NOFILE),
        core_pattern(&manifest::file("/proc/sys/kernel/core_pattern")),
        overcommit(&manifest::file("/proc/sys/vm/overcommit_memory")),
        huge_pages(),
        memory(),
        clock(&manifest::file("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
        cores(std::thread::available_parallelism().map_or(1, usize::from)),
    ]
}

/// A resource limit; below what a small tree needs it is [`State::Limited`].
fn limited(feature: &'static str, resource: Resource) -> Finding {
    let (needed, without) = match resource {
        Resource::RLIMIT_STACK => (8 << 20, "nothing starts: the hard limit must allow 8 MiB"),
        Resource::RLIMIT_AS => (4 << 30, "large regions are refused at the start"),
        Resource::RLIMIT_NPROC => (64, "the tree may fail to fork"),
        Resource::RLIMIT_NOFILE => (64, "nothing starts: at least 64 are needed"),
        // Nothing is locked: the figure is for the reader.
        _ => (0, ""),
    };
    let figures = format!("{} (soft/hard)", manifest::limit(resource));
    match nix::sys::resource::getrlimit(resource) {
        // A soft limit on the stack is raised to what is needed.
        Ok((soft, hard)) if (if resource == Resource::RLIMIT_STACK { hard } else { soft }) < needed => {
            Finding { feature, state: State::Limited, remark: format!("{figures}: {without}") }
        }
        Ok(_) => Finding { feature, state: State::Ok, remark: figures },
        Err(error) => Finding { feature, state: State::Absent, remark: format!("{error:?}: cannot be read") },
    }
}

fn core_pattern(pattern: &str) -> Finding {
    let (state, remark) = if pattern.starts_with('|') {
        (
            State::Limited,
            "a pipe: a crash outside of the engine's limits is slow; its own children set RLIMIT_CORE to 1",
        )
    } else {
        (State::Ok, "no pipe")
    };
    Finding { feature: "core_pattern", state, remark: format!("{pattern}: {remark}") }
}

fn overcommit(mode: &str) -> Finding {
    let (state, remark) = match mode {
        "0" => (State::Ok, "0: the kernel guesses"),
        "1" => (State::Ok, "1: always"),
        "2" => (State::Limited, "2: never; the private copies of every process must fit into memory at once"),
        _ => (State::Absent, "cannot be read"),
    };
    Finding { feature: "overcommit", state, remark: remark.to_owned() }
}

fn huge_pages() -> Finding {
    let read = |name| manifest::chosen(&manifest::file(&format!("/sys/kernel/mm/transparent_hugepage/{name}")));
    let (private, shared) = (read("enabled"), read("shmem_enabled"));
    let figures = format!("private: {private}, shared: {shared}");
    if shared == "always" || shared == "force" || private == "always" {
        let remark = format!("{figures}: one written byte may cost a copy of 2 MiB, and latencies spread");
        return Finding { feature: "huge pages", state: State::Limited, remark };
    }
    Finding { feature: "huge pages", state: State::Ok, remark: figures }
}

/// Free memory: what the machine has available or, where that is less, what the control group has left.
fn memory() -> Finding {
    let machine = Meminfo::current().ok().and_then(|memory| memory.mem_available);
    let group = manifest::cgroup_memory().map(|group| (group.limit.saturating_sub(group.used), group.limit));
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let mut remark = format!("available: {}", machine.map_or(UNKNOWN.to_owned(), mib));
    match group {
        Some((left, limit)) => remark += &format!("; control group: {} left of {}", mib(left), mib(limit)),
        None => remark += "; control group: no limit",
    }
    let free = machine.unwrap_or(u64::MAX).min(group.map_or(u64::MAX, |(left, _)| left));
    // What the quick suite declares: two regions of 64 MiB with slots, logs, private copies and stacks.
    let needed = Size::at_least(512 << 20);
    let state = if free < needed.bytes() { State::Limited } else { State::Ok };
    if state == State::Limited {
        remark += &format!(": less than the {needed} that the suite `quick` may need");
    }
    Finding { feature: "free memory", state, remark }
}

fn clock(source: &str) -> Finding {
    let (state, remark) = match source {
        // Read without a system call (vdso(7)).
        "tsc" | "kvm-clock" | "hyperv_clocksource_tsc_page" => (State::Ok, "read without a system call"),
        UNKNOWN => (State::Limited, "cannot be read; short times may be coarse"),
        _ => (State::Limited, "each reading is a system call: short times are measured too long"),
    };
    Finding { feature: "clock source", state, remark: format!("{source}: {remark}") }
}

fn cores(cores: usize) -> Finding {
    let (state, remark) = match cores {
        1 => (State::Limited, "1: notice and take-over wait for each other's turn"),
        _ => (State::Ok, "enough for a notice while the crashed process is taken down"),
    };
    Finding {
        feature: "cores",
        state,
        remark: if cores == 1 { remark.to_owned() } else { format!("{cores}: {remark}") },
    }
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
