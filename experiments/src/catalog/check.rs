//! What no single value of a suite shows: its parts must fit together.

use super::minimum_region;
use crate::faults::Fault;
use crate::names;
use crate::record::Levels;
use crate::suite::{Batch, Factors, Stencil, Suite};
use crate::when::Trigger;
use crate::workloads::stencil::Heat;
use crashbed::MechanismKind;
use std::collections::HashMap;

/// What is wrong, and where.
pub(super) struct Wrong {
    /// The key's path.
    pub(super) key: &'static [&'static str],
    /// Which block of factors it is in, where there are several.
    pub(super) block: usize,
    /// What is wrong, and what would be right.
    pub(super) problem: String,
}

pub(super) fn check(suite: &Suite) -> Result<(), Wrong> {
    if suite.factors.is_empty() && suite.measure.is_empty() {
        let problem = "the suite has nothing to do: write `[factors]` for trials, a `[[measure]]`, or both";
        return Err(Wrong { key: &[], block: 0, problem: problem.to_owned() });
    }
    for (number, block) in suite.factors.iter().enumerate() {
        let checked = declared(block).and_then(|()| regions(suite, block)).and_then(|()| batches(suite, block));
        checked.map_err(|(key, problem)| Wrong { key, block: number, problem })?;
    }
    overlap(suite)?;
    let whole = struck(suite).and_then(|()| residual(suite));
    whole.map_err(|(key, problem)| Wrong { key, block: 0, problem })
}

type Checked = Result<(), (&'static [&'static str], String)>;

/// An operation that is to be struck must be in each script.
fn struck(suite: &Suite) -> Checked {
    let Trigger::AtOperation(Some(at)) = suite.trigger else { return Ok(()) };
    let workloads = names::WORKLOADS.iter().filter(|workload| suite.has_workload(workload));
    for (workload, operations) in workloads.filter_map(|name| Some((name, suite.workload.operations(name)?))) {
        if at >= operations {
            let problem = format!("operation {at} is never reached: `{workload}` has {operations}, counted from 0");
            return Err((&["trigger", "at"], problem));
        }
    }
    Ok(())
}

/// A plate that has cooled down shows no step any more.
fn residual(suite: &Suite) -> Checked {
    if !suite.has_workload("stencil") {
        return Ok(());
    }
    let Stencil { size, steps, .. } = suite.workload.stencil;
    let most = Heat::most_steps(size);
    if steps > most {
        let problem = format!(
            "after {steps} steps a plate of {size} cells a side is too cold for its residual to prove each step; {most} \
             are the most"
        );
        return Err((&["workload", "stencil", "steps"], problem));
    }
    Ok(())
}

/// No workload's state is made of fields that log their changes.
fn declared(block: &Factors) -> Checked {
    let needs = |name: &&String| name.parse().is_ok_and(MechanismKind::needs_declared_writes);
    match (block.mechanism.iter().find(needs), block.workload.first()) {
        (Some(mechanism), Some(workload)) => {
            let problem = format!(
                "the mechanism `{mechanism}` is for states that declare what they write, and the workload `{workload}` does \
                 not: leave it out"
            );
            Err((&["factors", "mechanism"], problem))
        }
        _ => Ok(()),
    }
}

fn regions(suite: &Suite, block: &Factors) -> Checked {
    for workload in &block.workload {
        let needed = minimum_region(&suite.workload, workload);
        if let Some(region) = block.region.iter().find(|region| **region < needed) {
            let problem = format!("a region of {region} is smaller than the workload `{workload}` needs: {needed}");
            return Err((&["factors", "region"], problem));
        }
    }
    if let Some(region) = block.region.iter().find(|region| region.bytes() > crashbed::LARGEST_REGION as u64) {
        let problem = format!("a region of {region} is larger than the engine takes: 32 GiB are the most");
        return Err((&["factors", "region"], problem));
    }
    Ok(())
}

/// A batch is one transaction of `kv` that is stopped again and again.
fn batches(suite: &Suite, block: &Factors) -> Checked {
    if block.batch == 1 {
        return match block.touch {
            true => Err((&["factors", "touch"], "only trials in a batch can touch their region".to_owned())),
            false => Ok(()),
        };
    }
    let (batch, operations) = (block.batch, suite.workload.kv.operations);
    if batch > Batch::MOST {
        return Err((&["factors", "batch"], format!("a batch of {batch} is too large: {} are the most", Batch::MOST)));
    }
    if batch >= operations {
        let problem = format!("a batch of {batch} needs more operations of `kv` than that, which has {operations}");
        return Err((&["factors", "batch"], problem));
    }
    if let Some(workload) = block.workload.iter().find(|workload| *workload != "kv") {
        return Err((&["factors", "workload"], format!("a batch cannot be made with `{workload}`, only with `kv`")));
    }
    let stops = |name: &String| matches!(name.parse(), Ok(Fault::Stop(_)));
    if let Some(fault) = block.fault.iter().find(|fault| !stops(fault)) {
        let problem =
            format!("a batch cannot be made with `{fault}`, only with a fault that stops the process at once");
        return Err((&["factors", "fault"], problem));
    }
    match suite.trigger {
        Trigger::AtOperation(None) => Ok(()),
        _ => {
            let problem = "a batch is struck at operations that are drawn: `at-operation` without `at`, or no trigger";
            Err((&["trigger", "kind"], problem.to_owned()))
        }
    }
}

/// A cell in two blocks would have trials of two kinds.
fn overlap(suite: &Suite) -> Result<(), Wrong> {
    let mut known: HashMap<Levels, usize> = HashMap::new();
    for (number, block) in suite.factors.iter().enumerate() {
        for cell in block.levels() {
            if let Some(before) = known.insert(cell.clone(), number) {
                let Levels { policy, mechanism, workload, fault, spare, region_bytes, load } = cell;
                let problem = format!(
                    "block {} has a cell that is in block {} already: {policy}, {mechanism}, {workload}, {fault}, \
                     {spare}, {region_bytes} bytes, load {load}",
                    number + 1,
                    before + 1
                );
                return Err(Wrong { key: &["factors"], block: number, problem });
            }
        }
    }
    Ok(())
}
