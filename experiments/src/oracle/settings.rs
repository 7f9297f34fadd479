//! Settings files, read once more: by Rust, on a stack of its own, and without the C parser's bugs.

use crate::workloads::digest::{Digest, Digester};
use crate::workloads::native::corpus::Corpus;
use crate::workloads::native::{Summary, Wrong};
use fnv::FnvHasher;
use std::collections::BTreeSet;
use std::hash::Hasher;

/// The digests of a `native` state after each of these numbers of inputs but the `excluded` ones, which are given by name.
pub fn native_digests(corpus: &Corpus, after: &[u64], excluded: &BTreeSet<String>) -> Vec<Digest> {
    let numbers =
        (0..after.iter().copied().max().unwrap_or(0)).filter(|number| !excluded.contains(&Corpus::name(*number)));
    let read: Vec<_> = numbers.map(|number| (number, summary(&corpus.input(number)))).collect();
    let digest = |&after: &u64| {
        let mut digester = Digester::new();
        let mut totals = [0_u64; 6];
        let read = || read.iter().take_while(|(number, _)| *number < after);
        for (number, summary) in read().filter_map(|(number, read)| Some((number, read.ok()?))) {
            digester.number(*number);
            for (total, figure) in totals.iter_mut().zip(summary.figures()) {
                digester.number(*figure);
                *total = total.wrapping_add(*figure);
            }
        }
        totals.into_iter().for_each(|total| digester.number(total));
        for (number, wrong) in read().filter_map(|(number, read)| Some((number, read.err()?))) {
            digester.number(*number);
            digester.number(wrong.line);
        }
        digester.finish()
    };
    after.iter().map(digest).collect()
}

/// A value; lists hold values.
enum Value {
    Number(i64),
    Text(Vec<u8>),
    List(Vec<Value>),
}

/// What an input holds.
///
/// # Errors
/// Its first wrong line.
pub(super) fn summary(input: &[u8]) -> Result<Summary, Wrong> {
    let mut settings: Vec<(&[u8], Value)> = Vec::new();
    for (number, line) in (1..).zip(input.split(|byte| *byte == b'\n')) {
        statement(&mut settings, line).ok_or(Wrong { line: number })?;
    }
    let mut summary = Summary { entries: settings.len() as u64, ..Summary::default() };
    let mut hasher = FnvHasher::default();
    for (name, value) in settings {
        hasher.write(name);
        hasher.write(&[0]);
        add(&mut summary, &mut hasher, value);
    }
    summary.digest = hasher.finish();
    Ok(summary)
}

/// Does what a line says; `None` where it is wrong.
fn statement<'a>(settings: &mut Vec<(&'a [u8], Value)>, line: &'a [u8]) -> Option<()> {
    let line = blanks(line);
    let named = line.iter().take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || **byte == b'-');
    let (name, rest) = line.split_at(named.count());
    if !name.first().is_some_and(u8::is_ascii_lowercase) {
        return comment(line);
    }
    let rest = blanks(rest);
    let place = |settings: &[(&[u8], Value)], name: &[u8]| settings.iter().position(|(known, _)| *known == name);
    if name == b"unset" && rest.first().is_some_and(u8::is_ascii_lowercase) {
        let named = rest.iter().take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || **byte == b'-');
        let (name, rest) = rest.split_at(named.count());
        settings.remove(place(settings, name)?);
        return comment(rest);
    }
    if let Some(rest) = rest.strip_prefix(b"+=") {
        let set = place(settings, name)?;
        let Value::Text(text) = &mut settings[set].1 else { return None };
        let rest = self::text(blanks(rest).strip_prefix(b"\"")?, text)?;
        return comment(rest);
    }
    let (value, rest) = value(rest.strip_prefix(b"=")?)?;
    match place(settings, name) {
        Some(place) => settings[place].1 = value,
        None => settings.push((name, value)),
    }
    comment(rest)
}

fn blanks(text: &[u8]) -> &[u8] {
    let blank = text.iter().take_while(|byte| **byte == b' ').count();
    &text[blank..]
}

/// That nothing follows but a comment.
fn comment(text: &[u8]) -> Option<()> {
    matches!(blanks(text).first(), None | Some(b'#')).then_some(())
}

/// The value that `text` begins with, and what follows it. The lists that are open are a list themselves.
fn value(mut text: &[u8]) -> Option<(Value, &[u8])> {
    let mut open: Vec<Vec<Value>> = Vec::new();
    loop {
        text = blanks(text);
        let mut whole = if let Some(rest) = text.strip_prefix(b"[") {
            text = rest;
            match blanks(rest).strip_prefix(b"]") {
                Some(rest) => {
                    text = rest;
                    Value::List(Vec::new())
                }
                None => {
                    open.push(Vec::new());
                    continue;
                }
            }
        } else if let Some(rest) = text.strip_prefix(b"\"") {
            let mut bytes = Vec::new();
            text = self::text(rest, &mut bytes)?;
            Value::Text(bytes)
        } else {
            let sign = usize::from(text.first() == Some(&b'-'));
            let digits = text[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (number, rest) = text.split_at(sign + digits);
            text = rest;
            Value::Number(std::str::from_utf8(number).ok()?.parse().ok()?)
        };
        // What is whole is an item of the innermost list, which it may make whole as well.
        loop {
            let Some(mut list) = open.pop() else { return Some((whole, text)) };
            list.push(whole);
            text = blanks(text);
            let (mark, rest) = text.split_first()?;
            text = rest;
            match mark {
                b']' => whole = Value::List(list),
                b',' => {
                    open.push(list);
                    break;
                }
                _ => return None,
            }
        }
    }
}

/// Adds the text up to its closing quote to `to`; what follows.
fn text<'a>(text: &'a [u8], to: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut bytes = text.iter();
    loop {
        match bytes.next()? {
            b'"' => return Some(bytes.as_slice()),
            b'\\' => match bytes.next()? {
                b't' => to.resize(to.len() / 8 * 8 + 8, b' '),
                b'n' => to.push(b'\n'),
                byte @ (b'"' | b'\\') => to.push(*byte),
                _ => return None,
            },
            byte => to.push(*byte),
        }
    }
}

/// Counts a value and all in it.
fn add(summary: &mut Summary, hasher: &mut FnvHasher, value: Value) {
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        let (kind, number) = match &value {
            Value::Number(number) => (0, number.cast_unsigned()),
            Value::Text(text) => (1, text.len() as u64),
            Value::List(items) => (2, items.len() as u64),
        };
        hasher.write(&[kind]);
        hasher.write(&number.to_le_bytes());
        match value {
            Value::Number(_) => {
                summary.numbers += 1;
                summary.sum = summary.sum.wrapping_add(number);
            }
            Value::Text(text) => {
                summary.texts += 1;
                hasher.write(&text);
            }
            Value::List(items) => {
                summary.lists += 1;
                waiting.extend(items.into_iter().rev());
            }
        }
    }
}
