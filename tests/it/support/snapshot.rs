//! Makes what a run printed the same on every machine and at every time, so that it can be a snapshot.
//!
//! Times become `[time]`, sizes that a run measured `[size]`, the test's own directories and ids words in brackets.
//! Everything else stays: a snapshot is there to show what a user sees.

use std::path::Path;

use super::skillbox::Ran;

/// A run as a snapshot shows it: the exit code, then both streams.
pub(crate) fn shown(ran: &Ran, directories: &[(&Path, &str)]) -> String {
    let code = ran.status.code().map_or_else(|| ran.status.to_string(), |code| code.to_string());
    let part =
        |name: &str, text: &str| if text.is_empty() { String::new() } else { format!("--- {name}\n{text}") };
    let whole = format!("exit: {code}\n{}{}", part("stdout", &ran.stdout), part("stderr", &ran.stderr));
    normal(&whole, directories)
}

/// Text without what differs from run to run.
pub(crate) fn normal(text: &str, directories: &[(&Path, &str)]) -> String {
    let mut text = text.to_owned();
    for (path, word) in directories {
        text = text.replace(path.to_str().unwrap(), word);
    }
    // Which walls there are is the machine's.
    let text: String =
        text.split_inclusive('\n').filter(|line| !line.starts_with("warning: sandboxes here lack")).collect();
    let text = numbers_with_unit(&text, &["ms", "s", "min"], "[time]");
    let text = after(&text, "Ms\": ", |character| character.is_ascii_digit(), "[ms]");
    let text =
        after(&text, "peak ", |character| character.is_alphanumeric() || ". ".contains(character), "[size] ");
    let text = after(&text, "digest        ", |character| character.is_ascii_hexdigit(), "[digest]");
    let text = uuids(&text);
    after(&text, "sig=", |character| !character.is_whitespace() && character != '"', "[signature]")
}

/// Numbers in front of one of these units.
fn numbers_with_unit(text: &str, units: &[&str], word: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let number = from.len()
            - from.trim_start_matches(|character: char| character.is_ascii_digit() || character == '.').len();
        let (digits, after) = from.split_at(number);
        let is_own_word = !before
            .ends_with(|character: char| character.is_alphanumeric() || character == '_' || character == '-');
        let unit = units.iter().find_map(|unit| {
            let after_unit = after.strip_prefix(' ').unwrap_or(after).strip_prefix(unit)?;
            (!after_unit.starts_with(|character: char| character.is_alphanumeric())).then_some(after_unit)
        });
        match unit.filter(|_| is_own_word) {
            Some(after_unit) => {
                out.push_str(word);
                rest = after_unit;
            }
            None => {
                out.push_str(digits);
                rest = after;
            }
        }
    }
    out + rest
}

/// Replaces what follows `before` as long as `part` says that it belongs to it.
fn after(text: &str, before: &str, part: impl Fn(char) -> bool, word: &str) -> String {
    let mut pieces = text.split(before);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push_str(before);
        let trimmed = piece.trim_start_matches(&part);
        out.push_str(if trimmed.len() < piece.len() { word } else { "" });
        out.push_str(trimmed);
    }
    out
}

fn uuids(text: &str) -> String {
    let is_uuid = |candidate: &str| {
        candidate.len() == 36
            && candidate.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
    };
    let mut out = String::new();
    let mut at = 0;
    while at < text.len() {
        if text.get(at..at + 36).is_some_and(is_uuid) {
            out.push_str("[uuid]");
            at += 36;
        } else {
            let next = text[at..].chars().next().unwrap();
            out.push(next);
            at += next.len_utf8();
        }
    }
    out
}

#[test]
fn only_what_differs_is_replaced() {
    let check =
        |text: &str, expected: &str| assert_eq!(normal(text, &[(Path::new("/tmp/x"), "[dir]")]), expected);
    check("ready in 12.5 ms, 3s; Python 3.11, v1.2", "ready in [time], [time]; Python 3.11, v1.2");
    check("1.2 KB 300 ms2 utf-8 s", "1.2 KB 300 ms2 utf-8 s");
    check("\"durationMs\": 412,", "\"durationMs\": [ms],");
    check("/tmp/x/out é 018f4d9e-0000-7000-8000-0123456789ab.", "[dir]/out é [uuid].");
    check("peak 3.0 MB · x", "peak [size] · x");
    check("?exp=1&sig=ab.cd-e_ \"", "?exp=1&sig=[signature] \"");
}
