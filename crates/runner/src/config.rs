//! What an operator sets once: limits, times and bounds of memory.
//!
//! Every number that bounds something lives here, so that nothing in the runner is unlimited by accident.

use std::time::Duration;

use artifact::OutputLimits;
use sandbox::Limits;
use tool::ToolPrefix;

/// How a [`crate::Runner`] behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Limits of a sandbox whose trigger asks for none.
    pub limits: Limits,
    /// The most that a trigger may ask for, limit by limit.
    pub most_limits: Limits,
    /// Life of a sandbox from its creation, unless its trigger asks for another.
    pub lifetime: Duration,
    /// The longest life that a trigger may ask for.
    pub most_lifetime: Duration,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Characters of each stream in a result.
    pub stream_limit: u32,
    /// Which output files are stored.
    pub output: OutputLimits,
    /// Most entries of `/output` that are looked at after a call.
    pub output_entries: u32,
    /// What stands before the names of the tools.
    pub tool_prefix: ToolPrefix,
    /// Bytes that `octavus_file_read` gives when the call does not say.
    pub read_default: u64,
    /// Most bytes that one `octavus_file_read` gives.
    pub read_limit: u64,
    /// Most bytes that one `octavus_file_write` takes.
    pub write_limit: u64,
    /// Most bytes of all inputs of a trigger together.
    pub input_bytes: u64,
    /// Most sandboxes alive at once.
    pub sandboxes: usize,
    /// How long a call waits for one of them before it is refused as busy.
    pub sandbox_wait: Duration,
    /// Most triggers that have not ended.
    pub triggers: usize,
    /// Most calls of one trigger that wait for their turn.
    pub queue: usize,
    /// What a refused caller is told to wait.
    pub retry_after: Duration,
    /// How long running calls may go on after a shutdown was asked for.
    pub drain: Duration,
    /// A trigger without calls for this long is ended.
    pub idle: Duration,
    /// How long a call goes on, or waits for its turn, when nobody waits for its answer any more: its client was cut off,
    /// and may come back and join it.
    pub abandoned: Duration,
    /// How long an ended trigger is known to have ended.
    pub ended_retention: Duration,
    /// Ended triggers that are known at most: some hundred bytes each.
    pub ended_triggers: usize,
    /// Bytes of everything that is kept for triggers together: results, events, files, declarations with their inputs, calls
    /// that wait. Results, events and files of all triggers make room by age; the rest is refused beyond three quarters.
    pub kept_bytes: usize,
    /// Bytes of results that one trigger keeps for repeated calls; the oldest go first.
    pub result_bytes: usize,
    /// Calls that one trigger takes in its life.
    pub calls: usize,
    /// Events of one trigger kept for late readers of its progress.
    pub progress_events: usize,
    /// Bytes of text in them.
    pub progress_bytes: usize,
}

impl Config {
    /// The documented defaults. A function and not `Default`, so that each use is a decision.
    #[must_use]
    pub fn standard() -> Self {
        const MIB: u64 = 1024 * 1024;
        let mut most_limits = Limits::standard();
        most_limits.memory_bytes = 2048 * MIB;
        most_limits.cpu_millis = 2000;
        most_limits.processes = 512;
        most_limits.disk_bytes = 1024 * MIB;
        most_limits.disk_inodes *= 4;
        most_limits.shm_bytes *= 4;
        most_limits.open_files *= 4;
        most_limits.file_bytes = 1024 * MIB;
        Self {
            limits: Limits::standard(),
            most_limits,
            lifetime: Limits::LIFETIME,
            most_lifetime: Duration::from_secs(3600),
            grace: Limits::GRACE,
            stream_limit: 100_000,
            output: OutputLimits::DEFAULT,
            output_entries: 100_000,
            tool_prefix: ToolPrefix::default(),
            read_default: 100_000,
            read_limit: 10 * MIB,
            write_limit: 10 * MIB,
            input_bytes: 100 * MIB,
            sandboxes: 64,
            sandbox_wait: Duration::from_secs(10),
            triggers: 10_000,
            queue: 64,
            retry_after: Duration::from_secs(2),
            drain: Duration::from_secs(20),
            idle: Duration::from_secs(3600),
            abandoned: Duration::from_secs(30),
            ended_retention: Duration::from_secs(600),
            ended_triggers: 200_000,
            kept_bytes: 512 * 1024 * 1024,
            result_bytes: 16 * 1024 * 1024,
            calls: 4096,
            progress_events: 1_000,
            progress_bytes: 1024 * 1024,
        }
    }
}
