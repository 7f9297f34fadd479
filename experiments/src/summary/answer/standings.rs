//! Policies under mixes of faults: who is on the front, how clear that is, and how far off replay and simulation are.

use crate::record::{Figure, Mean, Prediction, Predictor, Standing, Summary};
use crate::statistics::median;
use crate::units::{count, duration, percent, three_digits};
use std::collections::BTreeSet;

pub(super) fn sentences(summary: &Summary) -> Vec<String> {
    let mixes = summary.standings.chunk_by(|a, b| (&a.mix, &a.setting) == (&b.mix, &b.setting));
    let settings: BTreeSet<&str> = summary.standings.iter().map(|standing| standing.setting.as_str()).collect();
    let mut sentences: Vec<String> = mixes.flat_map(|mix| of_mix(mix, settings.len() > 1)).collect();
    sentences.extend(Predictor::ALL.into_iter().filter_map(|by| error(&summary.predictions, by)));
    sentences
}

/// The front of a mix, and who is off it.
fn of_mix(mix: &[Standing], name_setting: bool) -> Vec<String> {
    let Some(first) = mix.first() else { return Vec::new() };
    let mut about = format!("Mix {}", first.mix);
    if name_setting {
        about += &format!(" ({})", first.setting);
    }
    let faults = first.met_by_all.faults;
    if faults == 0 {
        return vec![format!(
            "{about}: no fault was met by all policies, so that they are not held against each other."
        )];
    }
    let front: Vec<&Standing> = mix.iter().filter(|standing| standing.on_front).collect();
    let told: Vec<String> = front.iter().map(|standing| told(standing)).collect();
    let mut sentences = vec![format!(
        "{about}: on the front, where no other policy loses less of both work and time in the mean over the {} that all have \
         met, {}.",
        count(faults, "fault", "faults"),
        told.join("; ")
    )];
    let off: Vec<&Standing> = mix.iter().filter(|standing| !standing.on_front).collect();
    let (beaten, unclear): (Vec<&Standing>, Vec<&Standing>) =
        off.into_iter().partition(|standing| !standing.beaten_by.is_empty());
    let clear = front.iter().filter(|standing| !standing.beaten_by.is_empty());
    let beaten: Vec<String> = beaten
        .into_iter()
        .map(|standing| format!("{} by {}", standing.policy, standing.beaten_by.join(", ")))
        .collect();
    if !beaten.is_empty() {
        sentences.push(format!("{about}, beaten trial by trial, beyond chance: {}.", beaten.join("; ")));
    }
    let unclear: Vec<&str> = unclear.iter().map(|standing| standing.policy.as_str()).collect();
    if !unclear.is_empty() {
        sentences.push(format!(
            "{about}, off the front by the means, which the trials do not carry: {}.",
            unclear.join(", ")
        ));
    }
    let lucky: Vec<&str> = clear.map(|standing| standing.policy.as_str()).collect();
    if !lucky.is_empty() {
        sentences.push(format!("{about}, on the front by the means, but beaten trial by trial: {}.", lucky.join(", ")));
    }
    sentences
}

/// What it lost over these faults; restarts, and how many are complete, of all of its trials.
fn told(standing: &Standing) -> String {
    format!(
        "{} (work lost {}, time lost {}; {} restarts a trial, {} of {} complete)",
        standing.policy,
        share(standing.met_by_all.work_lost),
        time(standing.met_by_all.time_lost_ns),
        three_digits(standing.restarts.mean),
        standing.complete,
        standing.trials
    )
}

fn share(mean: Mean) -> String {
    percent(mean.mean) + &spread(mean, percent)
}

fn time(mean: Mean) -> String {
    signed(mean.mean) + &spread(mean, duration)
}

/// Half of the interval; all trials alike have none, which is no proof that the next one is.
fn spread(mean: Mean, words: fn(f64) -> String) -> String {
    match mean.half {
        None => String::new(),
        Some(0.0) => " in each trial".to_owned(),
        Some(half) => format!(" ± {}", words(half)),
    }
}

/// A time that may be a little below 0, where a trial happened to be faster than the crash-free ones.
fn signed(ns: f64) -> String {
    if ns < 0.0 { format!("−{}", duration(-ns)) } else { duration(ns) }
}

/// How far off a predictor is, in the median and at the worst, for each figure.
fn error(predictions: &[Prediction], by: Predictor) -> Option<String> {
    let own = |figure| predictions.iter().filter(move |one| one.by == by && one.figure == figure);
    let told: Vec<String> = Figure::ALL
        .into_iter()
        .filter_map(|figure| {
            let errors: Vec<(f64, &Prediction)> =
                own(figure).filter_map(|prediction| Some((prediction.error?, prediction))).collect();
            let (most, worst) = errors.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
            // In millionths: quantiles are of whole numbers.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let median = median(errors.iter().map(|(error, _)| (error * 1e6) as u64).collect())? / 1e6;
            let within = own(figure).filter(|prediction| prediction.within).count();
            let zero = own(figure).count() - errors.len();
            let zero = if zero == 0 { String::new() } else { format!(", {zero} with 0 measured left out") };
            Some(format!(
                "{} {} in the median and {} at the worst ({} under {}), within the measured interval {within} of {}{zero}",
                figure.in_words(),
                percent(median),
                percent(*most),
                worst.policy,
                worst.mix,
                own(figure).count()
            ))
        })
        .collect();
    (!told.is_empty())
        .then(|| format!("Error of the {}, relative to what was measured: {}.", by.in_words(), told.join("; ")))
}
