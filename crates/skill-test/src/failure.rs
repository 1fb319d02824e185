//! Why a case failed, as data: whoever shows it decides how.

use similar::{ChangeTag, TextDiff};
use skill::Span;

/// Lines around a difference that are the same.
const CONTEXT: usize = 2;
/// The most lines of a difference that are kept.
const LINES: usize = 80;

/// One expectation that was not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it is about.
    pub subject: Subject,
    /// What was expected and what was got, as a fragment. What comes from a program is in it as it came.
    pub message: String,
    /// Where two texts differ, line by line.
    pub diff: Vec<DiffLine>,
    /// The expectation's place in the test file.
    pub span: Span,
}

/// What a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// How the program ended.
    Ending,
    /// What it printed.
    Stdout,
    /// What it printed to standard error.
    Stderr,
    /// Its output files.
    Files,
    /// The tool result.
    Result,
    /// The error of the call, or that there is one.
    Error,
    /// How long it took.
    Time,
    /// The case could not be carried out.
    Sandbox,
}

impl Subject {
    /// The name for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ending => "ending",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Files => "files",
            Self::Result => "result",
            Self::Error => "error",
            Self::Time => "time",
            Self::Sandbox => "sandbox",
        }
    }
}

/// A line of a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiffLine {
    /// In both.
    Same(String),
    /// Expected, and not there.
    Missing(String),
    /// There, and not expected.
    Extra(String),
    /// Lines that are the same, or too many, are left out here.
    Gap,
}

impl Failure {
    pub(crate) fn new(subject: Subject, span: Span, message: impl Into<String>) -> Self {
        Self { subject, message: message.into(), diff: Vec::new(), span }
    }

    /// With the difference of two texts.
    pub(crate) fn with_diff(mut self, expected: &str, got: &str) -> Self {
        self.diff = diff(expected, got);
        self
    }
}

/// Where two texts differ.
pub(crate) fn diff(expected: &str, got: &str) -> Vec<DiffLine> {
    let texts = TextDiff::from_lines(expected, got);
    let mut lines = Vec::new();
    for (number, group) in texts.grouped_ops(CONTEXT).iter().enumerate() {
        if number > 0 {
            lines.push(DiffLine::Gap);
        }
        for change in group.iter().flat_map(|op| texts.iter_changes(op)) {
            // A line without an end is told apart from one that has it, since nothing else might differ.
            let value = change.value();
            let text = match value.strip_suffix('\n') {
                Some(line) => line.to_owned(),
                None if change.tag() == ChangeTag::Equal => value.to_owned(),
                None => format!("{value} (no line feed at the end)"),
            };
            lines.push(match change.tag() {
                ChangeTag::Equal => DiffLine::Same(text),
                ChangeTag::Delete => DiffLine::Missing(text),
                ChangeTag::Insert => DiffLine::Extra(text),
            });
        }
    }
    if lines.len() > LINES {
        lines.truncate(LINES);
        lines.push(DiffLine::Gap);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_what_is_missing_and_what_is_too_much() {
        let missing = |line: &str| DiffLine::Missing(line.to_owned());
        let extra = |line: &str| DiffLine::Extra(line.to_owned());
        let same = |line: &str| DiffLine::Same(line.to_owned());
        assert_eq!(diff("a\nb\nc\n", "a\nx\nc\n"), [same("a"), missing("b"), extra("x"), same("c")]);
        assert_eq!(diff("a\n", "a"), [missing("a"), extra("a (no line feed at the end)")]);
        let long: String = (0..30).map(|number| format!("{number}\n")).collect();
        let other = long.replace("3\n", "three\n");
        assert!(diff(&long, &other).contains(&DiffLine::Gap));
        let many: String = (0..500).map(|number| format!("{number}\n")).collect();
        assert_eq!(diff(&many, "").len(), LINES + 1);
    }
}
