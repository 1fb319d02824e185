//! Sandboxes as containers of a Docker daemon, or of another one that speaks its API.
//!
//! ```text
//!   DockerDriver ══ API over a unix socket ══ dockerd ── runtime ──▶ init (PID 1, user 1000) ── programs (user 1000)
//!        └───────── one attached connection per sandbox ═════════════▶ stdin, stdout of init
//! ```
//!
//! One container a sandbox. All that is asked of the daemon is to make, to attach, to start and to remove it: programs,
//! files and time are init's, through the attached connection, as under every driver.
//!
//! Invariants: every limit and every wall is in the one request of [`container`], and that request is the same for
//! everybody; Podman gets it in its own words, and what it made of it is looked at ([`podman`], [`audit`]). Whatever is made carries its owner and a deadline, and is held by somebody or removed by a sweep. A
//! container ends when its connection does, or when init's timer says so, and the daemon removes what has ended, so
//! nothing depends on a runner that comes back. The daemon and its answers are trusted; what comes from inside is not.

mod address;
mod answer;
mod audit;
mod checks;
mod container;
mod counters;
mod daemon;
mod driver;
mod engine;
mod groups;
mod image;
mod layers;
mod names;
mod owner;
mod podman;
mod seccomp;
mod stream;
mod sweep;

pub use crate::driver::{Config, DockerDriver};
