//! What became of the state: a heat map of verdicts, a row a fault and a column a mechanism and policy.

use super::legend::Symbol;
use super::sheet::{Align, Point, Sheet};
use super::style::{
    AXIS, BLUE, GREEN, GREY, INK, LABEL, MARGIN, ORANGE, PANEL_TITLE, PURPLE, SKY_BLUE, SMALL, TextStyle, VERMILLION,
    WHITE, YELLOW, fit, text_width, tint,
};
use crate::record::{Trial, Verdict};
use crate::summary::tally;
use plotters::style::RGBColor;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const TITLE: &str = "Outcomes";
pub(super) const READING: &str = "A row is a fault, a column a policy under a mechanism, all workloads together. A cell \
    is coloured and headed by its most frequent verdict, with the trials that got it and the trials in all; the paler, \
    the smaller that share. What else there was stands below it. A heavy frame marks silent corruption. A dash is a \
    combination that was not run.";

/// Verdicts from the worst on, each with its word in a cell and its colour: what a cell names first.
const VERDICTS: [(Verdict, &str, RGBColor); 10] = [
    (Verdict::CorruptSilent, "corrupt silent", VERMILLION),
    (Verdict::CorruptDetected, "corrupt detected", ORANGE),
    (Verdict::Unknown, "unknown", GREY),
    (Verdict::Inconclusive, "inconclusive", RGBColor(190, 190, 190)),
    (Verdict::Hung, "hung", PURPLE),
    (Verdict::CrashedAgain, "crashed again", RGBColor(150, 90, 130)),
    (Verdict::GaveUp, "gave up", YELLOW),
    (Verdict::Zeroed, "zeroed", SKY_BLUE),
    (Verdict::OlderCommit, "older commit", BLUE),
    (Verdict::Exact, "exact", GREEN),
];

/// A row's height where every trial of a cell has the same verdict, and what each further verdict adds.
const ROW: f64 = 34.0;
const LINE: f64 = 15.0;
/// Verdicts that a cell names beside its dominant one, the worst first; the rest is counted together.
const NAMED: usize = 3;
const LEAST_COLUMN: f64 = 168.0;
const WIDEST_LABEL: f64 = 240.0;

pub(super) fn sheet(trials: &[Trial]) -> Sheet {
    let columns: BTreeSet<(&str, &str)> =
        trials.iter().map(|trial| (trial.levels.mechanism.as_str(), trial.levels.policy.as_str())).collect();
    let mut cells: BTreeMap<&str, BTreeMap<(&str, &str), Vec<Verdict>>> = BTreeMap::new();
    for trial in trials {
        let row = cells.entry(&trial.levels.fault).or_default();
        row.entry((&trial.levels.mechanism, &trial.levels.policy)).or_default().push(trial.verdict);
    }
    let label = cells.keys().map(|fault| text_width(fault, LABEL)).fold(60.0, f64::max).min(WIDEST_LABEL);
    let left = MARGIN + label + 12.0;
    let width = ((1200.0 - MARGIN - left) / columns.len().max(1) as f64).max(LEAST_COLUMN);
    // At least 1200, and a few thousand at most.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let mut sheet = Sheet::new((left + width * columns.len().max(1) as f64 + MARGIN).ceil().max(1200.0) as u32);
    let mut y =
        sheet.heading(TITLE, "Verdict of the oracle by fault, mechanism and policy; a cell is all of its trials");
    if cells.is_empty() {
        let bottom = sheet.no_data(y, &super::why_empty(trials));
        return sheet.ending_at(bottom);
    }

    let seen: BTreeSet<Verdict> = trials.iter().map(|trial| trial.verdict).collect();
    let mut entries: Vec<(Symbol, String)> = VERDICTS
        .iter()
        .rev()
        .filter(|(verdict, ..)| seen.contains(verdict))
        .map(|(_, word, colour)| (Symbol::Box(fill(*colour, 1.0), String::new()), (*word).to_owned()))
        .collect();
    if seen.contains(&Verdict::CorruptSilent) {
        entries.push((Symbol::Framed(VERMILLION), "any silent corruption".to_owned()));
    }
    y = sheet.legend(y, &entries);
    y = column_heads(&mut sheet, y, left, width, &columns);
    for (fault, row) in &cells {
        let contents: Vec<Content> =
            columns.iter().map(|column| Content::of(row.get(column).map_or(&[], Vec::as_slice))).collect();
        let lines = contents.iter().map(|content| content.others.len()).max().unwrap_or(0);
        let height = ROW + LINE * lines as f64;
        sheet.text(left - 12.0, y + height / 2.0 + 5.0, Align::Right, LABEL, fit(fault, LABEL, label));
        for (index, content) in contents.iter().enumerate() {
            draw_cell(&mut sheet, (left + width * index as f64, y), (width, height), content);
        }
        y += height;
    }
    sheet.ending_at(y)
}

/// The mechanism over its policies.
fn column_heads(sheet: &mut Sheet, top: f64, left: f64, width: f64, columns: &BTreeSet<(&str, &str)>) -> f64 {
    let mut before = None;
    for (index, (mechanism, policy)) in columns.iter().enumerate() {
        let x = left + width * index as f64;
        if before != Some(mechanism) {
            let policies = columns.iter().filter(|column| column.0 == *mechanism).count() as f64;
            let room = width * policies - 8.0;
            sheet.text(x + 2.0, top + 16.0, Align::Left, PANEL_TITLE, fit(mechanism, PANEL_TITLE, room));
            sheet.line(vec![(x + 2.0, top + 24.0), (x + 2.0 + room, top + 24.0)], 1, AXIS);
            before = Some(mechanism);
        }
        let name = fit(policy, LABEL, width - 8.0);
        sheet.text(x + width / 2.0, top + 42.0, Align::Centre, LABEL, name);
    }
    top + 52.0
}

/// What a cell shows.
struct Content {
    /// The dominant verdict, in words and colour, or why there is none.
    head: String,
    fill: RGBColor,
    /// The other verdicts, a line each.
    others: Vec<String>,
    silent: bool,
}

impl Content {
    fn of(verdicts: &[Verdict]) -> Self {
        let counts = tally(verdicts.iter().copied());
        let found: Vec<_> = VERDICTS.iter().filter_map(|kind| Some((kind, *counts.get(&kind.0)?))).collect();
        // The most frequent one; of equally frequent ones the worst, which `max_by_key` finds last.
        let Some(((dominant, word, colour), most)) = found.iter().rev().max_by_key(|(_, n)| *n) else {
            return Self { head: "–".to_owned(), fill: WHITE, others: Vec::new(), silent: false };
        };
        let rest: Vec<(&str, u64)> =
            found.iter().filter(|(kind, _)| kind.0 != *dominant).map(|((_, word, _), n)| (*word, *n)).collect();
        let mut others: Vec<String> = rest.iter().take(NAMED).map(|(word, n)| format!("{n} {word}")).collect();
        if rest.len() > NAMED {
            let unnamed: u64 = rest[NAMED..].iter().map(|(_, n)| n).sum();
            others.push(format!("{unnamed} other"));
        }
        Self {
            head: format!("{word} {most}/{}", verdicts.len()),
            fill: fill(*colour, *most as f64 / verdicts.len() as f64),
            others,
            silent: counts.contains_key(&Verdict::CorruptSilent),
        }
    }
}

fn draw_cell(sheet: &mut Sheet, (x, y): Point, (width, height): (f64, f64), content: &Content) {
    let (inner, middle) = (width - 4.0, x + width / 2.0);
    sheet.rect(x + 2.0, y + 2.0, inner, height - 4.0, content.fill);
    if content.silent {
        sheet.frame(x + 2.0, y + 2.0, inner, height - 4.0, 3, VERMILLION);
    }
    let mut base = y + height / 2.0 + 5.0 - LINE * content.others.len() as f64 / 2.0;
    sheet.text(middle, base, Align::Centre, LABEL, fit(&content.head, LABEL, inner - 10.0));
    let small = TextStyle { colour: INK, ..SMALL };
    for other in &content.others {
        base += LINE;
        sheet.text(middle, base, Align::Centre, small, fit(other, small, inner - 10.0));
    }
}

/// A cell's colour: pale enough for black text, paler for a smaller share.
fn fill(colour: RGBColor, share: f64) -> RGBColor {
    tint(colour, 0.15 + 0.45 * share)
}
