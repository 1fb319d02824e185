//! What is wrong with a test file, and where. A mistake in a test is never a failed test: it is shown before anything runs.

use std::fmt;

use skill::{Position, Span};

/// A mistake in a test file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's path relative to the skill's root.
    pub file: String,
    /// The place in it.
    pub span: Span,
    /// What is wrong, as a fragment without a final period.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column, .. } = self.span.start;
        write!(formatter, "{}:{line}:{column}: {}", self.file, self.message)
    }
}

impl std::error::Error for Problem {}

/// A value and where it stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> At<T> {
    pub(crate) fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// The mistakes of one file, collected, so that all of them are shown at once.
#[derive(Debug)]
pub(crate) struct Problems {
    file: String,
    list: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), list: Vec::new() }
    }

    /// One more.
    pub(crate) fn add(&mut self, span: Span, message: impl Into<String>) -> Added<'_> {
        let (file, message) = (self.file.clone(), message.into());
        self.list.push(Problem { file, span, message, help: None });
        Added { problem: self.list.last_mut() }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// All of them, in the order of the file.
    pub(crate) fn into_list(mut self) -> Vec<Problem> {
        self.list.sort_by_key(|problem| (problem.span.start.line, problem.span.start.column));
        self.list
    }
}

/// A mistake that was just added, to say what to do about it.
pub(crate) struct Added<'a> {
    problem: Option<&'a mut Problem>,
}

impl Added<'_> {
    pub(crate) fn help(self, help: impl Into<String>) {
        if let Some(problem) = self.problem {
            problem.help = Some(help.into());
        }
    }
}
