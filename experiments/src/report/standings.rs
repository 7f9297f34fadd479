//! The report's tables of policies under mixes of faults, and of what was predicted of that.

use super::NOTHING;
use crate::record::{Figure, Mean, Prediction, Standing};
use crate::units::{duration, percent, three_digits};
use maud::{Markup, html};

pub(super) fn table(standings: &[Standing]) -> Markup {
    html! {
        p {
            "One line a mix and policy. A figure is a mean over the trials, with half of its 95 % confidence interval by "
            "Student’s t. Work lost is the share of operations that are not there and right at the end; time lost is what "
            "a trial took beyond the crash-free time of those that are. Both stand there over all trials of a policy, and "
            "over the faults that all policies of the mix have met: the front is of these. “Beaten by” names policies on the front which lose "
            "less in work or time, and more in neither, by a sign test over pairs of trials with the same fault, at 5 % "
            "after Bonferroni’s correction."
        }
        div.wide { table {
            thead { tr {
                @for head in [
                    "mix", "policy", "setting", "trials", "complete", "given up", "wrong", "work lost", "time lost",
                    "met by all", "work lost of these", "time lost of these", "crash-free time", "restarts", "done again", "on the front", "beaten by",
                ] { th scope="col" { (head) } }
            } }
            tbody { @for standing in standings { (row(standing)) } }
        } }
    }
}

fn row(standing: &Standing) -> Markup {
    html! {
        tr {
            td { (standing.mix) }
            td { (standing.policy) }
            td { (standing.setting) }
            @for n in [standing.trials, standing.complete, standing.gave_up, standing.wrong] { td.n { (n) } }
            td.n { (mean(standing.work_lost, percent)) }
            td.n { (mean(standing.time_lost_ns, time)) }
            td.n { (standing.met_by_all.faults) }
            td.n { (mean(standing.met_by_all.work_lost, percent)) }
            td.n { (mean(standing.met_by_all.time_lost_ns, time)) }
            td.n { (duration(standing.crash_free_ns)) " (n = " (standing.crash_free_trials) ")" }
            td.n { (mean(standing.restarts, three_digits)) }
            td.n { (mean(standing.done_again, three_digits)) }
            td { @if standing.on_front { "yes" } @else { "no" } }
            td { (if standing.beaten_by.is_empty() { NOTHING.to_owned() } else { standing.beaten_by.join(", ") }) }
        }
    }
}

fn mean(mean: Mean, words: fn(f64) -> String) -> String {
    words(mean.mean) + &mean.half.map(|half| format!(" ± {}", words(half))).unwrap_or_default()
}

fn time(ns: f64) -> String {
    if ns < 0.0 { format!("−{}", duration(-ns)) } else { duration(ns) }
}

/// What was predicted beside what was measured: a line a prediction of restarts, time and work.
pub(super) fn predictions(predictions: &[Prediction]) -> Markup {
    let lines =
        predictions.chunk_by(|a, b| (&a.mix, &a.policy, &a.setting, a.by) == (&b.mix, &b.policy, &b.setting, b.by));
    html! {
        p {
            "What a replay of the crashes of " (crate::forecast::BASE) " and a simulation with parameters fitted from this "
            "run say of each policy, beside what was measured. The error is the distance over what was measured. The replay "
            "to the first difference takes it that nothing crashes any more after a decision that was not the recorded one; "
            "the other one that all recorded crashes come whatever is decided. The simulation has the shares of poison and "
            "of propagated faults from the trials under " (crate::forecast::BASE) ", and its times from all crashes that were "
            "recorded under the mix; it does not know that a trial ends a daemon which is made again too often."
        }
        div.wide { table {
            thead { tr {
                @for head in ["mix", "policy", "by"] { th scope="col" { (head) } }
                @for figure in Figure::ALL {
                    th scope="col" { (figure.in_words()) ", predicted" }
                    th scope="col" { "measured" }
                    th scope="col" { "error" }
                }
            } }
            tbody { @for line in lines { tr {
                td { (line[0].mix) }
                td { (line[0].policy) }
                td { (line[0].by.in_words()) }
                @for figure in Figure::ALL { @match line.iter().find(|one| one.figure == figure) {
                    Some(one) => {
                        td.n { (words(figure, one.predicted)) }
                        td.n { (words(figure, one.measured)) }
                        td.n { (one.error.map_or(NOTHING.to_owned(), percent)) }
                    }
                    None => { td { (NOTHING) } td { (NOTHING) } td { (NOTHING) } }
                } }
            } } }
        } }
    }
}

fn words(figure: Figure, value: f64) -> String {
    match figure {
        Figure::Restarts => three_digits(value),
        Figure::TimeLost => time(value),
        Figure::WorkLost => percent(value),
    }
}
