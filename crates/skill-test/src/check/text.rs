//! Texts: what a program printed, what is in a file, what an error says.

use skill::Span;

use crate::{
    check::{Checker, Named, json},
    expect::TextCheck,
    failure::{Failure, Subject},
};

/// Longest text that is named in a sentence, in characters; longer ones, and those of several lines, are compared line by line.
const SHORT: usize = 100;
/// Longest excerpt in a message, in characters.
const EXCERPT: usize = 1_000;

impl Checker<'_> {
    /// Checks one text.
    pub(crate) fn text(&mut self, check: &TextCheck, span: Span, text: &str, named: &Named<'_>) {
        let name = named.name;
        let fail = |message: String| Failure::new(named.subject, span, message);
        let failure = match check {
            TextCheck::Equals(wanted) if wanted == text => return,
            TextCheck::Equals(wanted) if is_short(wanted) && is_short(text) => {
                fail(format!("expected {name} to be {wanted:?}, got {text:?}"))
            }
            TextCheck::Equals(wanted) => {
                fail(format!("{name} is not what is expected")).with_diff(wanted, text)
            }
            TextCheck::Contains(part) if text.contains(part.as_str()) => return,
            TextCheck::Contains(part) => {
                fail(format!("expected {name} to contain {part:?}{}", seen(text, named)))
            }
            TextCheck::NotContains(part) => match text.find(part.as_str()) {
                None => return,
                Some(at) => {
                    let line = text[..at].matches('\n').count() + 1;
                    fail(format!("expected {name} not to contain {part:?}, but line {line} does"))
                }
            },
            TextCheck::Matches(regex) if regex.is_match(text) => return,
            TextCheck::Matches(regex) => {
                fail(format!("expected {name} to match `{}`{}", regex.as_str(), seen(text, named)))
            }
            TextCheck::Json(wanted) => match json::check_text(text, wanted, name) {
                Ok(()) => return,
                Err(message) => fail(message),
            },
            TextCheck::Snapshot(file) => {
                self.snapshot(file, span, text, named);
                return;
            }
        };
        self.failures.push(failure);
    }
}

fn is_short(text: &str) -> bool {
    text.trim_end_matches('\n').lines().count() <= 1 && text.chars().count() <= SHORT
}

/// What there is instead. The streams of a program are shown beside the failure, so they are not repeated.
fn seen(text: &str, named: &Named<'_>) -> String {
    match named.subject {
        Subject::Stdout | Subject::Stderr if text.is_empty() => ", but it is empty".to_owned(),
        Subject::Stdout | Subject::Stderr => String::new(),
        _ if text.is_empty() => ", but it is empty".to_owned(),
        _ => {
            let excerpt: String = text.chars().take(EXCERPT).collect();
            let more = if excerpt.len() < text.len() { "…" } else { "" };
            format!(", got {:?}{more}", excerpt)
        }
    }
}
