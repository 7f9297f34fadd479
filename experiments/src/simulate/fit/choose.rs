//! Which of a run's trials parameters are fitted from.

use super::FitError;
use crate::names;
use crate::record::{Levels, Trial};
use crate::size::Size;
use std::collections::BTreeSet;

/// Which of a run's trials count: where there is more than one level of a factor, one must be chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// The mechanism.
    pub mechanism: Option<String>,
    /// The workload.
    pub workload: Option<String>,
    /// How successors are made ready.
    pub spare: Option<String>,
    /// The region's size.
    pub region: Option<Size>,
    /// What else ran.
    pub load: Option<String>,
}

/// The levels that count.
pub(super) struct Chosen {
    pub(super) mechanism: String,
    pub(super) workload: String,
    spare: String,
    region_bytes: u64,
    load: String,
}

impl Chosen {
    pub(super) fn holds(&self, trial: &Trial) -> bool {
        self.holds_levels(&trial.levels)
    }

    pub(super) fn holds_levels(&self, levels: &Levels) -> bool {
        let Self { mechanism, workload, spare, region_bytes, load } = self;
        levels.mechanism == *mechanism
            && levels.workload == *workload
            && levels.spare == *spare
            && levels.region_bytes == *region_bytes
            && levels.load == *load
    }
}

pub(super) fn choose(trials: &[Trial], wanted: &Wanted) -> Result<Chosen, FitError> {
    let mut left: Vec<&Trial> = trials.iter().collect();
    let mut one = |factor, wanted: Option<String>, level: &dyn Fn(&Trial) -> String| {
        let levels: BTreeSet<String> = left.iter().map(|trial| level(trial)).collect();
        let list = levels.iter().cloned().collect::<Vec<_>>().join(", ");
        let chosen = match wanted {
            Some(wanted) if levels.contains(&wanted) => wanted,
            Some(wanted) => {
                let nearest = names::nearest(&wanted, levels.iter().map(String::as_str)).unwrap_or_default().to_owned();
                return Err(FitError::NotThere { factor, wanted, nearest, levels: list });
            }
            None if levels.len() > 1 => return Err(FitError::Several { factor, levels: list }),
            None => levels.into_iter().next().ok_or_else(|| FitError::Missing {
                parameter: "recovery_ns",
                missing: "the run has no trials".to_owned(),
            })?,
        };
        left.retain(|trial| level(trial) == chosen);
        Ok(chosen)
    };
    let region = |bytes: u64| Size::at_least(bytes).to_string();
    let chosen = Chosen {
        workload: one("workload", wanted.workload.clone(), &|trial| trial.levels.workload.clone())?,
        mechanism: one("mechanism", wanted.mechanism.clone(), &|trial| trial.levels.mechanism.clone())?,
        spare: one("spare", wanted.spare.clone(), &|trial| trial.levels.spare.clone())?,
        load: one("load", wanted.load.clone(), &|trial| trial.levels.load.clone())?,
        region_bytes: {
            let wanted = wanted.region.map(|size| size.to_string());
            let chosen = one("region", wanted, &|trial| region(trial.levels.region_bytes))?;
            trials
                .iter()
                .map(|trial| trial.levels.region_bytes)
                .find(|bytes| region(*bytes) == chosen)
                .unwrap_or_default()
        },
    };
    Ok(chosen)
}
