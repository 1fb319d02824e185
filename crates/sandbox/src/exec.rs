//! Running one program: what is asked and how it ended.

use std::time::Duration;

use bytes::Bytes;

/// A program to run.
#[derive(Clone, Debug)]
pub struct ExecRequest {
    /// Program (an absolute path, or a name looked up in `PATH` of `env`) and its arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Absolute working directory.
    pub cwd: String,
    /// Standard input; empty where `None`.
    pub stdin: Option<Bytes>,
    /// Wall clock until SIGTERM.
    pub timeout: Duration,
    /// Wall clock between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Characters kept of each stream, half head, half tail. `None`: every byte is handed on as it comes, and nothing is
    /// kept.
    pub stream_limit: Option<u32>,
}

/// How a program ended and what it said. A failing program is an outcome, not an error.
#[derive(Clone, Debug)]
pub struct ExecOutcome {
    /// How it ended.
    pub termination: Termination,
    /// Standard output.
    pub stdout: CappedStream,
    /// Standard error.
    pub stderr: CappedStream,
    /// What it used.
    pub usage: Usage,
    /// What the kernel killed for memory while it ran: the program itself or any process in the sandbox.
    pub out_of_memory: Option<OutOfMemory>,
    /// Processes that the program left behind when it ended by itself; they were killed.
    pub swept: u32,
}

/// What the kernel killed for memory during one program, whatever that made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Processes; at least one.
    pub killed: u64,
    /// Most bytes that the sandbox has had in use at once, where the kernel keeps count.
    pub peak_bytes: Option<u64>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Termination {
    /// It exited with this code.
    Exited(i32),
    /// A signal ended it: its own, another program's in the sandbox, or the kernel's for memory.
    Signaled(i32),
    /// Its time was over.
    TimedOut,
    /// The caller cancelled.
    Cancelled,
}

impl Termination {
    /// The exit code that a shell would show: 128 + signal, 124 for a timeout.
    #[must_use]
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
            Self::TimedOut => 124,
            Self::Cancelled => 137,
        }
    }
}

/// A stream of bounded size, valid UTF-8 whatever the program wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CappedStream {
    /// The beginning; everything, where nothing was omitted.
    pub head: String,
    /// Characters left out between head and tail.
    pub omitted_characters: u64,
    /// The end, where something was omitted; else empty.
    pub tail: String,
}

/// What a program and its children used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Wall clock from its start until everything it had started was dead.
    pub wall: Duration,
    /// CPU time.
    pub cpu: Duration,
    /// Largest resident set of one process, in bytes.
    pub peak_rss_bytes: u64,
}
