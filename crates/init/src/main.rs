//! init: PID 1 of every sandbox.
//!
//! It speaks the protocol of `init-protocol` on its standard input and output, runs programs as another user behind
//! the inner wall, reads and writes files for the runner, reaps, and ends the sandbox when its lifetime is over or
//! the runner's end of the stream closes. It has one thread and no runtime, and keeps little memory, because one of it
//! idles in every parked sandbox.
//!
//! ```text
//!   serve ── one request at a time ──┬─ exec ── wall (in the child) ── execve
//!                                    ├─ files (read, write, list, fetch)
//!                                    └─ put (tar)
//! ```
//!
//! Invariants: a program never gets a descriptor of init's but its own three. When an exec is answered, every process
//! but init is dead. Paths are opened by `openat2`, below an allowed directory or not at all. Whatever fails in
//! putting up the wall means that the program does not start.

mod exec;
mod files;
mod list;
mod pipe;
mod put;
mod remains;
mod serve;
mod stream;
mod sys;
mod wall;

use std::process::ExitCode;
use std::{env, io};

/// Argument by which a driver says that the working directory is the writable directory of skills.
const SKILLS_HERE: &str = "skills-here";

fn main() -> ExitCode {
    // Nothing useful can be said to anyone here: the runner sees the end of the stream, and that is the answer.
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run() -> io::Result<()> {
    let files = sys::claim_stream()?;
    if env::args().any(|argument| argument == SKILLS_HERE) {
        sys::take_skills_from_here()?;
    }
    serve::serve(stream::Stream::new(files))
}
