//! That Daly's formula, with what a commit and a restart were measured to take, says what goodput the best measured
//! interval has: within 5 %, or with the reason.

use super::target;
use crate::goodput::{CLOSE, Series, percent, why};
use crate::record::{Summary, Target};
use crate::units::{count, duration};

pub(super) fn targets(summary: &Summary) -> Vec<Target> {
    Series::all(summary).iter().filter_map(of).collect()
}

fn of(series: &Series<'_>) -> Option<Target> {
    let best = series.best()?;
    let model = series.model(best.commit_every).useful;
    let about = format!("goodput, {}", series.mechanism);
    let measured = format!(
        "a crash every {} and a commit every {} ({})",
        duration(series.costs.mtbf_ns),
        count(best.commit_every, "step", "steps"),
        percent(best.share())
    );
    let against = format!("Daly's formula ({}), the larger over the smaller", percent(model));
    let row = target(&about, measured, against, 1.0 + CLOSE);
    if best.goodput.p50_ci.is_none() {
        let remark = format!("{} are too few for a median", count(best.goodput.n, "lap", "laps"));
        return Some(Target { remark: Some(remark), ..row });
    }
    let over = best.share() / model;
    if !(over.is_finite() && over > 0.0) {
        return Some(Target { remark: Some("no step was kept, or none would be by the formula".to_owned()), ..row });
    }
    Some(Target { remark: why(series, best), ..row.with_ratio(over.max(1.0 / over)) })
}
