//! The log of the runner and the server, on standard error: for people where people look, else as JSON for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::args::Global;

/// Starts the log of a server, which says what happens unless told otherwise.
pub(crate) fn of_server(global: &Global) {
    start(match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "info",
        (false, 1) => "debug",
        (false, _) => "trace",
    });
}

/// Starts the log of a command for one call, which is only wanted when something is looked for.
pub(crate) fn of_command(global: &Global) {
    match global.verbose {
        0 | 1 => {}
        2 => start("debug"),
        _ => start("trace"),
    }
}

fn start(default: &str) {
    let filter = EnvFilter::try_from_env("SKILLBOX_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second log of one process is a mistake that changes nothing.
    _ = if std::io::stderr().is_terminal() {
        log.with_target(false).try_init()
    } else {
        log.json().flatten_event(true).with_span_list(false).try_init()
    };
}
