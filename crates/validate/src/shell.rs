//! A shell script, taken apart roughly: its commands, redirections and variables, with their places.
//!
//! Whether a script is valid is for bash itself to say; this reads what nearly all scripts consist of, in one pass without recursion,
//! and what it does not understand it leaves out. A word is known as far as nothing in it is expanded.

mod scanner;

use std::{collections::BTreeSet, ops::Range};

use self::scanner::Scanner;

/// What is known about a shell script.
#[derive(Debug, Default)]
pub(crate) struct Shell {
    pub(crate) commands: Vec<Command>,
    /// Functions that it defines.
    pub(crate) functions: BTreeSet<String>,
    /// Variables that it sets.
    pub(crate) assigned: BTreeSet<String>,
    /// Variables that it reads; whether it gives a default.
    pub(crate) variables: Vec<(Range<usize>, String, bool)>,
}

/// One simple command.
#[derive(Debug, Default)]
pub(crate) struct Command {
    /// The name and the arguments.
    pub(crate) words: Vec<Word>,
    /// Files that output is sent to.
    pub(crate) outputs: Vec<Word>,
    /// Whether it goes on in the background.
    pub(crate) background: bool,
}

/// One word, without its quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) range: Range<usize>,
    /// The text up to the first expansion.
    pub(crate) start: String,
    /// Whether there is nothing to expand.
    pub(crate) is_literal: bool,
}

impl Word {
    pub(crate) fn text(&self) -> Option<&str> {
        self.is_literal.then_some(self.start.as_str())
    }
}

impl Command {
    /// The words from the name of the program on, behind `sudo`, `env`, `timeout` and the like.
    pub(crate) fn program(&self) -> &[Word] {
        program(&self.words)
    }
}

fn program(words: &[Word]) -> &[Word] {
    let mut rest = words;
    // A bound, since `env env env` may go on.
    for _ in 0..8 {
        let Some((name, arguments)) = rest.split_first() else { break };
        let skipped = match name.text() {
            Some("exec" | "command" | "builtin" | "nohup" | "time" | "env" | "xargs" | "nice" | "stdbuf") => {
                0
            }
            Some("timeout") => 1,
            _ => break,
        };
        // `command -v` asks, and starts nothing.
        if name.text() == Some("command")
            && arguments.first().is_some_and(|word| word.start.starts_with(['-']))
        {
            break;
        }
        let is_option = |word: &&Word| word.start.starts_with('-') || is_assignment(&word.start).is_some();
        let options = arguments.iter().take_while(is_option).count();
        let Some(next) = arguments.get(options + skipped..) else { break };
        if next.is_empty() {
            break;
        }
        rest = next;
    }
    rest
}

/// The name in `NAME=value`.
fn is_assignment(word: &str) -> Option<&str> {
    let (name, _) = word.split_once('=')?;
    let name = name.strip_suffix('+').unwrap_or(name);
    let name = name.split('[').next().unwrap_or(name);
    is_name(name).then_some(name)
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Shell {
    pub(crate) fn parse(text: &str) -> Self {
        let mut scanner = Scanner::new(text);
        scanner.run();
        scanner.shell
    }
}

#[cfg(test)]
mod tests;
