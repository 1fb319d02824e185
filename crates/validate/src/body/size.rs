//! How much a model has to read.

use skill::{Diagnostic, Location, Rule};

use super::{grouped, is_material, tokens};
use crate::subject::{Findings, Subject};

/// What the standard recommends for `SKILL.md`.
const MAX_LINES: usize = 500;
const MAX_TOKENS: usize = 5_000;
/// What a model can read of one reference without losing the rest.
const MAX_REFERENCE_TOKENS: usize = 10_000;

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    if let Some((text, start)) = subject.body() {
        let lines = text.line_count();
        if lines > MAX_LINES {
            let message = format!("the file has {} lines", grouped(lines));
            findings.push(
                Diagnostic::new(Rule::BODY_LINES, Location::file(subject.file()), message).with_help(
                    "keep what is always needed; move the rest into `references/` and name the files",
                ),
            );
        }
        let tokens = tokens(&text.content[start..]);
        if tokens > MAX_TOKENS {
            let message = format!("the instructions have about {} tokens", grouped(tokens));
            findings.push(
                Diagnostic::new(Rule::BODY_TOKENS, Location::file(subject.file()), message).with_help(
                    "move details into files in `references/`, which are read when they are needed",
                ),
            );
        }
    }
    for path in subject.documents().filter(|path| *path != subject.file() && !is_material(path)) {
        let Some(text) = subject.text(path) else { continue };
        let tokens = tokens(&text.content);
        if tokens > MAX_REFERENCE_TOKENS {
            let message = format!("the file has about {} tokens", grouped(tokens));
            findings.push(
                Diagnostic::new(Rule::REFERENCE_TOKENS, Location::file(path), message)
                    .with_help("split it by topic, so that a model reads only the part it needs"),
            );
        }
    }
}
