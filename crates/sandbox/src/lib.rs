//! A sandbox as the runner sees it, whatever made it.
//!
//! A [`Driver`] makes sandboxes on one technology. All it has to give is a byte stream to init, the PID 1 inside,
//! and a way to destroy and to reap. Everything else (running programs, files, streams, timeouts, listing what
//! was saved) is written once, in [`Sandbox`], above the drivers.
//!
//! ```text
//!   runner ── Sandbox ══ byte stream ══ init ── programs
//!               │
//!             Handle (memory, destroy) ── Driver (create, reap, checks)
//! ```
//!
//! Invariants: every limit of [`Limits`] is set on every sandbox, or creation fails. A program that fails is an
//! [`ExecOutcome`], never an error. Nothing that init says is believed: frames are bounded and checked, and a
//! sandbox that breaks the protocol is [`SandboxError::Broken`] for good. A [`Sandbox`] has one owner, so its calls
//! are in order by `&mut`.

mod client;
#[cfg(feature = "conformance")]
pub mod conformance;
mod connection;
mod driver;
mod exec;
#[cfg(feature = "conformance")]
pub mod fake;
mod files;
pub mod layout;
mod limits;
mod path;

pub use init_protocol::{Entry, EntryKind, FetchFile, Owner, StreamKind};

pub use crate::client::{Sandbox, SandboxError};
pub use crate::driver::{
    Check, CheckState, Created, Driver, DriverError, DriverErrorKind, Handle, Layer, MemoryUse,
    PendingMemory, Reaped, SandboxId, SandboxSpec, Stream,
};
pub use crate::exec::{CappedStream, ExecOutcome, ExecRequest, OutOfMemory, Termination, Usage};
pub use crate::files::{Fetch, FetchItem, FileError, FileErrorKind, FileRange, Listing};
pub use crate::limits::Limits;
pub use crate::path::{PathError, SandboxPath};
