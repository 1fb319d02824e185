//! The `skillbox` command.
//!
//! Only glue: arguments become options, one command runs, and what it ends with becomes an exit code. This crate is the
//! only place that names a concrete driver and a concrete store. Work is done by the crates below it.
//!
//! The process has one special role: under the launcher's hidden command it must not have started a thread, so that is
//! looked at before anything else.

mod args;
mod commands;
mod deep;
mod docker;
mod error;
mod escape;
mod exit;
mod files;
mod images;
mod interrupt;
mod log;
mod memory;
mod options;
mod output;
mod progress;
mod sandboxes;
mod scratch;
mod skills;
mod store;
mod streams;
mod units;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == driver_native::LAUNCHER_COMMAND) {
        return driver_native::run_launcher();
    }
    commands::main()
}
