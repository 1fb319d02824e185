//! Syntax: Python, and the data files that scripts read. Shell and Node scripts are checked by bash and node themselves, in a sandbox.

use std::ops::Range;

use serde::de::IgnoredAny;
use skill::{Diagnostic, Position, Rule, YamlError};

use crate::{
    scripts::is_run,
    subject::{Findings, Subject, Text},
};

/// Data files whose readers take comments and trailing commas.
const WITH_COMMENTS: [&str; 9] = [
    "tsconfig",
    "jsconfig",
    "devcontainer",
    ".eslintrc",
    "tslint",
    "babel.config",
    ".babelrc",
    "settings",
    "launch",
];
/// How templates mark what is to be filled in.
const PLACES: [&str; 3] = ["{{", "{%", "<%"];
/// Files that are broken on purpose, or not yet what their name says.
const UNFINISHED: [&str; 9] =
    ["test", "tests", "fixtures", "template", "templates", "invalid", "broken", "malformed", "evals"];

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for (text, python) in subject.pythons() {
        if is_unfinished(text) {
            continue;
        }
        // What follows the first error is often only its echo.
        if let Some((range, message)) = python.errors.first() {
            let (range, message) = match unclosed_bracket(&text.content) {
                Some(at) => (at..at + 1, format!("`{}` is never closed", &text.content[at..=at])),
                None => (range.clone(), printable(&lowercase(message))),
            };
            let message = format!("Python syntax error: {message}");
            findings.push(Diagnostic::new(Rule::SYNTAX_ERROR, text.at(range), message));
        } else if let Some((range, message)) = python.newer.first()
            && is_run(&text.path)
        {
            let message = format!("this is newer than the Python of sandboxes: {}", lowercase(message));
            let diagnostic = Diagnostic::new(Rule::PYTHON_VERSION, text.at(range.clone()), message);
            findings.push(diagnostic.with_help("write it so that Python 3.11 understands it"));
        }
    }
    for file in subject.draft.files() {
        let Some((stem, extension)) = file.path.rsplit_once('.') else { continue };
        let reader = match extension {
            "json" => json,
            "yaml" | "yml" => yaml,
            "toml" => toml,
            _ => continue,
        };
        let name = stem.rsplit('/').next().unwrap_or(stem);
        if extension == "json" && WITH_COMMENTS.iter().any(|known| name.starts_with(known)) {
            continue;
        }
        let Some(text) = subject.text(&file.path) else { continue };
        if !is_unfinished(text)
            && let Some((range, message)) = reader(&text.content)
        {
            let kind = if extension == "yml" { "yaml" } else { extension }.to_ascii_uppercase();
            let message = format!("{kind} syntax error: {}", printable(&message));
            findings.push(Diagnostic::new(Rule::SYNTAX_ERROR, text.at(range), message));
        }
    }
}

/// The innermost bracket that is open at the end of a Python text; the parser complains of what comes after it. `None` also
/// where brackets do not fit each other, or a string is open.
fn unclosed_bracket(content: &str) -> Option<usize> {
    let bytes = content.as_bytes();
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'#' => at = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |end| at + end),
            b'(' | b'[' | b'{' => open.push(at),
            closing @ (b')' | b']' | b'}') => {
                let fits =
                    |opening: u8| matches!((opening, closing), (b'(', b')') | (b'[', b']') | (b'{', b'}'));
                if !open.pop().is_some_and(|opening| fits(bytes[opening])) {
                    return None;
                }
            }
            quote @ (b'"' | b'\'') => {
                let triple = bytes[at..].starts_with(&[quote; 3]);
                let end: &[u8] = if triple { &[quote; 3] } else { &[quote] };
                at += end.len();
                loop {
                    match bytes.get(at)? {
                        b'\\' => at += 2,
                        b'\n' if !triple => return None,
                        _ if bytes[at..].starts_with(end) => break,
                        _ => at += 1,
                    }
                }
                at += end.len() - 1;
            }
            _ => {}
        }
        at += 1;
    }
    open.pop()
}

/// The largest TOML that is read, in bytes: its reader needs fifty times as much where it is nested.
pub(super) const MAX_TOML: usize = 256 * 1024;

/// Whether a file has places to be filled in, or stands where broken files are kept.
fn is_unfinished(text: &Text) -> bool {
    let has_places = PLACES.iter().any(|mark| text.content.contains(mark));
    if text.path.ends_with(".py") {
        // A template becomes Python later; what runs must be Python now.
        return (has_places || text.path.contains("template")) && !is_run(&text.path);
    }
    has_places || text.path.split('/').rev().skip(1).any(|folder| UNFINISHED.contains(&folder))
}

fn json(content: &str) -> Option<(Range<usize>, String)> {
    let text = content.trim_start_matches('\u{feff}');
    let error = serde_json::from_str::<IgnoredAny>(text).err()?;
    let skipped = content.len() - text.len();
    let at = offset(text, error.line(), error.column());
    // Python writes and reads these; a file that is nested deeper than is read here is no error.
    let word =
        text[..at].rfind(|c: char| !c.is_ascii_alphabetic() && c != '-').map_or(0, |before| before + 1);
    let rest = text[text.ceil_char_boundary(word)..].trim_start_matches('-');
    if rest.starts_with("NaN")
        || rest.starts_with("Infinity")
        || error.to_string().contains("recursion limit")
    {
        return None;
    }
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
    Some((skipped + at..skipped + at, message))
}

fn yaml(content: &str) -> Option<(Range<usize>, String)> {
    let mut base = Position::START;
    loop {
        match skill::parse_yaml(content.get(base.offset..)?, base) {
            // Files may hold several documents; each is read by itself.
            Err(YamlError::Syntax { position, .. })
                if position.offset > base.offset && content.get(position.offset..)?.starts_with("---") =>
            {
                base = position;
            }
            Err(YamlError::Syntax { message, position }) => {
                return Some((position.offset..position.offset, message));
            }
            // What is beyond the limits was fine up to there.
            _ => return None,
        }
    }
}

fn toml(content: &str) -> Option<(Range<usize>, String)> {
    if content.len() > MAX_TOML {
        return None;
    }
    let error = toml::from_str::<toml::Table>(content).err()?;
    let range = error.span().unwrap_or(0..0);
    Some((range, error.message().lines().next().unwrap_or_default().to_owned()))
}

/// The byte at a line and a column, both from 1, the column in bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    text.floor_char_boundary((start + column.saturating_sub(1)).min(text.len()))
}

/// What a parser says with its control characters spelled out: parsers repeat what they could not read.
fn printable(message: &str) -> String {
    message
        .chars()
        .map(|character| match character.is_control() {
            true => character.escape_default().to_string(),
            false => character.to_string(),
        })
        .collect()
}

fn lowercase(message: &str) -> String {
    let mut rest = message.chars();
    match rest.next() {
        Some(first) => first.to_lowercase().chain(rest).collect(),
        None => String::new(),
    }
}
