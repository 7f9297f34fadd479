//! The hidden subcommand `bare`: walks the bare paths of the floor in this program's one thread, and prints what they
//! took. The root of a run could not: it owns regions, and what is forked from it has more to copy.
//!
//! One JSON object a line: `path`; `region_bytes` and `threads`, 0 where the path takes none; `ns`, each lap. A path
//! that this machine does not let walk has no laps, and says in `skipped` why.

use crate::size::Size;
use clap::{Args, value_parser};
use crashbed::floor::{Extent, Path, laps};
use serde::Serialize;
use std::io::{self, Write};

/// What `bare` takes.
#[derive(Debug, Args)]
pub struct BareArgs {
    /// Laps of each path
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub laps: u32,
    /// Walk this path; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    pub path: Vec<Path>,
    /// Memory that a process has touched before it is killed
    #[arg(long, value_name = "BYTES", default_value = "64 MiB")]
    pub region: Size,
    /// Threads that are stopped
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u16).range(1..=256))]
    pub threads: u16,
}

/// What a path took.
#[derive(Debug, Serialize)]
struct Walked {
    path: &'static str,
    region_bytes: u64,
    threads: u16,
    ns: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
}

/// Walks the paths that were asked for, and prints each when it has been walked.
///
/// # Errors
/// Where nobody reads the lines.
pub fn walk(arguments: &BareArgs) -> io::Result<()> {
    let paths = if arguments.path.is_empty() { &Path::ALL[..] } else { &arguments.path };
    for path in paths {
        let mut line = serde_json::to_vec(&walked(*path, arguments))?;
        line.push(b'\n');
        io::stdout().write_all(&line)?;
        io::stdout().flush()?;
    }
    Ok(())
}

fn walked(path: Path, arguments: &BareArgs) -> Walked {
    let region_bytes = if path.takes_region() { arguments.region.bytes() } else { 0 };
    let threads = if path.takes_threads() { arguments.threads } else { 0 };
    // Where it does not fit, the path says that no such region can be had.
    let bytes = usize::try_from(region_bytes).unwrap_or(usize::MAX);
    let extent = Extent { region_bytes: bytes, threads: threads.into() };
    let (ns, skipped) = match laps(path, extent, arguments.laps as usize) {
        Ok(ns) => (ns, None),
        Err(error) => (Vec::new(), Some(format!("because {error}"))),
    };
    Walked { path: path.name(), region_bytes, threads, ns, skipped }
}
