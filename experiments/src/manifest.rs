//! What was run where: the facts of the machine that a reader needs to judge the figures.
//!
//! What cannot be read is `unknown`; a machine without `/sys` still runs.

use crate::record::{FORMAT, Manifest};
use crate::suite::Suite;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use procfs::{CpuInfo, Current, FromRead, Meminfo};
use std::collections::BTreeMap;
use std::fs;

/// What stands where nothing could be read.
pub const UNKNOWN: &str = "unknown";

/// The manifest of a run of `suite` from `seed` that begins now.
pub fn manifest(suite: &Suite, seed: u64) -> Manifest {
    Manifest {
        format: FORMAT,
        suite: suite.name.clone(),
        question: suite.question.clone(),
        settings: toml::to_string(suite).unwrap_or_else(|error| format!("# not TOML: {error}")),
        seed,
        started: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: env!("CRASHBED_REVISION").to_owned(),
        machine: machine(),
    }
}

/// The machine's facts by name.
pub fn machine() -> BTreeMap<String, String> {
    let cpu = CpuInfo::from_file("/proc/cpuinfo").ok();
    let model = cpu.as_ref().and_then(|cpu| cpu.model_name(0)).map(str::to_owned);
    let memory = Meminfo::current().ok();
    let facts = [
        ("kernel", file("/proc/sys/kernel/osrelease")),
        ("cpu", known(model)),
        ("cores", known(std::thread::available_parallelism().ok().map(|cores| cores.to_string()))),
        ("memory_bytes", known(memory.map(|memory| memory.mem_total.to_string()))),
        ("governor", file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        ("huge_pages", chosen(&file("/sys/kernel/mm/transparent_hugepage/enabled"))),
        ("huge_pages_shmem", chosen(&file("/sys/kernel/mm/transparent_hugepage/shmem_enabled"))),
        ("address_randomisation", file("/proc/sys/kernel/randomize_va_space")),
        ("core_pattern", file("/proc/sys/kernel/core_pattern")),
        ("overcommit", file("/proc/sys/vm/overcommit_memory")),
        ("clocksource", file("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
        ("limits", limits()),
        ("cgroup_memory_limit_bytes", cgroup_memory().map_or("none".to_owned(), |group| group.limit.to_string())),
        ("cgroup_processor_limit", cgroup_processor()),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What stands in a file of one line, or [`UNKNOWN`].
pub fn file(path: &str) -> String {
    known(fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn known(value: Option<String>) -> String {
    value.unwrap_or_else(|| UNKNOWN.to_owned())
}

/// The chosen one of a list as the kernel writes it: `always [madvise] never`.
pub fn chosen(list: &str) -> String {
    let inner = list.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inner.map_or(list, |(chosen, _)| chosen).to_owned()
}

/// The limits that a tree of processes meets first, each as `soft/hard`.
fn limits() -> String {
    let limits = [
        ("stack", Resource::RLIMIT_STACK),
        ("address-space", Resource::RLIMIT_AS),
        ("processes", Resource::RLIMIT_NPROC),
        ("locked", Resource::RLIMIT_MEMLOCK),
        ("files", Resource::RLIMIT_NOFILE),
        ("core", Resource::RLIMIT_CORE),
    ];
    limits.map(|(name, resource)| format!("{name}={}", limit(resource))).join(" ")
}

/// One limit as `soft/hard`, in the kernel's units (`getrlimit(2)`).
pub fn limit(resource: Resource) -> String {
    let figure = |value: u64| {
        if value == RLIM_INFINITY { "unlimited".to_owned() } else { value.to_string() }
    };
    match getrlimit(resource) {
        Ok((soft, hard)) => format!("{}/{}", figure(soft), figure(hard)),
        Err(_) => UNKNOWN.to_owned(),
    }
}

/// A control group's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupMemory {
    /// The most that the group may have, in bytes.
    pub limit: u64,
    /// What it has now, in bytes.
    pub used: u64,
}

/// The tightest memory limit of the process's control groups, of version 2 or 1; `None` where there is none.
pub fn cgroup_memory() -> Option<GroupMemory> {
    // Version 1 writes "no limit" as the largest whole number of pages.
    const NONE: u64 = 1 << 60;
    let read = |folder: &str, limit: &str, used: &str| {
        let number = |name| fs::read_to_string(format!("{folder}/{name}")).ok()?.trim().parse::<u64>().ok();
        Some(GroupMemory { limit: number(limit).filter(|limit| *limit < NONE)?, used: number(used)? })
    };
    let groups = cgroup_folders("memory").into_iter().filter_map(|(version, folder)| match version {
        2 => read(&folder, "memory.max", "memory.current"),
        _ => read(&folder, "memory.limit_in_bytes", "memory.usage_in_bytes"),
    });
    groups.min_by_key(|group| group.limit.saturating_sub(group.used))
}

/// The control group's limit on processor time, as `quota/period` in microseconds, or `none`.
fn cgroup_processor() -> String {
    for (version, folder) in cgroup_folders("cpu") {
        let quota = if version == 2 {
            file(&format!("{folder}/cpu.max")).replace(' ', "/")
        } else {
            let part = |name| file(&format!("{folder}/{name}"));
            format!("{}/{}", part("cpu.cfs_quota_us"), part("cpu.cfs_period_us"))
        };
        // Version 1 writes "no limit" as -1, version 2 as max. The innermost limit is not always the tightest, but is
        // the one that was meant for this process.
        if !quota.contains(UNKNOWN) && !quota.starts_with("-1") && !quota.starts_with("max") {
            return quota;
        }
    }
    "none".to_owned()
}

/// The folders of the process's control group with this controller and of the groups above it, innermost first, each
/// with its version (`cgroups(7)`, `/proc/self/cgroup`).
fn cgroup_folders(controller: &str) -> Vec<(u8, String)> {
    let lines = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut folders = Vec::new();
    for line in lines.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (version, root) = if controllers.is_empty() {
            (2, "/sys/fs/cgroup".to_owned())
        } else if controllers.split(',').any(|name| name == controller) {
            (1, format!("/sys/fs/cgroup/{controller}"))
        } else {
            continue;
        };
        let mut path = path.trim_end_matches('/');
        loop {
            folders.push((version, format!("{root}{path}")));
            let Some((above, _)) = path.rsplit_once('/') else {
                break;
            };
            path = above;
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn the_settings_make_the_suite_again() {
        let suite = catalog::load("documents").unwrap();
        let manifest = manifest(&suite, 5);
        assert_eq!(catalog::parse("manifest", &manifest.settings).unwrap(), suite);
        assert!(manifest.started.parse::<jiff::Timestamp>().is_ok());
    }

    #[test]
    fn every_fact_has_a_value() {
        let machine = machine();
        for (name, value) in &machine {
            assert!(!value.is_empty() && !value.contains('\n'), "{name}: {value:?}");
        }
        assert_ne!(machine["kernel"], UNKNOWN);
        assert_ne!(machine["memory_bytes"], UNKNOWN);
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        assert_eq!(file("/nowhere/at/all"), UNKNOWN);
    }

    #[test]
    fn the_chosen_one_is_in_brackets() {
        assert_eq!(chosen("always [madvise] never"), "madvise");
        assert_eq!(chosen(UNKNOWN), UNKNOWN);
    }
}
