//! What can be said about a skill: a rule, how bad it is, where, a message, what to do, and how to mend it.
//!
//! Reading a skill gives every diagnostic the severity of the default profile; validation maps it to the profile that
//! was asked for. Nothing but [`Rule::severity`] decides it.

use std::{fmt, ops::Range};

use crate::rule::{Profile, Rule};

/// One finding about one place of a skill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The rule that found it.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub location: Location,
    /// What is wrong, as a sentence fragment without a final period.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// What would mend it.
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// A finding of `rule` at `location`, with the severity of the rule in the default profile.
    pub fn new(rule: Rule, location: Location, message: impl Into<String>) -> Self {
        // A rule that is off there is still worth reading about where somebody looks at all that was found.
        let severity = rule.severity(Profile::Octavus).unwrap_or(Severity::Info);
        Self { rule, severity, location, message: message.into(), help: None, fix: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with a way to mend it.
    #[must_use]
    pub fn with_fix(mut self, edits: impl IntoIterator<Item = Edit>) -> Self {
        self.fix = Some(Fix { edits: edits.into_iter().collect() });
        self
    }
}

/// What mends a finding without changing what the skill means. All edits belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What to change; no two of them overlap.
    pub edits: Vec<Edit>,
}

/// A change of one file. Paths are relative to the skill's root, with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Puts a text in the place of some bytes of a text file.
    Replace {
        /// The file.
        file: String,
        /// The bytes, on character boundaries.
        range: Range<usize>,
        /// What stands there then.
        text: String,
    },
    /// Renames a file within its directory.
    Rename {
        /// The file.
        file: String,
        /// Its new path.
        to: String,
    },
    /// Makes a file executable.
    MakeExecutable {
        /// The file.
        file: String,
    },
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}[{}]: {}", self.location, self.severity, self.rule.code(), self.message)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Works here, but not everywhere or not well.
    Warning,
    /// Breaks the standard or cannot work.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A file of the skill, and the part of it that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Path relative to the skill's root, with `/`.
    pub file: String,
    /// The part of the file; `None` for the file as a whole.
    pub span: Option<Span>,
}

impl Location {
    /// The whole of `file`.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), span: None }
    }

    /// A part of `file`.
    pub fn span(file: impl Into<String>, span: Span) -> Self {
        Self { file: file.into(), span: Some(span) }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if let Some(span) = self.span {
            write!(formatter, ":{}:{}", span.start.line, span.start.column)?;
        }
        Ok(())
    }
}

/// A part of a text: `start` is in it, `end` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first character.
    pub start: Position,
    /// The character behind the last.
    pub end: Position,
}

impl Span {
    /// An empty span at one place.
    pub fn at(position: Position) -> Self {
        Self { start: position, end: position }
    }
}

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Bytes from the start of the file.
    pub offset: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// The start of a file.
    pub const START: Self = Self { offset: 0, line: 1, column: 1 };

    /// The place of byte `offset` in `text`; beyond the end it is the end. Lines end at any of `\n`, `\r\n`, `\r`.
    pub fn in_text(text: &str, offset: usize) -> Self {
        let offset = text.floor_char_boundary(offset.min(text.len()));
        let bytes = text.as_bytes();
        // Where a line has ended: behind `\n`, and behind a `\r` that is not half of a pair.
        let ends = |index: usize| match bytes[index] {
            b'\n' => true,
            b'\r' => bytes.get(index + 1) != Some(&b'\n'),
            _ => false,
        };
        let (mut line, mut start) = (1, 0);
        for index in (0..offset).filter(|index| ends(*index)) {
            (line, start) = (line + 1, index + 1);
        }
        Self { offset, line, column: text[start..offset].chars().count() + 1 }
    }
}

impl Span {
    /// The part of `text` between two bytes.
    pub fn in_text(text: &str, range: Range<usize>) -> Self {
        Self { start: Position::in_text(text, range.start), end: Position::in_text(text, range.end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters() {
        let text = "aé\r\nb\rc\nd";
        let check = |offset, line, column| {
            assert_eq!(Position::in_text(text, offset), Position { offset, line, column });
        };
        check(0, 1, 1);
        check(3, 1, 3);
        check(5, 2, 1);
        check(7, 3, 1);
        check(9, 4, 1);
        check(10, 4, 2);
        assert_eq!(Position::in_text(text, 99).offset, text.len());
        assert_eq!(Position::in_text(text, 2).offset, 1);
    }

    #[test]
    fn a_diagnostic_reads_like_a_compiler_message() {
        let position = Position { offset: 10, line: 2, column: 7 };
        let diagnostic = Diagnostic::new(
            Rule::NAME_CHARACTER,
            Location::span("SKILL.md", Span::at(position)),
            "the name contains _ (U+005F)",
        );
        assert_eq!(diagnostic.to_string(), "SKILL.md:2:7: error[SB047]: the name contains _ (U+005F)");
        assert!(Severity::Error > Severity::Warning);
    }
}
