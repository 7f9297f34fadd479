//! The histories of the processes that are between two crashes of one history: few of all.

use crashbed::History;
use fnv::FnvHashMap;

/// Histories by process, and empty ones to use again, since the room for a history is larger than a process.
#[derive(Debug, Default)]
pub(super) struct Histories {
    kept: FnvHashMap<u32, History>,
    empty: Vec<History>,
}

impl Histories {
    /// The history of `process`, which has one.
    pub(super) fn take(&mut self, process: u32) -> History {
        self.kept.remove(&process).unwrap_or_else(|| self.fresh())
    }

    /// A history without a crash.
    pub(super) fn fresh(&mut self) -> History {
        self.empty.pop().unwrap_or_default()
    }

    /// Keeps the history of `process` for its next crash.
    pub(super) fn keep(&mut self, process: u32, history: History) {
        self.kept.insert(process, history);
    }

    /// Ends a history.
    pub(super) fn end(&mut self, mut history: History) {
        history.clear();
        self.empty.push(history);
    }
}
