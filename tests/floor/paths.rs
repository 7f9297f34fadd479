//! Paths without a region, in a process of one thread.

use crate::has_children;
use crashbed::floor::{Extent, Path, laps};
use crashbed::{Error, MIB};

const LAPS: usize = 5;
const EXTENT: Extent = Extent { region_bytes: MIB, threads: 3 };

pub(crate) fn all_paths() -> crashbed::Result<()> {
    for path in Path::ALL {
        walks(path)?;
    }
    assert_eq!(laps(Path::FaultToHandler, EXTENT, 0)?, []);
    let none = laps(Path::StopThreads, Extent { threads: 0, ..EXTENT }, LAPS);
    assert!(none.is_err_and(|error| error.to_string().contains("one is the least")));
    Ok(())
}

/// Walks a path, and looks at what it answers and leaves.
pub(crate) fn walks(path: Path) -> crashbed::Result<()> {
    let walked = laps(path, EXTENT, LAPS)?;
    assert_eq!(walked.len(), LAPS, "{path}");
    assert!(walked.iter().all(|ns| (1..5_000_000_000).contains(ns)), "{path}: {walked:?}");
    assert!(!has_children(), "{path}: a child is left");
    Ok(())
}

pub(crate) fn several_threads() -> crashbed::Result<()> {
    std::thread::scope(|scope| {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || held.recv());
        for path in Path::ALL {
            let refused = laps(path, EXTENT, LAPS);
            assert!(matches!(refused, Err(Error::Threads { threads: 2 })), "{path}: {refused:?}");
        }
        drop(hold);
    });
    Ok(())
}
