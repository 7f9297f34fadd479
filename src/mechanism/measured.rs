//! What is measured of a machine, and of a daemon's commits, for `auto` to choose by.

/// So many commits are measured before the first switch; twice as many before the next.
pub(super) const FIRST: u64 = 8;
/// The part of a mean that each new value makes up.
const NEW: f64 = 0.125;

/// What a page costs, in nanoseconds, as measured before the tree began (`prices.rs`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Prices {
    /// To copy it with many others.
    pub(crate) copied_ns: f64,
    /// To write it for the first time and commit it, under copy on write.
    pub(crate) private_ns: f64,
    /// The same under dirty pages; `None` where the kernel does not track, or pages may be swapped out.
    pub(crate) tracked_ns: Option<f64>,
}

/// What was measured of a daemon's commits under the mechanism in use, the newest counting most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Measured {
    /// Commits since the last switch.
    pub(crate) commits: u64,
    pub(crate) switches: u32,
    /// Pages written, and restores, a commit; what was measured before the last switch counts on.
    pub(super) written: Option<f64>,
    /// Commits since the newest of which it is known what it wrote.
    unknown: i32,
    pub(super) restores: f64,
    restores_since: u64,
    /// The quickest commit since the last switch; 0 before one.
    pub(crate) quickest_ns: u64,
}

// Counts and nanoseconds far below 2^53.
#[allow(clippy::cast_precision_loss)]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}

impl Measured {
    /// A commit was made, which took so long from its beginning to the daemon's answer, and has changed so many pages,
    /// where that is known.
    pub(crate) fn committed(&mut self, written: Option<usize>, took_ns: u64) {
        self.commits += 1;
        self.unknown = self.unknown.saturating_add(1);
        if let Some(written) = written.map(|pages| float(pages as u64)) {
            // It stands for those as well.
            let new = 1.0 - (1.0 - NEW).powi(std::mem::take(&mut self.unknown));
            self.written = Some(self.written.map_or(written, |mean| mean + new * (written - mean)));
        }
        self.restores += NEW * (float(std::mem::take(&mut self.restores_since)) - self.restores);
        self.quickest_ns = if self.commits == 1 { took_ns } else { self.quickest_ns.min(took_ns) };
    }

    /// A crash is gone back from.
    pub(crate) fn crashed(&mut self) {
        self.restores_since += 1;
    }

    /// Another mechanism is in use from now on.
    pub(crate) fn switched(&mut self) {
        (self.commits, self.quickest_ns) = (0, 0);
        self.switches += 1;
    }

    /// Whether a look at all pages is due at the next commit, where only that tells which were written: at first soon
    /// and then more seldom, so that looking takes a small part of what the commits take.
    pub(crate) fn look_is_due(&self) -> bool {
        let next = self.commits + 1;
        next.is_power_of_two() || next.is_multiple_of(16)
    }

    /// How many commits have to be measured before a switch.
    pub(super) fn needed(&self) -> u64 {
        FIRST << self.switches.min(32)
    }
}

/// The state that is committed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Size {
    /// Pages of the region's state.
    pub(crate) pages: usize,
    /// Pages of it that are in use.
    pub(crate) in_use: usize,
}
