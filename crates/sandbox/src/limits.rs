//! What a sandbox may use.

use std::time::Duration;

/// The limits of one sandbox. Every one is set explicitly on every sandbox (there is no "unlimited").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of all processes and all tmpfs together, in bytes. There is no swap.
    pub memory_bytes: u64,
    /// CPU time per second of wall clock, in thousandths of one CPU.
    pub cpu_millis: u32,
    /// Processes and threads together, init included.
    pub processes: u32,
    /// Size of each of `/workspace`, `/output` and `/tmp`, in bytes.
    pub disk_bytes: u64,
    /// Files and directories in each of them.
    pub disk_inodes: u64,
    /// Size of `/dev/shm`, in bytes.
    pub shm_bytes: u64,
    /// Open descriptors of one process.
    pub open_files: u64,
    /// Size of one file, in bytes.
    pub file_bytes: u64,
}

impl Limits {
    /// The documented defaults. A function and not `Default`, so that each use is a decision.
    #[must_use]
    pub fn standard() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            memory_bytes: 512 * MIB,
            cpu_millis: 1000,
            processes: 128,
            disk_bytes: 256 * MIB,
            disk_inodes: 16_384,
            shm_bytes: 64 * MIB,
            open_files: 1024,
            file_bytes: 256 * MIB,
        }
    }

    /// Lifetime of a sandbox from its creation, unless configured.
    pub const LIFETIME: Duration = Duration::from_secs(300);

    /// Time between SIGTERM and SIGKILL. Below one second, so that a call ends within its limit and one second.
    pub const GRACE: Duration = Duration::from_millis(500);
}
