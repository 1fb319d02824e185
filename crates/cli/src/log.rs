//! The log of the runner and the server, on standard error: for people where people look, else as JSON for machines.
//!
//! ```text
//!   event ─▶ one line of text or JSON ─▶ escaped ─▶ queue (bounded, never waits) ─▶ writer thread ─▶ standard error
//! ```
//!
//! The log is in nobody's way. Whoever reads it may be slow, stopped or gone, and its disk may be full: the thread of its own
//! bears that, and lines that find no room, or that cannot be written, are counted and dropped. See [`queue`].
//!
//! Where standard error is no terminal, `serve` writes nothing else there, so that each line is one JSON object.

mod queue;

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use self::queue::Queue;
use crate::{args::Global, escape};

/// Bytes of lines that wait to be written.
const QUEUE_BYTES: usize = 4 << 20;
/// How long the end of the process waits for a reader of the log that does not read.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// The log of this process, while it is kept.
#[derive(Debug)]
pub(crate) struct Log {
    queue: Arc<Queue>,
    form: Form,
}

impl Log {
    /// How its lines are written.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Lines that were never written. Counts on.
    pub(crate) fn lost(&self) -> Arc<AtomicU64> {
        self.queue.lost()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.finish(LAST_LINES);
    }
}

/// Starts the log of a server, which says what happens unless told otherwise. It lasts as long as what comes back.
pub(crate) fn of_server(global: &Global) -> Log {
    let log = start(match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "info",
        (false, 1) => "debug",
        (false, _) => "trace",
    });
    report_panics();
    log
}

/// Starts the log of a command for one call, which is only wanted when something is looked for.
pub(crate) fn of_command(global: &Global) -> Option<Log> {
    match global.verbose {
        0 | 1 => None,
        2 => Some(start("debug")),
        _ => Some(start("trace")),
    }
}

fn start(default: &str) -> Log {
    // The SDK of buckets logs its own errors as dumps of its structures; ours say the same in our words.
    let standard = match default {
        "error" | "info" => format!(
            "{default},aws_config=off,aws_runtime=off,aws_sdk_s3=off,aws_smithy_runtime=off,aws_smithy_http_client=off"
        ),
        other => other.to_owned(),
    };
    let filter = EnvFilter::try_from_env("SKILLBOX_LOG").unwrap_or_else(|_| EnvFilter::new(standard));
    let form = if io::stderr().is_terminal() { Form::Text } else { Form::Json };
    let queue = Queue::start(Box::new(io::stderr()), QUEUE_BYTES);
    let lines = Lines { queue: Arc::clone(&queue), form };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    // A second log of one process is a mistake that changes nothing.
    _ = match form {
        Form::Text => log.with_target(false).try_init(),
        Form::Json => log.json().flatten_event(true).with_span_list(false).try_init(),
    };
    Log { queue, form }
}

/// A panic is a line of the log as well, and not several of plain text between its lines.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let trace = std::backtrace::Backtrace::capture();
        let trace = (trace.status() == std::backtrace::BacktraceStatus::Captured).then(|| trace.to_string());
        tracing::error!(panic = panic.payload_as_str(), place, trace, "a thread panicked");
    }));
}

/// Makes a line of each event.
#[derive(Debug)]
struct Lines {
    queue: Arc<Queue>,
    form: Form,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, bytes: Vec::new() }
    }
}

/// The line of one event; handed on when the event is done.
struct Line<'a> {
    lines: &'a Lines,
    bytes: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        if !text.is_empty() {
            let mut line = escaped(text, self.lines.form);
            line.push('\n');
            self.lines.queue.push(line.into_bytes());
        }
    }
}

/// Values of fields can be texts of callers and programs.
fn escaped(text: &str, form: Form) -> String {
    match form {
        Form::Json => escape::json(text.to_owned()),
        Form::Text => {
            // The colours are ours: in values the formatter has already taken the escape character away.
            let mut out = String::with_capacity(text.len());
            let mut rest = text;
            while let Some(at) = rest.find('\u{1b}') {
                out.push_str(&escape::line(&rest[..at]));
                let length = colour(&rest[at..]);
                out.push_str(&rest[at..at + length]);
                rest = &rest[at + length..];
                if length == 0 {
                    out.push_str("\\e");
                    rest = &rest[1..];
                }
            }
            out.push_str(&escape::line(rest));
            out
        }
    }
}

/// The length of the sequence that sets a colour, where the text begins with one.
fn colour(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\u{1b}[") else { return 0 };
    let end = parameters.find(|character: char| !character.is_ascii_digit() && character != ';');
    match end {
        Some(end) if parameters[end..].starts_with('m') => end + 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_line_ends_it_or_harms_its_reader() {
        let colours = "\u{1b}[2m12:00\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m";
        let text = format!("{colours} a\nb\u{9b}2J\u{202e}\u{1b}]52;c;x\u{7}\u{1b}[2J");
        assert_eq!(
            escaped(&text, Form::Text),
            format!("{colours} a\\nb\\x9b2J\\u{{202e}}\\e]52;c;x\\x07\\e[2J")
        );
        assert_eq!(escaped("{\"a\":\"\u{2028}\u{9b}\"}", Form::Json), "{\"a\":\"\\u2028\\u009b\"}");
    }
}
