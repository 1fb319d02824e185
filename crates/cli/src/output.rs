//! What people see: notes and errors on standard error, results on standard output.
//!
//! Standard output carries results only, so that it can be piped. Under `--json` it carries exactly one document. What
//! comes from a sandbox or a bundle is escaped before it is shown.

use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use crate::{args::Global, error::CommandError, escape, exit::Exit};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
pub(crate) const WEAK: Style = AnsiColor::Yellow.on_default();
pub(crate) const DIM: Style = Style::new().dimmed();

/// How much is said, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    pub(crate) progress: bool,
}

impl Output {
    /// As the options say; also sets the colours of the whole process.
    pub(crate) fn new(global: &Global) -> Self {
        global.color.into_choice().write_global();
        let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        let hidden = global.no_progress || global.quiet || global.verbose > 0 || ci;
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose > 0,
            progress: !hidden && io::stderr().is_terminal(),
        }
    }

    /// A line that helps, but is no result.
    pub(crate) fn note(self, line: &str) {
        if !self.quiet {
            to_stderr(&format!("{line}\n"));
        }
    }

    /// A note that something is not as it could be.
    pub(crate) fn warn(self, line: &str) {
        self.note(&format!("{WARNING}warning:{WARNING:#} {line}"));
    }

    /// A note about what to do next.
    pub(crate) fn hint(self, line: &str) {
        self.note(&format!("{HINT}hint:{HINT:#} {line}"));
    }

    /// Shows an error in the form that was asked for, and says how the process ends.
    pub(crate) fn error(self, error: &CommandError) -> Exit {
        let exit = error.kind.exit();
        if exit == Exit::BROKEN_PIPE {
            return exit;
        }
        if self.json {
            let mut document = json!({"error": error.line(), "code": error.code});
            if let Some(hint) = &error.hint {
                document["hint"] = json!(hint);
            }
            return match self.print_json(&document) {
                Ok(()) => exit,
                Err(_) => Exit::BROKEN_PIPE,
            };
        }
        to_stderr(&shown(error, self.verbose));
        exit
    }

    /// The result as JSON: one document on one line.
    pub(crate) fn print_json(self, document: &Value) -> Result<(), CommandError> {
        print(&escape::json(format!("{document}\n")))
    }
}

/// The result as JSON on several lines, for people.
pub(crate) fn print_indented(document: &Value) -> Result<(), CommandError> {
    print(&escape::json(format!("{document:#}\n")))
}

/// The result as text.
pub(crate) fn print(text: &str) -> Result<(), CommandError> {
    let mut stdout = anstream::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| CommandError::io("standard output cannot be written", &error))
}

/// There is nobody to tell when standard error is gone.
fn to_stderr(text: &str) {
    _ = anstream::stderr().lock().write_all(text.as_bytes());
}

fn shown(error: &CommandError, verbose: bool) -> String {
    let mut text = format!("{ERROR}error:{ERROR:#} {}\n", escape::text(&error.message));
    for cause in &error.causes {
        text.push_str(&format!("  caused by: {}\n", escape::text(cause)));
    }
    if verbose && let Some(detail) = &error.detail {
        for line in detail.lines() {
            text.push_str(&format!("  | {}\n", escape::line(line)));
        }
    }
    if let Some(hint) = &error.hint {
        text.push_str(&format!("\n{HINT}hint:{HINT:#} {}\n", escape::text(hint)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn an_error_reads_from_what_to_why_to_what_now() {
        let mut error = CommandError::new(Kind::User, "X", "cannot read `a\x1b[2J`").hint("try `b`");
        error.causes = vec!["no such file".to_owned()];
        error.detail = Some("one\ntwo".into());
        let plain = anstream::adapter::strip_str(&shown(&error, false)).to_string();
        assert_eq!(plain, "error: cannot read `a\\e[2J`\n  caused by: no such file\n\nhint: try `b`\n");
        let long = anstream::adapter::strip_str(&shown(&error, true)).to_string();
        assert!(long.contains("  | one\n  | two\n"));
    }
}
