//! What is expected of a text: what a program printed, or what is in a file.

use regex::{Regex, RegexBuilder};

use crate::{
    expect::{PointerCheck, pointers},
    fields::{self, Fields},
    place::inner_path,
    problem::{At, Problems},
    yaml::{Node, Value},
};

/// The keys of a text.
pub(crate) const TEXT: &[&str] = &["equals", "contains", "not_contains", "matches", "json", "snapshot"];
/// Longest compiled form of a regular expression, in bytes.
const REGEX_BYTES: usize = 1 << 20;

/// One thing that must be true of a text.
#[derive(Clone, Debug)]
pub enum TextCheck {
    /// It is this.
    Equals(String),
    /// This is in it.
    Contains(String),
    /// This is not in it.
    NotContains(String),
    /// It has a match. `^` and `$` are the ends of lines.
    Matches(Regex),
    /// It is JSON with a value at a place.
    Json(PointerCheck),
    /// It is what is in this file, relative to the folder of the test file; `[..]` stands for any part of a line.
    Snapshot(String),
}

/// Reads what is expected of a text: a bare text, or a map.
pub(crate) fn parse(node: &Node, what: &str, problems: &mut Problems) -> Vec<At<TextCheck>> {
    let Value::Map(_) = node.value else {
        let text = fields::text(node, what, problems);
        return text.map(|text| At::new(TextCheck::Equals(text), node.span)).into_iter().collect();
    };
    let Some(fields) = Fields::of(node, what, TEXT, problems) else { return Vec::new() };
    let mut checks = of_fields(&fields, problems);
    if let Some(node) = fields.get("json") {
        let wanted = pointers(node, "`json`", problems).into_iter();
        checks.extend(wanted.map(|check| At::new(TextCheck::Json(check.value), check.span)));
    }
    if let Some(node) = fields.get("snapshot")
        && let Some(name) = fields::name(node, "`snapshot`", problems)
    {
        match inner_path(&name) {
            Some(path) => checks.push(At::new(TextCheck::Snapshot(path), node.span)),
            None => problems
                .add(node.span, format!("a snapshot cannot be at `{}`", name.escape_debug()))
                .help("name a file in the folder of the test file, or below it"),
        }
    }
    if fields.is_empty() {
        problems.add(node.span, format!("{what} says nothing")).help("for example `{ contains: Saved }`");
    }
    checks
}

/// The checks that every map of texts has.
pub(crate) fn of_fields(fields: &Fields<'_>, problems: &mut Problems) -> Vec<At<TextCheck>> {
    let mut checks = Vec::new();
    if let Some(node) = fields.get("equals")
        && let Some(text) = fields::text(node, "`equals`", problems)
    {
        checks.push(At::new(TextCheck::Equals(text), node.span));
    }
    for key in ["contains", "not_contains"] {
        let Some(node) = fields.get(key) else { continue };
        for part in fields::texts(node, &format!("`{key}`"), problems) {
            if part.value.is_empty() {
                problems.add(part.span, format!("`{key}` must not be empty: that is in every text"));
                continue;
            }
            let check = if key == "contains" { TextCheck::Contains } else { TextCheck::NotContains };
            checks.push(At::new(check(part.value), part.span));
        }
    }
    if let Some(node) = fields.get("matches") {
        for pattern in fields::texts(node, "`matches`", problems) {
            match RegexBuilder::new(&pattern.value).multi_line(true).size_limit(REGEX_BYTES).build() {
                Ok(regex) => checks.push(At::new(TextCheck::Matches(regex), pattern.span)),
                Err(error) => {
                    let told = error.to_string();
                    let why =
                        told.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                    problems.add(pattern.span, format!("invalid regular expression: {why}"));
                }
            }
        }
    }
    checks
}
