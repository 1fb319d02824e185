//! The contract between the runner and whatever makes sandboxes.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Limits, layout};

/// A byte stream to init.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Makes sandboxes on one technology.
///
/// What every driver guarantees:
/// - `create` either gives a sandbox with every limit of its spec and all walls in force, or fails and leaves nothing.
///   A wall that cannot be built is an error ([`DriverErrorKind::Wall`]), unless the operator allowed that by name in
///   the driver's configuration.
/// - When the other end of the stream closes, or the lifetime is over, the sandbox ends by itself, also when the
///   runner is dead.
/// - `reap` removes what runners left that no longer live, also other ones', and never what a living one owns.
///
/// Drivers report facts; they know nothing of triggers, tools, skills or stores.
#[async_trait]
pub trait Driver: fmt::Debug + Send + Sync {
    /// Short name, as in `--driver`.
    fn name(&self) -> &'static str;

    /// Makes a sandbox. Calls may come in parallel. Dropping the future leaves nothing behind.
    async fn create(&self, spec: &SandboxSpec) -> Result<Created, DriverError>;

    /// Removes what dead runners left: processes, cgroups, mounts, directories.
    async fn reap(&self) -> Result<Reaped, DriverError>;

    /// What works here and what does not, for `doctor` and readiness. Starts nothing that lasts.
    async fn checks(&self) -> Vec<Check>;

    /// Ends the driver: destroys every sandbox that still lives and whatever the driver itself keeps running.
    async fn shutdown(&self) -> Result<(), DriverError>;
}

/// Counts of a memory controller on their way.
pub type PendingMemory = Pin<Box<dyn Future<Output = Result<MemoryUse, DriverError>> + Send>>;

/// The hold on one sandbox, beside the stream.
///
/// Dropping it must not leak the sandbox: what `destroy` would have waited for may then happen in the background.
#[async_trait]
pub trait Handle: fmt::Debug + Send + Sync {
    /// What the sandbox's memory controller has counted so far. Asked at once, when this is called: the counts are of
    /// that moment, however late the future is awaited. Where the driver is only told of kills by somebody else, it also
    /// takes those that it is told of within `late`.
    fn memory(&self, late: Duration) -> PendingMemory;

    /// Kills everything inside and waits until nothing of the sandbox is left. Idempotent with its own end: a
    /// sandbox that already ended is not an error.
    async fn destroy(self: Box<Self>) -> Result<(), DriverError>;
}

/// A sandbox fresh from its driver. Init waits for the first frame on `stream`.
pub struct Created {
    /// The byte stream to init.
    pub stream: Box<dyn Stream>,
    /// The hold on the sandbox.
    pub handle: Box<dyn Handle>,
    /// User and group id of programs inside.
    pub uid: u32,
    /// Whether other sandboxes' processes count on the same host user id.
    pub shares_uid: bool,
    /// Whether programs may start without Landlock where the kernel has none.
    pub allow_missing_landlock: bool,
}

impl fmt::Debug for Created {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Created")
            .field("handle", &self.handle)
            .field("uid", &self.uid)
            .finish_non_exhaustive()
    }
}

/// Name of a sandbox: what shows in logs, cgroup names and labels. Letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SandboxId(String);

impl SandboxId {
    /// Takes a name of 1 to 63 ASCII letters, digits and hyphens; `None` for anything else.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        let good = (1..=63).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        good.then_some(Self(id))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SandboxId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What sandbox is wanted.
#[derive(Clone, Debug)]
pub struct SandboxSpec {
    /// Its name; unique among living sandboxes of this runner.
    pub id: SandboxId,
    /// What it may use.
    pub limits: Limits,
    /// How long it lives at most, counted from creation.
    pub lifetime: Duration,
    /// Read-only directories of the host that appear below [`layout::LAYERS`].
    pub layers: Vec<Layer>,
}

/// A content-addressed directory of the host, mounted read-only into a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Digest of its content: lowercase hex, also its name inside.
    pub digest: String,
    /// Where it is on the host.
    pub directory: PathBuf,
}

impl Layer {
    /// Where programs find it.
    #[must_use]
    pub fn mount_point(&self) -> String {
        format!("{}/{}", layout::LAYERS, self.digest)
    }
}

/// What a sandbox's memory controller counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Processes that the kernel killed for memory.
    pub oom_kills: u64,
    /// Most bytes in use at once, where the kernel keeps count.
    pub peak_bytes: Option<u64>,
}

/// What `reap` removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Dead runners whose remains were removed.
    pub runners: usize,
    /// Sandboxes of theirs that were removed.
    pub sandboxes: usize,
}

/// One line of `doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, in a few words: `user namespaces`.
    pub name: String,
    /// The verdict.
    pub state: CheckState,
    /// What was found.
    pub detail: String,
    /// What to do about it, where something is missing.
    pub remedy: Option<String>,
}

/// The verdict of a [`Check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckState {
    /// In force.
    Good,
    /// Weaker than promised; `serve` refuses unless the operator allows this wall's absence by its name.
    Weak,
    /// No sandbox can be made.
    Missing,
}

/// The driver could not do it: our fault or the machine's, never the program's.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct DriverError {
    /// What a caller may branch on.
    pub kind: DriverErrorKind,
    /// What went wrong, with what to do where that is known.
    pub message: String,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl DriverError {
    /// An error without a cause of its own.
    pub fn new(kind: DriverErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// An error with its cause.
    pub fn with_source(
        kind: DriverErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, message: message.into(), source: Some(source.into()) }
    }
}

/// Kinds of [`DriverError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverErrorKind {
    /// The technology is not there or refuses (no namespaces, daemon unreachable).
    Unavailable,
    /// A wall or a limit cannot be put up and the operator has not allowed its absence.
    Wall,
    /// Something the sandbox needs is missing: a root directory, an image, a layer.
    NotFound,
    /// The driver is full or shutting down; a later try may work.
    Busy,
    /// Anything else.
    System,
}
